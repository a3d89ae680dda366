#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <sstream>

#include "fault_server.hpp"
#include "hub/blob_file.hpp"
#include "kernels/core/digest.hpp"
#include "kernels/core/files.hpp"
#include "kernels/hub/fetch.hpp"
#include "temporary_folder.hpp"

using namespace kernels;
using namespace kernels::hub;
using kernels::testing::answer;
using kernels::testing::FaultServer;
using kernels::testing::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

const RepoId repo = RepoId::parse("org/name");
const Commit commit = Commit::parse(std::string(40, 'a'));
const std::string content = std::string(3000, 'k') + "\n" + std::string(3000, 'l');

TreeEntry entry_of(const std::string& path, const std::string& bytes, bool lfs) {
    Hasher git = git_blob_hasher(bytes.size());
    git.update(bytes);
    TreeEntry entry{path, bytes.size(), to_hex(git.finish()), std::nullopt};
    if (lfs) entry.lfs_sha256 = hash_bytes(HashAlgorithm::sha256, bytes);
    return entry;
}

struct Fixture {
    TemporaryFolder folder;
    Cache cache{folder.path()};
    FileRequest file{repo, commit, entry_of("build/v/k.so", content, true)};
    fs::path blob = cache.blob_path(repo, file.entry.etag());
    fs::path part = blob.string() + ".incomplete";
    Settings settings;

    std::vector<FetchedFile> run(const FaultServer& server, Monitor* monitor = nullptr) {
        settings.endpoint = server.url();
        settings.retries = 2;
        settings.retry_delay = std::chrono::milliseconds(1);
        const auto http = make_http_client(settings);
        return fetch({&file, 1}, settings, *http, cache, monitor);
    }
    Error failure(const FaultServer& server, Monitor* monitor = nullptr) {
        try {
            run(server, monitor);
        } catch (const Error& error) {
            return error;
        }
        FAIL("no error");
        return {ErrorCode::failed, ""};
    }
    void leave_part(const std::string& bytes) const {
        fs::create_directories(part.parent_path());
        write_file(part, bytes);
    }
    // Nothing under the blob's name or in the snapshot, and no wrong bytes to continue from.
    void check_nothing_kept() const {
        CHECK_FALSE(fs::exists(blob));
        CHECK_FALSE(fs::exists(part));
        CHECK_FALSE(cache.find_file(repo, commit, file.entry.path));
    }
    void check_right() const {
        CHECK(read_file(blob) == content);
        CHECK(read_file(cache.snapshot_folder(repo, commit) / file.entry.path) == content);
        CHECK_FALSE(fs::exists(part));
    }
};

bool has(const std::string& text, const std::string& word) {
    return text.find(word) != std::string::npos;
}

std::string whole(const std::string&, std::size_t) {
    return answer("200 OK", "", content);
}

}  // namespace

