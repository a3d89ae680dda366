#include <doctest/doctest.h>

#include "kernels/build/device_fit.hpp"
#include "kernels/core/error.hpp"

using namespace kernels;
using namespace kernels::build;

namespace {

Fit cuda_fit(std::vector<std::string> archs, int capability) {
    auto target = Target::parse("cuda=12.8");
    target.capability = capability;
    return device_fit("cuda", archs, target).fit;
}

DeviceCode cuda_code(std::vector<CudaCode> code) {
    DeviceCode out;
    out.cuda = std::move(code);
    return out;
}

}  // namespace

TEST_CASE("machine code runs on its generation from its own minor version on") {
    CHECK(cuda_fit({"8.0"}, 80) == Fit::yes);
    CHECK(cuda_fit({"8.0"}, 89) == Fit::yes);
    CHECK(cuda_fit({"8.6"}, 80) == Fit::no);
    CHECK(cuda_fit({"8.0"}, 90) == Fit::no);
}

TEST_CASE(
    "an arch with `a` runs on that capability alone, one with `f` on its family, PTX on all newer ones") {
    CHECK(cuda_fit({"9.0a"}, 90) == Fit::yes);
    CHECK(cuda_fit({"10.0a"}, 103) == Fit::no);
    CHECK(cuda_fit({"10.0f"}, 103) == Fit::yes);
    CHECK(cuda_fit({"10.0f"}, 120) == Fit::no);
    CHECK(cuda_fit({"8.0+PTX"}, 120) == Fit::yes);
    CHECK(cuda_fit({"9.0+PTX"}, 89) == Fit::no);
    CHECK(cuda_fit({"9.0a+PTX"}, 100) == Fit::no);
}

TEST_CASE("what is unknown decides nothing") {
    CHECK(cuda_fit({}, 90) == Fit::unknown);
    CHECK(cuda_fit({"hopper"}, 90) == Fit::unknown);
    CHECK(cuda_fit({"hopper", "8.0"}, 90) == Fit::no);
    const std::vector<std::string> archs = {"8.0"};
    CHECK(device_fit("cuda", archs, Target::parse("cuda=12.8")).fit == Fit::unknown);
    CHECK(device_fit("cuda", archs, Target::parse("cpu")).fit == Fit::unknown);
    CHECK(device_fit("rocm", archs, Target::parse("cuda=12.8,capability=90")).fit == Fit::unknown);
}

TEST_CASE("gfx names count without feature flags") {
    const std::vector<std::string> archs = {"gfx90a", "gfx942"};
    auto target = Target::parse("rocm=6.4,arch=gfx942");
    CHECK(device_fit("rocm", archs, target).fit == Fit::yes);
    target.gpu_arch = "gfx90a:sramecc+:xnack-";
    CHECK(device_fit("rocm", archs, target).fit == Fit::yes);
    target.gpu_arch = "gfx1100";
    const auto fit = device_fit("rocm", archs, target);
    CHECK(fit.fit == Fit::no);
    CHECK(fit.text == "built for gfx90a, gfx942, the device is gfx1100");
}

TEST_CASE("a library's own device code decides where metadata is silent") {
    const auto target = Target::parse("cuda=12.8,capability=90");
    CHECK(device_fit(cuda_code({{80, '\0', false, ""}}), target).fit == Fit::no);
    CHECK(device_fit(cuda_code({{80, '\0', false, ""}, {80, '\0', true, "8.7"}}), target).fit == Fit::yes);
    CHECK(device_fit(cuda_code({{100, 'f', false, ""}}), target).fit == Fit::no);
    CHECK(device_fit(DeviceCode{}, target).fit == Fit::unknown);
    // Code for another vendor's device says nothing about this one.
    DeviceCode hip;
    hip.gfx = {"gfx942"};
    CHECK(device_fit(hip, target).fit == Fit::unknown);
    CHECK(device_fit(hip, Target::parse("rocm=6.4,arch=gfx90a")).fit == Fit::no);
    auto damaged = cuda_code({{80, '\0', false, ""}});
    damaged.problems = {"a section lies outside of the file"};
    CHECK(device_fit(damaged, target).fit == Fit::unknown);
}

TEST_CASE("a build that cannot run is refused with what it was built for") {
    CHECK_NOTHROW(require_fit("x", {Fit::unknown, "?"}));
    CHECK_NOTHROW(require_fit("x", {Fit::yes, ""}));
    const std::vector<std::string> archs = {"8.0", "8.6"};
    try {
        require_fit("org/relu@v1: torch213-cu128-x86_64-linux",
                    device_fit("cuda", archs, Target::parse("cuda=12.8,capability=90")));
        FAIL("not refused");
    } catch (const Error& error) {
        CHECK(error.code() == ErrorCode::no_build);
        CHECK(std::string(error.what()) ==
              "org/relu@v1: torch213-cu128-x86_64-linux: no device code for this device: built for 8.0, 8.6, "
              "which does not run on capability 9.0");
    }
}

TEST_CASE("remarks: imports of the Python code, a newer kernels, a dirty source tree") {
    Metadata metadata;
    metadata.name = "relu";
    CHECK(remarks(metadata).empty());
    metadata.python_depends = {"einops"};
    metadata.kernels_minver = "0.17.2";
    metadata.dirty = true;
    auto found = remarks(metadata);
    REQUIRE(found.size() == 2);
    CHECK(found[0].kind == Remark::Kind::python_depends);
    CHECK_FALSE(found[0].is_warning);
    CHECK(found[1].kind == Remark::Kind::dirty);
    CHECK(found[1].is_warning);
    for (const char* newer : {"0.17.3", "0.18.0", "1.0.0"}) {
        metadata.kernels_minver = newer;
        found = remarks(metadata);
        REQUIRE(found.size() == 3);
        CHECK(found[1].kind == Remark::Kind::kernels_minver);
    }
    metadata.kernels_minver = "0.9.9";
    CHECK(remarks(metadata).size() == 2);
}
