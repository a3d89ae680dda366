// Each rule of the choice by name. The contract test asks the Python client about thousands of generated
// cases; these say what the rules are.
#include <doctest/doctest.h>

#include "kernels/build/selection.hpp"
#include "kernels/build/suggestion.hpp"

using namespace kernels;
using namespace kernels::build;

namespace {

Selection choose(std::initializer_list<const char*> names, const Target& target) {
    std::vector<BuildVariant> variants;
    for (const char* name : names)
        variants.push_back(BuildVariant::parse(name));
    return select(variants, target);
}

std::vector<std::string> order(const Selection& selection) {
    std::vector<std::string> names;
    for (const auto& decision : selection.decisions)
        names.push_back(decision.variant.to_string());
    return names;
}

// The rule that refuses `name`, "fits" when none does.
std::string verdict(const char* name, const Target& target) {
    const auto selection = choose({name}, target);
    const auto& rejection = selection.decisions.front().rejection;
    return rejection ? std::string(to_string(rejection->reason)) : "fits";
}

using Names = std::vector<std::string>;
const Target cuda = Target::parse("torch=2.13,cuda=12.8");

}  // namespace

TEST_CASE("CPU and OS must be the same, and are asked first") {
    CHECK(verdict("torch213-cu128-aarch64-linux", cuda) == "cpu");
    CHECK(verdict("torch29-rocm64-aarch64-darwin", cuda) == "cpu");
    CHECK(verdict("torch213-cu128-x86_64-windows", cuda) == "os");
    CHECK(verdict("torch213-cu128-x86_64-linux", cuda) == "fits");
}

TEST_CASE("a torch build needs the same minor release, and the same ABI where it states one") {
    CHECK(verdict("torch212-cu128-x86_64-linux", cuda) == "torch-version");
    CHECK(verdict("torch213-cxx11-cu128-x86_64-linux", cuda) == "fits");
    CHECK(verdict("torch213-cxx98-cu128-x86_64-linux", cuda) == "cxx11-abi");
    CHECK(verdict("torch213-cu128-x86_64-linux", Target::parse("cuda=12.8")) == "torch-version");
}

TEST_CASE("a stable-ABI build runs on its torch and every newer one") {
    CHECK(verdict("torch-stable-abi29-cu128-x86_64-linux", cuda) == "fits");
    CHECK(verdict("torch-stable-abi213-cu128-x86_64-linux", cuda) == "fits");
    CHECK(verdict("torch-stable-abi214-cu128-x86_64-linux", cuda) == "stable-abi");
    CHECK(verdict("torch-stable-abi29-cu128-x86_64-linux", Target::parse("cuda=12.8")) == "stable-abi");
}

TEST_CASE("a tvm-ffi build needs the same minor release of tvm-ffi, and no torch") {
    const auto target = Target::parse("tvm-ffi=0.1,cuda=12.8");
    CHECK(verdict("tvm-ffi01-cu128-x86_64-linux", target) == "fits");
    CHECK(verdict("tvm-ffi02-cu128-x86_64-linux", target) == "tvm-ffi");
    CHECK(verdict("tvm-ffi01-cu128-x86_64-linux", cuda) == "tvm-ffi");
}

TEST_CASE("CUDA may be older within its major version; every other backend must be equal") {
    CHECK(verdict("torch213-cu126-x86_64-linux", cuda) == "fits");
    CHECK(verdict("torch213-cu129-x86_64-linux", cuda) == "backend");
    CHECK(verdict("torch213-cu118-x86_64-linux", cuda) == "backend");
    CHECK(verdict("torch213-cpu-x86_64-linux", cuda) == "backend");
    const auto rocm = Target::parse("torch=2.13,rocm=6.4");
    CHECK(verdict("torch213-rocm64-x86_64-linux", rocm) == "fits");
    CHECK(verdict("torch213-rocm63-x86_64-linux", rocm) == "backend");
    CHECK(verdict("torch213-xpu20252-x86_64-linux", Target::parse("torch=2.13,xpu=2025.3")) == "backend");
}

