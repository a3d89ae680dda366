// What hub::fetch makes of what is there already; test_transfer.cpp has what comes over the network.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <functional>
#include <sstream>

#include "fetch_fixture.hpp"
#include "hub/blob_file.hpp"

using namespace kernels;
using namespace kernels::hub;
using namespace kernels::hub::testing;

TEST_CASE_FIXTURE(FetchFixture, "a file gets its name, a relative link, and is not asked for again") {
    const FaultServer server(whole);
    SUBCASE("large") {}
    SUBCASE("small") {
        file.entry.lfs_sha256.reset();
        blob = cache.blob_path(repo, file.entry.oid);
        part = blob.string() + ".incomplete";
    }
    const auto fetched = run(server);
    check_right();
    CHECK(fetched.front().transferred == content.size());
    CHECK(fs::read_symlink(fetched.front().path) == "../../../../blobs/" + file.entry.etag());
    CHECK(run(server).front().transferred == 0);
    REQUIRE(server.heads().size() == 1);
    CHECK(
        has(server.heads()[0], "GET /kernels/org/name/resolve/" + commit.to_string() + "/build/v/k.so HTTP"));
}

TEST_CASE_FIXTURE(FetchFixture, "what others wrote is hashed once, and fetched again when it is wrong") {
    const FaultServer server(whole);
    const auto link = [&] { cache.link_snapshot(repo, commit, file.entry); };
    fs::create_directories(blob.parent_path());
    SUBCASE("right bytes") {
        write_file(blob, content);
        link();
        const auto first = run(server).front();
        CHECK(first.checked);
        CHECK(first.transferred == 0);
        CHECK_FALSE(run(server).front().checked);
        CHECK(server.heads().empty());
    }
    SUBCASE("wrong bytes, with and without a link to them") {
        bool linked = false;
        SUBCASE("a blob") {}
        SUBCASE("a link") {
            linked = true;
        }
        write_file(blob, std::string(content.size(), 'x'));
        if (linked) link();
        CHECK(run(server).front().transferred == content.size());
    }
    SUBCASE("changed after it was checked") {
        run(server);
        write_file(blob, std::string(content.size(), 'x'));
        fs::last_write_time(blob, fs::last_write_time(blob) + std::chrono::seconds(5));
        CHECK(run(server).front().transferred == content.size());
        CHECK(server.heads().size() == 2);
    }
    SUBCASE("changed in place, with its time set back") {
        run(server);
        const auto time = fs::last_write_time(blob);
        std::fstream(blob, std::ios::in | std::ios::out)
            << std::string(content.size(), 'x');  // the same inode
        fs::last_write_time(blob, time);
        CHECK(run(server).front().transferred == content.size());
        CHECK(server.heads().size() == 2);
    }
    SUBCASE("a copy of its own in a snapshot, as where links are impossible") {
        run(server);
        const auto copy = cache.snapshot_folder(repo, commit) / file.entry.path;
        fs::remove(copy);
        write_file(copy, std::string(content.size(), 'x'));
        CHECK(run(server).front().transferred == 0);  // the blob is right
    }
    check_right();
}

TEST_CASE_FIXTURE(FetchFixture, "wrong bytes in the cache are no network error offline") {
    const FaultServer server(whole);
    fs::create_directories(blob.parent_path());
    write_file(blob, std::string(content.size(), 'x'));
    settings.offline = true;
    CHECK(failure(server).code() == ErrorCode::verification);
    fs::remove(blob);
    CHECK(failure(server).code() == ErrorCode::network);
    CHECK(server.heads().empty());
}

TEST_CASE_FIXTURE(FetchFixture, "the SHA-256 of what streamed is known, whatever names the blob") {
    const std::string sha256 = hash_bytes(HashAlgorithm::sha256, content);
    FileRequest twin{repo, commit, entry_of("build/w/k.py", content, false)};
    SUBCASE("by SHA-256") {
        twin.entry.lfs_sha256 = sha256;
    }
    SUBCASE("by git's hash") {
        file.entry.lfs_sha256.reset();
    }
    SUBCASE("by git's hash, resumed") {
        file.entry.lfs_sha256.reset();
        part = cache.blob_path(repo, file.entry.oid).string() + ".incomplete";
        leave_part(content.substr(0, 4000));
    }
    const FaultServer server(whole);
    settings.endpoint = server.url();
    const auto http = make_http_client(settings);
    const std::vector<FileRequest> files{file, twin};
    for (const auto& fetched : fetch(files, settings, *http, cache))
        CHECK(fetched.sha256 == sha256);
}

TEST_CASE_FIXTURE(FetchFixture, "equal bytes in another repository's folder are taken, when they are right") {
    const RepoId other = RepoId::parse("org/other");
    const fs::path copy = cache.blob_path(other, file.entry.etag());
    fs::create_directories(copy.parent_path());
    const FaultServer server(whole);
    SUBCASE("right") {
        write_file(copy, content);
        CHECK(run(server).front().transferred == 0);
        CHECK(server.heads().empty());
    }
    SUBCASE("wrong") {
        write_file(copy, std::string(content.size(), 'x'));
        CHECK(run(server).front().transferred == content.size());
    }
    check_right();
}

