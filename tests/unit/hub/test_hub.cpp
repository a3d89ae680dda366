#include <doctest/doctest.h>

#include <functional>
#include <thread>

#include "checking.hpp"
#include "fetch_fixture.hpp"
#include "kernels/core/files.hpp"
#include "kernels/hub/fetch.hpp"
#include "kernels/hub/hub.hpp"
#include "temporary_folder.hpp"

using namespace kernels;
using namespace kernels::hub;
using kernels::hub::testing::repo;
using kernels::testing::error_of;
using kernels::testing::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

const std::string hex_a(40, 'a');
const std::string hex_b(40, 'b');
const Commit commit_a = Commit::parse(hex_a);

/// Records what is asked, and answers from a function.
class FakeClient final : public HttpClient {
  public:
    std::function<Response(const std::string& url)> answer;
    std::vector<std::string> urls;

    Response send(const Request& request) override {
        urls.push_back(request.url);
        Response response = answer ? answer(request.url) : Response{};
        response.url = request.url;
        return response;
    }
};

struct HubFixture {
    TemporaryFolder folder;
    Settings settings;
    FakeClient http;
    Cache cache{folder.path()};
    Hub hub{settings, http, cache};

    HubFixture() { settings.endpoint = "http://hub.test"; }
};

std::string file_json(const std::string& path, const std::string& type = "file") {
    return R"({"type":")" + type + R"(","path":")" + path + R"(","size":1,"oid":")" + hex_a + R"("})";
}

}  // namespace

TEST_CASE_FIXTURE(HubFixture, "versions are the branches vN, and an unknown one lists them") {
    http.answer = [](const std::string&) {
        const auto branch = [](const std::string& name, const std::string& hex) {
            return R"({"name":")" + name + R"(","ref":"refs/heads/)" + name + R"(","targetCommit":")" + hex +
                   R"("})";
        };
        return Response{200,
                        {},
                        R"({"branches":[)" + branch("main", hex_b) + "," + branch("v1", hex_a) + "," +
                            branch("v012", hex_a) + "," + branch("v12", hex_b) + "," + branch("v2x", hex_b) +
                            "," + branch("v-1", hex_b) + R"(],"tags":[]})",
                        ""};
    };
    CHECK(hub.versions(repo).size() == 2);
    CHECK(hub.versions(repo).at(12).name == "v12");  // the later of the two
    CHECK(hub.resolve(repo, KernelVersion{1}) == commit_a);
    CHECK(http.urls.back() == "http://hub.test/api/kernels/org/name/refs");
    const Error error = error_of([&] { hub.resolve(repo, KernelVersion{3}); });
    CHECK(error.code() == ErrorCode::not_found);
    CHECK(error.hint() == "versions: 1, 12");
}

TEST_CASE_FIXTURE(HubFixture, "a publisher is asked about once, and again after no answer") {
    http.answer = [&](const std::string&) {
        return http.urls.size() == 1 ? Response{500, {}, "", ""}
                                     : Response{200, {}, R"({"trustedKernelPublisher":true})", ""};
    };
    CHECK(error_of([&] { hub.trusted_publisher("org"); }).code() == ErrorCode::network);
    CHECK(hub.trusted_publisher("org"));
    CHECK(hub.trusted_publisher("org"));
    CHECK(http.urls.size() == 2);
    CHECK(hub.trusted_publisher("other"));
    CHECK(http.urls.size() == 3);
}

TEST_CASE_FIXTURE(HubFixture, "a tree comes page by page and is asked for once") {
    http.answer = [](const std::string& url) {
        if (url.ends_with("&cursor=2")) return Response{200, {}, "[" + file_json("b") + "]", ""};
        return Response{
            200, {{"link", "<" + url + "&cursor=2>; rel=\"next\""}}, "[" + file_json("c") + "]", ""};
    };
    const Tree tree = hub.tree(repo, commit_a);
    REQUIRE(tree.files.size() == 2);
    CHECK(tree.files[0].path == "b");
    CHECK(hub.tree(repo, commit_a).files == tree.files);
    CHECK(http.urls.size() == 2);
    CHECK_FALSE(fs::exists(cache.repo_folder(repo) / "trees"));
}