TEST_CASE("Metal builds need macOS 26") {
    CHECK(verdict("torch213-metal-aarch64-darwin", Target::parse("torch=2.13,metal,macos=26.0")) == "fits");
    CHECK(verdict("torch213-metal-aarch64-darwin", Target::parse("torch=2.13,metal,macos=15.6")) == "macos");
    CHECK(verdict("torch213-metal-aarch64-darwin", Target::parse("torch=2.13,metal")) == "macos");
    // The rule is about compiled Metal code.
    CHECK(verdict("torch-metal", Target::parse("torch=2.13,metal,macos=15.6")) == "fits");
}

TEST_CASE("noarch builds go by the backend's name alone; Ascend's is npu there; universal fits all") {
    CHECK(verdict("torch-cuda", cuda) == "fits");
    CHECK(verdict("torch-rocm", cuda) == "backend");
    CHECK(verdict("torch-npu", Target::parse("cann=8.3")) == "fits");
    CHECK(verdict("torch-cann", Target::parse("cann=8.3")) == "backend");
    CHECK(verdict("torch-universal", Target::parse("neuron")) == "fits");
}

TEST_CASE("preference: stable ABI, newest first; torch, untagged first; tvm-ffi and noarch; universal") {
    auto target = Target::parse("torch=2.13,cuda=12.8,tvm-ffi=0.1");
    const auto selection = choose(
        {"torch-universal", "torch-cuda", "torch213-cxx11-cu128-x86_64-linux", "torch213-cu126-x86_64-linux",
         "torch213-cu128-x86_64-linux", "torch-stable-abi29-cu128-x86_64-linux",
         "torch-stable-abi210-cu126-x86_64-linux", "tvm-ffi01-cu128-x86_64-linux"},
        target);
    CHECK(order(selection) == Names{"torch-stable-abi210-cu126-x86_64-linux",
                                    "torch-stable-abi29-cu128-x86_64-linux", "torch213-cu128-x86_64-linux",
                                    "torch213-cu126-x86_64-linux", "torch213-cxx11-cu128-x86_64-linux",
                                    "tvm-ffi01-cu128-x86_64-linux", "torch-cuda", "torch-universal"});
    REQUIRE(selection.best() != nullptr);
    CHECK(selection.best()->to_string() == "torch-stable-abi210-cu126-x86_64-linux");
}

TEST_CASE("a build that does not fit never comes before one that does") {
    const auto selection = choose({"torch-stable-abi214-cu128-x86_64-linux", "torch-universal"}, cuda);
    CHECK(order(selection) == Names{"torch-universal", "torch-stable-abi214-cu128-x86_64-linux"});
}

TEST_CASE("no fitting build: all of them with the reason, the nearest first") {
    const auto selection = choose({"torch213-rocm64-x86_64-linux", "torch213-cu128-aarch64-linux",
                                   "torch29-cu128-x86_64-linux", "torch212-cu128-x86_64-linux"},
                                  cuda);
    CHECK(selection.best() == nullptr);
    const auto error = no_build_error("org/relu@v1", selection, cuda, suggest(selection, cuda));
    CHECK(error.code() == ErrorCode::no_build);
    CHECK(std::string(error.what()).starts_with("org/relu@v1: no build fits torch=2.13,cuda=12.8"));
    REQUIRE(error.details().size() == 4);
    CHECK(
        error.details()[0] ==
        "torch212-cu128-x86_64-linux: Torch version (2.12) does not match environment Torch version (2.13)");
    CHECK(error.details()[1] ==
          "torch29-cu128-x86_64-linux: Torch version (2.9) does not match environment Torch version (2.13)");
    CHECK(error.details()[2] ==
          "torch213-rocm64-x86_64-linux: backend (rocm64) does not match selected backend (cu128)");
    CHECK(error.details()[3] ==
          "torch213-cu128-aarch64-linux: CPU (aarch64) does not match system CPU (x86_64)");
    CHECK(error.hint().find("torch212-cu128-x86_64-linux would fit with torch 2.12") != std::string::npos);
}

TEST_CASE("a repository without builds says so") {
    const auto error = no_build_error("org/relu@v1", select({}, cuda), cuda, {});
    CHECK(std::string(error.what()) == "org/relu@v1: it has no builds at all");
    CHECK(error.details().empty());
}
