// Loading kernel libraries, and curing their schemas for TorchScript.
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/jit/runtime/operator.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <set>
#include <stdexcept>

#include "alias_names.hpp"
#include "kernels/runtime/runtime.hpp"
#include "open_library.hpp"

// Kernel libraries import this for Python's import only. Where symbols are bound at once (LD_BIND_NOW, -z
// now) and there is no Python, this stand-in lets the library load; nobody calls it.
extern "C" __attribute__((weak, visibility("default"))) void* PyModule_Create2(void*, int) {
    return nullptr;
}

namespace kernels::runtime {
namespace {

// For operators that are in this process, from whatever library.
void cure_schemas(const std::string& op_namespace) {
    auto& dispatcher = c10::Dispatcher::singleton();
    for (const auto& name : dispatcher.getAllOpNames()) {
        if (name.getNamespace() != op_namespace) continue;
        const auto handle = dispatcher.findSchema(name);
        if (!handle) continue;
        const auto& schema = handle->schema();
        const auto& arguments = schema.arguments();
        if (std::none_of(arguments.begin(), arguments.end(), writes_without_alias_name)) continue;
        torch::jit::deregisterOperator(schema);
        torch::jit::registerOperator(torch::jit::Operator(
            c10::toString(with_alias_names(schema)),
            torch::jit::Operation([op = *handle](torch::jit::Stack& stack) { op.callBoxed(&stack); }),
            c10::AliasAnalysisKind::FROM_SCHEMA));
    }
}

}  // namespace

bool has_operators(const std::string& op_namespace) {
    const auto names = c10::Dispatcher::singleton().getAllOpNames();
    return std::any_of(names.begin(), names.end(),
                       [&](const c10::OperatorName& name) { return name.getNamespace() == op_namespace; });
}

void load_library(const std::string& library, const std::string& op_namespace) {
    static std::mutex mutex;
    static std::map<std::string, std::string> loaded;  // library by op namespace
    static std::map<std::string, std::string> broken;  // why, by op namespace
    const std::lock_guard lock(mutex);
    if (loaded.contains(op_namespace)) return;
    if (const auto known = broken.find(op_namespace); known != broken.end())
        throw std::runtime_error(known->second);
    // In a Python process the kernel may have been imported already; its operators are there then.
    if (!has_operators(op_namespace)) {
        try {
            open_library(library);
        } catch (const std::runtime_error& failure) {
            // Some of its operators may be there for good.
            if (has_operators(op_namespace)) broken.emplace(op_namespace, failure.what());
            throw;
        }
        if (!has_operators(op_namespace)) {
            throw std::runtime_error(library + ": the kernel library registers no operators in `" +
                                     op_namespace + "`");
        }
    }
    try {
        cure_schemas(op_namespace);
    } catch (const std::exception& failure) {
        throw std::runtime_error(library +
                                 ": the operators of the kernel library cannot be used from "
                                 "TorchScript: " +
                                 one_line(failure));
    }
    loaded.emplace(op_namespace, library);
}

}  // namespace kernels::runtime
