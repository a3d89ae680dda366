#include "original_forwards.hpp"

#include <torch/csrc/jit/api/function_impl.h>

#include <set>
#include <vector>

#include "frontend.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"
#include "kernels/torch/kernelize.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;

constexpr std::string_view original_prefix = "kernels_original_";
// How an original calls its module. By this it is known from a method of the model's own that has such a
// name: names of arguments survive copies, saving and loading.
constexpr const char* original_self = "kernels_self";

std::string original_name(const std::string& method) {
    return std::string(original_prefix) + method;
}

void copy_method(const Module& module, const Function& from, const std::string& name,
                 const std::string& self) {
    const auto type = module.type();
    auto* made = module._ivalue()->compilation_unit()->create_function(
        c10::QualifiedName(*type->name(), name), toGraphFunction(from).graph()->copy());
    const auto& schema = from.getSchema();
    auto arguments = schema.arguments();
    const auto& first = arguments.at(0);
    arguments.front() = c10::Argument(self, first.type());
    made->setSchema(
        schema.cloneWithName(name, schema.overload_name()).cloneWithArguments(std::move(arguments)));
    type->addMethod(made);
}

const Function* find_original(const c10::ClassType& type, const std::string& method) {
    const Function* found = type.findMethod(original_name(method));
    return found != nullptr && is_original(*found) ? found : nullptr;
}

bool calls_replaced(const Block* block, std::set<const Function*>& seen);

bool calls_replaced(const ClassTypePtr& type, const std::string& method, std::set<const Function*>& seen) {
    if (find_original(*type, method) != nullptr) return true;
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

bool is_original(const Function& method) {
    const auto& arguments = method.getSchema().arguments();
    return method.name().starts_with(original_prefix) && !arguments.empty() &&
           arguments.front().name() == original_self;
}

void require_name_of_original(const Module& module, const std::string& method) {
    const std::string name = original_name(method);
    const Function* taken = module.type()->findMethod(name);
    if (taken == nullptr || is_original(*taken)) return;
    throw Error(ErrorCode::kernelize,
                "the class " + plain_class_name(module.type()->name()->qualifiedName()) + " has a method " +
                    backquoted(name) + " of its own, and under this name the original of its " + method +
                    " would be kept: give it another name");
}

void keep_original(const Module& module, const std::string& method) {
    if (has_original(module, method)) return;
    require_name_of_original(module, method);
    copy_method(module, module.type()->getMethod(method), original_name(method), original_self);
}

bool has_original(const Module& module, const std::string& method) {
    return find_original(*module.type(), method) != nullptr;
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
        if (!is_original(*method)) continue;
        const std::string kept = method->name();
        const std::string name = kept.substr(original_prefix.size());
        const Function* replaced = type->findMethod(name);
        if (replaced == nullptr || replaced->getSchema().arguments().empty()) {
            throw Error(ErrorCode::failed, "the class " + plain_class_name(type->name()->qualifiedName()) +
                                               " keeps the original of a method " + backquoted(name) +
                                               " that it does not have: the model is damaged");
        }
        const std::string self = replaced->getSchema().arguments().front().name();
        remove_method(module, type, name);
        copy_method(module, *method, name, self);
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

void remove_methods(const Module& model) {
    for (const auto& module : one_of_each_class(model)) {
        const auto type = module.type();
        const auto methods = type->methods();
        for (const Function* method : methods)
            remove_method(module, type, std::string(method->name()));
    }
}

}  // namespace kernels::torchscript
