#include "choose.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "kernels/build/device_fit.hpp"
#include "kernels/build/suggestion.hpp"
#include "kernels/core/log.hpp"
#include "kernels/core/parallel.hpp"
#include "machine_needs.hpp"
#include "spares.hpp"

namespace kernels::lock {
namespace {

// Of what fits by its name, whether it runs may show only when it has arrived.
void warn_of_unknown_devices(const LockedKernel& kernel, const Choice& choice) {
    for (const auto& build : choice.builds) {
        for (const auto& target : build.unknown) {
            log::warning(name_of(kernel) + ": " + build.variant.to_string() +
                         ": its metadata does not say for which devices it is, so whether it has code for " +
                         target.to_string() + " shows when it is downloaded");
        }
    }
}

std::string metadata_of(const std::string& variant) {
    return "build/" + variant + "/metadata.json";
}

}  // namespace

std::string name_of(const LockedKernel& kernel) {
    return kernel.dependency.repo.to_string() + "@" + kernel.commit.brief();
}

Choice choose_builds(const LockedKernel& kernel, const hub::Tree& tree, const DownloadOptions& options,
                     const hub::Hub& hub) {
    const auto present = variants_of(tree, kernel.dependency.repo.to_string());
    Choice choice;
    auto& chosen = choice.builds;
    if (options.all_variants) {
        for (const auto& variant : present)
            chosen.push_back({variant, {}, {}});
        if (present.empty()) choice.lacks.emplace_back();
        return choice;
    }
    const auto known_fit =
        fit_without_download(kernel.dependency.repo, kernel.commit, hub, options.before_fetch);
    for (const auto& target : options.targets) {
        auto selection = build::select(present, target);
        const auto* best = selection.best();
        const auto others = options.check_device ? build::if_known(known_fit) : build::DeviceFitOf();
        if (best == nullptr) {
            choice.lacks.push_back({target, std::move(selection), false, others});
            continue;
        }
        const bool check = options.check_device && build::names_device(target);
        const auto fit = check ? known_fit(*best, target) : build::DeviceFit{};
        if (check && fit.fit == build::Fit::no) {
            choice.lacks.push_back({target, std::move(selection), true, others});
            continue;
        }
        auto known = std::find_if(chosen.begin(), chosen.end(),
                                  [&](const ChosenBuild& build) { return build.variant == *best; });
        if (known == chosen.end()) known = chosen.insert(chosen.end(), {*best, {}, {}});
        known->targets.push_back(target);
        if (check && build::device_unknown(fit, *best)) known->unknown.push_back(target);
        if (!fit.caution.empty()) known->fit = fit;
    }
    return choice;
}

Error no_build(const LockedKernel& kernel, const Lack& lack, const DownloadOptions& options,
               const hub::Hub& hub) {
    const auto& direct = options.direct;
    const bool is_named =
        direct.empty() || std::find(direct.begin(), direct.end(), kernel.dependency) != direct.end();
    if (!lack.target) return {ErrorCode::no_build, name_of(kernel) + ": there are no builds in it"};
    auto selection = lack.selection;
    if (lack.of_code) build::refuse_for_device(selection, *lack.target, lack.fit_of);
    auto suggestions = build::suggest(selection, *lack.target,
                                      other_versions(kernel.dependency.repo, kernel.commit,
                                                     lack.fit_of != nullptr, hub, options.before_fetch),
                                      lack.fit_of);
    for (auto& suggestion : suggestions) {
        if (suggestion.kind != build::Suggestion::Kind::version) continue;
        suggestion.text +=
            is_named ? ": `kernels add " + kernel.dependency.repo.to_string() + "@" + suggestion.value + "`"
                     : ", but another kernel asks for this one (`kernels tree`)";
    }
    return build::no_build_error(name_of(kernel), selection, *lack.target, suggestions);
}

Choice builds_that_fit(const hub::Tree& tree, const std::string& what, const DownloadOptions& options) {
    const auto present = variants_of(tree, what);
    std::set<std::string> wanted;
    for (const auto& target : options.targets) {
        const auto selection = build::select(present, target);
        if (const auto* best = selection.best()) wanted.insert(best->to_string());
    }
    Choice choice;
    for (const auto& variant : present) {
        if (options.all_variants || wanted.contains(variant.to_string()))
            choice.builds.push_back({variant, {}, {}});
    }
    return choice;
}

std::vector<Error> missing_builds(const Lock& lock, const std::vector<build::Target>& targets,
                                  bool check_device, const std::vector<Dependency>& direct,
                                  const hub::Hub& hub) {
    DownloadOptions options;
    options.targets = targets;
    options.check_device = check_device;
    options.direct = direct;
    Spares spares(lock, options, hub);
    MachineNeeds machine_needs(lock, options, hub);
    for (const auto& kernel : lock.kernels())
        spares.note(kernel, asked_redirect(kernel, options.before_fetch, hub));
    std::vector<Error> missing;
    std::set<std::pair<RepoId, Commit>> seen;  // a version and a branch may be one commit
    for (const auto& kernel : lock.kernels()) {
        const RepoId& repo = kernel.dependency.repo;
        if (spares.contains(kernel) || !seen.emplace(repo, kernel.commit).second) continue;
        auto choice = choose_builds(kernel, hub.tree(repo, kernel.commit), options, hub);
        machine_needs.forgive(kernel, choice.lacks);
        for (const auto& lack : choice.lacks)
            missing.push_back(no_build(kernel, lack, options, hub));
        warn_of_unknown_devices(kernel, choice);
        for (const auto& build : choice.builds)
            build::warn_of_caution(build.fit, name_of(kernel) + ": " + build.variant.to_string());
    }
    return missing;
}

std::vector<Lack> without_device_code(const LockedKernel& kernel, const ChosenBuild& chosen,
                                      const build::Metadata& metadata, const std::filesystem::path& folder,
                                      const BeforeFetch& before_fetch, const hub::Hub& hub) {
    const RepoId& repo = kernel.dependency.repo;
    std::vector<Lack> lacks;
    const auto known_fit = build::if_known(fit_without_download(repo, kernel.commit, hub, before_fetch));
    for (const auto& target : chosen.targets) {
        if (!build::names_device(target)) continue;
        const auto held = build::device_fit(metadata, folder, target);
        build::warn_of_caution(held, name_of(kernel) + ": " + chosen.variant.to_string());
        if (held.fit != build::Fit::no) continue;
        const auto present = variants_of(hub.tree(repo, kernel.commit), repo.to_string());
        lacks.push_back({target, build::select(present, target), true,
                         [=](const build::BuildVariant& variant, const build::Target& other) {
                             return variant == chosen.variant ? build::device_fit(metadata, folder, other)
                                                              : known_fit(variant, other);
                         }});
    }
    return lacks;
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

std::optional<build::Metadata> asked_metadata(const RepoId& repo, const Commit& commit,
                                              const std::string& variant, const BeforeFetch& before_fetch,
                                              const hub::Hub& hub) {
    const std::string path = metadata_of(variant);
    ask_for_file(repo, commit, path, before_fetch, hub);
    const auto text = hub.small_file(repo, commit, path);
    if (!text) return std::nullopt;
    return build::Metadata::parse(*text, repo.to_string() + "@" + commit.brief() + ": " + path);
}

std::vector<build::OtherVersion> other_versions(const RepoId& repo, const Commit& commit, bool check_device,
                                                const hub::Hub& hub, const BeforeFetch& before_fetch) {
    std::vector<build::OtherVersion> others;
    try {
        if (before_fetch && !hub.settings().offline) before_fetch(repo);
        const auto versions = hub.versions(repo);
        std::vector<hub::Ref> refs;
        for (auto version = versions.rbegin(); version != versions.rend(); ++version) {
            if (version->second.commit != commit) refs.push_back(version->second);
        }
        auto trees = look_parallel(refs.size(), hub.settings().jobs,
                                   [&](std::size_t i) { return hub.tree(repo, refs[i].commit); });
        for (std::size_t i = 0; i < refs.size(); ++i) {
            const hub::Ref& ref = refs[i];
            others.push_back({ref.name, variants_of(trees[i].get(), repo.to_string() + " " + ref.name),
                              check_device
                                  ? build::if_known(fit_without_download(repo, ref.commit, hub, before_fetch))
                                  : nullptr});
        }
    } catch (const Error& error) {
        if (error.code() == ErrorCode::interrupted) throw;
        log::info(repo.to_string() + ": its other versions were not looked at: " + error.what());
    }
    return others;
}

build::DeviceFitOf fit_without_download(const RepoId& repo, const Commit& commit, const hub::Hub& hub,
                                        const BeforeFetch& before_fetch) {
    return
        [repo, commit, before_fetch, &hub](const build::BuildVariant& variant, const build::Target& target) {
            const auto metadata = asked_metadata(repo, commit, variant.to_string(), before_fetch, hub);
            if (!metadata) return build::DeviceFit{};  // is refused when it has arrived
            const auto file = hub.cache().find_file(repo, commit, metadata_of(variant.to_string()));
            return file ? build::device_fit(*metadata, file->parent_path(), target)
                        : build::device_fit(*metadata, target);
        };
}

}  // namespace kernels::lock
