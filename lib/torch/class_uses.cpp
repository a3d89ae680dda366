#include "class_uses.hpp"

#include <set>

#include "graph_calls.hpp"
#include "original_forwards.hpp"

namespace kernels::torchscript {

using namespace torch::jit;

const std::vector<Module>& ClassUses::instances(const c10::ClassTypePtr& type) {
    if (m_instances.empty()) {
        for (const auto& module : m_model.modules())
            m_instances[module.type().get()].push_back(module);
    }
    return m_instances[type.get()];
}

std::vector<std::string> ClassUses::callers(const Function& method) {
    if (m_callers.empty()) {
        for (const auto& own : m_model.get_methods()) {
            if (is_original(own.function())) continue;
            std::set<const Function*> called;
            collect_called(own.function(), called);
            for (const Function* one : called)
                if (one != &own.function()) m_callers[one->qualname().qualifiedName()].push_back(own.name());
        }
    }
    return m_callers[method.qualname().qualifiedName()];
}

}  // namespace kernels::torchscript
