// An original and its replacement on the same inputs.
#pragma once

#include <torch/script.h>

#include <optional>
#include <string>
#include <vector>

#include "input_cases.hpp"
#include "kernels/torch/compare.hpp"
#include "own_arguments.hpp"

namespace kernels::torchscript {

struct Pair {
    torch::jit::Module original;
    torch::jit::Module replaced;
    bool exact = false;  ///< whether results are compared with the original's in float64 as well
    std::optional<std::size_t> sum_of_weights = {};  ///< the replacement's, where the original changes none
    std::string method = "forward";
    OwnArguments own = {};  ///< of the method: on all inputs they are the weights of the original
};

struct Outcome {
    enum class Kind { same, differs, refused, left_out };
    Kind kind = Kind::same;
    std::string problem;  ///< also the reason of a refusal
    double largest = 0;
    bool roundings = false;  ///< their number alone differs, see Difference
    bool gradients = false;  ///< were compared
    double largest_of_gradients = 0;
    bool draws = false;          ///< random numbers, one of the two
    bool form_alone = false;     ///< was compared, as random numbers make the values
    bool other_numbers = false;  ///< were drawn by the replacement; then the form alone was compared
    std::string not_exact;       ///< why the original in float64 is of no use, on the known call
    std::size_t memory = 0;      ///< bytes that the original's tensors took at most
    c10::IValue expected;        ///< the original's result; none when it was left out
};

struct CheckOptions {
    Tolerance tolerance;
    bool whole_model = false;
    std::uint64_t seed = 0;
    const KnownCall* known = nullptr;  ///< what the case was made from
    /// Whether changes of weights are faults, and how they are found: by copies, or for large ones by sums.
    enum class Weights { not_watched, copied, summed } weights = Weights::not_watched;
    bool gradients = false;  ///< are compared as well
    /// Where both draw random numbers, but leave the generator behind in different states, as one draws
    /// others than the other, a result of the same form is no fault, however its values differ.
    bool may_draw_others = false;
};

/// Runs both on copies of the case's inputs, the replacement twice, and compares everything that can be seen
/// from outside: results, arguments afterwards, shared memory, memory that was not written
/// or is not its own, state, and gradients where that is asked for. What draws random numbers is not compared
/// with the original in float64: that may draw others. On inputs of an unusual layout both may draw the same
/// numbers for other elements, as draws follow the memory: then too the form alone is compared.
Outcome check(Pair& pair, const InputCase& one, const CheckOptions& options);

/// Whether the original runs on the case and gives what the known call lets expect.
bool accepts(Pair& pair, const InputCase& one, const CheckOptions& options);

/// The cause in TorchScript's message, one line.
std::string cause_of(const std::exception& failure);

/// A deep copy of a module, its floating tensors in `dtype` if there is one.
torch::jit::Module copy_of(const torch::jit::Module& module, std::optional<at::ScalarType> dtype);

}  // namespace kernels::torchscript