TEST_CASE_FIXTURE(Fixture, "a file gets its name, a relative link, and is not asked for again") {
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

TEST_CASE_FIXTURE(Fixture, "what others wrote is hashed once, and fetched again when it is wrong") {
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

TEST_CASE_FIXTURE(Fixture, "wrong bytes in the cache are no network error offline") {
    const FaultServer server(whole);
    fs::create_directories(blob.parent_path());
    write_file(blob, std::string(content.size(), 'x'));
    settings.offline = true;
    CHECK(failure(server).code() == ErrorCode::verification);
    fs::remove(blob);
    CHECK(failure(server).code() == ErrorCode::network);
    CHECK(server.heads().empty());
}

TEST_CASE_FIXTURE(Fixture, "the SHA-256 of what streamed is known, whatever names the blob") {
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

TEST_CASE_FIXTURE(Fixture, "equal bytes in another repository's folder are taken, when they are right") {
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

TEST_CASE_FIXTURE(Fixture, "an empty file") {
    file.entry = entry_of("empty", "", false);
    const FaultServer server([](const std::string&, std::size_t) { return answer("200 OK"); });
    CHECK(fs::file_size(run(server).front().path) == 0);
}

TEST_CASE_FIXTURE(Fixture, "equal blobs are fetched once") {
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

TEST_CASE_FIXTURE(Fixture, "wrong bytes never get the name") {
    std::string wrong = content;
    SUBCASE("flipped byte") {
        wrong[1234] ^= 1;
    }
    SUBCASE("longer") {
        wrong += "x";
    }
    const FaultServer server([&](const std::string&, std::size_t) { return answer("200 OK", "", wrong); });
    const Error error = failure(server);
    CHECK(error.code() == ErrorCode::verification);
    CHECK(has(error.what(), "org/name"));
    CHECK(has(error.what(), "build/v/k.so"));
    check_nothing_kept();
}

TEST_CASE_FIXTURE(Fixture, "an answer of another commit is refused, one of this commit is taken") {
    std::string answered(40, 'b');
    const FaultServer server([&](const std::string&, std::size_t) {
        return answer("200 OK", "X-Repo-Commit: " + answered + "\r\n", content);
    });
    CHECK(failure(server).code() == ErrorCode::verification);
    check_nothing_kept();
    answered = commit.to_string();
    run(server);
    check_right();
}

TEST_CASE_FIXTURE(Fixture, "a body that breaks off is continued where it broke") {
    const FaultServer server([](const std::string& head, std::size_t number) {
        if (number == 0) return answer("200 OK", "", content.substr(0, 1000), content.size());
        if (!has(head, "Range: bytes=1000-\r\n")) return answer("400 x");
        return answer("206 x", "Content-Range: bytes 1000-6000/6001\r\n", content.substr(1000));
    });
    CHECK(run(server).front().transferred == content.size());
    check_right();
    CHECK(server.heads().size() == 2);
}

TEST_CASE_FIXTURE(Fixture, "a body that always ends early is an error, and what came is kept to resume") {
    const FaultServer server([](const std::string& head, std::size_t) {
        return has(head, "Range:") ? answer("503 x") : answer("200 OK", "", content.substr(0, 1000));
    });
    CHECK(failure(server).code() == ErrorCode::network);
    CHECK_FALSE(fs::exists(blob));
    CHECK(read_file(part) == content.substr(0, 1000));
}

TEST_CASE_FIXTURE(Fixture, "a part of an earlier run") {
    SUBCASE("is continued") {
        leave_part(content.substr(0, 4000));
        const FaultServer server([](const std::string&, std::size_t) {
            return answer("206 x", "Content-Range: bytes 4000-6000/6001\r\n", content.substr(4000));
        });
        CHECK(run(server).front().transferred == content.size() - 4000);
        CHECK(server.heads().size() == 1);
    }
    SUBCASE("is replaced by a server that ignores Range") {
        leave_part(content.substr(0, 4000));
        const FaultServer server(whole);
        run(server);
        CHECK(has(server.heads().at(0), "Range: bytes=4000-"));
    }
    SUBCASE("is dropped when the server answers 416") {
        leave_part(content.substr(0, 4000));
        const FaultServer server([](const std::string& head, std::size_t) {
            return has(head, "Range:") ? answer("416 x") : answer("200 OK", "", content);
        });
        run(server);
    }
    SUBCASE("is dropped when it is damaged") {
        leave_part(std::string(4000, '?'));
        const FaultServer server([](const std::string& head, std::size_t) {
            if (!has(head, "Range:")) return answer("200 OK", "", content);
            return answer("206 x", "Content-Range: bytes 4000-6000/6001\r\n", content.substr(4000));
        });
        run(server);
        CHECK(server.heads().size() == 2);
    }
    SUBCASE("is dropped when it is too long") {
        leave_part(content + "more");
        const FaultServer server(whole);
        run(server);
    }
    check_right();
}

TEST_CASE_FIXTURE(Fixture, "a server that refuses the part it cut is asked a bounded number of times") {
    const FaultServer server([](const std::string& head, std::size_t) {
        return has(head, "Range:") ? answer("416 x")
                                   : answer("200 OK", "", content.substr(0, 1000), content.size());
    });
    const Error error = failure(server);
    CHECK(error.code() == ErrorCode::network);
    CHECK(has(error.what(), "build/v/k.so"));
    // The first cut was progress; of what follows neither a refusal nor the same cut again is.
    CHECK(server.heads().size() == 4);
    CHECK_FALSE(fs::exists(blob));
}

TEST_CASE_FIXTURE(Fixture, "broken bodies are asked for with growing pauses, and not for ever") {
    std::size_t step = 1;
    const FaultServer server([&](const std::string& head, std::size_t) {
        const auto range = head.find("Range: bytes=");
        const std::size_t from = range == std::string::npos ? 0 : std::stoul(head.substr(range + 13));
        const std::string body = content.substr(from, step);
        if (from == 0) return answer("200 OK", "", body, content.size());
        return answer("206 x", "Content-Range: bytes " + std::to_string(from) + "-6000/6001\r\n", body,
                      content.size() - from);
    });
    settings.retries = 2;
    settings.endpoint = server.url();
    settings.retry_delay = std::chrono::milliseconds(100);
    const auto http = make_http_client(settings);
    const auto begin = std::chrono::steady_clock::now();
    std::size_t requests = 0;
    SUBCASE("a byte a time is no progress") {
        requests = 3;
        CHECK_THROWS_AS(fetch({&file, 1}, settings, *http, cache), Error);
        CHECK(std::chrono::steady_clock::now() - begin >= std::chrono::milliseconds(300));
    }
    SUBCASE("progress starts the pauses anew, and gets there") {
        step = 1300;
        requests = 5;
        fetch({&file, 1}, settings, *http, cache);
        check_right();
        CHECK(std::chrono::steady_clock::now() - begin >= std::chrono::milliseconds(400));
        CHECK(std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(1500));
    }
    SUBCASE("with progress too there is an end") {
        step = 60;  // 1 % of the file
        requests = 100;
        settings.retry_delay = std::chrono::milliseconds(0);
        CHECK_THROWS_AS(fetch({&file, 1}, settings, *http, cache), Error);
        CHECK(fs::file_size(part) == 6000);
    }
    CHECK(server.heads().size() == requests);
}

TEST_CASE_FIXTURE(Fixture, "a host that is down costs the retries of one file, however many there are") {
    std::vector<FileRequest> files;
    for (int i = 0; i < 12; ++i)
        files.push_back({repo, commit, entry_of("f" + std::to_string(i), std::to_string(i), i % 2 == 0)});
    {
        const FaultServer gone(whole);
        settings.endpoint = gone.url();
    }
    settings.retries = 2;
    settings.retry_delay = std::chrono::milliseconds(100);
    SUBCASE("one at a time") {
        settings.jobs = 1;
    }
    SUBCASE("several at a time") {}
    const auto http = make_http_client(settings);
    const auto begin = std::chrono::steady_clock::now();
    const auto outcomes = fetch_each(files, settings, *http, cache);
    CHECK(std::chrono::steady_clock::now() - begin >= std::chrono::milliseconds(300));
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(900));
    REQUIRE(outcomes.size() == files.size());
    for (const auto& outcome : outcomes) {
        REQUIRE(outcome.error);
        CHECK_FALSE(outcome.file);
        CHECK(outcome.error->code() == ErrorCode::network);
        CHECK(has(outcome.error->what(), "cannot reach " + settings.endpoint));
    }
}

TEST_CASE_FIXTURE(Fixture, "each file has its own outcome, and equal files one failure") {
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

TEST_CASE_FIXTURE(Fixture, "a missing file is not found") {
    const FaultServer server(
        [](const std::string&, std::size_t) { return answer("404 x", "X-Error-Code: EntryNotFound\r\n"); });
    CHECK(failure(server).code() == ErrorCode::not_found);
    check_nothing_kept();
}

TEST_CASE_FIXTURE(Fixture, "waiting for a lock is told with the holder's pid, and ends") {
    struct Listener final : Monitor {
        std::atomic<int> pid{-1};
        void planned(std::size_t, std::uint64_t) override {}
        void started(const FileRequest&) override {}
        void progressed(const FileRequest&, std::uint64_t) override {}
        void finished(const FileRequest&) override {}
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
