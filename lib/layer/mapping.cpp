#include "kernels/layer/mapping.hpp"

#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"

namespace kernels::layer {

ModeRepositories::ModeRepositories(std::initializer_list<std::pair<Mode, Repository>> repositories) {
    for (const auto& [mode, repository] : repositories)
        set(mode, repository);
}

void ModeRepositories::set(Mode mode, Repository repository) {
    mode.require_mappable();
    m_repositories.insert_or_assign(mode, std::move(repository));
}

const Repository* ModeRepositories::find(Mode mode) const noexcept {
    const auto found = m_repositories.find(mode);
    return found != m_repositories.end() ? &found->second : nullptr;
}

KernelMapping::KernelMapping(std::initializer_list<Entry> entries) {
    for (const auto& entry : entries)
        set(entry.layer, entry.device, entry.repositories);
}

void KernelMapping::set(const std::string& layer, const Device& device, ModeRepositories repositories) {
    if (layer.empty()) throw Error(ErrorCode::usage, "a mapping needs the layer's name");
    if (repositories.all().empty()) {
        throw Error(ErrorCode::usage, backquoted(layer) + " on " + device.to_string() + ": no repository");
    }
    m_layers[layer][device.type()].insert_or_assign(device.interval(),
                                                    Entry{layer, device, std::move(repositories)});
}

void KernelMapping::add(const std::string& layer, const Device& device, Mode mode, Repository repository) {
    ModeRepositories repositories;
    if (const auto* devices = find(layer)) {
        const auto places = devices->find(device.type());
        if (places != devices->end()) {
            const auto place = places->second.find(device.interval());
            if (place != places->second.end()) repositories = place->second.repositories;
        }
    }
    repositories.set(mode, std::move(repository));
    set(layer, device, std::move(repositories));
}

void KernelMapping::merge(const KernelMapping& other) {
    for (const auto& entry : other.entries())
        set(entry.layer, entry.device, entry.repositories);
}

void KernelMapping::erase(const std::string& layer, const std::string& device_type) {
    const auto devices = m_layers.find(layer);
    if (devices == m_layers.end()) return;
    devices->second.erase(device_type);
    if (devices->second.empty()) m_layers.erase(devices);
}

std::vector<std::string> KernelMapping::layer_names() const {
    std::vector<std::string> names;
    for (const auto& [layer, devices] : m_layers)
        names.push_back(layer);
    return names;
}

std::vector<KernelMapping::Entry> KernelMapping::entries(const std::string& layer) const {
    std::vector<Entry> entries;
    const auto* devices = find(layer);
    if (devices == nullptr) return entries;
    for (const auto& [type, places] : *devices) {
        for (const auto& [interval, entry] : places)
            entries.push_back(entry);
    }
    return entries;
}

std::vector<KernelMapping::Entry> KernelMapping::entries() const {
    std::vector<Entry> all;
    for (const auto& layer : layer_names()) {
        auto entries = this->entries(layer);
        all.insert(all.end(), std::make_move_iterator(entries.begin()),
                   std::make_move_iterator(entries.end()));
    }
    return all;
}

const std::map<std::string, KernelMapping::Places>* KernelMapping::find(
    const std::string& layer) const noexcept {
    const auto found = m_layers.find(layer);
    return found != m_layers.end() ? &found->second : nullptr;
}

}  // namespace kernels::layer
