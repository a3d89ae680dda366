#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/layer/repository.hpp"
#include "kernels/layer/resolve.hpp"
#include "temporary_folder.hpp"

using namespace kernels;
using layer::FuncRepository;
using layer::LayerRepository;
using layer::LocalFuncRepository;
using layer::LocalLayerRepository;
using layer::LockedFuncRepository;
using layer::LockedLayerRepository;
using layer::Repository;
using layer::TrustRemoteCode;

namespace {

std::string lock_text(const std::string& repo, char digit) {
    return R"([{"dependency": {"repo-id": ")" + repo + R"(", "version": 1}, "lock": {"commit": ")" +
           std::string(40, digit) + R"("}}])";
}

std::shared_ptr<const lock::Lock> lock_of(const std::string& repo, char digit) {
    return std::make_shared<const lock::Lock>(lock::Lock::parse(lock_text(repo, digit), "kernels.lock"));
}

ErrorCode code_of(const auto& make) {
    try {
        make();
    } catch (const Error& error) {
        return error.code();
    }
    return ErrorCode::interrupted;
}

bool equal(const Repository& left, const Repository& right) {
    const bool same = left == right;
    const std::hash<Repository> hash;
    // Different ones may collide, but these few do not.
    CHECK((hash(left) == hash(right)) == same);
    return same;
}

}  // namespace

TEST_CASE("Hub repositories are equal when repository, name, reference and trust are") {
    const LayerRepository one("a/k", "X", KernelVersion{1});
    CHECK(equal(one, LayerRepository(RepoId::parse("a/k"), "X", KernelVersion{1}, {})));
    CHECK_FALSE(equal(one, LayerRepository("a/l", "X", KernelVersion{1})));
    CHECK_FALSE(equal(one, LayerRepository("a/k", "Y", KernelVersion{1})));
    CHECK_FALSE(equal(one, LayerRepository("a/k", "X", KernelVersion{2})));
    // A branch is no version, even where both name the same state.
    CHECK_FALSE(equal(one, LayerRepository("a/k", "X", Revision{"v1"})));
    CHECK_FALSE(equal(one, FuncRepository("a/k", "X", KernelVersion{1})));
    CHECK_FALSE(equal(one, LayerRepository("a/k", "X", KernelVersion{1}, true)));
    CHECK_FALSE(equal(one, LayerRepository("a/k", "X", KernelVersion{1}, {"a/k"})));
    CHECK(equal(FuncRepository("a/k", "f", KernelVersion{1}, {"a/k", "a/l"}),
                FuncRepository("a/k", "f", KernelVersion{1}, {"a/k", "a/l"})));
    // As lists in the Python client, the order counts.
    CHECK_FALSE(equal(FuncRepository("a/k", "f", KernelVersion{1}, {"a/k", "a/l"}),
                      FuncRepository("a/k", "f", KernelVersion{1}, {"a/l", "a/k"})));
}

TEST_CASE("Local repositories are equal when name and path are") {
    const LocalLayerRepository one("k", "X");
    for (const char* same : {"./k", "k/", "k/."})
        CHECK(equal(one, LocalLayerRepository(same, "X")));
    // Where a link leads is not looked at.
    for (const char* other : {"/k", "k/k", "j/../k", "."})
        CHECK_FALSE(equal(one, LocalLayerRepository(other, "X")));
    CHECK(LocalLayerRepository("./.", "X").path() == ".");
    CHECK_FALSE(equal(one, LocalLayerRepository("k", "Y")));
    CHECK_FALSE(equal(one, LocalFuncRepository("k", "X")));
    CHECK(code_of([] { LocalLayerRepository("", "X"); }) == ErrorCode::usage);
}

TEST_CASE("Names that cannot be are refused") {
    CHECK(code_of([] { LayerRepository("kernel", "X", KernelVersion{1}); }) == ErrorCode::usage);
    CHECK(code_of([] { LayerRepository("a/k", "", KernelVersion{1}); }) == ErrorCode::usage);
    CHECK(code_of([] { LocalFuncRepository("k", ""); }) == ErrorCode::usage);
}

