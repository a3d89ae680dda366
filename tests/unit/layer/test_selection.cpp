#include <doctest/doctest.h>

#include <string>
#include <type_traits>

#include "kernels/core/error.hpp"
#include "kernels/layer/selection.hpp"
#include "layer_repository.hpp"

using namespace kernels;
using layer::CUDAProperties;
using layer::Device;
using layer::KernelizeFallback;
using layer::KernelMapping;
using layer::Mode;
using layer::NoKernel;
using layer::testing::repository;

namespace {

// The chosen layer's name and the mode that it is registered for, or the reason.
std::string chosen(const KernelMapping& mapping, const Device& device, std::optional<int> capability,
                   Mode mode) {
    const auto selection = layer::select(mapping, "L", device, capability, mode);
    if (!selection) return std::string(layer::to_string(selection.reason));
    return layer::member_name(selection.chosen->repository) + " " + selection.chosen->mode.to_string();
}

}  // namespace

TEST_CASE("The smallest interval that holds the capability wins, then the mode") {
    const KernelMapping mapping{
        {"L", "cuda", repository("Any")},
        {"L", {"cuda", CUDAProperties(75, 90)}, repository("Wide")},
        {"L", {"cuda", CUDAProperties(80, 89)}, {{Mode::training, repository("Narrow")}}},
    };
    CHECK(chosen(mapping, "cuda", 70, Mode::inference) == "Any fallback");
    CHECK(chosen(mapping, "cuda", 90, Mode::inference) == "Wide fallback");
    CHECK(chosen(mapping, "cuda", 75, Mode::inference) == "Wide fallback");
    CHECK(chosen(mapping, "cuda", 80, Mode::inference) == "Narrow training");
    CHECK(chosen(mapping, "cuda", 89, Mode::training) == "Narrow training");
    // What the smallest interval lacks in modes no wider one makes up.
    CHECK(chosen(mapping, "cuda", 85, Mode::training | Mode::torch_compile) == "no-mode");
    CHECK(chosen(mapping, "cuda", std::nullopt, Mode::inference) == "Any fallback");
    CHECK(chosen(mapping, "cpu", std::nullopt, Mode::inference) == "no-device");
    CHECK(chosen(mapping, "rocm", 80, Mode::inference) == "no-device");
}

TEST_CASE("Of equally small intervals the one for newer devices wins, whatever the order") {
    const KernelMapping::Entry older{"L", {"cuda", CUDAProperties(70, 85)}, repository("Older")};
    const KernelMapping::Entry newer{"L", {"cuda", CUDAProperties(75, 90)}, repository("Newer")};
    for (const auto& mapping : {KernelMapping{older, newer}, KernelMapping{newer, older}}) {
        CHECK(chosen(mapping, "cuda", 80, Mode::inference) == "Newer fallback");
        CHECK(chosen(mapping, "cuda", 72, Mode::inference) == "Older fallback");
    }
}

TEST_CASE("Without an interval for the capability there is no kernel") {
    const KernelMapping mapping{{"L", {"cuda", CUDAProperties(75, 90)}, repository("X")}};
    CHECK(chosen(mapping, "cuda", 74, Mode::inference) == "no-properties");
    CHECK(chosen(mapping, "cuda", 91, Mode::inference) == "no-properties");
    // Whether it fits an unknown device cannot be known.
    CHECK(chosen(mapping, "cuda", std::nullopt, Mode::inference) == "no-properties");
    const auto selection = layer::select(mapping, "L", "cuda", 74, Mode::inference);
    CHECK(selection.why == "L has no kernel for a cuda device of capability 74");
}

TEST_CASE("Devices without capabilities do not look at one") {
    const KernelMapping mapping{{"L", "cpu", repository("X")}};
    CHECK(chosen(mapping, "cpu", 80, Mode::inference) == "X fallback");
    CHECK(chosen(mapping, "cpu", std::nullopt, Mode::inference) == "X fallback");
    CHECK_FALSE(layer::select(mapping, "M", "cpu", std::nullopt, Mode::inference));
    CHECK(layer::select(mapping, "M", "cpu", std::nullopt, Mode::inference).why ==
          "no kernel is mapped to M");
}

TEST_CASE("Modes: the exact one, then the next that can do the same") {
    const Mode inference_compile = Mode::inference | Mode::torch_compile;
    const Mode training_compile = Mode::training | Mode::torch_compile;
    KernelMapping mapping{{"L", "cpu", {{training_compile, repository("TC")}}}};
    for (const Mode mode : {Mode::inference, Mode::training, inference_compile, training_compile})
        CHECK(chosen(mapping, "cpu", {}, mode) == "TC training|torch-compile");
    mapping.add("L", "cpu", Mode::training, repository("T"));
    CHECK(chosen(mapping, "cpu", {}, Mode::inference) == "T training");
    CHECK(chosen(mapping, "cpu", {}, inference_compile) == "TC training|torch-compile");
    mapping.add("L", "cpu", Mode::inference, repository("I"));
    CHECK(chosen(mapping, "cpu", {}, Mode::inference) == "I inference");
    CHECK(chosen(mapping, "cpu", {}, Mode::training) == "T training");
    const KernelMapping inference_only{{"L", "cpu", {{Mode::inference, repository("I")}}}};
    CHECK(chosen(inference_only, "cpu", {}, Mode::training) == "no-mode");
    CHECK(chosen(inference_only, "cpu", {}, inference_compile) == "no-mode");
    CHECK(layer::select(inference_only, "L", "cpu", {}, Mode::training).why ==
          "L has no kernel for the mode training: cpu has kernels for inference alone");
    for (const Mode mode : {Mode::fallback, Mode::torch_compile})
        CHECK_THROWS_AS(layer::select(mapping, "L", "cpu", {}, mode), Error);
    // A wrong mode is said even where there is no layer to choose for.
    CHECK_THROWS_AS(layer::select({}, "L", "cpu", {}, Mode::fallback), Error);
}

