#include "split_classes.hpp"

#include <torch/csrc/jit/api/function_impl.h>

#include <functional>
#include <optional>
#include <tuple>
#include <vector>

#include "kernels/core/error.hpp"
#include "kernels/torch/kernelize.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;
using c10::ClassType;
using c10::ClassTypePtr;
using ObjectPtr = c10::intrusive_ptr<c10::ivalue::Object>;

void for_nodes(Block* block, const std::function<void(Node*)>& visit) {
    for (Node* node : block->nodes()) {
        visit(node);
        for (Block* inner : node->blocks())
            for_nodes(inner, visit);
    }
}

ClassTypePtr module_class(const Value* value) {
    auto type = value->type()->cast<ClassType>();
    return type != nullptr && type->is_module() ? type : nullptr;
}

// Why a class cannot be copied: a module must not go anywhere but to its attributes and methods, for its type
// is written on every value on the way.
std::string what_forbids_a_copy(const ClassType& type) {
    if (!type.getForwardHooks().empty() || !type.getForwardPreHooks().empty()) return "it has hooks";
    std::string reason;
    for (const Function* method : type.methods()) {
        if (!method->isGraphFunction()) return "its method " + method->name() + " has no graph";
        for_nodes(toGraphFunction(*method).graph()->block(), [&](Node* node) {
            for (const Value* input : node->inputs()) {
                const bool known = node->kind() == prim::GetAttr || node->kind() == prim::SetAttr ||
                                   node->kind() == prim::CallMethod;
                if (!known && module_class(input) != nullptr)
                    reason = std::string("its method ") + method->name() + " passes a module to " +
                             node->kind().toQualString();
            }
        });
        for (const Value* output : toGraphFunction(*method).graph()->outputs()) {
            if (module_class(output) != nullptr) return "its method " + method->name() + " returns a module";
        }
    }
    return reason;
}

// Writes the class, and the classes of its attributes, on all values of its methods.
void retype(const ClassTypePtr& type) {
    for (Function* method : type->methods()) {
        auto& function = toGraphFunction(*method);
        Graph& graph = *function.graph();
        graph.inputs().at(0)->setType(type);
        for_nodes(graph.block(), [](Node* node) {
            if (node->kind() != prim::GetAttr) return;
            if (const auto owner = module_class(node->input()))
                node->output()->setType(owner->getAttribute(node->s(attr::name)));
        });
    }
}

ClassTypePtr copy_class(const ClassTypePtr& type, CompilationUnit& unit) {
    const auto name = unit.mangle(*type->name());
    auto copy = ClassType::create(name, type->compilation_unit(), true);
    for (std::size_t i = 0; i < type->numAttributes(); ++i) {
        copy->addAttribute(type->getAttributeName(i), type->getAttribute(i), type->is_parameter(i),
                           type->is_buffer(i));
    }
    for (std::size_t i = 0; i < type->numConstants(); ++i)
        copy->addConstant(type->getConstantName(i), type->getConstant(i));
    unit.register_type(copy);
    for (Function* method : type->methods()) {
        auto* function = unit.create_function(c10::QualifiedName(name, method->name()),
                                              toGraphFunction(*method).graph()->copy());
        auto arguments = method->getSchema().arguments();
        if (!arguments.empty()) arguments.front() = arguments.front().cloneWithType(copy);
        function->setSchema(method->getSchema().cloneWithArguments(std::move(arguments)));
        copy->addMethod(function);
    }
    for (const auto& property : type->properties()) {
        copy->addProperty(property.name, copy->findMethod(property.getter->name()),
                          property.setter != nullptr ? copy->findMethod(property.setter->name()) : nullptr);
    }
    return copy;
}

class Splitter {
  public:
    Splitter(Module& model, const ModuleGroups& groups)
        : m_unit(*model._ivalue()->compilation_unit()), m_groups(groups) {
        number(model._ivalue());
    }

