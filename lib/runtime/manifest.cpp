#include "kernels/runtime/manifest.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "kernels/core/text.hpp"

namespace kernels::runtime {
namespace {

using Json = nlohmann::ordered_json;
constexpr int schema_version = 1;

// A path in a repository; a manifest comes with a model from anywhere and must not reach other files.
bool stays_inside(std::string_view path) {
    if (path.empty() || path.front() == '/') return false;
    for (const auto part : split(path, '/')) {
        if (part.empty() || part == "." || part == "..") return false;
    }
    return path.find('\\') == std::string_view::npos && path.find('\0') == std::string_view::npos;
}

// Text that may stand in a message and in a path.
std::string plain(std::string text, const char* key) {
    if (std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }))
        throw std::runtime_error(std::string("the manifest has control characters in ") + key);
    return text;
}

std::string text_at(const Json& item, const char* key) {
    return plain(item.at(key).get<std::string>(), key);
}

// A namespace of operators: a Python identifier, since it names the library's module too.
bool is_identifier(std::string_view name) {
    const auto is_letter = [](unsigned char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    };
    return !name.empty() && is_letter(static_cast<unsigned char>(name.front())) &&
           std::all_of(name.begin(), name.end(),
                       [&](unsigned char c) { return is_letter(c) || (c >= '0' && c <= '9'); });
}

Json parse_shallow(std::string_view text) {
    constexpr int deepest = 8;  // a manifest has three levels
    return Json::parse(text, [](int depth, Json::parse_event_t, const Json&) {
        if (depth > deepest) throw std::runtime_error("the manifest cannot be read: too deeply nested");
        return true;
    });
}

bool names_library_inside(const KernelEntry& kernel) {
    if (kernel.repo.empty())  // a local kernel's, by its path; load() asks the user for its folder
        return kernel.library.starts_with('/') && stays_inside(kernel.library.substr(1));
    return stays_inside(kernel.library) && stays_inside(kernel.repo) && stays_inside(kernel.commit) &&
           split(kernel.repo, '/').size() == 2;
}

}  // namespace

Manifest Manifest::parse(std::string_view text) {
    Manifest manifest;
    try {
        const Json json = parse_shallow(text);
        if (const int schema = json.at("schema").get<int>(); schema != schema_version) {
            throw std::runtime_error("the manifest has schema " + std::to_string(schema) +
                                     ", this version reads " + std::to_string(schema_version));
        }
        manifest.torch = text_at(json, "torch");
        manifest.device = text_at(json, "device");
        if (json.contains("target")) manifest.target = text_at(json, "target");
        manifest.mode = text_at(json, "mode");
        for (const auto& item : json.at("kernels")) {
            KernelEntry kernel{text_at(item, "repo"),    text_at(item, "commit"),
                               text_at(item, "variant"), text_at(item, "op-namespace"),
                               text_at(item, "library"), text_at(item, "sha256")};
            if (!is_identifier(kernel.op_namespace)) {
                throw std::runtime_error("the manifest has an op namespace that is no identifier: " +
                                         backquoted(kernel.op_namespace));
            }
            if (item.contains("operators")) {
                auto& operators = kernel.operators.emplace();
                for (auto& schema : item["operators"].get<std::vector<std::string>>())
                    operators.push_back(plain(std::move(schema), "operators"));
            }
            if (!names_library_inside(kernel)) {
                throw std::runtime_error("the manifest names a library outside its kernel repository: " +
                                         backquoted(kernel.library));
            }
            if (kernel.variant.find('/') != std::string::npos || kernel.variant.starts_with('.'))
                throw std::runtime_error("the manifest names a build variant that is none: " +
                                         backquoted(kernel.variant));
            manifest.kernels.push_back(std::move(kernel));
        }
        for (const auto& item : json.at("layers")) {
            manifest.layers.push_back({text_at(item, "module"), text_at(item, "layer"), text_at(item, "repo"),
                                       text_at(item, "hub-layer"), text_at(item, "commit"),
                                       text_at(item, "variant"), text_at(item, "status"), item.at("reason"),
                                       item.value("mode", "")});
        }
    } catch (const Json::exception& error) {
        // Behind "[json.exception.type_error.302] ".
        const std::string_view what = error.what();
        const auto words = what.find("] ");
        throw std::runtime_error("the manifest cannot be read: " +
                                 std::string(what.substr(words == std::string_view::npos ? 0 : words + 2)));
    }
    return manifest;
}

std::string Manifest::to_json() const {
    Json json = {{"schema", schema_version}, {"torch", torch}, {"device", device}, {"mode", mode}};
    if (!target.empty()) json["target"] = target;
    json["kernels"] = Json::array();
    for (const auto& kernel : kernels) {
        json["kernels"].push_back({{"repo", kernel.repo},
                                   {"commit", kernel.commit},
                                   {"variant", kernel.variant},
                                   {"op-namespace", kernel.op_namespace},
                                   {"library", kernel.library},
                                   {"sha256", kernel.sha256}});
        if (kernel.operators) json["kernels"].back()["operators"] = *kernel.operators;
    }
    json["layers"] = Json::array();
    for (const auto& layer : layers) {
        json["layers"].push_back({{"module", layer.module},
                                  {"layer", layer.layer},
                                  {"repo", layer.repo},
                                  {"hub-layer", layer.hub_layer},
                                  {"commit", layer.commit},
                                  {"variant", layer.variant},
                                  {"status", layer.status},
                                  {"reason", layer.reason},
                                  {"mode", layer.mode}});
    }
    return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace kernels::runtime