TEST_CASE_FIXTURE(HubFixture, "a next page on another host is refused and nothing is remembered") {
    http.answer = [](const std::string&) {
        return Response{200, {{"link", "<http://evil.test/x>; rel=\"next\""}}, "[]", ""};
    };
    CHECK(error_of([&] { hub.tree(repo, commit_a); }).code() == ErrorCode::network);
    CHECK(http.urls.size() == 1);
    CHECK_FALSE(cache.read_listing(repo, commit_a));
}

TEST_CASE_FIXTURE(HubFixture, "pages that lead back to one that was read are refused at once") {
    std::size_t length = 1;
    SUBCASE("to itself") {}
    SUBCASE("in a circle") {
        length = 3;
    }
    http.answer = [&](const std::string& url) {
        const auto cursor = url.find("&cursor=");
        const std::string first = url.substr(0, cursor);
        const std::size_t page = cursor == std::string::npos ? 0 : std::stoul(url.substr(cursor + 8));
        const std::size_t next = (page + 1) % length;
        return Response{200,
                        {{"link", "<" + first + (next == 0 ? "" : "&cursor=" + std::to_string(next)) +
                                      ">; rel=\"next\""}},
                        "[]",
                        ""};
    };
    CHECK(error_of([&] { hub.tree(repo, commit_a); }).code() == ErrorCode::network);
    CHECK(http.urls.size() == length);
}

TEST_CASE("a list of files that cannot all be there is refused, across pages too") {
    using Paths = std::vector<std::string>;
    const auto read = [](const Paths& paths) {
        Tree tree;
        for (const auto& path : paths)
            parse_tree("[" + file_json(path) + "]", "org/name", tree);
        return tree.files.size();
    };
    for (const auto& paths : {Paths{"a", "a"},
                              {"a", "a-b", "a/b"},
                              {"a/b/c/d", "a"},
                              {"x/a/b", "x/a/c", "x/a"},
                              {"x/a/b", "x/a", "x/a.c"}}) {
        CAPTURE(paths.back());
        const Error error = error_of([&] { read(paths); });
        CHECK(error.code() == ErrorCode::verification);
        CHECK(std::string(error.what()).find("refused") != std::string::npos);
    }
    CHECK(read({"a/b", "a-b", "ab", "a/c/b", "a/c.b", "b"}) == 6);
}

TEST_CASE("a ref of several parts is a file in folders below refs") {
    const TemporaryFolder folder;
    const Cache cache(folder.path());
    const auto commit = Commit::parse(std::string(40, 'a'));
    cache.write_ref(repo, Revision("pr/1"), commit);
    CHECK(cache.read_ref(repo, Revision("pr/1")) == commit);
    CHECK(std::filesystem::exists(cache.repo_folder(repo) / "refs" / "pr" / "1"));
}

TEST_CASE("tree entries that could leave their folder are refused") {
    const auto code = [](const std::string& json) {
        Tree tree;
        return error_of([&] { parse_tree("[" + json + "]", "org/name", tree); }).code();
    };
    for (const std::string path :
         {"../x", "a/../../x", "/etc/x", "a//b", "a/./b", "", "a\\u0000b", "a\\nb"}) {
        CAPTURE(path);
        CHECK(code(file_json(path)) == ErrorCode::verification);
    }
    CHECK(code(file_json(std::string(5000, 'n'))) == ErrorCode::verification);
    CHECK(code(file_json("link", "symlink")) == ErrorCode::verification);
    CHECK(code(R"({"type":"file","path":"a","size":1,"oid":"../../x"})") == ErrorCode::verification);
    CHECK(code(R"({"type":"file","path":"a"})") == ErrorCode::network);
    CHECK(code("{") == ErrorCode::network);
}

TEST_CASE_FIXTURE(HubFixture, "malformed answers are the hub's fault") {
    for (const std::string body : {"", "{", "[]", R"({"branches":[{"name":1}]})"}) {
        CAPTURE(body);
        http.answer = [&](const std::string&) { return Response{200, {}, body, ""}; };
        const auto code = [&] {
            try {
                return hub.resolve(repo, KernelVersion{1}), ErrorCode::failed;
            } catch (const Error& error) {
                return error.code();
            }
        }();
        CHECK(code == (body == "[]" ? ErrorCode::not_found : ErrorCode::network));
    }
}

