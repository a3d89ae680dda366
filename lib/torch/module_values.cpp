#include "module_values.hpp"

#include "graph_calls.hpp"
#include "hub_compilation.hpp"
#include "torch_names.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;

// Reads the members of a module, and calls it. No SimpleValue: of those the compiler keeps only the graph
// value.
struct ModuleValue : SugaredValue {
    explicit ModuleValue(Value* module_value) : value(module_value) {}
    std::string kind() const override { return "module"; }
    Value* asValue(const SourceRange&, GraphFunction&) override { return value; }
    c10::ClassTypePtr type() const { return value->type()->expect<c10::ClassType>(); }
    bool hasAttr(const SourceRange&, GraphFunction&, const std::string& field) override {
        return type()->hasAttribute(field) || type()->hasConstant(field) ||
               type()->findMethod(field) != nullptr;
    }
    std::shared_ptr<SugaredValue> attr(const SourceRange& where, GraphFunction& method,
                                       const std::string& field) override {
        if (!hasAttr(where, method, field))
            refuse(where, "the module " + type()->repr_str() + " has no attribute " + field);
        // What Python declares Final, or lists in __constants__, is the class's and not the object's.
        if (type()->hasConstant(field)) return constant_value(type()->getConstant(field), method, where);
        auto found = SimpleValue(value).attr(where, method, field);
        const bool holds_module = type()->hasAttribute(field) && is_module(type()->getAttribute(field));
        if (holds_module) return std::make_shared<ModuleValue>(found->asValue(where, method));
        return found;
    }
    std::shared_ptr<SugaredValue> call(const SourceRange& where, GraphFunction& method,
                                       at::ArrayRef<NamedValue> args, at::ArrayRef<NamedValue> kwargs,
                                       size_t n_binders) override {
        return SimpleValue(value)
            .attr(where, method, "forward")
            ->call(where, method, args, kwargs, n_binders);
    }
    Value* value;
};

// The attribute `path` of the layer, which the class does not have: what the binding gives for it, or for
// what is below it ("config.hidden_act").
struct MissingAttribute final : SugaredValue {
    MissingAttribute(std::string attribute_path, const HubCompilation& in)
        : path(std::move(attribute_path)), compilation(in) {}
    std::string kind() const override { return "the attribute " + path; }
    std::shared_ptr<SugaredValue> attr(const SourceRange& where, GraphFunction& method,
                                       const std::string& field) override {
        const auto& constants = compilation.constants();
        const std::string inner = path + "." + field;
        if (const auto given = constants.find(inner); given != constants.end())
            return given_value(given->second, method, where);
        return std::make_shared<MissingAttribute>(inner, compilation);
    }
    std::shared_ptr<SugaredValue> call(const SourceRange& where, GraphFunction&, at::ArrayRef<NamedValue>,
                                       at::ArrayRef<NamedValue>, size_t) override {
        refuse_it(where);
    }
    Value* asValue(const SourceRange& where, GraphFunction&) override { refuse_it(where); }
    std::shared_ptr<SugaredValue> getitem(const SourceRange& where, GraphFunction&, Value*,
                                          TypePtr) override {
        refuse_it(where);
    }
    [[noreturn]] void refuse_it(const SourceRange& where) const {
        if (path.starts_with("__"))
            refuse(where, "self." + path + ", which TorchScript does not know of a layer");
        const std::string lacks =
            "the kernel's layer needs the attribute " + path + ", which this layer does not have; ";
        if (compilation.is_native())
            refuse(where, lacks +
                              "declare it in the layer's kernel_attributes(), or in the attributes that "
                              "replace_kernel_forward_from_hub is given");
        const std::string key = path.find('.') == std::string::npos ? path : "\"" + path + "\"";
        refuse(where, lacks + "give it as attributes = { " + key + " = … } in the binding");
    }
    static std::shared_ptr<SugaredValue> given_value(const project::AttributeValue& given,
                                                     GraphFunction& method, const SourceRange& where) {
        return constant_value(std::visit([](const auto& known) { return IValue(known); }, given), method,
                              where);
    }
    std::string path;
    const HubCompilation& compilation;
};

// `self`, whose missing attributes may be given as constants.
struct SelfValue final : ModuleValue {
    SelfValue(Value* own_value, const HubCompilation& in) : ModuleValue(own_value), compilation(in) {}
    bool hasAttr(const SourceRange& where, GraphFunction& method, const std::string& field) override {
        return gives(field) || ModuleValue::hasAttr(where, method, compilation.attribute_name(field));
    }
    std::shared_ptr<SugaredValue> attr(const SourceRange& where, GraphFunction& method,
                                       const std::string& field) override {
        const auto& constants = compilation.constants();
        if (const auto given = constants.find(field); given != constants.end())
            return MissingAttribute::given_value(given->second, method, where);
        if (compilation.is_none(field)) return constant_value(IValue(), method, where);
        if (gives(field) || !hasAttr(where, method, field))
            return std::make_shared<MissingAttribute>(field, compilation);
        return ModuleValue::attr(where, method, compilation.attribute_name(field));
    }
    // The attribute, or something below it.
    bool gives(const std::string& field) const {
        const auto& constants = compilation.constants();
        if (constants.contains(field) || compilation.is_none(field)) return true;
        const auto below = constants.lower_bound(field + ".");
        return below != constants.end() && below->first.starts_with(field + ".");
    }
    const HubCompilation& compilation;
};

struct LayerSelf final : Self {
    LayerSelf(c10::ClassTypePtr class_type, const HubCompilation& in)
        : type(std::move(class_type)), compilation(in) {}
    std::shared_ptr<SugaredValue> makeSugared(Value* value) const override {
        value->setType(type);
        return std::make_shared<SelfValue>(value, compilation);
    }
    c10::ClassTypePtr getClassType() const override { return type; }
    c10::ClassTypePtr type;
    const HubCompilation& compilation;
};

}  // namespace

bool is_module(const c10::TypePtr& type) {
    const auto class_type = type->cast<c10::ClassType>();
    return class_type && class_type->is_module();
}

std::shared_ptr<SugaredValue> module_value(Value* module, const HubCompilation& compilation) {
    if (compilation.is_layer(module->type())) return std::make_shared<SelfValue>(module, compilation);
    return std::make_shared<ModuleValue>(module);
}

std::shared_ptr<Self> layer_self(const c10::ClassTypePtr& type, const HubCompilation& compilation) {
    return std::make_shared<LayerSelf>(type, compilation);
}

}  // namespace kernels::torchscript
