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
    double largest = 0;      ///< of all tensors; infinite where NaN or infinity are not at the same places
    bool within = true;      ///< by the tolerance
    std::string problem;     ///< what differs first, for people; empty when nothing does beyond the tolerance
    bool roundings = false;  ///< it is the number of roundings alone, which chance may have made
};

/// Inputs of which part of the result means nothing. For NaN and infinity: NaN where a number was expected is
/// no difference if the same place of the first dimension was expected to have NaN or infinity as well: 0
/// times infinity, or NaN that a mask hides. For both infinities: where NaN was expected, infinity and 0
/// may be, and a number if the actual result has NaN elsewhere in that place; anything where the result in
/// float64 is not known. Masks are made of negative infinity: no NaN may come of it where none was expected.
enum class Special { none, nan, infinity, negative_infinity };

struct CompareOptions {
    Tolerance tolerance;
    /// The expected result computed in float64, where there is one. Then (unless a tolerance is given) the
    /// errors of both count: the actual result's must not be clearly larger than the expected result's own,
    /// and where it is not, the two may differ. What the expected result itself cannot hold is not asked of
    /// the actual one.
    const c10::IValue* exact = nullptr;
    /// How far each number in `exact` moves by roundings and by another order of equal elements; by as much
    /// the actual one may differ.
    const c10::IValue* sensitivity = nullptr;
    double moved_by = 0;   ///< the roundings that it is for, of 1: those of narrow dtypes move any number
    bool strides = false;  ///< what was expected to be contiguous must be
    bool roundings =
        false;  ///< in float16 and bfloat16 being rounded more often than expected is a difference
    Special special = Special::none;  ///< what is in the inputs
};

/// Compares values: tensors, and tensors in tuples, lists, dictionaries and options; all else must be equal.
Difference compare(const c10::IValue& actual, const c10::IValue& expected,
                   const CompareOptions& options = {});

}  // namespace kernels::torchscript
