#include <doctest/doctest.h>

#include <algorithm>

#include "kernels/build/suggestion.hpp"

using namespace kernels;
using namespace kernels::build;

namespace {

std::vector<BuildVariant> builds(std::initializer_list<const char*> names) {
    std::vector<BuildVariant> out;
    for (const char* name : names)
        out.push_back(BuildVariant::parse(name));
    return out;
}

std::vector<Suggestion> suggestions(std::initializer_list<const char*> names, const Target& target,
                                    const std::vector<OtherVersion>& others = {}) {
    return suggest(select(builds(names), target), target, others);
}

const Target target = Target::parse("torch=2.13,cuda=12.8");

}  // namespace

TEST_CASE("another version whose stable-ABI build fits is named first") {
    const std::vector<OtherVersion> others = {
        {"v4", builds({"torch214-cu128-x86_64-linux"})},
        {"v3", builds({"torch-stable-abi29-cu126-x86_64-linux", "torch-universal"})},
        {"v2", builds({"torch213-cu128-x86_64-linux"})}};
    const auto found = suggestions({"torch29-cu128-x86_64-linux"}, target, others);
    REQUIRE(found.size() == 2);
    CHECK(found[0].kind == Suggestion::Kind::version);
    CHECK(found[0].value == "v3");
    CHECK(found[0].text ==
          "v3 has a stable-ABI build that fits torch 2.13 with cuda 12.8 "
          "(torch-stable-abi29-cu126-x86_64-linux)");
    CHECK(found[1].text == "torch29-cu128-x86_64-linux would fit with torch 2.9");
}

TEST_CASE("the nearest torch is suggested, and only where the rest of the build fits") {
    const auto found = suggestions({"torch29-cu128-x86_64-linux", "torch212-cu128-x86_64-linux",
                                    "torch212-cu130-x86_64-linux", "torch213-rocm64-x86_64-linux"},
                                   target);
    REQUIRE(found.size() == 1);
    CHECK(found[0].kind == Suggestion::Kind::torch);
    CHECK(found[0].value == "2.12");
    const auto newer = suggestions({"torch-stable-abi214-cu128-x86_64-linux"}, target);
    REQUIRE(newer.size() == 1);
    CHECK(newer[0].text == "torch-stable-abi214-cu128-x86_64-linux would fit with torch 2.14 or newer");
}

TEST_CASE("another CUDA, another macOS, another tvm-ffi") {
    const auto newer_cuda = suggestions({"torch213-cu130-x86_64-linux"}, target);
    REQUIRE(newer_cuda.size() == 1);
    CHECK(newer_cuda[0].text == "torch213-cu130-x86_64-linux would fit with a torch for cuda 13.0");
    const auto mac =
        suggestions({"torch213-metal-aarch64-darwin"}, Target::parse("torch=2.13,metal,macos=15"));
    REQUIRE(mac.size() == 1);
    CHECK(mac[0].kind == Suggestion::Kind::macos);
    const auto ffi = suggestions({"tvm-ffi02-cu128-x86_64-linux"}, Target::parse("tvm-ffi=0.1,cuda=12.8"));
    REQUIRE(ffi.size() == 1);
    CHECK(ffi[0].value == "0.2");
}

TEST_CASE("nothing is suggested where something fits, or where only another machine would do") {
    CHECK(suggestions({"torch213-cu128-x86_64-linux", "torch212-cu128-x86_64-linux"}, target).empty());
    CHECK(suggestions({"torch213-cu128-aarch64-linux", "torch-rocm"}, target).empty());
    const auto selection = select(builds({"torch-rocm"}), target);
    const auto error = no_build_error("org/x@v1", selection, target, {});
    CHECK_FALSE(error.hint().empty());
}
