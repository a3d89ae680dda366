#include "original_forwards.hpp"

#include <torch/csrc/jit/api/function_impl.h>

#include <set>
#include <vector>

#include "frontend.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;

void copy_method(const Module& module, const Function& from, const std::string& name) {
    const auto type = module.type();
    auto* made = module._ivalue()->compilation_unit()->create_function(
        c10::QualifiedName(*type->name(), name), toGraphFunction(from).graph()->copy());
    made->setSchema(from.getSchema().cloneWithName(name, from.getSchema().overload_name()));
    type->addMethod(made);
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

void keep_original_forward(const Module& module) {
    if (module.type()->findMethod(original_method) != nullptr) return;
    copy_method(module, module.type()->getMethod("forward"), original_method);
}

bool restore_original_forward(const Module& module) {
    const auto type = module.type();
    const Function* kept = type->findMethod(original_method);
    if (kept == nullptr) return false;
    remove_method(module, type, "forward");
    copy_method(module, *kept, "forward");
    remove_method(module, type, original_method);
    return true;
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
