#include "hashing_writer.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <exception>
#include <system_error>
#include <utility>

#include "blob_file.hpp"
#include "kernels/core/cancel.hpp"

namespace kernels::hub {
namespace {

constexpr std::size_t small_size = std::size_t{64} << 10U;  // most files are; they need no whole block
constexpr std::size_t block_size = std::size_t{1} << 20U;
// Larger writes take longer: they want pages of the cache in a row, smaller ones ask the file system more
// often.
constexpr std::size_t write_step = std::size_t{128} << 10U;
constexpr std::size_t most_blocks = 4;  // bounds the memory where hashing is slower than the network
// What came slowly is not kept back for longer: it is there to go on from when the process is killed.
constexpr std::chrono::milliseconds longest_wait{200};
constexpr std::chrono::milliseconds longest_end{300};
constexpr std::uint64_t sync_step = std::uint64_t{16} << 20U;

}  // namespace

HashingWriter::HashingWriter(int fd, std::filesystem::path path, Hasher hasher, std::optional<Hasher> second,
                             const std::atomic<bool>* cancel)
    : m_fd(fd),
      m_path(std::move(path)),
      m_hasher(std::move(hasher)),
      m_second(std::move(second)),
      m_cancel(cancel) {}

HashingWriter::~HashingWriter() {
    try {
        store_rest();
    } catch (const std::exception&) {
        // Whoever asked for the bytes has been told, or asks no longer; what the disk took is kept.
    }
    if (!m_thread.joinable()) return;
    {
        const std::lock_guard lock(m_mutex);
        m_stop = true;
    }
    m_changed.notify_all();
    m_thread.join();
}

void HashingWriter::append(std::string_view bytes) {
    while (!bytes.empty()) {
        if (m_block.empty()) m_block_began = std::chrono::steady_clock::now();
        if (m_block.size() + bytes.size() > small_size) m_block.reserve(block_size);
        const auto part = bytes.substr(0, block_size - m_block.size());
        m_block.append(part);
        bytes.remove_prefix(part.size());
        if (m_block.size() == block_size) pass_on(true);
    }
    pass_on_old();
}

void HashingWriter::pass_on_old() {
    if (!m_block.empty() && std::chrono::steady_clock::now() - m_block_began > longest_wait) pass_on(false);
}

void HashingWriter::pass_on(bool is_full) {
    if (!m_thread.joinable() && !(is_full && start_thread())) {
        // Taken out first: what the disk took in part is not to be written again.
        std::string block = std::exchange(m_block, {});
        take(block);
        block.clear();
        m_block = std::move(block);
        return;
    }
    {
        std::unique_lock lock(m_mutex);
        m_changed.wait(lock, [&] { return m_failure || m_queue.size() < most_blocks; });
        if (m_failure) std::rethrow_exception(m_failure);
        m_queue.push_back(std::exchange(m_block, {}));
        if (!m_spare.empty()) {
            m_block = std::move(m_spare.back());
            m_spare.pop_back();
        }
    }
    m_changed.notify_all();
}

// Where a limit on processes or memory gives no thread, this one does its work.
bool HashingWriter::start_thread() {
    m_spare.reserve(most_blocks + 2);
    try {
        m_thread = std::thread([this] { take_blocks(); });
    } catch (const std::system_error&) {
        return false;
    }
    return true;
}

std::string HashingWriter::finish() {
    store_rest();
    return m_hasher.finish();
}

void HashingWriter::store_rest() {
    {
        std::unique_lock lock(m_mutex);
        m_changed.wait(lock, [&] { return m_failure || (m_queue.empty() && !m_busy); });
        if (m_failure) std::rethrow_exception(m_failure);
    }
    take(std::exchange(m_block, {}));
}

void HashingWriter::take_blocks() {
    std::unique_lock lock(m_mutex);
    for (;;) {
        m_changed.wait(lock, [&] { return m_stop || !m_queue.empty(); });
        if (m_stop) return;
        std::string block = std::move(m_queue.front());
        m_queue.pop_front();
        m_busy = true;
        lock.unlock();
        std::exception_ptr failure;
        try {
            take(block);
        } catch (...) {
            failure = std::current_exception();
        }
        lock.lock();
        m_busy = false;
        m_failure = failure;
        block.clear();
        m_spare.push_back(std::move(block));
        m_changed.notify_all();
        if (m_failure) return;
    }
}

void HashingWriter::take(std::string_view bytes) {
    store(bytes);
    hash_only(bytes);
}

// What has arrived is kept, unless the disk is slow: the user waits.
void HashingWriter::end_when_cancelled() {
    if (!is_cancelled(m_cancel)) return;
    const auto now = std::chrono::steady_clock::now();
    if (!m_cancelled) m_cancelled = now;
    if (now - *m_cancelled > longest_end) check_cancelled(m_cancel);
}

void HashingWriter::store(std::string_view bytes) {
    for (auto rest = bytes; !rest.empty();) {
        end_when_cancelled();
        const auto written = ::write(m_fd, rest.data(), std::min(rest.size(), write_step));
        if (written < 0) {
            if (errno == EINTR) continue;
            throw write_error(m_path, errno);
        }
        rest.remove_prefix(static_cast<std::size_t>(written));
    }
#ifdef __linux__
    m_unsynced += bytes.size();
    // The disk starts now, so that the sync at the end has little left to wait for.
    if (m_unsynced >= sync_step) {
        ::sync_file_range(m_fd, 0, 0, SYNC_FILE_RANGE_WRITE);
        m_unsynced = 0;
    }
#endif
}

}  // namespace kernels::hub
