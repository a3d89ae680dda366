#include "original_forwards.hpp"

#include <torch/csrc/jit/api/function_impl.h>

#include <set>
#include <vector>

#include "frontend.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;

constexpr std::string_view original_prefix = "kernels_original_";

void copy_method(const Module& module, const Function& from, const std::string& name) {
    const auto type = module.type();
    auto* made = module._ivalue()->compilation_unit()->create_function(
        c10::QualifiedName(*type->name(), name), toGraphFunction(from).graph()->copy());
    made->setSchema(from.getSchema().cloneWithName(name, from.getSchema().overload_name()));
    type->addMethod(made);
}

bool calls_replaced(const Block* block, std::set<const Function*>& seen);

bool calls_replaced(const ClassTypePtr& type, const std::string& method, std::set<const Function*>& seen) {
    if (type->findMethod(std::string(original_prefix) + method) != nullptr) return true;
    const Function* function = type->findMethod(method);
    if (function == nullptr || !function->isGraphFunction() || !seen.insert(function).second) return false;
    return calls_replaced(toGraphFunction(*function).graph()->block(), seen);
}

bool calls_replaced(const Block* block, std::set<const Function*>& seen) {
    for (const Node* node : block->nodes()) {
        for (const Block* inner : node->blocks())
            if (calls_replaced(inner, seen)) return true;
        if (node->kind() != prim::CallMethod) continue;
        const auto type = node->input(0)->type()->cast<ClassType>();
        // Of an interface nothing is known.
        if (!type || calls_replaced(type, node->s(attr::name), seen)) return true;
    }
    return false;
}

// One module of each class of the model.
std::vector<Module> one_of_each_class(const Module& model) {
    std::set<const c10::ClassType*> seen;
    std::vector<Module> modules;
    for (const auto& item : model.named_modules()) {
        if (seen.insert(item.value.type().get()).second) modules.push_back(item.value);
    }
    return modules;
}

}  // namespace

bool is_original(std::string_view method) {
    return method.starts_with(original_prefix);
}

void keep_original(const Module& module, const std::string& method) {
    if (has_original(module, method)) return;
    copy_method(module, module.type()->getMethod(method), std::string(original_prefix) + method);
}

bool has_original(const Module& module, const std::string& method) {
    return module.type()->findMethod(std::string(original_prefix) + method) != nullptr;
}

bool calls_replaced(const Module& module, const std::string& method) {
    std::set<const Function*> seen;
    return calls_replaced(module.type(), method, seen);
}

bool restore_original_forward(const Module& module) {
    const auto type = module.type();
    const auto methods = type->methods();
    bool restored = false;
    for (const Function* method : methods) {
        const std::string kept = method->name();
        if (!is_original(kept)) continue;
        const std::string name = kept.substr(original_prefix.size());
        remove_method(module, type, name);
        copy_method(module, *method, name);
        remove_method(module, type, kept);
        restored = true;
    }
    return restored;
}

bool restore_original_forwards(const Module& model) {
    bool restored = false;
    for (const auto& module : one_of_each_class(model))
        restored = restore_original_forward(module) || restored;
    return restored;
}

void renew_methods(const Module& model) {
    for (const auto& module : one_of_each_class(model)) {
        const auto type = module.type();
        const auto methods = type->methods();
        for (Function* method : methods) {
            if (!method->isGraphFunction()) continue;
            const std::string name = method->name();
            auto graph = toGraphFunction(*method).graph();
            auto schema = method->getSchema();
            remove_method(module, type, name);
            auto* made = module._ivalue()->compilation_unit()->create_function(
                c10::QualifiedName(*type->name(), name), std::move(graph));
            made->setSchema(std::move(schema));
            type->addMethod(made);
        }
    }
}

}  // namespace kernels::torchscript
