// Compiles every layer and every function of one kernel package, and prints what became of each as JSON.
// usage: kernels_survey PACKAGE_FOLDER SCHEMAS REPLACED
//   SCHEMAS: a file with an op schema a line. REPLACED: replaced.json beside this file.
#include <torch/library.h>
#include <torch/script.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/text.hpp"
#include "kernels/runtime/runtime.hpp"
#include "source/lower.hpp"
#include "torch/csrc/jit/frontend/script_type_parser.h"
#include "torch/frontend.hpp"

using namespace kernels;
using namespace kernels::torchscript;
using nlohmann::json;

namespace {

const std::string op_namespace = "survey_kernel";

c10::TypePtr type_of(const std::string& name) {
    return torch::jit::ScriptTypeParser().parseType(name);
}

c10::IValue any_value(const c10::TypePtr& type) {
    switch (type->kind()) {
        case c10::TypeKind::IntType:
            return 1;
        case c10::TypeKind::FloatType:
            return 1.0;
        case c10::TypeKind::BoolType:
            return false;
        case c10::TypeKind::StringType:
            return "";
        case c10::TypeKind::ListType:
            return c10::impl::GenericList(type->expect<c10::ListType>()->getElementType());
        case c10::TypeKind::OptionalType:
            return {};
        default:
            return torch::zeros({2});
    }
}

// The layer that is replaced, as far as its attributes go.
torch::jit::Module layer_like(const std::string& name, const json& description) {
    torch::jit::Module layer(name);
    layer.register_attribute("training", c10::BoolType::get(), false);
    const json attributes = description.value("attributes", json::object());
    const json modules = description.value("modules", json::object());
    for (const auto& [attribute, type] : attributes.items())
        layer.register_attribute(attribute, type_of(type), any_value(type_of(type)));
    for (const auto& [child, inner] : modules.items()) {
        auto module = layer_like(name + "_" + child, inner);
        module.define("def forward(self, x):\n    return x\n");
        layer.register_module(child, module);
    }
    return layer;
}

// What the published class itself says of its attributes: `weight: torch.Tensor`.
json declared(const LayerSource& layer, const source::Statement& definition) {
    json attributes = json::object();
    for (const auto& statement : definition.body) {
        if (statement->kind != source::Statement::Kind::annotate || statement->values.size() != 2) continue;
        const auto type =
            source::type_name(*layer.forward.package, *layer.forward.module, statement->value(1));
        if (!type.empty()) attributes[statement->value(0).text] = type;
    }
    return attributes;
}

const source::Statement* class_of(const LayerSource& layer, const std::string& name) {
    for (const auto& statement : layer.forward.module->body) {
        if (statement->kind == source::Statement::Kind::class_ && statement->text == name)
            return statement.get();
    }
    return nullptr;
}

std::string one_line(const Error& error) {
    return error.what();
}

json survey_layer(const HubModule& module, const std::string& name, const json& replaced) {
    json row = {{"kind", "layer"}, {"name", name}};
    try {
        const auto layer = module.layer(name);
        for (const auto& violation : layer.violations)
            row["rule"] = violation;
        if (layer.forward.definition == nullptr) return row;
        json description = replaced.is_object() ? replaced : json::object();
        if (const auto* definition = class_of(layer, name)) {
            const json own = declared(layer, *definition);
            for (const auto& [attribute, type] : own.items()) {
                const bool child = description.value("modules", json::object()).contains(attribute);
                if (!child && !description["attributes"].contains(attribute))
                    description["attributes"][attribute] = type;
            }
        }
        auto like = layer_like(name, description);
        for (const auto& method : description.value("methods", json::array()))
            like.define(method.get<std::string>());
        CompileOptions options{op_namespace, {}, {}, std::nullopt};
        const json given = description.value("given", json::object());
        for (const auto& [attribute, text] : given.items())
            options.constants.emplace(attribute, text.get<std::string>());
        if (description.contains("arguments")) {
            options.arguments.emplace();
            for (const auto& type : description["arguments"])
                options.arguments->push_back(type_of(type));
        }
        compile_method(like, like.type(), "survey_forward", layer.forward, options);
    } catch (const Error& error) {
        row["refused"] = one_line(error);
    }
    return row;
}

std::optional<std::string> refusal_of(const FunctionSource& function,
                                      const std::optional<std::vector<c10::TypePtr>>& arguments) {
    try {
        torch::jit::CompilationUnit unit;
        compile_function(unit, "survey_function", function, {op_namespace, {}, {}, arguments});
        return std::nullopt;
    } catch (const Error& error) {
        return one_line(error);
    }
}

// With all of its arguments, and else for calls that leave those with a default at it.
json survey_function(const HubModule& module, const std::string& name) {
    json row = {{"kind", "function"}, {"name", name}};
    try {
        const auto function = *module.function(name);
        const auto refusal = refusal_of(function, std::nullopt);
        if (!refusal) return row;
        const auto& parameters = function.definition->parameters;
        const auto required = std::count_if(parameters.begin(), parameters.end(), [](const auto& one) {
            return one.stars == 0 && one.value == nullptr;
        });
        const std::vector<c10::TypePtr> untold(static_cast<std::size_t>(required));
        row[refusal_of(function, untold) ? "refused" : "by_default"] = *refusal;
    } catch (const Error& error) {
        row["refused"] = one_line(error);
    }
    return row;
}

template <typename Survey>
void each(json& rows, const std::filesystem::path& folder, bool package, const Survey& survey) {
    try {
        survey(HubModule::load(folder, package));
    } catch (const Error& error) {
        if (std::filesystem::exists(folder / (package ? "__init__.py" : "layers.py")))
            rows.push_back(
                {{"kind", package ? "package" : "layers"}, {"name", ""}, {"refused", one_line(error)}});
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) {
        std::cerr << "usage: kernels_survey PACKAGE_FOLDER SCHEMAS REPLACED\n";
        return 2;
    }
    const std::filesystem::path folder = argv[1];
    torch::Library library(torch::Library::DEF, op_namespace, std::nullopt, __FILE__, __LINE__);
    std::size_t ops = 0;
    const std::string schemas = read_file(argv[2]);
    for (const auto line : split(schemas, '\n')) {
        if (trimmed(line).empty()) continue;
        try {
            library.def(torch::schema(std::string(line).c_str()));
            ++ops;
        } catch (const std::exception& failure) {
            std::cerr << "schema left out: " << line << ": " << std::string(failure.what()).substr(0, 200)
                      << '\n';
        }
    }
    if (ops > 0) runtime::load_library("", op_namespace);
    const json replaced = json::parse(read_file(argv[3])).value(folder.filename().string(), json::object());

    json rows = json::array();
    each(rows, folder, false, [&](const HubModule& module) {
        for (const auto& name : module.layers())
            rows.push_back(survey_layer(module, name, replaced.value(name, json())));
    });
    each(rows, folder, true, [&](const HubModule& module) {
        for (const auto& name : module.functions())
            rows.push_back(survey_function(module, name));
    });
    std::cout << json{{"package", folder.filename().string()}, {"ops", ops}, {"rows", rows}} << '\n';
    return 0;
}
