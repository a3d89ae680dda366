// One Resolver for many threads. What it resolves is compared with the Python client's in tests/contract.
#include <doctest/doctest.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/log.hpp"
#include "kernels/hub/cache.hpp"
#include "kernels/layer/resolve.hpp"
#include "local_kernel.hpp"

using namespace kernels;

TEST_CASE("Threads that resolve the same repositories at once get the same builds and the same errors") {
    const kernels::testing::LocalKernel first("");
    const kernels::testing::LocalKernel second("");
    const kernels::testing::TemporaryFolder folder;
    const hub::Cache cache(folder / "cache");
    layer::Resolver resolver(build::Target::parse("torch=2.13,cpu,cpu=x86_64,os=linux"), cache);
    const std::vector<layer::Repository> there = {first.layer("A"), first.function("a"), second.layer("A")};
    const layer::Repository absent = layer::LocalLayerRepository(folder / "absent", "A");

    std::atomic<int> wrong{0};
    std::vector<std::thread> workers;
    for (int worker = 0; worker < 8; ++worker) {
        workers.emplace_back([&] {
            for (int round = 0; round < 20; ++round) {
                for (const auto& repository : there) {
                    const auto found = resolver.resolve(repository);
                    const bool is_first = &repository != &there.back();
                    const auto builds = (is_first ? there.front() : there.back());
                    const auto path = std::get<layer::LocalLayerRepository>(builds).path();
                    if (found.folder != path / "build" / "torch-cpu" || found.id != "kernels_test") ++wrong;
                }
                try {
                    resolver.resolve(absent);
                    ++wrong;
                } catch (const Error& error) {
                    if (error.code() != ErrorCode::not_found) ++wrong;
                }
            }
        });
    }
    for (auto& worker : workers)
        worker.join();
    CHECK(wrong == 0);
}

namespace {

// A build of shady/one in the cache, with the metadata's further fields.
std::filesystem::path cached_build(const hub::Cache& cache, const std::string& commit,
                                   const std::string& more) {
    auto build = cache.snapshot_folder(RepoId::parse("shady/one"), Commit::parse(commit)) / "build/torch-cpu";
    std::filesystem::create_directories(build);
    write_file(build / "metadata.json",
               R"({"id": "kernels_test", "name": "test", "version": 1, "license": "Apache-2.0",
                   "backend": {"type": "cpu"}, )" +
                   more + "}");
    return build;
}

}  // namespace

TEST_CASE("Without a Hub a publisher cannot be checked: what is found is used, with one warning") {
    const kernels::testing::TemporaryFolder folder;
    const hub::Cache cache(folder / "cache");
    const RepoId repo = RepoId::parse("shady/one");
    const std::string commit(40, 'a');
    const auto build = cached_build(cache, commit, R"("python-depends": [])");
    std::vector<std::string> warnings;
    log::set_sink([&](log::Level level, const std::string& text) {
        if (level == log::Level::warning) warnings.push_back(text);
    });
    layer::Resolver resolver(build::Target::parse("torch=2.13,cpu,cpu=x86_64,os=linux"), cache);
    const auto resolved = [&](const char* layer, const project::TrustPolicy& trust) {
        return resolver.resolve(layer::LayerRepository(repo, layer, Revision{commit}, trust)).folder;
    };
    CHECK(resolved("A", {"shady/one"}) == build);
    CHECK(warnings.empty());
    CHECK(resolved("A", {}) == build);
    CHECK(resolved("B", {}) == build);
    log::set_sink({});
    REQUIRE(warnings.size() == 1);
    CHECK(warnings.front() ==
          "shady/one: no Hub is asked, so whether its publisher is trusted was not checked");
}

TEST_CASE("What a build's metadata has to tell is told once, for all layers of it") {
    const kernels::testing::TemporaryFolder folder;
    const hub::Cache cache(folder / "cache");
    const RepoId repo = RepoId::parse("shady/one");
    const std::string commit(40, 'a');
    cached_build(cache, commit,
                 R"("python-depends": ["einops"], "kernels-minver": "99.0.0",
        "provenance": {"kernel-builder": {"version": "1", "sha": ")" +
                     commit + R"(", "dirty": true}})");
    std::vector<std::string> told;
    log::set_sink([&](log::Level level, const std::string& text) {
        if (level == log::Level::warning || level == log::Level::info)
            told.push_back((level == log::Level::info ? "info: " : "warning: ") + text);
    });
    layer::Resolver resolver(build::Target::parse("torch=2.13,cpu,cpu=x86_64,os=linux"), cache);
    for (const auto* layer : {"A", "B"})
        resolver.resolve(layer::LayerRepository(repo, layer, Revision{commit}, {"shady/one"}));
    log::set_sink({});
    REQUIRE(told.size() == 3);
    const std::string build = "shady/one@aaaaaaaaaaaa: torch-cpu: test: ";
    CHECK(told[0] == "info: " + build + "its Python code imports einops");
    CHECK(told[1].starts_with("warning: " + build + "made for kernels 99.0.0 or newer"));
    CHECK(told[2].starts_with("warning: " + build + "built from a source tree with uncommitted changes"));
}
