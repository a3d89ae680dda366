#include "kernels/runtime/manifest.hpp"

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

}  // namespace

Manifest Manifest::parse(std::string_view text) {
    Manifest manifest;
    try {
        const Json json = Json::parse(text);
        if (const int schema = json.at("schema").get<int>(); schema != schema_version) {
            throw std::runtime_error("the manifest has schema " + std::to_string(schema) +
                                     ", this version reads " + std::to_string(schema_version));
        }
        manifest.torch = json.at("torch").get<std::string>();
        manifest.device = json.at("device").get<std::string>();
        if (json.contains("target")) manifest.target = json.at("target").get<std::string>();
        manifest.mode = json.at("mode").get<std::string>();
        for (const auto& item : json.at("kernels")) {
            KernelEntry kernel{item.at("repo"),         item.at("commit"),  item.at("variant"),
                               item.at("op-namespace"), item.at("library"), item.at("sha256")};
            if (!kernel.repo.empty() &&
                (!stays_inside(kernel.library) || !stays_inside(kernel.repo) ||
                 !stays_inside(kernel.commit) || split(kernel.repo, '/').size() != 2)) {
                throw std::runtime_error("the manifest names a library outside its kernel repository: " +
                                         backquoted(kernel.library));
            }
            manifest.kernels.push_back(std::move(kernel));
        }
        for (const auto& item : json.at("layers")) {
            manifest.layers.push_back({item.at("module"), item.at("layer"), item.at("repo"),
                                       item.at("hub-layer"), item.at("commit"), item.at("variant"),
                                       item.at("status"), item.at("reason"), item.value("mode", "")});
        }
    } catch (const Json::exception& error) {
        throw std::runtime_error(std::string("the manifest cannot be read: ") + error.what());
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
    return json.dump(2) + "\n";
}

}  // namespace kernels::runtime
