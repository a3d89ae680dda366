#include <cstdio>

#include "commands.hpp"
#include "crash_guard.hpp"
#include "kernels/runtime/runtime.hpp"
#include "kernels/torch/kernelize.hpp"
#include "kernels/torch/model.hpp"

namespace kernels::app {

int run_inspect(const Context& context) {
    const std::string path = context.arguments.positional().front();
    if (const auto cache = context.arguments.value("--cache")) ::setenv("KERNELS_CACHE", cache->c_str(), 1);
    const auto model = load_model_guarded(path, context.json, torchscript::ModelUse::inspect);
    CrashGuard guard(ErrorCode::failed, "libtorch crashed on the model",
                     "the file is made to do harm, or damaged before it was written", context.json);
    guard.about_to(path);
    const auto manifest = runtime::read_manifest(path);
    const auto calls = torchscript::count_kernel_calls(model.module);
    nlohmann::ordered_json document = {{"model", path}};
    document["modules"] = nlohmann::ordered_json::array();
    for (const auto& item : model.module.named_modules()) {
        const std::string name = torchscript::plain_class_name(item.value.type()->name()->qualifiedName());
        document["modules"].push_back({{"path", item.name}, {"class", name}});
        if (!context.json)
            std::printf("%-40s %s\n", item.name.empty() ? "(model)" : item.name.c_str(), name.c_str());
    }
    document["kernel-calls"] = calls;
    if (manifest) document["manifest"] = nlohmann::ordered_json::parse(manifest->to_json());
    if (context.json) {
        print_json(document);
        return 0;
    }
    for (const auto& [name, count] : calls)
        std::printf("calls %s %d times\n", name.c_str(), count);
    if (!manifest) {
        std::puts("not kernelized");
        return 0;
    }
    std::printf("kernelized for %s, %s, with torch %s\n", manifest->device.c_str(), manifest->mode.c_str(),
                manifest->torch.c_str());
    if (!manifest->target.empty()) std::printf("target %s\n", manifest->target.c_str());
    for (const auto& kernel : manifest->kernels) {
        if (kernel.repo.empty()) {
            std::printf("needs %s, of a local kernel\n", kernel.library.c_str());
        } else {
            std::printf("needs %s@%s %s\n", kernel.repo.c_str(), kernel.commit.c_str(),
                        kernel.library.c_str());
        }
    }
    return 0;
}

}  // namespace kernels::app
