// The reader of kernel sources: tokens, statements, names, lowering. Without libtorch.
#include "kernels/core/error.hpp"
#include "package_input.hpp"

using namespace kernels;
using namespace kernels::source;

namespace {

template <typename Call>
void attempt(const Call& call) {
    try {
        call();
    } catch (const Error&) {
        // What is refused is refused by an Error; anything else is a finding.
    }
}

void read(const FunctionSource& function) {
    attempt([&] {
        lower(function, "f", fuzz::plans_of(function));
        ++fuzz::accepted;
    });
    attempt([&] { python_kernel_behind(function); });
    for (const auto& parameter : function.definition->parameters) {
        if (parameter.annotation)
            attempt([&] { type_name(*function.package, *function.module, *parameter.annotation); });
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto package = fuzz::package_of({reinterpret_cast<const char*>(data), size});
    for (const bool functions : {false, true}) {
        attempt([&] {
            const auto module = HubModule::read(package, functions);
            if (!module) return;
            for (const auto& name : module->layers())
                attempt([&] {
                    const auto layer = module->layer(name);
                    if (layer.forward.definition != nullptr) read(layer.forward);
                });
            for (const auto& name : module->functions())
                attempt([&] { read(module->function_layer(name).forward); });
        });
    }
    return 0;
}
