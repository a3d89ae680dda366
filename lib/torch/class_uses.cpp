#include "class_uses.hpp"

#include <torch/csrc/jit/api/function_impl.h>

#include <algorithm>
#include <set>

#include "graph_calls.hpp"
#include "kernels/torch/kernelize.hpp"
#include "original_forwards.hpp"
#include "rewrite.hpp"

namespace kernels::torchscript {

using namespace torch::jit;

namespace {

// The classes of the type, and of all that is in it.
void collect_classes(const c10::TypePtr& type, std::set<const c10::ClassType*>& classes) {
    if (const auto known = type->cast<c10::ClassType>(); known && !classes.insert(known.get()).second) return;
    for (const auto& inner : type->containedTypes())
        collect_classes(inner, classes);
}

// The attribute that a list or dictionary is, or is in.
const Node* attribute_of(const Value* container) {
    const Node* node = container->node();
    while (node->kind() == aten::__getitem__)
        node = node->input(0)->node();
    return node->kind() == prim::GetAttr ? node : nullptr;
}

// What reads or names the attributes that a node writes. A tensor that changes in its place is none: it is
// read anew at each call.
std::vector<const Node*> attributes_written(const Node& node) {
    if (node.kind() == prim::SetAttr) return {&node};
    std::vector<const Node*> written;
    const auto* schema = node.maybeSchema();
    if (schema == nullptr || !schema->is_mutable()) return written;
    for (std::size_t i = 0; i < schema->arguments().size(); ++i) {
        const auto* alias = schema->arguments()[i].alias_info();
        const bool writes = alias != nullptr && alias->isWrite();
        if (!writes || node.input(i)->type()->kind() == c10::TypeKind::TensorType) continue;
        if (const Node* attribute = attribute_of(node.input(i))) written.push_back(attribute);
    }
    return written;
}

}  // namespace

ClassUses::ClassUses(Module model) : m_model(std::move(model)), m_own_arguments(m_model) {
    std::set<const Function*> functions;
    for (const auto& module : m_model.modules()) {
        const auto type = module.type();
        for (const auto& list : {type->methods(), type->getForwardHooks(), type->getForwardPreHooks()})
            for (const Function* one : list)
                if (!is_original(*one)) collect_called(*one, functions);
    }
    std::map<std::string, const Function*> in_order;
    for (const Function* one : functions)
        in_order.emplace(one->qualname().qualifiedName(), one);
    for (const auto& one : in_order)
        collect_writes(*one.second);
}

void ClassUses::collect_writes(const Function& function) {
    if (!function.isGraphFunction()) return;
    for_each_node(toGraphFunction(function).graph()->block(), [&](const Node* node) {
        for (const Node* one : attributes_written(*node)) {
            const auto owner = one->input(0)->type()->cast<c10::ClassType>();
            if (!owner || !owner->name()) continue;
            m_writes.try_emplace(owner->name()->qualifiedName(), Write{one->s(attr::name), &function});
        }
    });
}

std::optional<std::string> ClassUses::written_in(const Module& layer) const {
    for (const auto& module : layer.modules()) {
        std::set<const c10::ClassType*> classes;
        collect_classes(module.type(), classes);
        std::map<std::string, const Write*> found;
        for (const auto* type : classes) {
            const auto write = type->name() ? m_writes.find(type->name()->qualifiedName()) : m_writes.end();
            if (write != m_writes.end()) found.emplace(write->first, &write->second);
        }
        if (found.empty()) continue;
        const auto& [name, write] = *found.begin();
        const std::string whose =
            name == layer.type()->name()->qualifiedName()
                ? "its " + write->attribute
                : "the " + write->attribute + " of " + plain_class_name(name) + " in it";
        return whose + " is written by " + writer(*write->by, *layer.type());
    }
    return std::nullopt;
}

std::string ClassUses::writer(const Function& function, const c10::ClassType& layer) const {
    const std::string owner = function.qualname().prefix();
    if (owner == m_model.type()->name()->qualifiedName()) return "the model's " + function.name();
    if (owner == layer.name()->qualifiedName()) return "its " + function.name();
    return function.name() + " of " + plain_class_name(owner);
}

const std::vector<Module>& ClassUses::instances(const c10::ClassTypePtr& type) {
    if (m_instances.empty()) {
        for (const auto& module : m_model.modules())
            m_instances[module.type().get()].push_back(module);
    }
    return m_instances[type.get()];
}

void ClassUses::note_calls(const Function& caller) {
    std::set<const Function*> called;
    m_calls_any = !collect_called(caller, called) || m_calls_any;
    for (const Function* one : called)
        if (one != &caller) (*m_callers)[one->qualname().qualifiedName()].push_back(caller.name());
}

void ClassUses::find_callers() {
    if (m_callers) return;
    m_callers.emplace();
    for (const auto& module : m_model.modules()) {
        const auto type = module.type();
        for (const auto& hooks : {type->getForwardHooks(), type->getForwardPreHooks()})
            for (const Function* hook : hooks)
                note_calls(*hook);
    }
    for (const auto& own : m_model.get_methods())
        if (!is_original(own.function())) note_calls(own.function());
}

std::vector<std::string> ClassUses::callers(const Function& method) {
    find_callers();
    return (*m_callers)[method.qualname().qualifiedName()];
}

bool ClassUses::is_called(const c10::ClassTypePtr& type) {
    find_callers();
    const auto methods = forwards(type);
    return m_calls_any || std::any_of(methods.begin(), methods.end(),
                                      [&](const Function* method) { return !callers(*method).empty(); });
}

}  // namespace kernels::torchscript