TEST_CASE_FIXTURE(FetchFixture, "a part is a file of this cache, and nothing else is written to") {
    const FaultServer server(whole);
    const fs::path victim = folder / "victim";
    const std::vector<std::function<void()>> traps{
        [&] { fs::create_symlink(victim, part); },
        [&] { fs::create_hard_link(victim, part); },
        [&] { REQUIRE(::mkfifo(part.c_str(), 0600) == 0); },
    };
    for (const auto& set_trap : traps) {
        write_file(victim, "precious");
        fs::remove(blob);
        fs::create_directories(part.parent_path());
        set_trap();
        run(server);
        check_right();
        CHECK_FALSE(fs::is_symlink(blob));
        CHECK(read_file(victim) == "precious");
    }
}

TEST_CASE_FIXTURE(FetchFixture, "after one wait in vain no file is waited for") {
    const FaultServer server(whole);
    std::vector<FileRequest> files;
    std::vector<int> locks;
    for (const char* bytes : {"one", "two", "three", "four"}) {
        files.push_back({repo, commit, entry_of(std::string("build/v/") + bytes, bytes, false)});
        const fs::path lock = cache.lock_path(repo, files.back().entry.etag());
        fs::create_directories(lock.parent_path());
        locks.push_back(::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
        REQUIRE(::flock(locks.back(), LOCK_EX) == 0);
    }
    files.push_back(file);
    settings.endpoint = server.url();
    settings.jobs = 1;
    settings.lock_timeout = std::chrono::seconds(1);
    const auto http = make_http_client(settings);
    const auto start = std::chrono::steady_clock::now();
    const auto outcomes = fetch_each(files, settings, *http, cache);
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(3));  // four times one second else
    for (std::size_t i = 0; i < 4; ++i) {
        REQUIRE(outcomes[i].error);
        CHECK(std::string(outcomes[i].error->what()).find("still locked by process") != std::string::npos);
    }
    CHECK(outcomes[4].file);  // what nobody holds is not affected
    for (const int lock : locks)
        ::close(lock);
}

TEST_CASE_FIXTURE(FetchFixture, "an empty file") {
    file.entry = entry_of("empty", "", false);
    const FaultServer server([](const std::string&, std::size_t) { return answer("200 OK"); });
    CHECK(fs::file_size(run(server).front().path) == 0);
}

TEST_CASE_FIXTURE(FetchFixture, "equal blobs are fetched once") {
    const FaultServer server(whole);
    FileRequest twin = file;
    twin.entry.path = "build/w/k.so";
    settings.endpoint = server.url();
    const auto http = make_http_client(settings);
    const std::vector<FileRequest> files{file, twin};
    for (const auto& fetched : fetch(files, settings, *http, cache))
        CHECK(read_file(fetched.path) == content);
    CHECK(server.heads().size() == 1);
}

TEST_CASE_FIXTURE(FetchFixture, "each file has its own outcome, and equal files one failure") {
    const std::vector<FileRequest> files{
        {repo, commit, entry_of("bad", "b", false)}, file, {repo, commit, entry_of("bad-twin", "b", false)}};
    const FaultServer server([](const std::string& head, std::size_t) {
        return has(head, "/bad") ? answer("503 x") : answer("200 OK", "", content);
    });
    settings.endpoint = server.url();
    settings.retries = 2;
    settings.retry_delay = std::chrono::milliseconds(1);
    const auto http = make_http_client(settings);
    const auto outcomes = fetch_each(files, settings, *http, cache);
    CHECK((outcomes[0].error && !outcomes[1].error && outcomes[2].error));
    check_right();
    CHECK(server.heads().size() == 4);
}

TEST_CASE_FIXTURE(FetchFixture, "waiting for a lock is told with the holder's pid, and ends") {
    struct Listener final : Monitor {
        std::atomic<int> pid{-1};
        void planned(std::size_t, std::uint64_t) override {}
        void started(const FileRequest&) override {}
        void progressed(const FileRequest&, std::uint64_t) override {}
        void finished(const FileRequest&, Source) override {}
        void waiting(const FileRequest&, int holder) override { pid = holder; }
    } listener;
    const FaultServer server(whole);
    const fs::path path = cache.lock_path(repo, file.entry.etag());
    fs::create_directories(path.parent_path());
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    REQUIRE(::flock(fd, LOCK_EX) == 0);
    settings.lock_timeout = std::chrono::seconds(1);
    const Error error = failure(server, &listener);
    CHECK(error.code() == ErrorCode::failed);
    CHECK(listener.pid == ::getpid());
    CHECK(has(error.what(), std::to_string(::getpid())));
    CHECK(server.heads().empty());
    ::close(fd);
    run(server);
    check_right();
}
