#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <string>

#include "kernels/core/digest.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/lock/download.hpp"
#include "kernels/lock/sum_file.hpp"
#include "temporary_folder.hpp"

using namespace kernels;
using lock::SumFile;

namespace {

const RepoId repo = RepoId::parse("a/k");
const Commit commit = Commit::parse(std::string(40, 'a'));
const auto cpu = build::BuildVariant::parse("torch-cpu");

hub::TreeEntry small(const std::string& path, const std::string& bytes) {
    Hasher hasher = git_blob_hasher(bytes.size());
    hasher.update(bytes);
    return {path, bytes.size(), to_hex(hasher.finish()), std::nullopt};
}

hub::Tree tree_of(std::vector<hub::TreeEntry> files) {
    return {std::move(files)};
}

hub::Tree some_tree() {
    return tree_of({small("build/torch-cpu/a b%.py", "a"),
                    {"build/torch-cpu/k.so", 9, std::string(40, '2'), std::string(64, '3')},
                    small("build/torch-cuda/a.py", "c"),
                    small("build/unknown/a.py", "c")});
}

Error refusal(const SumFile& sums, const hub::Tree& tree) {
    try {
        sums.require(repo, commit, cpu, tree);
    } catch (const Error& error) {
        return error;
    }
    return {ErrorCode::usage, "nothing was refused"};
}

std::string parse_failure(const std::string& text) {
    try {
        SumFile::parse(text, "kernels.sum");
    } catch (const Error& error) {
        return error.what();
    }
    return "nothing was refused";
}

// Counts what is asked of the network, and never answers.
class SilentClient : public hub::HttpClient {
  public:
    hub::Response send(const hub::Request&) override {
        ++requests;
        throw Error(ErrorCode::network, "nobody is there");
    }
    std::atomic<int> requests = 0;
};

}  // namespace

TEST_CASE("The digest is over hash, size and path of each file, without bytecode") {
    const auto tree = some_tree();
    const auto sum = lock::sum_of(tree, cpu);
    CHECK(sum.digest == hash_bytes(HashAlgorithm::sha256, "git:" + tree.files[0].oid + " 1 a b%.py\nsha256:" +
                                                              std::string(64, '3') + " 9 k.so\n"));
    auto files = tree.files;
    files.push_back(small("build/torch-cpu/__pycache__/a.pyc", "x"));
    CHECK(lock::sum_of(tree_of(files), cpu) == sum);
    // The order of the listing does not matter, the size does.
    std::swap(files[0], files[1]);
    CHECK(lock::sum_of(tree_of(files), cpu) == sum);
    files[0].size = 10;
    CHECK(lock::sum_of(tree_of(files), cpu).digest != sum.digest);
}

TEST_CASE("One sorted line a build, read back as it was written") {
    SumFile sums;
    sums.add(RepoId::parse("b/k"), commit, some_tree());
    sums.add(repo, commit, some_tree());
    const std::string text = sums.to_text();
    CHECK(std::count(text.begin(), text.end(), '\n') == 4);
    CHECK(text.starts_with("a/k " + commit.to_string() +
                           " torch-cpu sha256:" + lock::sum_of(some_tree(), cpu).digest + " a%20b%25.py="));
    CHECK(text.find(" k.so=33333333\na/k ") != std::string::npos);
    CHECK(text.find("unknown") == std::string::npos);
    CHECK(SumFile::parse(text, "x") == sums);
    CHECK(SumFile::parse(text, "x").to_text() == text);
}

TEST_CASE("Lines that are none are refused by number") {
    const std::string good =
        "a/k " + commit.to_string() + " torch-cpu sha256:" + std::string(64, '0') + " a.py=00000000\n";
    CHECK(parse_failure(good) == "nothing was refused");
    CHECK(parse_failure(good + good).starts_with("kernels.sum:2: the build has a line already"));
    CHECK(parse_failure(good + "\n" + good).starts_with("kernels.sum:2: not"));
    CHECK(parse_failure("a/k main torch-cpu sha256:" + std::string(64, '0')).starts_with("kernels.sum:1: "));
    CHECK(parse_failure("a/k " + commit.to_string() + " torch-cpu sha256:12").find("no digest") !=
          std::string::npos);
    const std::string head = good.substr(0, good.find(" a.py"));
    for (const auto* file : {" a.py", " =00000000", " a.py=0000000", " a.py=0000000G", " a%41=00000000",
                             " a.py=00000000 a.py=00000000"})
        CHECK_MESSAGE(parse_failure(head + file + "\n").starts_with("kernels.sum:1: "), file);
}

