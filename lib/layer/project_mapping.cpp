// The project file's [[layers]] entries as a mapping.
#include <map>
#include <tuple>

#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"
#include "kernels/layer/mapping.hpp"

namespace kernels::layer {
namespace {

template <typename Make>
auto about(const project::LayerEntry& entry, const std::string& key, Make make) {
    try {
        return make();
    } catch (const Error& error) {
        throw Error(ErrorCode::project_file, entry.location_of(key).to_string() + ": " + error.what(),
                    error.hint());
    }
}

Device device_of(const project::LayerEntry& entry) {
    const bool limited = entry.min_capability || entry.max_capability;
    const Device plain = about(entry, entry.lines.contains("device.type") ? "device.type" : "device",
                               [&] { return Device(entry.device); });
    if (!limited) return plain;
    const CapabilityInterval interval{entry.min_capability.value_or(0),
                                      entry.max_capability.value_or(CapabilityInterval::unlimited)};
    return about(entry, entry.min_capability ? "device.min-capability" : "device.max-capability", [&] {
        if (interval.least > interval.most) {
            throw Error(ErrorCode::usage, "is greater than max-capability (" +
                                              std::to_string(interval.least) + " > " +
                                              std::to_string(interval.most) + ")");
        }
        if (!has_capabilities(entry.device)) {
            throw Error(ErrorCode::usage, entry.device + " has no capabilities", "only cuda and rocm have");
        }
        return device_with(entry.device, interval);
    });
}

using SharedLock = std::shared_ptr<const lock::Lock>;

// The lock that an entry's repository is locked by: the project's, or the one that it names.
SharedLock lock_for(const project::LayerEntry& entry, const SharedLock& own) {
    const auto* source = std::get_if<project::LockedSource>(&entry.source);
    if (source == nullptr || !source->file) return own;
    return about(entry, "lock",
                 [&] { return std::make_shared<const lock::Lock>(lock::Lock::load(*source->file)); });
}

template <Member member>
Repository repository_of(const project::LayerEntry& entry, const std::string& name,
                         const project::TrustPolicy& trust, const SharedLock& lock) {
    if (const auto* path = std::get_if<std::filesystem::path>(&entry.source))
        return LocalRepository<member>(*path, name);
    if (const auto* reference = std::get_if<Reference>(&entry.source))
        return HubRepository<member>(*entry.repo, name, *reference, trust);
    return LockedRepository<member>(*entry.repo, name, lock_for(entry, lock), trust);
}

// Places in the project file that have a repository, to find a second one for the same.
using Taken = std::map<std::tuple<std::string, std::string, CapabilityInterval, Mode>, project::Location>;

void require_free(Taken& taken, const project::LayerEntry& entry, const Device& device, Mode mode) {
    const auto [first, is_free] =
        taken.try_emplace({entry.name, device.type(), device.interval(), mode}, entry.where);
    if (is_free) return;
    throw Error(ErrorCode::project_file,
                entry.where.to_string() + ": " + backquoted(entry.name) + " on " + device.to_string() +
                    " for " + mode.to_string() + " has a repository already, in line " +
                    std::to_string(first->second.line),
                "remove one of the two, or give them different modes or capabilities");
}

}  // namespace

KernelMapping mapping_of(const project::Project& project, const SharedLock& lock) {
    KernelMapping mapping;
    Taken taken;
    for (const auto& entry : project.layers) {
        const Device device = device_of(entry);
        const Mode mode = about(entry, "mode", [&] {
            const Mode parsed = Mode::parse(entry.mode);
            parsed.require_mappable();
            return parsed;
        });
        require_free(taken, entry, device, mode);
        const auto& trust = entry.trust ? *entry.trust : project.trust;
        mapping.add(entry.name, device, mode,
                    entry.func.empty() ? repository_of<Member::layer>(entry, entry.layer, trust, lock)
                                       : repository_of<Member::function>(entry, entry.func, trust, lock));
    }
    return mapping;
}

KernelMapping mapping_of(const project::Project& project) {
    std::error_code error;
    if (!std::filesystem::exists(project.lock_file(), error)) return mapping_of(project, nullptr);
    return mapping_of(project, std::make_shared<const lock::Lock>(lock::Lock::load(project.lock_file())));
}

}  // namespace kernels::layer
