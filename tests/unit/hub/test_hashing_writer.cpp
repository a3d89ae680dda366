// Bytes that are written and hashed on a thread of their own: what is in the file when, and who learns of a
// full disk.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "checking.hpp"
#include "hub/hashing_writer.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "temporary_folder.hpp"

using namespace kernels;
using namespace kernels::hub;

namespace {

constexpr std::size_t several_blocks = (std::size_t{7} << 20U) + 12345;

std::string many_bytes(std::size_t size) {
    std::string bytes(size, '\0');
    for (std::size_t i = 0; i < size; ++i)
        bytes[i] = static_cast<char>(i * 31 + i / 4096);
    return bytes;
}

struct WriterFixture {
    kernels::testing::TemporaryFolder folder;
    std::filesystem::path path = folder.path() / "part";
    int fd = -1;

    WriterFixture() { open(path); }
    ~WriterFixture() { ::close(fd); }
    void open(const std::filesystem::path& what) {
        if (fd >= 0) ::close(fd);
        path = what;
        fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        REQUIRE(fd >= 0);
    }
    // In pieces that fit no block.
    static void feed(HashingWriter& writer, std::string_view bytes) {
        for (; !bytes.empty(); bytes.remove_prefix(std::min<std::size_t>(bytes.size(), 300'001)))
            writer.append(bytes.substr(0, 300'001));
    }
};

}  // namespace

TEST_CASE_FIXTURE(WriterFixture, "what is hashed is what is in the file") {
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{10}, std::size_t{1} << 20U, several_blocks, std::size_t{32} << 20U}) {
        CAPTURE(size);
        open(folder.path() / std::to_string(size));
        const std::string bytes = many_bytes(size);
        HashingWriter writer(fd, path, Hasher(HashAlgorithm::sha256), git_blob_hasher(size));
        feed(writer, bytes);
        CHECK(to_hex(writer.finish()) == hash_bytes(HashAlgorithm::sha256, bytes));
        Hasher git = git_blob_hasher(size);
        git.update(bytes);
        CHECK(writer.finish_second() == git.finish());
        CHECK(read_file(path) == bytes);
    }
}

TEST_CASE_FIXTURE(WriterFixture, "what has arrived is kept when a download ends early") {
    for (const std::size_t size : {std::size_t{10}, several_blocks}) {
        CAPTURE(size);
        open(folder.path() / std::to_string(size));
        const std::string bytes = many_bytes(size);
        {
            HashingWriter writer(fd, path, Hasher(HashAlgorithm::sha256));
            feed(writer, bytes);
        }
        CHECK(read_file(path) == bytes);
    }
}

TEST_CASE_FIXTURE(WriterFixture, "what comes slowly is in the file soon, in case the process is killed") {
    std::size_t size = 0;
    SUBCASE("of a small file") {
        size = 10;
    }
    SUBCASE("of a large one") {
        size = several_blocks;
    }
    const std::string first = many_bytes(size);
    HashingWriter writer(fd, path, Hasher(HashAlgorithm::sha256));
    feed(writer, first);
    writer.append("more");
    writer.pass_on_old();
    CHECK(read_file(path).size() < first.size());
    std::this_thread::sleep_for(std::chrono::milliseconds(250));
    writer.pass_on_old();
    for (int i = 0; i < 100 && read_file(path).size() < first.size() + 4; ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    CHECK(read_file(path) == first + "more");
}

TEST_CASE_FIXTURE(WriterFixture, "who cancels does not wait until all that has arrived is in the file") {
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    std::atomic<std::size_t> arrived = 0;
    std::thread slow_disk([&] {
        std::vector<char> buffer(std::size_t{64} << 10U);
        for (ssize_t got = 0; (got = ::read(ends[0], buffer.data(), buffer.size())) > 0;) {
            arrived += static_cast<std::size_t>(got);
            std::this_thread::sleep_for(std::chrono::milliseconds(40));
        }
    });
    std::atomic<bool> cancel{false};
    const std::string bytes = many_bytes(std::size_t{5} << 20U);
    {
        HashingWriter writer(ends[1], path, Hasher(HashAlgorithm::sha256), {}, &cancel);
        feed(writer, bytes);
        SUBCASE("cancelled") {
            cancel = true;
        }
        SUBCASE("ended for another reason") {}
    }
    ::close(ends[1]);
    slow_disk.join();
    ::close(ends[0]);
    if (cancel) {
        CHECK(arrived < bytes.size() / 2);
    } else {
        CHECK(arrived == bytes.size());
    }
}

TEST_CASE_FIXTURE(WriterFixture, "a disk that is full is told to whoever appends, or at the end") {
    open("/dev/full");
    HashingWriter writer(fd, path, Hasher(HashAlgorithm::sha256));
    SUBCASE("many bytes") {
        const Error error =
            kernels::testing::error_of([&] { feed(writer, std::string(std::size_t{64} << 20U, 'x')); });
        CHECK(kernels::testing::has(error.what(), "/dev/full: cannot be written: No space left on device"));
        CHECK(error.code() == ErrorCode::failed);
        CHECK_THROWS_AS(writer.append(std::string(std::size_t{8} << 20U, 'x')), Error);
    }
    SUBCASE("few") {
        writer.append("x");
    }
    CHECK_THROWS_AS(writer.finish(), Error);
}