TEST_CASE("What differs is refused, with the files at fault") {
    SumFile sums;
    sums.add(repo, commit, some_tree());
    CHECK(refusal(sums, some_tree()).code() == ErrorCode::usage);

    auto tree = some_tree();
    tree.files[1].lfs_sha256 = std::string(64, '4');
    auto error = refusal(sums, tree);
    CHECK(error.code() == ErrorCode::verification);
    CHECK(std::string(error.what()).find("k.so: differs from kernels.sum") != std::string::npos);
    CHECK(error.details().size() == 1);

    // A difference that the mark does not show is refused all the same.
    tree.files[1].lfs_sha256 = std::string(63, '3') + "4";
    CHECK(refusal(sums, tree).code() == ErrorCode::verification);
    // So is a digest that was changed while the marks were left alone.
    auto text = sums.to_text();
    const auto digit = text.find("sha256:") + 7;
    text[digit] = text[digit] == '0' ? '1' : '0';
    CHECK(refusal(SumFile::parse(text, "x"), some_tree()).code() == ErrorCode::verification);

    tree = some_tree();
    tree.files[1].path = "build/torch-cpu/l.so";
    error = refusal(sums, tree);
    CHECK(error.details() ==
          std::vector<std::string>{"l.so: not in kernels.sum", "k.so: missing, kernels.sum names it"});
    CHECK(refusal(SumFile(), some_tree()).code() == ErrorCode::lock_stale);
}

TEST_CASE("A download of what is complete asks nothing, and still obeys kernels.sum") {
    const testing::TemporaryFolder folder;
    const hub::Cache cache(folder / "cache");
    hub::Settings settings;
    settings.endpoint = "http://127.0.0.1:1";
    settings.cache = cache.root();
    SilentClient http;
    const hub::Hub hub(settings, http, cache);

    const std::string metadata =
        R"({"id": "_one_cpu_abc1234", "name": "one", "version": 1, "license": "MIT", "python-depends": [],
                                     "backend": {"type": "cpu"}})";
    const auto tree = tree_of(
        {small("build/torch-cpu/__init__.py", "x = 1\n"), small("build/torch-cpu/metadata.json", metadata)});
    cache.write_listing(repo, commit, tree);
    for (const auto& entry : tree.files) {
        const auto blob = cache.blob_path(repo, entry.etag());
        std::filesystem::create_directories(blob.parent_path());
        write_file(blob, entry.path.ends_with(".py") ? "x = 1\n" : metadata);
        cache.link_snapshot(repo, commit, entry);
    }

    const lock::Lock lock({{{repo, KernelVersion{1}}, commit, {}}});
    SumFile sums = lock::sums_of(lock, hub);
    REQUIRE(sums.find(repo, commit, cpu) != nullptr);
    lock::DownloadOptions options;
    options.all_variants = true;
    options.sums = &sums;
    const auto result = lock::download(lock, options, hub);
    for (const auto& [kernel, error] : result.failures)
        FAIL(error.what());
    REQUIRE(result.builds.size() == 1);
    CHECK(result.builds[0].files.size() == 2);
    CHECK(http.requests == 0);
    // Python finds the version offline by this ref.
    CHECK(cache.read_ref(repo, KernelVersion{1}) == commit);

    sums.add(repo, commit,
             tree_of({small("build/torch-cpu/__init__.py", "x = 2\n"),
                      small("build/torch-cpu/metadata.json", metadata)}));
    const auto refused = lock::download(lock, options, hub);
    CHECK(refused.builds.empty());
    REQUIRE(refused.failures.size() == 1);
    CHECK(refused.failures[0].second.code() == ErrorCode::verification);
    CHECK(std::string(refused.failures[0].second.what()).find("__init__.py") != std::string::npos);
    CHECK(http.requests == 1);  // whether the Hub lists other files than the cache
}
