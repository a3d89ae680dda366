#include "choose.hpp"

#include <algorithm>
#include <future>

#include "kernels/build/device_fit.hpp"
#include "kernels/build/selection.hpp"
#include "kernels/build/suggestion.hpp"
#include "kernels/core/log.hpp"

namespace kernels::lock {
namespace {

// The other versions of a kernel, newest first. They only serve a suggestion, so a hub that does not answer
// (or may not be asked) costs the suggestion and nothing else.
std::vector<build::OtherVersion> other_versions(const LockedKernel& kernel, const hub::Hub& hub) {
    const RepoId& repo = kernel.dependency.repo;
    std::vector<build::OtherVersion> others;
    try {
        const auto versions = hub.versions(repo);
        std::vector<std::pair<std::string, std::future<hub::Tree>>> trees;
        for (auto version = versions.rbegin(); version != versions.rend(); ++version) {
            const hub::Ref& ref = version->second;
            if (ref.commit == kernel.commit) continue;
            trees.emplace_back(ref.name, std::async(std::launch::async, [&hub, &repo, commit = ref.commit] {
                                   return hub.tree(repo, commit);
                               }));
        }
        for (auto& [name, tree] : trees)
            others.push_back({name, variants_of(tree.get(), repo.to_string() + " " + name)});
    } catch (const Error& error) {
        if (error.code() == ErrorCode::interrupted) throw;
        log::info(repo.to_string() + ": its other versions were not looked at: " + error.what());
    }
    return others;
}

bool names_device(const build::Target& target) {
    return target.capability.has_value() || target.gpu_arch.has_value();
}

void require_stated_fit(const LockedKernel& kernel, const build::BuildVariant& variant,
                        const build::Target& target, const hub::Hub& hub) {
    if (!names_device(target)) return;
    const std::string path = "build/" + variant.to_string() + "/metadata.json";
    const auto text = hub.small_file(kernel.dependency.repo, kernel.commit, path);
    if (!text) return;  // a build without metadata is refused when it has arrived
    const auto metadata = build::Metadata::parse(*text, name_of(kernel) + ": " + path);
    build::require_fit(name_of(kernel) + ": " + variant.to_string(), build::device_fit(metadata, target));
}

}  // namespace

std::string name_of(const LockedKernel& kernel) {
    return kernel.dependency.repo.to_string() + "@" + kernel.commit.to_string().substr(0, 12);
}

std::vector<ChosenBuild> choose_builds(const LockedKernel& kernel, const hub::Tree& tree,
                                       const DownloadOptions& options, const hub::Hub& hub) {
    const auto present = variants_of(tree, kernel.dependency.repo.to_string());
    std::vector<ChosenBuild> chosen;
    if (options.all_variants) {
        for (const auto& variant : present)
            chosen.push_back({variant, {}});
        return chosen;
    }
    for (const auto& target : options.targets) {
        const auto selection = build::select(present, target);
        const auto* best = selection.best();
        if (best == nullptr) {
            throw build::no_build_error(name_of(kernel), selection, target,
                                        build::suggest(selection, target, other_versions(kernel, hub)));
        }
        if (options.check_device) require_stated_fit(kernel, *best, target, hub);
        const auto known = std::find_if(chosen.begin(), chosen.end(),
                                        [&](const ChosenBuild& build) { return build.variant == *best; });
        if (known == chosen.end()) {
            chosen.push_back({*best, {target}});
        } else {
            known->targets.push_back(target);
        }
    }
    return chosen;
}

std::vector<Error> missing_builds(const Lock& lock, const std::vector<build::Target>& targets,
                                  const hub::Hub& hub) {
    std::vector<Error> missing;
    for (const auto& kernel : lock.kernels()) {
        const hub::Tree tree = hub.tree(kernel.dependency.repo, kernel.commit);
        for (const auto& target : targets) {
            DownloadOptions options;
            options.targets = {target};
            try {
                choose_builds(kernel, tree, options, hub);
            } catch (const Error& error) {
                if (error.code() != ErrorCode::no_build) throw;
                missing.push_back(error);
            }
        }
    }
    return missing;
}

void require_device_code(const LockedKernel& kernel, const ChosenBuild& chosen,
                         const build::Metadata& metadata, const std::filesystem::path& folder) {
    for (const auto& target : chosen.targets) {
        if (!names_device(target)) continue;
        build::require_fit(name_of(kernel) + ": " + chosen.variant.to_string(),
                           build::device_fit(metadata, folder, target));
    }
}

}  // namespace kernels::lock