    void run(Module& model) {
        refuse_what_cannot_change();
        std::vector<ClassTypePtr> classes(m_kinds.size());
        // All copies are made of classes as they were.
        for (const auto& [type, kinds] : m_kinds_of) {
            for (const std::size_t kind : kinds) {
                const ClassTypePtr own = m_kinds[kind].front()->type();
                classes[kind] = kind == kinds.front() ? own : copy_class(own, m_unit);
            }
        }
        std::map<const c10::ivalue::Object*, ObjectPtr> replaced;
        for (std::size_t kind = 0; kind < m_kinds.size(); ++kind) {
            const ClassTypePtr& type = classes[kind];
            for (const auto& [slot, child] : children(*m_kinds[kind].front()))
                if (child) type->unsafeChangeAttributeType(type->getAttributeName(slot), classes[*child]);
            for (const auto& object : m_kinds[kind]) {
                ObjectPtr target = object;
                if (object->type() != type) {
                    target = c10::ivalue::Object::create(c10::StrongTypePtr(object->compilation_unit(), type),
                                                         object->slots().size());
                    replaced.emplace(object.get(), target);
                }
                for (std::size_t i = 0; i < object->slots().size(); ++i) {
                    const c10::IValue value = object->getSlot(i);
                    const auto found =
                        value.isModule() ? replaced.find(value.toObject().get()) : replaced.end();
                    target->setSlot(i, found == replaced.end() ? value : c10::IValue(found->second));
                }
            }
        }
        for (const auto& type : classes)
            retype(type);
        if (const auto root = replaced.find(model._ivalue().get()); root != replaced.end())
            model = Module(root->second);
    }

  private:
    // The modules in an object's slots, with their kinds; none for an interface, whose module may be any.
    std::vector<std::pair<std::size_t, std::optional<std::size_t>>> children(
        const c10::ivalue::Object& object) {
        std::vector<std::pair<std::size_t, std::optional<std::size_t>>> found;
        for (std::size_t i = 0; i < object.slots().size(); ++i) {
            const auto& value = object.slots()[i];
            if (!value.isModule()) continue;
            const std::size_t kind = number(value.toObject());
            const bool is_class = object.type()->getAttribute(i)->kind() == c10::TypeKind::ClassType;
            found.emplace_back(i, is_class ? std::optional(kind) : std::nullopt);
        }
        return found;
    }

    void refuse_what_cannot_change() {
        std::vector<bool> changes(m_kinds.size(), false);
        for (const auto& [type, kinds] : m_kinds_of) {
            for (std::size_t i = 1; i < kinds.size(); ++i)
                changes[kinds[i]] = true;
        }
        // Children have smaller numbers.
        for (std::size_t kind = 0; kind < m_kinds.size(); ++kind) {
            for (const auto& [slot, child] : children(*m_kinds[kind].front()))
                changes[kind] = changes[kind] || (child && changes[*child]);
            const auto& type = *m_kinds[kind].front()->type();
            const auto reason = changes[kind] ? what_forbids_a_copy(type) : std::string();
            if (reason.empty()) continue;
            throw Error(ErrorCode::kernelize, "other modules share its class, and the class " +
                                                  plain_class_name(type.name()->qualifiedName()) +
                                                  " cannot be changed: " + reason);
        }
    }

    // Modules of the same kind have the same class, the same group and children of the same kinds.
    std::size_t number(const ObjectPtr& object) {
        if (const auto known = m_number.find(object.get()); known != m_number.end()) return known->second;
        const auto type = object->type();
        std::vector<std::size_t> kinds;
        for (const auto& [slot, child] : children(*object))
            kinds.push_back(child ? *child + 1 : 0);
        const auto group = m_groups.find(object.get());
        const auto [kind, is_new] = m_known.try_emplace(
            {type.get(), group == m_groups.end() ? std::string() : group->second, std::move(kinds)},
            m_kinds.size());
        if (is_new) {
            m_kinds.emplace_back();
            auto [place, first] = m_place.try_emplace(type.get(), m_kinds_of.size());
            if (first) m_kinds_of.emplace_back(type.get(), std::vector<std::size_t>());
            m_kinds_of[place->second].second.push_back(kind->second);
        }
        m_kinds[kind->second].push_back(object);
        m_number.emplace(object.get(), kind->second);
        return kind->second;
    }

    CompilationUnit& m_unit;
    const ModuleGroups& m_groups;
    std::map<std::tuple<const ClassType*, std::string, std::vector<std::size_t>>, std::size_t> m_known;
    std::map<const c10::ivalue::Object*, std::size_t> m_number;
    std::vector<std::vector<ObjectPtr>> m_kinds;  // the modules of each kind
    // The kinds of each class, in the order of the model, for equal names in every run.
    std::vector<std::pair<const ClassType*, std::vector<std::size_t>>> m_kinds_of;
    std::map<const ClassType*, std::size_t> m_place;
};

}  // namespace

void split_classes(Module& model, const ModuleGroups& groups) {
    std::map<const ClassType*, std::string> group_of;
    bool mixed = false;
    for (const auto& module : model.modules()) {
        const auto found = groups.find(module._ivalue().get());
        const std::string group = found == groups.end() ? std::string() : found->second;
        const auto [known, is_new] = group_of.try_emplace(module.type().get(), group);
        mixed = mixed || known->second != group;
    }
    if (mixed) Splitter(model, groups).run(model);
}

}  // namespace kernels::torchscript