TEST_CASE("Fallback: what is not covered is an error that names the layer") {
    const KernelMapping mapping{{"L", {"cuda", CUDAProperties(75, 90)}, {{Mode::training, repository("X")}}}};
    const auto no_layer = layer::select(mapping, "M", "cuda", 80, Mode::inference);
    const auto no_device = layer::select(mapping, "L", "cpu", 80, Mode::inference);
    const auto no_properties = layer::select(mapping, "L", "cuda", 60, Mode::inference);
    const auto no_mode = layer::select(mapping, "L", "cuda", 80, Mode::inference | Mode::torch_compile);
    for (const auto* selection : {&no_layer, &no_device, &no_properties, &no_mode}) {
        CHECK_THROWS_AS(layer::require_covered(*selection, false), Error);
        CHECK_NOTHROW(layer::require_covered(*selection, true));
        CHECK_NOTHROW(layer::require_covered(*selection, KernelizeFallback::all));
    }
    CHECK_THROWS_WITH_AS(layer::require_covered(no_mode, KernelizeFallback::no_layer),
                         "L has no kernel for the mode inference|torch-compile: cuda[75..90] is the smallest "
                         "interval that holds 80, and it has kernels for training alone",
                         Error);
    CHECK_NOTHROW(layer::require_covered(no_device, KernelizeFallback::no_device));
    try {
        layer::require_covered(no_mode, KernelizeFallback::none);
        FAIL("covered");
    } catch (const Error& error) {
        CHECK(error.hint() == "map a kernel to it, or allow the original forward with use_fallback");
        CHECK(error.remedies() == std::vector{Remedy::fallback_default});
    }
    CHECK_FALSE(KernelizeFallback(true).covers(NoKernel::cannot_load));
    CHECK(KernelizeFallback(true).covers(NoKernel::not_redirectable));
    CHECK_FALSE(KernelizeFallback::no_compatible_mode.covers(NoKernel::not_redirectable));
    CHECK(KernelizeFallback::all.covers(NoKernel::cannot_load));
    CHECK(KernelizeFallback::none.covers(NoKernel::disabled));
}

TEST_CASE("Fallback flags: their text is read back") {
    CHECK(KernelizeFallback(true) == KernelizeFallback::standard);
    CHECK(KernelizeFallback(false) == KernelizeFallback::none);
    for (const char* text : {"none", "default", "all", "no-layer", "no-device|no-mode",
                             "no-layer|cannot-load", "no-mode|not-redirectable"})
        CHECK(KernelizeFallback::parse(text).to_string() == text);
    CHECK(KernelizeFallback::parse("no-layer|no-device|no-properties|no-mode|not-redirectable") ==
          KernelizeFallback::standard);
    for (const char* bad : {"", "never", "disabled", "no-layer|", "all|no-layer"}) {
        CAPTURE(bad);
        CHECK_THROWS_AS(KernelizeFallback::parse(bad), Error);
    }
    CHECK_THROWS_WITH(KernelizeFallback::parse("none|all"), "`none|all`: `none` stands alone");
    CHECK_THROWS_WITH(KernelizeFallback::parse("no-layer|all"), "`no-layer|all`: `all` stands alone");
}

TEST_CASE("A fallback is a flag, one of the values, or their text; no number and no pointer") {
    static_assert(std::is_convertible_v<bool, KernelizeFallback>);
    static_assert(!std::is_constructible_v<KernelizeFallback, int>);
    static_assert(!std::is_constructible_v<KernelizeFallback, std::nullptr_t>);
    static_assert(!std::is_constructible_v<KernelizeFallback, const void*>);
    const auto given = [](KernelizeFallback fallback) { return fallback; };
    CHECK(given("none") == KernelizeFallback::none);
    CHECK(given(std::string("no-layer|no-mode")) ==
          (KernelizeFallback::no_layer | KernelizeFallback::no_compatible_mode));
    CHECK(given(true) == KernelizeFallback::standard);
    CHECK(given(false) == KernelizeFallback::none);
    try {
        given("nome");
        FAIL("accepted");
    } catch (const Error& error) {
        const std::string hint = error.hint();
        CHECK(hint.starts_with("did you mean `none`? cases: none, default, all, no-layer"));
    }
}
