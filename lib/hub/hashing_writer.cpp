#include "hashing_writer.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "blob_file.hpp"

namespace kernels::hub {
namespace {

constexpr std::size_t small_size = std::size_t{64} << 10U;  // most files are; they need no whole block
constexpr std::size_t block_size = std::size_t{1} << 20U;
constexpr std::size_t most_blocks = 4;  // bounds the memory where hashing is slower than the network
constexpr std::uint64_t sync_step = std::uint64_t{16} << 20U;

}  // namespace

HashingWriter::HashingWriter(int fd, std::filesystem::path path, Hasher hasher, std::optional<Hasher> second)
    : m_fd(fd), m_path(std::move(path)), m_hasher(std::move(hasher)), m_second(std::move(second)) {}

HashingWriter::~HashingWriter() {
    if (!m_thread.joinable()) return;
    {
        const std::lock_guard lock(m_mutex);
        m_stop = true;
    }
    m_changed.notify_all();
    m_thread.join();
}

void HashingWriter::append(std::string_view bytes) {
    // Written at once, so that what arrived is there to go on from when the process is killed.
    store(bytes);
    while (!bytes.empty()) {
        if (m_block.size() + bytes.size() > small_size) m_block.reserve(block_size);
        const auto part = bytes.substr(0, block_size - m_block.size());
        m_block.append(part);
        bytes.remove_prefix(part.size());
        if (m_block.size() < block_size) continue;
        if (!has_thread()) {
            hash_only(m_block);
            m_block.clear();
            continue;
        }
        {
            std::unique_lock lock(m_mutex);
            m_changed.wait(lock, [&] { return m_queue.size() < most_blocks; });
            m_queue.push_back(std::exchange(m_block, {}));
            if (!m_spare.empty()) {
                m_block = std::move(m_spare.back());
                m_spare.pop_back();
            }
        }
        m_changed.notify_all();
    }
}

// Where a limit on processes or memory gives no thread, this one hashes.
bool HashingWriter::has_thread() {
    if (m_thread.joinable()) return true;
    try {
        m_thread = std::thread([this] { hash_blocks(); });
    } catch (const std::system_error&) {
        return false;
    }
    return true;
}

std::string HashingWriter::finish() {
    std::unique_lock lock(m_mutex);
    m_changed.wait(lock, [&] { return m_queue.empty() && !m_busy; });
    hash_only(std::exchange(m_block, {}));
    return m_hasher.finish();
}

void HashingWriter::hash_blocks() {
    std::unique_lock lock(m_mutex);
    for (;;) {
        m_changed.wait(lock, [&] { return m_stop || !m_queue.empty(); });
        if (m_stop) return;
        std::string block = std::move(m_queue.front());
        m_queue.pop_front();
        m_busy = true;
        lock.unlock();
        hash_only(block);
        lock.lock();
        m_busy = false;
        block.clear();
        m_spare.push_back(std::move(block));
        m_changed.notify_all();
    }
}

void HashingWriter::store(std::string_view bytes) {
    for (auto rest = bytes; !rest.empty();) {
        const auto written = ::write(m_fd, rest.data(), rest.size());
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
