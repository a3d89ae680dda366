#include "frontend.hpp"

#include <torch/csrc/jit/frontend/parser.h>
#include <torch/csrc/jit/frontend/resolver.h>
#include <torch/csrc/jit/frontend/sugared_value.h>

#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;

// `torch.ops`: its attributes are op namespaces.
struct OpsModule final : SugaredValue {
    std::string kind() const override { return "torch.ops"; }
    std::shared_ptr<SugaredValue> attr(const SourceRange&, GraphFunction&,
                                       const std::string& field) override {
        return std::make_shared<BuiltinModule>(field);
    }
};

// `torch`, `torch.nn`, `torch.nn.functional`: operators, and the names of dtypes.
struct TorchModule final : SugaredValue {
    std::string kind() const override { return "torch"; }
    std::shared_ptr<SugaredValue> attr(const SourceRange& where, GraphFunction& method,
                                       const std::string& field) override {
        if (field == "ops") return std::make_shared<OpsModule>();
        if (field == "nn" || field == "functional") return std::make_shared<TorchModule>();
        static const std::map<std::string, at::ScalarType> dtypes = {
            {"float32", at::kFloat},     {"float", at::kFloat},    {"float16", at::kHalf},
            {"half", at::kHalf},         {"float64", at::kDouble}, {"double", at::kDouble},
            {"bfloat16", at::kBFloat16}, {"int8", at::kChar},      {"uint8", at::kByte},
            {"int16", at::kShort},       {"int32", at::kInt},      {"int", at::kInt},
            {"int64", at::kLong},        {"long", at::kLong},      {"bool", at::kBool}};
        if (const auto dtype = dtypes.find(field); dtype != dtypes.end()) {
            return toSugaredValue(IValue(static_cast<int64_t>(dtype->second)), method, where);
        }
        return BuiltinModule("aten").attr(where, method, field);
    }
    static std::shared_ptr<SugaredValue> toSugaredValue(const IValue& value, GraphFunction& method,
                                                        const SourceRange& where) {
        return std::make_shared<SimpleValue>(method.graph()->insertConstant(value, where));
    }
};

// The names that a hub module's source can use.
struct HubResolver final : Resolver, std::enable_shared_from_this<HubResolver> {
    HubResolver(const HubModule& hub_module, std::string ops, std::shared_ptr<CompilationUnit> helper_unit)
        : module(hub_module), op_namespace(std::move(ops)), helpers(std::move(helper_unit)) {}

    std::shared_ptr<SugaredValue> resolveValue(const std::string& name, GraphFunction& method,
                                               const SourceRange& where) override {
        if (name == "torch" || name == "F" || name == "nn") return std::make_shared<TorchModule>();
        if (name == "ops" || name == "_ops") return std::make_shared<BuiltinModule>(op_namespace);
        if (auto* known = helpers->find_function(c10::QualifiedName(name))) {
            return std::make_shared<FunctionValue>(known);
        }
        if (const auto function = module.function(name)) {
            auto source = std::make_shared<Source>(function->text, function->file, function->line);
            Parser parser(source);
            auto defined = helpers->define(std::nullopt, {}, {}, {Def(parser.parseFunction(false))},
                                           {shared_from_this()}, nullptr);
            return std::make_shared<FunctionValue>(defined.front());
        }
        if (const auto number = module.number(name))
            return TorchModule::toSugaredValue(IValue(*number), method, where);
        return nullptr;
    }
    TypePtr resolveType(const std::string&, const SourceRange&) override { return nullptr; }

    const HubModule& module;
    std::string op_namespace;
    std::shared_ptr<CompilationUnit> helpers;
};

// `self`, whose missing attributes may be given as constants. No SimpleValue: of those the compiler keeps
// only the graph value.
struct SelfValue final : SugaredValue {
    SelfValue(Value* own_value, const std::map<std::string, project::AttributeValue>& given)
        : value(own_value), constants(given) {}
    std::string kind() const override { return "self"; }
    Value* asValue(const SourceRange&, GraphFunction&) override { return value; }
    std::shared_ptr<SugaredValue> attr(const SourceRange& where, GraphFunction& method,
                                       const std::string& field) override {
        const auto given = constants.find(field);
        if (given == constants.end()) return SimpleValue(value).attr(where, method, field);
        const IValue constant = std::visit([](const auto& known) { return IValue(known); }, given->second);
        return TorchModule::toSugaredValue(constant, method, where);
    }
    Value* value;
    const std::map<std::string, project::AttributeValue>& constants;
};

struct LayerSelf final : Self {
    LayerSelf(ClassTypePtr class_type, const std::map<std::string, project::AttributeValue>& given)
        : type(std::move(class_type)), constants(given) {}
    std::shared_ptr<SugaredValue> makeSugared(Value* value) const override {
        value->setType(type);
        return std::make_shared<SelfValue>(value, constants);
    }
    ClassTypePtr getClassType() const override { return type; }
    ClassTypePtr type;
    const std::map<std::string, project::AttributeValue>& constants;
};

// TorchScript's message is a page; its first sentence and the marked line say it.
std::string short_reason(const std::string& message) {
    std::string reason;
    for (const auto line : split(message, '\n')) {
        const auto text = trimmed(line);
        if (text.empty()) {
            if (!reason.empty()) break;
            continue;
        }
        reason += (reason.empty() ? "" : " ") + std::string(text);
        if (reason.size() > 200) break;
    }
    return reason;
}

}  // namespace

void compile_method(const Module& owner, const ClassTypePtr& type, const std::string& method,
                    const HubModule& module, const FunctionSource& source, const std::string& op_namespace,
                    const std::map<std::string, project::AttributeValue>& constants) {
    // `def forward(` becomes `def method(`.
    std::string text = "def ";
    text += method;
    text += source.text.substr(source.text.find('('));
    const auto unit = owner._ivalue()->compilation_unit();
    try {
        auto resolver =
            std::make_shared<HubResolver>(module, op_namespace, std::make_shared<CompilationUnit>());
        Parser parser(std::make_shared<Source>(text, source.file, source.line));
        const LayerSelf self(type, constants);
        unit->define(type->name(), {}, {}, {Def(parser.parseFunction(true))}, {resolver}, &self);
    } catch (const Error&) {
        throw;
    } catch (const std::exception& failure) {
        if (type->findMethod(method) != nullptr) remove_method(owner, type, method);
        throw Error(ErrorCode::kernelize,
                    source.file + ":" + std::to_string(source.line) + ": " + short_reason(failure.what()));
    }
}

void remove_method(const Module& owner, const ClassTypePtr& type, const std::string& method) {
    type->unsafeRemoveMethod(method);
    owner._ivalue()->compilation_unit()->unsafeRemoveMethod(c10::QualifiedName(*type->name(), method));
}

}  // namespace kernels::torchscript
