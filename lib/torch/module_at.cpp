#include "module_at.hpp"

#include "kernels/core/text.hpp"

namespace kernels::torchscript {
namespace {

using torch::jit::Module;

// The module that has the attribute, and its name there.
std::pair<Module, std::string> owner_of(const Module& model, const std::string& path) {
    const auto dot = path.rfind('.');
    if (dot == std::string::npos) return {model, path};
    const auto owner = module_at(model, path.substr(0, dot));
    TORCH_CHECK(owner, "no module at ", path.substr(0, dot));
    return {*owner, path.substr(dot + 1)};
}

}  // namespace

std::optional<Module> module_at(const Module& model, const std::string& path) {
    Module module = model;
    if (path.empty()) return module;
    for (const auto name : split(path, '.')) {
        if (!module.hasattr(std::string(name))) return std::nullopt;
        const auto value = module.attr(std::string(name));
        if (!value.isModule()) return std::nullopt;
        module = value.toModule();
    }
    return module;
}

c10::IValue attribute_at(const Module& model, const std::string& path) {
    const auto [owner, name] = owner_of(model, path);
    return owner.attr(name);
}

void set_attribute_at(const Module& model, const std::string& path, const c10::IValue& value) {
    auto [owner, name] = owner_of(model, path);
    owner.setattr(name, value);
}

}  // namespace kernels::torchscript
