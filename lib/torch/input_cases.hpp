// Inputs made from known ones: other sizes, values, layouts and dtypes.
#pragma once

#include <torch/script.h>

#include <compare>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "kernels/torch/compare.hpp"

namespace kernels::torchscript {

/// One extent of the tensors in the arguments, in the order of tensors_in.
struct Extent {
    std::size_t tensor = 0;
    int64_t dim = 0;
    auto operator<=>(const Extent&) const = default;
};

/// A change of one extent of the inputs, and of those that must be equal.
struct Resize {
    int64_t from = 0;
    int64_t to = 0;
    bool last = false;  ///< the last dimension
};

/// What the weights are, the same ones in both: near the model's own, of both signs, or with other buffers
/// too.
enum class Weights { near, both_signs, other_buffers };

struct InputCase {
    std::string name;  ///< "inputs with 3 rows in the place of 2"
    std::vector<c10::IValue> arguments;
    std::optional<at::ScalarType> dtype;  ///< where the model is to compute in another one
    std::optional<Resize> resize;
    bool single_row = false;       ///< all extents that can be are 1, but for the last dimension's
    int64_t more_dims = 0;         ///< that the tensors have than the known ones
    bool other_arguments = false;  ///< one that is no tensor differs; the result may be of any form
    bool usual_layout = true;      ///< then a model's result must be contiguous where its original's is
    bool may_be_refused = false;   ///< an error of the kernel is no difference: the model does not use this
    bool gradients = true;         ///< that are compared are those of usual values, where none cancel
    bool finite_result = true;     ///< only meaningful where the original's result is finite
    Special special = Special::none;
    Weights weights = Weights::near;
};

/// Values of the same kind and range: floats resampled and scattered a little, whole numbers resampled, so
/// that indices stay in range. Random numbers come from torch's generator.
at::Tensor resampled(const at::Tensor& tensor, at::IntArrayRef sizes);

/// `values` with its rows' second half as the first, or each second element as the one before it, where those
/// of `like` are so and not all the same: the cosines and sines of rotary embeddings are repeated, and
/// kernels read one of the two.
at::Tensor repeated_as(const at::Tensor& like, const at::Tensor& values);

/// The dtype of the first floating input; nothing when there is none.
std::optional<at::ScalarType> floating_dtype(const std::vector<c10::IValue>& arguments);

/// Whether the original runs on a case and gives what the case lets expect.
using Accepts = std::function<bool(const InputCase&)>;

/// What is known of the original beside what it computes.
struct Known {
    std::set<int64_t> rows;                 ///< see row_counts
    bool halves = false;                    ///< it may take sizes to be even, see halves_sizes
    bool one_rank = false;                  ///< it was found for one number of dimensions only
    std::vector<c10::IValue> results = {};  ///< for the known arguments
    std::set<int64_t> numbers = {};         ///< in the code of a layer, see numbers_in
};

/// What a layer must compute as its original does, made from arguments that it was called with. Arguments
/// that are no tensors are varied by add_other_arguments.
std::vector<InputCase> layer_cases(const std::vector<c10::IValue>& arguments, const Accepts& accepts,
                                   const Known& known);

/// The same for whole models: sizes, numbers of dimensions, masks and, where the model is `small`, more
/// sizes, whole numbers, layouts and other dtypes; values stay of the kind given.
std::vector<InputCase> model_cases(const std::vector<c10::IValue>& arguments, const Accepts& accepts,
                                   const Known& known, bool small);

/// What the original gave for the inputs that the cases are made from, and what its code holds.
struct KnownCall {
    c10::IValue result;
    std::optional<at::ScalarType> dtype;  ///< of its inputs
    std::set<int64_t> numbers;            ///< see numbers_in
    std::size_t memory = 0;               ///< bytes that its tensors took at most
};

/// Whether the original's result for a case is of the shape and dtype that the known call lets expect. It is
/// not where tracing fixed a size or dtype in the graph; such a case tells nothing.
bool follows(const c10::IValue& result, const KnownCall& known, const InputCase& one);

}  // namespace kernels::torchscript