TEST_CASE_FIXTURE(HubFixture, "what to do about a refusal") {
    const auto of = [](int status, const std::string& code, bool token, const std::string& message = {},
                       const std::string& url = "http://h/") {
        Settings asked;
        asked.endpoint = "http://h";
        asked.token_origin = "HF_TOKEN";
        if (token) asked.token = Secret("hf_x");
        return answer_error({status, {{"x-error-code", code}, {"x-error-message", message}}, "", url},
                            "org/name", asked);
    };
    const auto says = [](const Error& error, const std::string& what, const std::string& hint) {
        CHECK(std::string(error.what()).find(what) != std::string::npos);
        CHECK(error.hint().find(hint) != std::string::npos);
    };
    CHECK(of(401, "", false).code() == ErrorCode::not_found);
    says(of(401, "", false), "org/name: no such kernel repository", "a private one needs HF_TOKEN");
    says(of(401, "RepoNotFound", true), "org/name: no such kernel repository", "that the token may read it");
    says(of(403, "", false), "org/name: access refused", "set HF_TOKEN");
    says(of(403, "", true), "org/name: access refused", "what the token may read");
    CHECK(of(403, "GatedRepo", false).hint().find("HF_TOKEN") != std::string::npos);
    CHECK(of(403, "GatedRepo", true).hint().find("HF_TOKEN") == std::string::npos);
    CHECK(of(404, "RevisionNotFound", false).code() == ErrorCode::not_found);
    CHECK(of(500, "", false).code() == ErrorCode::network);

    // The token itself, in the Hub's two ways to say it.
    for (const auto& error :
         {of(401, "", true), of(401, "RepoNotFound", true, "Invalid credentials in Authorization header")}) {
        CHECK(error.code() == ErrorCode::network);
        says(error, "http://h:80 refuses the token from HF_TOKEN (401)", "unset it");
    }
    // A host that never got the token.
    for (const bool token : {false, true}) {
        const Error error = of(401, "", token, "", "https://cdn/x");
        CHECK(error.code() == ErrorCode::network);
        says(error, "https://cdn:443 refuses what http://h:80 redirects to it (401)", "not at fault");
    }
}

TEST_CASE_FIXTURE(HubFixture, "offline nothing is asked") {
    settings.offline = true;
    const TreeEntry entry{"f", 1, hex_a, std::nullopt};
    const FileRequest file{repo, commit_a, entry};
    const std::vector<std::function<void()>> questions{
        [&] { hub.refs(repo); },
        [&] { hub.resolve(repo, KernelVersion{1}); },
        [&] { hub.resolve(repo, Revision{"main"}); },
        [&] { hub.tree(repo, commit_a); },
        [&] { hub.small_file(repo, commit_a, "f"); },
        [&] { hub.trusted_publisher("org"); },
        [&] {
            fetch({&file, 1}, settings, http, cache);
        },
    };
    for (const auto& question : questions) {
        const Error error = error_of(question);
        CHECK(error.code() == ErrorCode::network);
        CHECK(std::string(error.what()).find("offline") != std::string::npos);
        CHECK_FALSE(error.hint().empty());
        if (&question != &questions.back()) CHECK(error.remedies() == std::vector{Remedy::online});
    }
    cache.write_ref(repo, KernelVersion{1}, commit_a);
    cache.write_ref(repo, Revision("main"), commit_a);
    CHECK(hub.resolve(repo, KernelVersion{1}) == commit_a);
    CHECK(hub.resolve(repo, Revision{"main"}) == commit_a);
    CHECK(http.urls.empty());
}

