// What a value of a graph is computed by, in one form for scripted and traced code.
#pragma once

#include <torch/csrc/jit/ir/ir.h>

#include <optional>
#include <vector>

namespace kernels::torchscript {

/// What an operand says, where that can be said in several ways.
enum class Role {
    plain,
    dimension,  ///< counted from the end or from the start
    dtype,      ///< of a tensor, or its number
    begin,      ///< of a slice: none is 0
    end         ///< of a slice: none is the largest number
};

struct Operand {
    torch::jit::Value* value;
    Role role = Role::plain;
};

struct Step {
    c10::Symbol op;
    std::vector<Operand> operands;
    std::vector<torch::jit::Node*> nodes;  ///< all that it stands for
    std::size_t output = 0;                ///< which of the results it is
};

/// Scripted code has numbers where traced code has tensors without dimensions, and converts between them.
/// Gives the value before such conversions, which are put into `conversions`.
torch::jit::Value* without_conversions(torch::jit::Value* value,
                                       std::vector<torch::jit::Node*>* conversions = nullptr);

/// The step that computes a value, which is the output of a node that is no parameter or constant.
Step step_of(torch::jit::Value* value);

}  // namespace kernels::torchscript