TEST_CASE("Locked repositories read the lock that is given, and are what it says") {
    const testing::TemporaryFolder folder;
    write_file(folder / "kernels.lock", lock_text("a/k", '1'));
    const LockedLayerRepository one("a/k", "X", folder / "kernels.lock");
    CHECK(one.entry().commit.to_string() == std::string(40, '1'));
    CHECK(equal(one, LockedLayerRepository(RepoId::parse("a/k"), "X", lock_of("a/k", '1'))));
    CHECK_FALSE(equal(one, LockedLayerRepository(RepoId::parse("a/k"), "X", lock_of("a/k", '2'))));
    CHECK_FALSE(equal(one, LockedLayerRepository(RepoId::parse("a/k"), "X", nullptr)));
    CHECK_FALSE(equal(one, LockedFuncRepository("a/k", "X", folder / "kernels.lock")));
    CHECK_FALSE(equal(one, LockedLayerRepository("a/k", "X", folder / "kernels.lock", true)));
    CHECK(code_of([&] { LockedLayerRepository("a/l", "X", folder / "kernels.lock"); }) ==
          ErrorCode::lock_stale);
    CHECK(code_of([&] { LockedLayerRepository("a/k", "X", folder / "none.lock"); }) ==
          ErrorCode::lock_missing);
    // A project may have no lock yet; then the entry says so.
    const LockedFuncRepository unlocked(RepoId::parse("a/k"), "f", nullptr);
    CHECK(code_of([&] { unlocked.entry(); }) == ErrorCode::lock_missing);
    const LockedFuncRepository stale(RepoId::parse("a/l"), "f", lock_of("a/k", '1'));
    CHECK(code_of([&] { stale.entry(); }) == ErrorCode::lock_stale);
}

TEST_CASE("Without a path the lock is that of the project around the current directory") {
    const testing::TemporaryFolder folder;
    std::filesystem::create_directories(folder / "src" / "deep");
    write_file(folder / "kernels.toml", "[dependencies]\n\"a/k\" = 1\n");
    write_file(folder / "kernels.lock", lock_text("a/k", '3'));
    const auto before = std::filesystem::current_path();
    std::filesystem::current_path(folder / "src" / "deep");
    const auto commit = LockedLayerRepository("a/k", "X").entry().commit.to_string();
    std::filesystem::remove(folder / "kernels.lock");
    const auto missing = code_of([] { LockedLayerRepository("a/k", "X"); });
    std::filesystem::remove(folder / "kernels.toml");
    const auto no_project = code_of([] { LockedLayerRepository("a/k", "X"); });
    std::filesystem::current_path(before);
    CHECK(commit == std::string(40, '3'));
    CHECK(missing == ErrorCode::lock_missing);
    CHECK(no_project == ErrorCode::project_file);
}

TEST_CASE("The device and capability that builds for a target run on") {
    const auto of = [](const char* spec) {
        const auto target = build::Target::parse(spec);
        const auto capability = layer::capability_of(target);
        return layer::device_type_of(target) + (capability ? " " + std::to_string(*capability) : "");
    };
    CHECK(of("torch=2.13,cpu,os=linux") == "cpu");
    CHECK(of("torch=2.13,cuda=12.8,os=linux") == "cuda");
    CHECK(of("torch=2.13,cuda=12.8,os=linux,capability=90") == "cuda 90");
    CHECK(of("torch=2.13,rocm=7.0,os=linux") == "rocm");
    CHECK(of("torch=2.13,rocm=7.0,os=linux,arch=gfx942") == "rocm 94");
    CHECK(of("torch=2.13,rocm=7.0,os=linux,arch=gfx90a") == "rocm 90");
    CHECK(of("torch=2.13,rocm=7.0,os=linux,arch=gfx1100") == "rocm 110");
    CHECK(of("torch=2.13,metal,cpu=aarch64") == "mps");
    CHECK(of("torch=2.13,cann=8.3,cpu=aarch64,os=linux") == "npu");
}