TEST_CASE_FIXTURE(HubFixture, "a cache of models-- alone answers offline") {
    const fs::path older = folder / "models--org--name";
    const std::string text = "hello";
    Hasher hasher = git_blob_hasher(text.size());
    hasher.update(text);
    const std::string oid = to_hex(hasher.finish());
    for (const char* place : {"refs", "trees", "blobs"})
        fs::create_directories(older / place);
    fs::create_directories(older / "snapshots" / hex_a);
    write_file(older / "refs/main", hex_a);
    write_file(older / "blobs" / oid, text);
    fs::create_symlink(fs::path("../../blobs") / oid, older / "snapshots" / hex_a / "f.txt");
    write_file(older / "trees" / (hex_a + ".json"),
               R"({"files": {"f.txt": {"size": 5, "blob_id": ")" + oid + R"("}}})");
    settings.offline = true;
    CHECK(hub.resolve(repo, Revision{"main"}).to_string() == hex_a);
    CHECK(hub.tree(repo, commit_a).files.size() == 1);
    CHECK(hub.small_file(repo, commit_a, "f.txt") == text);
    const FileRequest file{repo, commit_a, hub.tree(repo, commit_a).files.front()};
    // The Python client looks there no longer, so what is used is copied.
    const fs::path copied = fetch({&file, 1}, settings, http, cache).front().path;
    CHECK(copied == cache.snapshot_folder(repo, commit_a) / "f.txt");
    CHECK(read_file(copied) == text);
    CHECK(fs::is_symlink(older / "snapshots" / hex_a / "f.txt"));
    cache.write_ref(repo, Revision{"main"}, commit_a);
    CHECK(read_file(folder / "kernels--org--name/refs/main") == hex_a);
    // What was copied needs the older folder no more.
    fs::rename(older, folder / "elsewhere");
    CHECK(hub.tree(repo, commit_a).files.size() == 1);
    CHECK(fetch({&file, 1}, settings, http, cache).front().path == copied);
    fs::rename(folder / "elsewhere", older);
    // Where nothing can be copied it is used where it is: here a file has the folder's place.
    fs::remove_all(folder / "kernels--org--name");
    write_file(folder / "kernels--org--name", "in the way");
    CHECK(fetch({&file, 1}, settings, http, cache).front().path == older / "snapshots" / hex_a / "f.txt");
    fs::remove(folder / "kernels--org--name");
    // Wrong bytes are no reason to say that there are none.
    write_file(older / "blobs" / oid, "hellO");
    CHECK(error_of([&] { fetch({&file, 1}, settings, http, cache); }).code() == ErrorCode::verification);
}

TEST_CASE_FIXTURE(HubFixture, "refs are written without a newline, and models-- is read but not written") {
    cache.write_ref(repo, KernelVersion{1}, commit_a);
    CHECK(read_file(folder / "kernels--org--name/refs/v1") == hex_a);
    fs::create_directories(folder / "models--org--name/refs");
    write_file(folder / "models--org--name/refs/v2", hex_b);
    CHECK(cache.versions(repo).size() == 2);
    cache.write_ref(repo, KernelVersion{2}, commit_a);
    CHECK(read_file(folder / "models--org--name/refs/v2") == hex_b);
    CHECK(cache.read_ref(repo, KernelVersion{2}) == commit_a);
}

TEST_CASE_FIXTURE(HubFixture, "one file linked by many threads at once") {
    const TreeEntry entry{"build/f", 4, hex_a, std::nullopt};
    fs::create_directories(cache.blob_path(repo, hex_a).parent_path());
    write_file(cache.blob_path(repo, hex_a), "blob");
    std::atomic<int> failures{0};
    for (int round = 0; round < 50; ++round) {
        fs::remove_all(cache.snapshot_folder(repo, commit_a));
        std::vector<std::thread> threads;
        for (int i = 0; i < 8; ++i) {
            threads.emplace_back([&] {
                try {
                    cache.link_snapshot(repo, commit_a, entry);
                } catch (const std::exception&) {
                    ++failures;
                }
            });
        }
        for (auto& thread : threads)
            thread.join();
    }
    CHECK(failures == 0);
    CHECK(read_file(cache.snapshot_folder(repo, commit_a) / "build/f") == "blob");
    const auto links = fs::directory_iterator(cache.snapshot_folder(repo, commit_a) / "build");
    CHECK(std::distance(begin(links), end(links)) == 1);
}

TEST_CASE_FIXTURE(HubFixture,
                  "Python's listing goes when the snapshot lacks a file of it, and stays when not") {
    const fs::path listing = cache.repo_folder(repo) / "trees" / (hex_a + ".json");
    fs::create_directories(listing.parent_path());
    write_file(listing, R"({"files":{"a":{"size":1,"blob_id":")" + hex_a + R"("}}})");
    fs::create_directories(cache.snapshot_folder(repo, commit_a));
    SUBCASE("complete") {
        write_file(cache.snapshot_folder(repo, commit_a) / "a", "x");
        cache.drop_partial_python_listing(repo, commit_a);
        CHECK(fs::exists(listing));
    }
    SUBCASE("partial") {
        cache.drop_partial_python_listing(repo, commit_a);
        CHECK_FALSE(fs::exists(listing));
    }
    REQUIRE(cache.read_listing(repo, commit_a));
    CHECK(cache.read_listing(repo, commit_a)->files.front().path == "a");
}
