// What calls of a module change beside their results.
#pragma once

#include <torch/script.h>

#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace kernels::torchscript {

/// The state of a module and all that are in it, as it was when this was made: what its attributes are, and
/// what is in its buffers, other tensors, lists and dictionaries. Given back by restore() and at the end, in
/// the same objects, so that whoever shares them sees it too.
class KeptState {
  public:
    /// Parameters are copied where that is asked for only: they can be large, and code rarely changes them.
    enum class Parameters { not_kept, kept };

    explicit KeptState(const torch::jit::Module& module, Parameters parameters = Parameters::not_kept);
    ~KeptState();
    KeptState(const KeptState&) = delete;
    KeptState& operator=(const KeptState&) = delete;

    void restore();

    /// An attribute that is another now than it was.
    struct Change {
        std::string name;  ///< "norm.calls"
        bool parameter = false;
        c10::IValue now;  ///< a copy
    };
    std::vector<Change> changes() const;

    /// A copy of what the attribute is now; None when there is none of this name.
    c10::IValue now(const std::string& name) const;

  private:
    struct Slot {
        std::string name;
        c10::intrusive_ptr<c10::ivalue::Object> owner;
        std::size_t place;
        bool parameter;
        c10::IValue value;
    };
    void keep(const c10::intrusive_ptr<c10::ivalue::Object>& object, const std::string& path);
    void keep(const c10::IValue& value);
    bool is_as_before(const c10::IValue& now, const c10::IValue& before) const;

    Parameters m_parameters;
    std::vector<Slot> m_slots;
    std::unordered_map<const void*, std::pair<at::Tensor, at::Tensor>> m_tensors;  // the tensor, its copy
    std::unordered_map<const void*, std::pair<c10::IValue, std::vector<c10::IValue>>> m_containers;
    std::unordered_set<const void*> m_objects;
};

}  // namespace kernels::torchscript
