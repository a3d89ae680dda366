// Comparing what two models give.
#pragma once

#include <torch/script.h>

#include <optional>
#include <string>

namespace kernels::torchscript {

/// What may differ: |actual - expected| <= absolute + relative * |expected|. Without a given value the dtype
/// decides: 1e-7 for float64, 1e-4 for float32, 4e-3 for float16, 2e-2 for bfloat16, relative to the value
/// and to the root mean square of its tensor, so that small results are compared as strictly as large ones.
struct Tolerance {
    std::optional<double> relative;
    std::optional<double> absolute;
    bool given() const noexcept { return relative || absolute; }
};

struct Difference {
    double largest = 0;   ///< of all tensors; infinite where NaN or infinity are not at the same places
    bool within = true;   ///< by the tolerance
    std::string problem;  ///< what differs first, for people; empty when nothing does beyond the tolerance
};

struct CompareOptions {
    Tolerance tolerance;
    /// The expected result computed in float64, where there is one. Then the actual result's root mean square
    /// error must also be of the size of the expected result's own (unless a tolerance is given): in float16
    /// and bfloat16 one rounding more shows. What the expected result itself cannot hold is not asked of the
    /// actual one.
    const c10::IValue* exact = nullptr;
    bool strides = false;  ///< the layouts must be equal as well
    /// An error as small as the expected result's own is enough: for whole models in low precision, whose
    /// elements scatter.
    bool error_is_enough = false;
};

/// Compares values: tensors, and tensors in tuples, lists, dictionaries and options; all else must be equal.
Difference compare(const c10::IValue& actual, const c10::IValue& expected,
                   const CompareOptions& options = {});

}  // namespace kernels::torchscript
