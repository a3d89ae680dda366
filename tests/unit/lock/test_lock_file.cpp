#include <doctest/doctest.h>

#include <array>
#include <string>

#include "kernels/core/digest.hpp"
#include "kernels/core/error.hpp"
#include "kernels/lock/download.hpp"
#include "kernels/lock/lock_file.hpp"

using namespace kernels;
using lock::Lock;

namespace {

const std::string commit_a(40, 'a');
const std::string commit_b(40, 'b');

lock::LockedKernel locked(const std::string& repo, const Reference& reference, const std::string& commit) {
    return {{RepoId::parse(repo), reference}, Commit::parse(commit), {}};
}

std::string refused(const std::string& text) {
    try {
        Lock::parse(text, "kernels.lock");
    } catch (const Error& error) {
        return error.what();
    }
    return "nothing was refused";
}

std::string entry(const std::string& dependency, const std::string& lock) {
    return R"([{"dependency": )" + dependency + R"(, "lock": )" + lock + "}]";
}

}  // namespace

TEST_CASE("The bytes are sorted, indented by 2, and end without a newline") {
    const Lock lock({locked("b/k", KernelVersion{10}, commit_a), locked("b/k", Revision{"main"}, commit_b),
                     locked("b/k", KernelVersion{2}, commit_b), locked("a/k", Revision{commit_a}, commit_a)});
    const std::string text = lock.to_json();
    CHECK(text.starts_with(
        "[\n  {\n    \"dependency\": {\n      \"repo-id\": \"a/k\",\n      \"revision\": \"" + commit_a +
        "\"\n    },\n    \"lock\": {\n      \"commit\": \"" + commit_a + "\"\n    }\n  },\n"));
    CHECK(text.ends_with("\n]"));
    CHECK(text.find("\"version\": 2") < text.find("\"version\": 10"));
    CHECK(text.find("\"version\": 10") < text.find("\"revision\": \"main\""));
    CHECK(Lock::parse(text, "x") == lock);
}

TEST_CASE("Repositories are sorted by their whole names, as the Python client sorts them") {
    const Lock lock({locked("a/k", KernelVersion{1}, commit_a), locked("a.b/k", KernelVersion{1}, commit_a),
                     locked("a-b/k", Revision{"main"}, commit_a), locked("a0/k", KernelVersion{1}, commit_a),
                     locked("a-b/k", KernelVersion{3}, commit_a)});
    std::string names;
    for (const auto& kernel : lock.kernels())
        names += kernel.dependency.to_string() + " ";
    CHECK(names == "a-b/k@v3 a-b/k@main a.b/k@v1 a/k@v1 a0/k@v1 ");
}

TEST_CASE("What the Python client refuses is refused, by file and entry") {
    const std::string good = R"({"repo-id": "a/k", "version": 1})";
    const std::string commit = R"({"commit": ")" + commit_a + "\"}";
    CHECK(refused(entry(good, commit)) == "nothing was refused");
    CHECK(refused("{").starts_with("kernels.lock: not JSON"));
    CHECK(refused("{}").starts_with("kernels.lock: not a list"));
    CHECK(refused(entry(good, R"({"commit": "main"})"))
              .starts_with("kernels.lock: entry 1: `lock` `commit` is no commit"));
    CHECK(refused(entry(R"({"repo-id": "a/k", "version": 1, "x": 1})", commit)).find("unknown field `x`") !=
          std::string::npos);
    for (const std::string name : {"../../../../victim", "/etc/victim", "a//b", ""}) {
        CHECK(refused(entry(R"({"repo-id": "a/k", "revision": ")" + name + R"("})", commit))
                  .starts_with("kernels.lock: entry 1: `dependency` `revision`: "));
    }
    CHECK(refused(entry(R"({"repo-id": "a/k"})", commit)).find("a version or a revision") !=
          std::string::npos);
    CHECK(refused(entry(R"({"repo-id": "a/k", "version": -1})", commit)).find("no version number") !=
          std::string::npos);
    CHECK(refused(entry(R"({"repo-id": "a/k", "version": 18446744073709551615})", commit))
              .find("no version number") != std::string::npos);
    const std::string twice = entry(good, commit).substr(1, entry(good, commit).size() - 2);
    CHECK(refused("[" + twice + "," + twice + "]")
              .starts_with("kernels.lock: entry 2 locks a/k@v1 a second time"));
}

TEST_CASE("The format before 0.17 is read, and its hash is over paths and raw hashes") {
    hub::Tree tree;
    tree.files = {{"build/torch-cpu/a.py", 1, std::string(40, '1'), std::nullopt},
                  {"build/torch-cpu/b.so", 2, std::string(40, '2'), std::string(64, '3')}};
    const auto variant = build::BuildVariant::parse("torch-cpu");
    Hasher expected(HashAlgorithm::sha256);
    expected.update("build/torch-cpu/a.py");
    expected.update(from_hex(std::string(40, '1')));
    expected.update("build/torch-cpu/b.so");
    expected.update(from_hex(std::string(64, '3')));
    const std::string hash = expected.finish();
    CHECK(lock::legacy_variant_hash(tree, variant) == hash);
    const auto lock = Lock::parse(R"([{"repo_id": "a/k", "sha": ")" + commit_a +
                                      R"(", "variants": {"torch-cpu": {"hash": "sha256-)" + to_base64(hash) +
                                      R"(", "hash_type": "git_lfs_concat"}}}])",
                                  "kernels.lock");
    REQUIRE(lock.kernels().size() == 1);
    CHECK(lock.kernels()[0].legacy_hashes.at("torch-cpu") == hash);
}

TEST_CASE("Differences are said entry by entry") {
    const Lock before({locked("a/k", KernelVersion{1}, commit_a), locked("a/l", KernelVersion{1}, commit_a)});
    const Lock after({locked("a/k", KernelVersion{1}, commit_b), locked("a/m", KernelVersion{1}, commit_a)});
    const auto lines = lock::describe_difference(before, after);
    REQUIRE(lines.size() == 3);
    CHECK(lines[0] == "~ a/k@v1 " + commit_a + " -> " + commit_b);
    CHECK(lines[1].starts_with("+ a/m@v1"));
    CHECK(lines[2].starts_with("- a/l@v1"));
    CHECK(lock::missing_from(before, {{RepoId::parse("a/k"), KernelVersion{1}}}).empty());
    CHECK(lock::missing_from(before, {{RepoId::parse("a/k"), KernelVersion{2}}}).size() == 1);
}
