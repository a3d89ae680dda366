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

TEST_CASE("another version that is known to have code for the device is named before one that may have") {
    const auto on_device = Target::parse("torch=2.13,cuda=12.8,capability=120");
    const auto known = [](Fit fit) {
        return [fit](const BuildVariant&, const Target&) { return DeviceFit{fit, ""}; };
    };
    const auto variants = builds({"torch213-cu128-x86_64-linux"});
    std::vector<OtherVersion> others = {{"v4", variants, known(Fit::no)},
                                        {"v3", variants, known(Fit::unknown)},
                                        {"v2", variants, known(Fit::yes)},
                                        {"v1", variants, known(Fit::yes)}};
    const auto first = [&] {
        return suggestions({"torch29-cu126-x86_64-linux"}, on_device, others).at(0).value;
    };
    CHECK(first() == "v2");
    others.resize(2);
    CHECK(first() == "v3");
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

TEST_CASE("the nearest older and the nearest newer torch, and an ABI that is not the wheels' hides neither") {
    const auto found =
        suggestions({"torch213-cxx98-cu128-x86_64-linux", "torch29-cxx11-cu128-x86_64-linux",
                     "torch212-cxx11-cu128-x86_64-linux", "torch-stable-abi214-cu128-x86_64-linux",
                     "torch215-cxx11-cu128-x86_64-linux", "torch213-cxx11-cu126-aarch64-linux"},
                    target);
    REQUIRE(found.size() == 2);
    CHECK(found[0].text == "torch-stable-abi214-cu128-x86_64-linux would fit with torch 2.14 or newer");
    CHECK(found[1].text == "torch212-cxx11-cu128-x86_64-linux would fit with torch 2.12");
}

TEST_CASE("an ABI that no wheel has is told when nothing else helps") {
    const auto found = suggestions({"torch213-cxx98-cu128-x86_64-linux"}, target);
    REQUIRE(found.size() == 1);
    CHECK(found[0].kind == Suggestion::Kind::cxx11_abi);
    CHECK(found[0].value == "false");
    CHECK(found[0].text ==
          "torch213-cxx98-cu128-x86_64-linux would fit with a torch compiled for the old C++ ABI");
    // The wheels of an old torch have it.
    const auto old = suggestions({"torch25-cxx98-cu128-x86_64-linux"}, target);
    REQUIRE(old.size() == 1);
    CHECK(old[0].text == "torch25-cxx98-cu128-x86_64-linux would fit with torch 2.5");
}

TEST_CASE("several changes at once where no single one helps") {
    const auto found = suggestions({"torch213-cxx11-cu128-x86_64-linux", "torch213-cxx11-cu126-x86_64-linux",
                                    "torch213-cxx11-cu118-x86_64-linux"},
                                   Target::parse("torch=2.12,cuda=13.0"));
    REQUIRE(found.size() == 1);
    CHECK(found[0].kind == Suggestion::Kind::target);
    CHECK(found[0].text == "torch213-cxx11-cu128-x86_64-linux would fit with torch 2.13 for cuda 12.8");
    CHECK(Target::parse(found[0].value) == Target::parse("torch=2.13,cuda=12.8"));
    // No torch, and a CUDA runtime that is too new.
    const auto none =
        suggestions({"torch-stable-abi211-cpu-x86_64-linux", "torch-stable-abi211-cu128-x86_64-linux"},
                    Target::parse("cuda=13.0"));
    REQUIRE(none.size() == 1);
    CHECK(none[0].text ==
          "torch-stable-abi211-cu128-x86_64-linux would fit with torch 2.11 or newer for cuda 12.8");
    const auto mac =
        suggestions({"torch213-metal-aarch64-darwin"}, Target::parse("torch=2.12,metal,macos=15"));
    REQUIRE(mac.size() == 1);
    CHECK(mac[0].text == "torch213-metal-aarch64-darwin would fit with torch 2.13 and macOS 26.0 or newer");
    const auto ffi = suggestions({"tvm-ffi02-cu128-x86_64-linux"}, Target::parse("tvm-ffi=0.1,cuda=13.0"));
    REQUIRE(ffi.size() == 1);
    CHECK(ffi[0].text == "tvm-ffi02-cu128-x86_64-linux would fit with tvm-ffi 0.2 and cuda 12.8");
    // A single change that helps is enough.
    const auto single = suggestions({"torch213-cxx11-cu118-x86_64-linux", "torch29-cxx11-cu130-x86_64-linux"},
                                    Target::parse("torch=2.12,cuda=13.0"));
    REQUIRE(single.size() == 1);
    CHECK(single[0].text == "torch29-cxx11-cu130-x86_64-linux would fit with torch 2.9");
}

TEST_CASE("nothing is suggested where something fits, or where only another machine would do") {
    CHECK(suggestions({"torch213-cu128-x86_64-linux", "torch212-cu128-x86_64-linux"}, target).empty());
    CHECK(suggestions({"torch213-cu128-aarch64-linux", "torch-rocm"}, target).empty());
    const auto selection = select(builds({"torch-rocm"}), target);
    const auto error = no_build_error("org/x@v1", selection, target, {});
    CHECK(error.hint().ends_with("no other torch for cuda helps"));
    const auto bare = Target::parse("cpu");
    const auto without = no_build_error("org/x@v1", select(builds({"torch-rocm"}), bare), bare, {});
    CHECK(without.hint().ends_with("no torch for cpu helps, one for another backend may"));
}

TEST_CASE("of torches that are as near the newer, and without a torch the newest") {
    const auto found = suggestions({"torch212-cu128-x86_64-linux", "torch214-cu128-x86_64-linux"}, target);
    REQUIRE(found.size() == 2);
    CHECK(found[0].value == "2.14");
    CHECK(found[1].value == "2.12");
    const auto none = suggestions({"torch29-cu128-x86_64-linux", "torch210-cu128-x86_64-linux",
                                   "torch212-cu128-x86_64-linux", "torch113-cu128-x86_64-linux"},
                                  Target::parse("cuda=12.8"));
    REQUIRE(none.size() == 1);
    CHECK(none[0].value == "2.12");
}

TEST_CASE("a torch is asked for only where one helps") {
    const auto bare = Target::parse("metal,macos=26");
    const auto told = [&](std::initializer_list<const char*> names, const Target& asked) {
        const auto selection = select(builds(names), asked);
        return no_build_error("org/x@v1", selection, asked, suggest(selection, asked));
    };
    CHECK(told({"torch213-cu128-x86_64-linux"}, bare).remedies().empty());
    CHECK(told({"torch213-cu128-x86_64-linux"}, bare).hint().ends_with("no torch for metal helps"));
    const auto helps = told({"torch213-metal-aarch64-darwin"}, bare);
    CHECK(helps.remedies() == std::vector{Remedy::torch});
    CHECK(helps.hint().starts_with("no torch is named or was found; "));
    CHECK(told({"torch213-metal-aarch64-darwin"}, Target::parse("metal,macos=26,tvm-ffi=0.1"))
              .hint()
              .starts_with("the target names no torch; "));
    // Where only another version of tvm-ffi does, no torch is spoken of.
    CHECK(told({"tvm-ffi02-cpu-x86_64-linux"}, Target::parse("cpu")).remedies().empty());
}
