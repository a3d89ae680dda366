#include "kernels/core/file_lock.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <atomic>
#include <optional>
#include <sstream>
#include <thread>

#include "kernels/core/error.hpp"
#include "temporary_folder.hpp"

using namespace kernels;
using kernels::testing::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

// What another process would have: flock does not tell an open file of this process from one of another.
class Stranger {
  public:
    explicit Stranger(const fs::path& path) : m_fd(::open(path.c_str(), O_RDWR | O_CREAT, 0600)) {
        REQUIRE(::flock(m_fd, LOCK_EX | LOCK_NB) == 0);
    }
    ~Stranger() { ::close(m_fd); }

  private:
    int m_fd;
};

}  // namespace

TEST_CASE("the holder of a lock is known by device and inode") {
    const std::string text =
        "1: POSIX  ADVISORY  WRITE 1 08:01:99 0 EOF\n"
        "2: FLOCK  ADVISORY  WRITE 2 00:1a:99 0 EOF\n"
        "3: FLOCK  ADVISORY  WRITE 3 08:01:99 0 EOF\n"
        "3: -> FLOCK  ADVISORY  WRITE 4 08:01:99 0 EOF\n";
    const auto holder = [&](const std::vector<std::string>& devices, std::uint64_t inode) {
        std::istringstream locks(text);
        return lock_holder(locks, devices, inode);
    };
    CHECK(holder({"08:01"}, 99) == 3);
    CHECK(holder({"00:33", "00:1a"}, 99) == 2);
    CHECK(holder({"08:02"}, 99) == 0);
    CHECK(holder({"08:01"}, 9) == 0);
}

TEST_CASE("threads of one process wait for each other in silence, and without a limit") {
    const TemporaryFolder folder;
    std::atomic<int> told{0};
    std::atomic<int> inside{0};
    std::atomic<int> most{0};
    FileLockOptions options;
    options.timeout = std::chrono::seconds(0);
    options.waiting = [&](int) { ++told; };
    const auto work = [&](const fs::path& path) {
        const FileLock lock(path, options);
        most = std::max<int>(most, ++inside);
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        --inside;
    };
    std::vector<std::thread> threads;
    for (const char* name : {"new/lock", "new/lock", "new/../new/lock"})
        threads.emplace_back(work, folder.path() / name);
    for (auto& thread : threads)
        thread.join();
    CHECK(told == 0);
    CHECK(most == 1);
}

TEST_CASE("another process is waited for as long as the options say") {
    const TemporaryFolder folder;
    const fs::path path = folder.path() / "lock";
    int told = 0;
    FileLockOptions options;
    options.waiting = [&](int pid) {
        ++told;
        CHECK(pid == ::getpid());
    };
    SUBCASE("and then named") {
        const Stranger stranger(path);
        options.timeout = std::chrono::seconds(1);
        CHECK_THROWS_WITH_AS(
            FileLock(path, options),
            (path.string() + ": still locked by process " + std::to_string(::getpid()) + " after 1 s")
                .c_str(),
            Error);
    }
    SUBCASE("unless the user stops it") {
        const Stranger stranger(path);
        const std::atomic<bool> stop{true};
        options.cancel = &stop;
        try {
            const FileLock lock(path, options);
            FAIL("no error");
        } catch (const Error& error) {
            CHECK(error.code() == ErrorCode::interrupted);
        }
    }
    SUBCASE("a folder is locked too") {
        const int fd = ::open(folder.path().c_str(), O_RDONLY | O_DIRECTORY);
        REQUIRE(::flock(fd, LOCK_EX) == 0);
        options.timeout = std::chrono::seconds(0);
        CHECK_THROWS_AS(FileLock(folder.path(), options), Error);
        ::close(fd);
        const FileLock now(folder.path(), options);
    }
    const FileLock again(path, options);
}

TEST_CASE("a lock that is removed at its end is made anew by who waited for it") {
    const TemporaryFolder folder;
    const fs::path path = folder.path() / "below" / "lock";
    FileLockOptions options;
    options.removed_at_end = true;
    std::optional<FileLock> first(std::in_place, path, options);
    CHECK(fs::exists(path));
    first.reset();
    CHECK_FALSE(fs::exists(path));

    int waits = 0;
    std::optional<Stranger> stranger(std::in_place, path);
    options.waiting = [&](int) {
        ++waits;
        fs::remove_all(path.parent_path());
        stranger.reset();
    };
    {
        const FileLock lock(path, options);
        CHECK(fs::exists(path));
    }
    CHECK(waits == 1);
    CHECK_FALSE(fs::exists(path));
}
