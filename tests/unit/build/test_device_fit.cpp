#include <doctest/doctest.h>

#include "kernels/build/device_fit.hpp"
#include "kernels/build/suggestion.hpp"
#include "kernels/core/error.hpp"
#include "made_library.hpp"

using namespace kernels;
using namespace kernels::build;
using namespace kernels::testing;

namespace {

Fit cuda_fit(std::vector<std::string> archs, int capability) {
    auto target = Target::parse("cuda=12.8");
    target.capability = capability;
    return device_fit("cuda", archs, target).fit;
}

DeviceCode cuda_code(std::vector<CudaCode> code) {
    DeviceCode out;
    out.cuda = std::move(code);
    out.units = {out};
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

TEST_CASE("gfx names, and what feature flags decide") {
    const std::vector<std::string> archs = {"gfx90a", "gfx942"};
    auto target = Target::parse("rocm=6.4,arch=gfx942");
    CHECK(device_fit("rocm", archs, target).fit == Fit::yes);
    target.gpu_arch = "gfx90a:sramecc+:xnack-";
    CHECK(device_fit("rocm", archs, target).fit == Fit::yes);
    target.gpu_arch = "gfx1100";
    const auto fit = device_fit("rocm", archs, target);
    CHECK(fit.fit == Fit::no);
    CHECK(fit.text == "built for gfx90a, gfx942, the device is gfx1100");
    // A flag that both the code and the device state must be the same.
    const auto fits = [](const char* code, const char* device) {
        DeviceCode held;
        held.gfx = {code};
        held.units = {held};
        return device_fit(held, Target::parse(std::string("rocm=6.4,arch=") + device)).fit;
    };
    CHECK(fits("gfx90a:xnack+", "gfx90a:xnack-") == Fit::no);
    CHECK(fits("gfx90a:sramecc+:xnack+", "gfx90a:sramecc+:xnack-") == Fit::no);
    CHECK(fits("gfx90a:sramecc-", "gfx90a:sramecc+:xnack-") == Fit::no);
    CHECK(fits("gfx90a:sramecc+", "gfx90a:xnack-") == Fit::yes);
    CHECK(fits("gfx90a:xnack-", "gfx90a:sramecc+:xnack-") == Fit::yes);
    CHECK(fits("gfx90a:xnack+", "gfx90a") == Fit::yes);
    CHECK(fits("gfx90a", "gfx90a:xnack-") == Fit::yes);
    CHECK(fits("gfx9-4-generic:xnack+", "gfx942:xnack-") == Fit::no);
}

TEST_CASE("code for a generic processor runs on those that it covers, SPIR-V on all") {
    auto target = Target::parse("rocm=6.4,arch=gfx942");
    const auto judged = [&](std::vector<std::string> archs, const char* device) {
        target.gpu_arch = device;
        return device_fit("rocm", archs, target);
    };
    const auto fit = [&](std::vector<std::string> archs, const char* device) {
        return judged(std::move(archs), device).fit;
    };
    CHECK(fit({"gfx9-4-generic"}, "gfx942") == Fit::yes);
    CHECK(fit({"gfx9-4-generic"}, "gfx950:sramecc+:xnack-") == Fit::yes);
    CHECK(fit({"gfx9-4-generic"}, "gfx90a") == Fit::no);
    CHECK(fit({"gfx9-generic"}, "gfx90c") == Fit::yes);
    CHECK(fit({"gfx9-generic"}, "gfx90a") == Fit::no);
    CHECK(fit({"gfx10-1-generic"}, "gfx1013") == Fit::yes);
    CHECK(fit({"gfx10-1-generic"}, "gfx1030") == Fit::no);
    CHECK(fit({"gfx10-3-generic"}, "gfx1036") == Fit::yes);
    CHECK(fit({"gfx90a", "gfx11-generic"}, "gfx1153") == Fit::yes);
    CHECK(fit({"gfx11-generic"}, "gfx1201") == Fit::no);
    CHECK(fit({"gfx12-generic"}, "gfx1200") == Fit::yes);
    CHECK(fit({"gfx12-generic"}, "gfx1250") == Fit::no);
    CHECK(judged({"gfx11-generic"}, "gfx1100").text == "its code for gfx11-generic runs on gfx1100");
    // A generic processor that is newer than the table decides nothing.
    CHECK(fit({"gfx13-generic"}, "gfx1310") == Fit::unknown);
    CHECK(fit({"gfx13-generic", "gfx942"}, "gfx942") == Fit::yes);
    CHECK(fit({"gfx90a", "amdgcnspirv"}, "gfx1310") == Fit::yes);
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
    hip.units = {hip};
    CHECK(device_fit(hip, target).fit == Fit::unknown);
    CHECK(device_fit(hip, Target::parse("rocm=6.4,arch=gfx90a")).fit == Fit::no);
    auto damaged = cuda_code({{80, '\0', false, ""}});
    damaged.problems = {"a section lies outside of the file"};
    CHECK(device_fit(damaged, target).fit == Fit::unknown);
}

TEST_CASE("one translation unit of a library with code for the device is enough, the others are told of") {
    const auto unit = [](int capability, const char* section) {
        const auto cubin = elf_library({{".nv.info", "x"}, {section, "x"}}, 190);  // EM_CUDA
        return cuda_image(cuda_entry(2, capability, 0x11, cubin));
    };
    const auto library = [](const std::string& fat) {
        return device_code(elf_library({{".nv_fatbin", fat}}), "lib.so");
    };
    const auto both = library(unit(80, ".text.a") + unit(80, ".text.b") + unit(90, ".text.c"));
    const auto fit = device_fit(both, Target::parse("cuda=12.8,capability=90"));
    CHECK(fit.fit == Fit::yes);
    CHECK(fit.caution == "a part of it is built for 8.0, which does not run on capability 9.0");
    const std::vector<LibraryCode> build = {{"k.so", both}};
    CHECK(device_fit(build, Target::parse("cuda=12.8,capability=90")).caution == "k.so: " + fit.caution);
    CHECK(device_fit(both, Target::parse("cuda=12.8,capability=120")).fit == Fit::no);
    // A unit for both devices is no reason for a warning.
    const auto one = library(cuda_image(cuda_entry(2, 80, 0x11, "code") + cuda_entry(2, 90, 0x11, "code")));
    CHECK(device_fit(one, Target::parse("cuda=12.8,capability=90")).caution.empty());
    // What nvcc makes of host code alone, and adds when it links, has cubins without a kernel.
    const auto linked = library(unit(80, ".text.a") + unit(75, ".nv.compat"));
    CHECK(arch_names(linked) == std::vector<std::string>{"7.5", "8.0"});
    CHECK(device_fit(linked, Target::parse("cuda=12.8,capability=80")).caution.empty());
    CHECK(device_fit(linked, Target::parse("cuda=12.8,capability=75")).fit == Fit::no);
    CHECK(device_fit(library(unit(75, ".nv.compat")), Target::parse("cuda=12.8,capability=90")).fit ==
          Fit::unknown);
    // HIP's bundles are one a unit as well.
    const auto hip =
        device_code(elf_library({{".hip_fatbin", hip_bundle({"hipv4-amdgcn-amd-amdhsa--gfx942"}) +
                                                     hip_bundle({"hipv4-amdgcn-amd-amdhsa--gfx1100"})}}),
                    "lib.so");
    CHECK(device_fit(hip, Target::parse("rocm=6.4,arch=gfx942")).caution ==
          "a part of it is built for gfx1100, the device is gfx942");
}

TEST_CASE("one library of a build with code for the device is enough") {
    const auto target = Target::parse("cuda=12.8,capability=90");
    const LibraryCode other{"impl_sm80.so", cuda_code({{80, '\0', false, ""}})};
    const LibraryCode own{"impl_sm90.so", cuda_code({{90, '\0', false, ""}})};
    const LibraryCode host{"plain.so", {}};
    LibraryCode damaged{"cut.so", {}};
    damaged.code.problems = {"a section lies outside of the file"};
    const auto judged = [&](std::vector<LibraryCode> libraries) { return device_fit(libraries, target); };

    CHECK(judged({other, own, host}).fit == Fit::yes);
    CHECK(judged({other, own, host}).text.starts_with("impl_sm90.so: "));
    CHECK(judged({other, own, host}).caution ==
          "impl_sm80.so: built for 8.0, which does not run on capability 9.0");
    CHECK(judged({own, damaged}).fit == Fit::yes);
    CHECK(judged({other, host}).fit == Fit::no);
    CHECK(judged({other, host}).text.starts_with("impl_sm80.so: "));
    CHECK(judged({other, damaged}).fit == Fit::unknown);
    CHECK(judged({host}).fit == Fit::unknown);
    CHECK(judged({}).fit == Fit::unknown);
}

TEST_CASE("a preferred build without code for the device is refused, and no other is taken") {
    const std::vector<BuildVariant> variants = {BuildVariant::parse("torch213-cu128-x86_64-linux"),
                                                BuildVariant::parse("torch213-cu126-x86_64-linux"),
                                                BuildVariant::parse("torch212-cu128-x86_64-linux")};
    auto target = Target::parse("torch=2.13,cuda=12.8");
    int asked = 0;
    const DeviceFitOf fit_of = [&](const BuildVariant& variant, const Target& device) {
        ++asked;
        const std::vector<std::string> archs = {variant.backend().version.minor == 8 ? "8.0" : "9.0"};
        return device_fit("cuda", archs, device);
    };
    auto selection = select(variants, target);
    refuse_for_device(selection, target, fit_of);
    CHECK(asked == 0);  // the target does not name its device
    CHECK(selection.best() != nullptr);

    target.capability = 90;
    refuse_for_device(selection, target, fit_of);
    CHECK(asked == 2);
    CHECK(selection.best() == nullptr);
    REQUIRE(selection.decisions[0].rejection);
    CHECK(selection.decisions[0].rejection->reason == Reason::device);
    CHECK(selection.decisions[1].accepted());

    const auto suggestions = suggest(selection, target, {}, fit_of);
    REQUIRE(suggestions.size() == 1);  // torch 2.12 would lead to code for 8.0 as well
    CHECK(suggestions[0].kind == Suggestion::Kind::backend);
    CHECK(suggestions[0].value == "12.6");
    const auto error = no_build_error("org/relu@v1", selection, target, suggestions);
    CHECK(error.code() == ErrorCode::no_build);
    CHECK(
        std::string(error.what()) ==
        "org/relu@v1: torch213-cu128-x86_64-linux: no device code for this device: built for 8.0, which does "
        "not run on capability 9.0");
    REQUIRE(error.builds().size() == 3);
    CHECK(error.builds()[0].reason == "device");
    CHECK(error.builds()[1].reason == "not-preferred");
    CHECK(error.builds()[2].reason == "torch-version");
    CHECK(error.details().size() == 2);
    const auto reworded = error.reworded("layer: " + std::string(error.what()));
    CHECK(reworded.builds().size() == 3);
    CHECK(reworded.suggestions().size() == 1);
    CHECK(reworded.hint() == error.hint());
    CHECK(Error(ErrorCode::no_build, "sum").with_causes({error}).causes()[0].builds().size() == 3);
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
