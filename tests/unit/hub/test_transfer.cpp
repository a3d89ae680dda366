// Files on their way: wrong bytes, bodies that break off, parts of earlier runs, hosts that are down.
#include <doctest/doctest.h>

#include "fetch_fixture.hpp"
#include "hub/blob_file.hpp"

using namespace kernels;
using namespace kernels::hub;
using namespace kernels::hub::testing;

TEST_CASE_FIXTURE(FetchFixture, "wrong bytes never get the name") {
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

TEST_CASE_FIXTURE(FetchFixture, "an answer of another commit is refused, one of this commit is taken") {
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

TEST_CASE_FIXTURE(FetchFixture, "a body that breaks off is continued where it broke") {
    const FaultServer server([](const std::string& head, std::size_t number) {
        if (number == 0) return answer("200 OK", "", content.substr(0, 1000), content.size());
        if (!has(head, "Range: bytes=1000-\r\n")) return answer("400 x");
        return answer("206 x", "Content-Range: bytes 1000-6000/6001\r\n", content.substr(1000));
    });
    CHECK(run(server).front().transferred == content.size());
    check_right();
    CHECK(server.heads().size() == 2);
}

TEST_CASE_FIXTURE(FetchFixture,
                  "a body that always ends early is an error, and what came is kept to resume") {
    const FaultServer server([](const std::string& head, std::size_t) {
        return has(head, "Range:") ? answer("503 x") : answer("200 OK", "", content.substr(0, 1000));
    });
    CHECK(failure(server).code() == ErrorCode::network);
    CHECK_FALSE(fs::exists(blob));
    CHECK(read_file(part) == content.substr(0, 1000));
}

TEST_CASE_FIXTURE(FetchFixture, "a part of an earlier run") {
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
    SUBCASE("is replaced by a 206 that has the whole file") {
        leave_part(content.substr(0, 4000));
        const FaultServer server([](const std::string&, std::size_t) {
            return answer("206 x", "Content-Range: bytes 0-6000/6001\r\n", content);
        });
        run(server);
        CHECK(server.heads().size() == 1);
    }
    SUBCASE("is dropped when the server sends another part, or one that it does not name") {
        leave_part(content.substr(0, 4000));
        std::string range = "Content-Range: bytes 100-6000/6001\r\n";
        SUBCASE("another") {}
        SUBCASE("not named") {
            range.clear();
        }
        const FaultServer server([&](const std::string& head, std::size_t) {
            return has(head, "Range:") ? answer("206 x", range, content.substr(100))
                                       : answer("200 OK", "", content);
        });
        run(server);
        CHECK(server.heads().size() == 2);
    }
    SUBCASE("that nobody asked for by a range is the whole file") {
        const FaultServer server(
            [&](const std::string&, std::size_t) { return answer("206 x", "", content); });
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

TEST_CASE_FIXTURE(FetchFixture, "a server that sends other parts only is asked a bounded number of times") {
    const FaultServer server([](const std::string&, std::size_t) {
        return answer("206 x", "Content-Range: bytes 100-6000/6001\r\n", content.substr(100));
    });
    const Error error = failure(server);
    CHECK(error.code() == ErrorCode::network);
    CHECK(has(error.what(), "build/v/k.so: "));
    CHECK(has(error.what(), " sent another part of it"));
    CHECK(server.heads().size() <= 4);
    check_nothing_kept();
}

TEST_CASE_FIXTURE(FetchFixture, "a server that refuses the part it cut is asked a bounded number of times") {
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

TEST_CASE_FIXTURE(FetchFixture, "broken bodies are asked for with growing pauses, and not for ever") {
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

TEST_CASE_FIXTURE(FetchFixture, "a host that is down costs the retries of one file, however many there are") {
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

TEST_CASE_FIXTURE(FetchFixture, "a missing file is not found") {
    const FaultServer server(
        [](const std::string&, std::size_t) { return answer("404 x", "X-Error-Code: EntryNotFound\r\n"); });
    CHECK(failure(server).code() == ErrorCode::not_found);
    check_nothing_kept();
}

TEST_CASE("a folder that goes while it is written to is not taken for a cache that cannot be written") {
    const Error gone = write_error("/cache/snapshots/x/file", ENOENT);
    CHECK(has(gone.what(), "/cache/snapshots/x/file: its folder was removed meanwhile"));
    CHECK(has(gone.hint(), "cleans the cache"));
    CHECK(has(disk_error("/cache", "cannot be made", ENOENT).hint(), "HF_HUB_CACHE"));
    CHECK(has(write_error("/cache/x", EACCES).hint(), "HF_HUB_CACHE"));
}
