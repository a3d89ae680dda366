#include "device_ops.hpp"

#include <torch/csrc/jit/frontend/function_schema_parser.h>
#include <torch/library.h>

#include <algorithm>
#include <mutex>
#include <regex>
#include <set>

#include "called_operators.hpp"
#include "kernels/build/op_schemas.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/text.hpp"
#include "kernels/runtime/runtime.hpp"
#include "kernels/torch/model.hpp"
#include "runtime/alias_names.hpp"

namespace kernels::torchscript {
namespace {

namespace fs = std::filesystem;

// The operators that the build's Python code calls as `ops.name`.
std::set<std::string> called_operators(const fs::path& folder) {
    static const std::regex call(R"(\bops\.(?:_\w+\.)?(\w+))");
    std::set<std::string> names;
    std::error_code error;
    for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end;
         entry.increment(error)) {
        if (entry->path().extension() != ".py") continue;
        const auto text = read_file_if_exists(entry->path());
        if (!text) continue;
        for (const auto line : split(*text, '\n')) {
            // The regular expression recurses over what it reads; no code has such lines.
            if (line.size() > 2000) continue;
            const std::string code(line.substr(0, line.find('#')));
            for (std::sregex_iterator match(code.begin(), code.end(), call), none; match != none; ++match)
                names.insert((*match)[1].str());
        }
    }
    return names;
}

// libtorch's parser recurses, and more levels than some thousands end the process.
bool is_shallow(const std::string& text) {
    constexpr int deepest = 100;
    int depth = 0;
    return std::all_of(text.begin(), text.end(), [&](char c) {
        depth += (c == '(' || c == '[') - (c == ')' || c == ']');
        return depth <= deepest;
    });
}

// The text as a schema of the namespace; nothing when it is none, or another namespace's.
std::optional<c10::FunctionSchema> parsed(const std::string& text, const std::string& op_namespace) {
    if (!is_shallow(text)) return std::nullopt;
    try {
        // As torch::Library::def reads it.
        auto schema = torch::jit::parseSchema(text, /*allow_typevars=*/false);
        const auto in = schema.getNamespace();
        if (in && *in != op_namespace) return std::nullopt;
        if (!in) schema.setNamespaceIfNotSet(op_namespace.c_str());
        return runtime::with_alias_names(schema);
    } catch (const std::exception&) {
        return std::nullopt;  // of the strings of a library most are no schemas
    }
}

// By operator and overload; more than one schema where the library has several, of which only it knows the
// right one.
using Found = std::map<std::string, std::vector<c10::FunctionSchema>>;

std::string key_of(const c10::FunctionSchema& schema) {
    return c10::toString(schema.operator_name());
}

void add(Found& found, c10::FunctionSchema schema) {
    auto& same = found[key_of(schema)];
    const std::string text = c10::toString(schema);
    const bool known = std::any_of(same.begin(), same.end(), [&](const c10::FunctionSchema& other) {
        return c10::toString(other) == text;
    });
    if (!known) same.push_back(std::move(schema));
}

Found find_schemas(const fs::path& library, const std::string& op_namespace,
                   const std::set<std::string>& called) {
    Found found;
    Found ends;
    for (const auto& text : build::read_schema_texts(library, called)) {
        if (auto schema = parsed(text.text, op_namespace))
            add(text.is_end ? ends : found, std::move(*schema));
    }
    // The end of a longer string counts only for an operator that has no string of its own.
    for (auto& [name, schemas] : ends)
        found.try_emplace(name, std::move(schemas));
    return found;
}

// Registrations last as long as their Library.
struct Definition {
    torch::Library library;
    DeviceOps ops;
};

std::mutex defining;

std::map<std::string, Definition>& definitions() {
    static auto* all = new std::map<std::string, Definition>;
    return *all;
}

Definition define(const Found& found, const std::set<std::string>& called, const std::string& op_namespace) {
    Definition definition{
        torch::Library(torch::Library::FRAGMENT, op_namespace, std::nullopt, __FILE__, __LINE__), {}};
    auto& [library, out] = definition;
    std::set<std::string> names;
    for (const auto& [name, schemas] : found) {
        const std::string plain = schemas.front().name().substr(op_namespace.size() + 2);
        if (schemas.size() > 1) {
            out.missing.emplace(plain, "the library has several schemas of it: " + c10::toString(schemas[0]) +
                                           " and " + c10::toString(schemas[1]));
            continue;
        }
        c10::FunctionSchema schema = schemas.front();
        schema.setAliasAnalysis(c10::AliasAnalysisKind::FROM_SCHEMA);
        library.def(std::move(schema));
        out.defined.push_back(c10::toString(schemas.front()));
        names.insert(plain);
    }
    for (const auto& name : called) {
        if (!names.contains(name)) out.missing.emplace(name, "the library's strings hold no schema of it");
    }
    return definition;
}

}  // namespace

DeviceOps define_operators(const fs::path& library, const fs::path& build_folder,
                           const std::string& op_namespace) {
    const std::lock_guard lock(defining);
    if (const auto known = definitions().find(op_namespace); known != definitions().end())
        return known->second.ops;
    if (runtime::has_operators(op_namespace)) return {};
    const auto called = called_operators(build_folder);
    Found found;
    try {
        found = find_schemas(library, op_namespace, called);
    } catch (const Error& failure) {
        throw Error(ErrorCode::kernelize, failure.what());
    }
    if (found.empty()) {
        throw Error(ErrorCode::kernelize, library.string() + ": its strings hold no operator schema",
                    "kernelize on a machine that has the device: there the library itself tells");
    }
    const auto& definition = definitions().emplace(op_namespace, define(found, called, op_namespace)).first;
    return definition->second.ops;
}

void define_operators(const runtime::KernelEntry& kernel, const std::string& model) {
    if (!kernel.operators) {
        try {
            const fs::path library = runtime::find_library(kernel, model);
            define_operators(library, library.parent_path(), kernel.op_namespace);
        } catch (const std::exception& failure) {
            throw Error(ErrorCode::failed, failure.what());
        }
        return;
    }
    if (kernel.operators->empty()) return;  // the model calls none of them
    const std::lock_guard lock(defining);
    if (definitions().contains(kernel.op_namespace) || runtime::has_operators(kernel.op_namespace)) return;
    Found found;
    for (const auto& text : *kernel.operators) {
        auto schema = parsed(text, kernel.op_namespace);
        if (!schema) {
            throw Error(ErrorCode::failed,
                        model + ": the manifest has an op schema that cannot be read: " + backquoted(text));
        }
        add(found, std::move(*schema));
    }
    definitions().emplace(kernel.op_namespace, define(found, {}, kernel.op_namespace));
}

bool only_defined(const std::string& op_namespace) {
    const std::lock_guard lock(defining);
    return definitions().contains(op_namespace);
}

void forget_operators(const torch::jit::Module& model) {
    const auto called = operators_called(model);
    const std::lock_guard lock(defining);
    std::erase_if(definitions(), [&](const auto& known) {
        const auto first = called.lower_bound(known.first + "::");
        return first == called.end() || !first->starts_with(known.first + "::");
    });
}

}  // namespace kernels::torchscript
