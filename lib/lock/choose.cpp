#include "choose.hpp"

#include <algorithm>

#include "kernels/build/device_fit.hpp"
#include "kernels/build/selection.hpp"
#include "kernels/build/suggestion.hpp"
#include "kernels/core/log.hpp"
#include "kernels/core/parallel.hpp"

namespace kernels::lock {
namespace {

// For suggestions: a build whose metadata cannot be had is not suggested.
build::DeviceFitOf if_known(build::DeviceFitOf fit_of) {
    return [fit_of = std::move(fit_of)](const build::BuildVariant& variant, const build::Target& target) {
        try {
            return fit_of(variant, target);
        } catch (const Error& error) {
            if (error.code() == ErrorCode::interrupted) throw;
            log::info(error.what());
            return build::DeviceFit{build::Fit::no, "its metadata cannot be read"};
        }
    };
}

// The other versions of a kernel, newest first. They only serve a suggestion, so a hub that does not answer
// (or may not be asked, or a publisher that is not trusted) costs the suggestion and nothing else.
std::vector<build::OtherVersion> other_versions(const LockedKernel& kernel, bool check_device,
                                                const BeforeFetch& before_fetch, const hub::Hub& hub) {
    const RepoId& repo = kernel.dependency.repo;
    std::vector<build::OtherVersion> others;
    try {
        if (before_fetch && !hub.settings().offline) before_fetch(repo);
        const auto versions = hub.versions(repo);
        std::vector<hub::Ref> refs;
        for (auto version = versions.rbegin(); version != versions.rend(); ++version) {
            if (version->second.commit != kernel.commit) refs.push_back(version->second);
        }
        auto trees = look_parallel(refs.size(), hub.settings().jobs,
                                   [&](std::size_t i) { return hub.tree(repo, refs[i].commit); });
        for (std::size_t i = 0; i < refs.size(); ++i) {
            const hub::Ref& ref = refs[i];
            others.push_back(
                {ref.name, variants_of(trees[i].get(), repo.to_string() + " " + ref.name),
                 check_device ? if_known(stated_fit(repo, ref.commit, hub, before_fetch)) : nullptr});
        }
    } catch (const Error& error) {
        if (error.code() == ErrorCode::interrupted) throw;
        log::info(repo.to_string() + ": its other versions were not looked at: " + error.what());
    }
    return others;
}

// The error for a target without a usable build, `selection`'s reasons being complete. Without `fit_of` no
// device is asked about.
Error no_build(const LockedKernel& kernel, const build::Selection& selection, const build::Target& target,
               const build::DeviceFitOf& fit_of, const BeforeFetch& before_fetch, const hub::Hub& hub) {
    return build::no_build_error(
        name_of(kernel), selection, target,
        build::suggest(selection, target, other_versions(kernel, fit_of != nullptr, before_fetch, hub),
                       fit_of));
}

// The same where the preferred build has no code for the device.
Error no_code(const LockedKernel& kernel, build::Selection selection, const build::Target& target,
              const build::DeviceFitOf& fit_of, const BeforeFetch& before_fetch, const hub::Hub& hub) {
    build::refuse_for_device(selection, target, fit_of);
    return no_build(kernel, selection, target, fit_of, before_fetch, hub);
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
    const auto stated = stated_fit(kernel.dependency.repo, kernel.commit, hub, options.before_fetch);
    for (const auto& target : options.targets) {
        const auto selection = build::select(present, target);
        const auto* best = selection.best();
        const auto others = options.check_device ? if_known(stated) : build::DeviceFitOf();
        if (best == nullptr) throw no_build(kernel, selection, target, others, options.before_fetch, hub);
        if (options.check_device && build::names_device(target) &&
            stated(*best, target).fit == build::Fit::no)
            throw no_code(kernel, selection, target, others, options.before_fetch, hub);
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
                         const build::Metadata& metadata, const std::filesystem::path& folder,
                         const BeforeFetch& before_fetch, const hub::Hub& hub) {
    const RepoId& repo = kernel.dependency.repo;
    const auto stated = if_known(stated_fit(repo, kernel.commit, hub, before_fetch));
    for (const auto& target : chosen.targets) {
        if (!build::names_device(target)) continue;
        const auto held = build::device_fit(metadata, folder, target);
        if (held.fit != build::Fit::no) continue;
        const auto present = variants_of(hub.tree(repo, kernel.commit), repo.to_string());
        throw no_code(
            kernel, build::select(present, target), target,
            [&](const build::BuildVariant& variant, const build::Target& other) {
                return variant == chosen.variant ? build::device_fit(metadata, folder, other)
                                                 : stated(variant, other);
            },
            before_fetch, hub);
    }
}

bool is_at_hand(const hub::FileRequest& file, const hub::Hub& hub) {
    if (hub.cache().find_file(file.repo, file.commit, file.entry.path)) return true;
    const auto& donors = hub.settings().donors;
    const auto places = donors ? donors(file) : std::vector<std::filesystem::path>{};
    return std::any_of(places.begin(), places.end(), [&](const auto& place) {
        std::error_code error;
        return std::filesystem::file_size(place, error) == file.entry.size && !error;
    });
}

void ask_for_file(const RepoId& repo, const Commit& commit, const std::string& path,
                  const BeforeFetch& before_fetch, const hub::Hub& hub) {
    if (!before_fetch) return;
    const auto listing = hub.cache().read_listing(repo, commit);
    const auto* entry = listing ? listing->find(path) : nullptr;
    if (!listing || (entry != nullptr && !is_at_hand({repo, commit, *entry}, hub))) before_fetch(repo);
}

build::DeviceFitOf stated_fit(const RepoId& repo, const Commit& commit, const hub::Hub& hub,
                              const BeforeFetch& before_fetch) {
    return
        [repo, commit, before_fetch, &hub](const build::BuildVariant& variant, const build::Target& target) {
            const std::string path = "build/" + variant.to_string() + "/metadata.json";
            ask_for_file(repo, commit, path, before_fetch, hub);
            const auto text = hub.small_file(repo, commit, path);
            if (!text) return build::DeviceFit{};  // a build without metadata is refused when it has arrived
            const std::string what = repo.to_string() + "@" + commit.to_string().substr(0, 12);
            return build::device_fit(build::Metadata::parse(*text, what + ": " + path), target);
        };
}

}  // namespace kernels::lock
