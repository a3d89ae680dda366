// The values of a run in float64.
#pragma once

#include <torch/csrc/jit/ir/ir.h>
#include <torch/script.h>

#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>

namespace kernels::torchscript {

/// Makes one run of code that was written for narrower dtypes exact. Weights and constants stay as they are
/// and are widened where an operator takes them, a large one in parts or not at all: the run needs no copy of
/// the model. What the run changes of the model's floating buffers and attributes it changes in copies that
/// end with it.
class WideValues {
  public:
    /// `own` is the dtype of which limits are that code leaves to the dtype.
    explicit WideValues(at::ScalarType own) : m_own(own) {}

    /// An object of the run itself, whose attributes are its own.
    void made(const c10::intrusive_ptr<c10::ivalue::Object>& object) { m_made.insert(object); }
    /// What the attribute is in this run.
    c10::IValue attribute(const c10::intrusive_ptr<c10::ivalue::Object>& owner, const std::string& name);
    void set_attribute(const c10::intrusive_ptr<c10::ivalue::Object>& owner, const std::string& name,
                       c10::IValue value);
    /// Runs the node's operator on the values in the stack. Throws what the operator throws, and where a
    /// value is too large to be widened or would be written in its own dtype.
    void operate(const torch::jit::Node& node, torch::jit::Stack& stack) const;

  private:
    at::Tensor own(const at::Tensor& tensor);
    void set_limits_of_dtype(c10::Symbol kind, torch::jit::Stack& stack) const;

    using Object = c10::intrusive_ptr<c10::ivalue::Object>;  // kept alive, or another may be where it was
    std::map<std::pair<Object, std::string>, c10::IValue> m_attributes;
    std::set<Object> m_made;
    at::ScalarType m_own;
    std::unordered_map<const c10::StorageImpl*, at::Tensor> m_copies;  // of all memory that buffers are in
    int64_t m_copied = 0;                                              // elements
};

/// The value with its floating tensors in float64. Throws for a tensor that is too large.
c10::IValue widened(const c10::IValue& value);

}  // namespace kernels::torchscript