TEST_CASE("What any repository tells of itself") {
    const Repository hub = LayerRepository("a/k", "X", KernelVersion{1}, true);
    const Repository local = LocalFuncRepository("some/k", "f");
    const Repository locked = LockedLayerRepository(RepoId::parse("a/k"), "X", lock_of("a/k", '1'));
    const Repository unlocked = LockedFuncRepository(RepoId::parse("a/k"), "f", nullptr);
    CHECK(layer::describe(hub) == "`a/k` (version 1), layer `X`");
    CHECK(layer::describe(local) == "`some/k`, function `f`");
    CHECK(layer::describe(locked) == "`a/k` (locked to " + std::string(40, '1') + "), layer `X`");
    CHECK(layer::describe(unlocked) == "`a/k` (not locked), function `f`");
    CHECK(layer::member_name(local) == "f");
    CHECK(layer::is_function(local));
    CHECK_FALSE(layer::is_function(locked));
    CHECK(layer::repo_of(local) == nullptr);
    CHECK(layer::repo_of(locked)->to_string() == "a/k");
    CHECK(layer::trust_of(hub) == TrustRemoteCode(true));
    CHECK(layer::trust_of(local).everyone);
    CHECK_FALSE(layer::trust_of(locked).everyone);
    std::unordered_map<Repository, int> memo;
    memo[hub] = 1;
    memo[local] = 2;
    CHECK(memo.at(LayerRepository("a/k", "X", KernelVersion{1}, true)) == 1);
    CHECK(memo.contains(LocalFuncRepository("some/k/", "f")));
    // Each kind by itself, too.
    const std::unordered_set<LayerRepository> layers = {
        {"a/k", "X", KernelVersion{1}}, {"a/k", "X", KernelVersion{1}}, {"a/k", "X", KernelVersion{2}}};
    CHECK(layers.size() == 2);
    CHECK(std::unordered_set<LocalLayerRepository>{{"k", "X"}, {"./k", "X"}}.size() == 1);
    CHECK(std::unordered_set<LockedLayerRepository>{std::get<LockedLayerRepository>(locked)}.contains(
        std::get<LockedLayerRepository>(locked)));
    CHECK(std::unordered_set<FuncRepository>{{"a/k", "f", KernelVersion{1}}}.size() == 1);
    CHECK(std::unordered_set<LocalFuncRepository>{std::get<LocalFuncRepository>(local)}.contains(
        std::get<LocalFuncRepository>(local)));
    CHECK(std::unordered_set<LockedFuncRepository>{std::get<LockedFuncRepository>(unlocked)}.contains(
        std::get<LockedFuncRepository>(unlocked)));
}

TEST_CASE("A reference that cannot be is refused where it is written") {
    CHECK_THROWS_WITH_AS(LayerRepository("a/k", "X", KernelVersion{-3}), "-3: no kernel version", Error);
    CHECK_THROWS_WITH_AS(FuncRepository("a/k", "f", KernelVersion{-1}), "-1: no kernel version", Error);
    for (const char* name : {"", "x y", "../../x"}) {
        CAPTURE(name);
        CHECK(code_of([&] { LayerRepository("a/k", "X", Revision{name}); }) == ErrorCode::usage);
    }
    CHECK_NOTHROW(LayerRepository("a/k", "X", KernelVersion{0}));
}

TEST_CASE("Trust is a flag or a list") {
    const auto trusts = [](const TrustRemoteCode& trust, const char* repo) {
        return LayerRepository("a/k", "X", KernelVersion{1}, trust)
            .trust_remote_code()
            .allows(RepoId::parse(repo));
    };
    CHECK(trusts(true, "a/k"));
    CHECK_FALSE(trusts(false, "a/k"));
    CHECK_FALSE(trusts({}, "a/k"));
    CHECK(trusts({"a/k", "a/l"}, "a/l"));
    CHECK_FALSE(trusts({"a/k", "a/l"}, "a/m"));
    CHECK(trusts(std::vector<RepoId>{RepoId::parse("a/k")}, "a/k"));
    CHECK(code_of([&] { trusts({"nobody"}, "a/k"); }) == ErrorCode::usage);
    static_assert(!std::is_convertible_v<int, TrustRemoteCode>);
}

TEST_CASE("An empty list of trusted repositories is another value than false, as in the Python client") {
    const auto trusting = [](const TrustRemoteCode& trust) {
        return LayerRepository("a/k", "X", KernelVersion{1}, trust);
    };
    const TrustRemoteCode none = std::vector<RepoId>{};
    const TrustRemoteCode nobody = false;
    CHECK(trusting(none) != trusting(nobody));
    CHECK(trusting(none) == trusting(std::vector<RepoId>{}));
    CHECK(trusting({}) == trusting(nobody));
    const std::unordered_set<LayerRepository> both = {trusting(none), trusting(nobody), trusting(none)};
    CHECK(both.size() == 2);
    CHECK(std::hash<LayerRepository>()(trusting(none)) != std::hash<LayerRepository>()(trusting(nobody)));
    CHECK_FALSE(none.allows(RepoId::parse("a/k")));
    CHECK(trusting({"a/k", "b/k"}) != trusting({"b/k", "a/k"}));
    CHECK(trusting({"a/k"}) != trusting(true));
    const LockedFuncRepository locked(RepoId::parse("a/k"), "f", nullptr, none);
    CHECK_FALSE(equal(locked, LockedFuncRepository(RepoId::parse("a/k"), "f", nullptr, nobody)));
}
