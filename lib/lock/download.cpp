#include "kernels/lock/download.hpp"

#include <algorithm>
#include <iterator>
#include <set>

#include "choose.hpp"
#include "hub/blob_file.hpp"
#include "kernels/build/device_fit.hpp"
#include "kernels/build/metadata.hpp"
#include "kernels/core/digest.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/log.hpp"
#include "kernels/core/parallel.hpp"
#include "kernels/core/text.hpp"
#include "kernels/lock/failures.hpp"
#include "kernels/lock/redirect.hpp"
#include "kernels/lock/sum_file.hpp"
#include "kernels/verify/digest.hpp"

namespace kernels::lock {
namespace {

std::string folder_of(const build::BuildVariant& variant) {
    return "build/" + variant.to_string();
}

struct Plan {
    LockedKernel kernel;
    bool has_moved = false;  // what is chosen was left behind, for the Python client only
    bool is_spare = false;   // for that or for what it needs: see mark_spares
    Choice choice;
    std::vector<hub::FileRequest> files;
};

Plan plan_for(const LockedKernel& kernel, const Lock& lock, const DownloadOptions& options,
              const hub::Hub& hub) {
    const RepoId& repo = kernel.dependency.repo;
    const auto ask_for_status = [&] {
        ask_for_file(repo, kernel.commit, status_file, options.before_fetch, hub);
    };
    ask_for_status();  // where there is no listing yet, for that one
    const hub::Tree tree = hub.tree(repo, kernel.commit);
    ask_for_status();
    Plan plan{kernel, has_moved(kernel, lock, hub), false, {}, {}};
    plan.choice = plan.has_moved ? builds_left_behind(tree, repo.to_string(), options)
                                 : choose_builds(kernel, tree, options, hub);
    if (!plan.choice.failures.empty()) return plan;  // a kernel is downloaded for all targets or not at all
    for (const auto& chosen : plan.choice.builds) {
        const auto& variant = chosen.variant;
        if (options.sums != nullptr) options.sums->require(repo, kernel.commit, variant, tree);
        require_legacy_hash(kernel, variant, tree);
        for (auto& entry : tree.below(folder_of(variant))) {
            if (!is_bytecode(entry.path)) plan.files.push_back({repo, kernel.commit, std::move(entry)});
        }
    }
    const bool complete = std::all_of(plan.files.begin(), plan.files.end(),
                                      [&](const hub::FileRequest& file) { return is_at_hand(file, hub); });
    if (!complete && options.before_fetch) options.before_fetch(repo);
    return plan;
}

// Checks the build's files against its digest. That is done each time: a build that was refused stays
// refused, and nobody else looks at the digest. Large files were hashed by hub::fetch, now or earlier, so no
// more than the small ones are read.
build::Metadata check_build(const DownloadedBuild& build, const std::atomic<bool>* cancel) {
    const std::string what = build.describe();
    const auto text = read_file_if_exists(build.folder / "metadata.json");
    const auto is_gone = [](const hub::FetchedFile& file) { return !std::filesystem::exists(file.path); };
    if (std::any_of(build.files.begin(), build.files.end(), is_gone)) {
        throw Error(ErrorCode::failed, what + ": its files were removed while they were downloaded",
                    hub::removed_meanwhile_hint);
    }
    if (!text) throw Error(ErrorCode::verification, what + ": it has no metadata.json");
    auto metadata = build::Metadata::parse(*text, what + "/metadata.json");
    std::map<std::string, std::string> known;
    for (const auto& file : build.files) {
        if (!file.sha256.empty())
            known.emplace(file.path.lexically_relative(build.folder).generic_string(), file.sha256);
    }
    auto violations = verify::digest_violations(metadata, build.folder, known, cancel);
    if (!violations.empty()) {
        throw Error(ErrorCode::verification,
                    what + ": its files are not the ones that its metadata.json names",
                    "tell the publisher; the build is not usable", std::move(violations));
    }
    return metadata;
}

// The builds, or in `failures` why they cannot be used.
std::vector<DownloadedBuild> finish_plan(const Plan& plan, std::span<const hub::FetchedFile> files,
                                         const Lock& lock, const DownloadOptions& options,
                                         const hub::Hub& hub, std::vector<Error>& failures) {
    std::vector<DownloadedBuild> builds;
    const hub::Cache& cache = hub.cache();
    const RepoId& repo = plan.kernel.dependency.repo;
    for (const auto& chosen : plan.choice.builds) {
        DownloadedBuild build{plan.kernel, chosen.variant, {}, {}, {}, plan.has_moved};
        const std::string prefix = folder_of(chosen.variant) + "/";
        for (const auto& file : files) {
            if (!file.request.entry.path.starts_with(prefix)) continue;
            // An older cache holds the files elsewhere; the folder is the one above the first file.
            if (build.folder.empty()) {
                const auto depth =
                    std::count(file.request.entry.path.begin() + static_cast<std::ptrdiff_t>(prefix.size()),
                               file.request.entry.path.end(), '/');
                build.folder = file.path.parent_path();
                for (std::ptrdiff_t i = 0; i < depth; ++i)
                    build.folder = build.folder.parent_path();
            }
            build.files.push_back(file);
        }
        build::Metadata metadata;
        try {
            metadata = check_build(build, hub.settings().cancel);
        } catch (const Error& error) {
            if (!plan.is_spare || error.code() != ErrorCode::verification) throw;
            log::warning(build.describe() +
                         ": its kernel has moved, and the build is left out: " + error.what());
            continue;
        }
        if (options.check_device && !plan.is_spare) {
            auto unfit =
                without_device_code(plan.kernel, chosen, metadata, build.folder, options.before_fetch, hub);
            std::move(unfit.begin(), unfit.end(), std::back_inserter(failures));
        }
        for (const auto& needed : metadata.kernel_depends) {
            // Of what Python only would need, `kernels lock` has said why it is not there.
            if (plan.is_spare || lock.find(needed.repo) != nullptr) continue;
            log::warning(build.describe() + " needs " + needed.to_string() +
                         ", which kernels.lock does not have; run `kernels lock`");
        }
        build.remarks = build::remarks(metadata);
        builds.push_back(std::move(build));
    }
    if (!failures.empty()) return {};
    // What Python needs to find the kernel offline (see hub::Cache). A cache that cannot be written needs no
    // change.
    try {
        const auto& reference = plan.kernel.dependency.reference;
        if (!Commit::is_commit(reference.to_string())) cache.write_ref(repo, reference, plan.kernel.commit);
        cache.drop_partial_python_listing(repo, plan.kernel.commit);
    } catch (const Error& error) {
        log::info(error.what());
    }
    return builds;
}

}  // namespace

std::string DownloadedBuild::describe() const {
    return name_of(kernel) + ": " + variant.to_string();
}

// The Python client leaves it out as well.
bool is_bytecode(const std::string& path) {
    return path.ends_with(".pyc") || path.find("/__pycache__/") != std::string::npos;
}

std::vector<build::BuildVariant> variants_of(const hub::Tree& tree, const std::string& what) {
    std::vector<build::BuildVariant> variants;
    for (const auto& name : tree.folders("build")) {
        if (auto variant = build::BuildVariant::try_parse(name)) {
            variants.push_back(std::move(*variant));
        } else {
            log::warning(what + ": build/" + name + " is no build variant and was left out");
        }
    }
    return variants;
}

std::string legacy_variant_hash(const hub::Tree& tree, const build::BuildVariant& variant) {
    Hasher hasher(HashAlgorithm::sha256);
    for (const auto& file : tree.below(folder_of(variant))) {
        hasher.update(file.path);
        hasher.update(from_hex(file.etag()));
    }
    return hasher.finish();
}

void require_legacy_hash(const LockedKernel& kernel, const build::BuildVariant& variant,
                         const hub::Tree& tree) {
    if (kernel.legacy_hashes.empty()) return;
    const auto known = kernel.legacy_hashes.find(variant.to_string());
    if (known == kernel.legacy_hashes.end()) {
        throw Error(ErrorCode::lock_stale,
                    name_of(kernel) + ": kernels.lock, of a version before 0.17, has no hash for " +
                        variant.to_string(),
                    "`kernels lock` writes the file anew");
    }
    if (legacy_variant_hash(tree, variant) == known->second) return;
    throw Error(
        ErrorCode::verification,
        name_of(kernel) + ": the files of " + variant.to_string() +
            " are not the ones that kernels.lock names",
        "find out why before you trust them; without its kernels.lock the project can be locked anew");
}

namespace {

// Finds what only builds left behind need. It is taken where it fits; where it does not, nobody is hindered.
void mark_spares(std::vector<Plan>& plans, const Lock& lock, const DownloadOptions& options,
                 const hub::Hub& hub) {
    const auto any = [&](const auto& is) { return std::any_of(plans.begin(), plans.end(), is); };
    if (!any([](const Plan& plan) { return plan.has_moved; })) return;
    for (auto& plan : plans)
        plan.is_spare = plan.has_moved;
    if (options.with_moved && !any([](const Plan& plan) { return !plan.choice.failures.empty(); })) return;
    const auto needed = needed_natively(lock, options, hub);
    for (auto& plan : plans) {
        if (needed.contains(plan.kernel.dependency)) continue;
        plan.is_spare = true;
        if (!options.with_moved || !plan.choice.failures.empty()) {
            plan.choice = {};
            plan.files.clear();
        }
    }
}

DownloadResult download_once(const std::vector<LockedKernel>& kernels, const Lock& lock,
                             const DownloadOptions& options, const hub::Hub& hub, hub::Monitor* monitor) {
    DownloadResult result;
    auto pending = look_parallel(kernels.size(), hub.settings().jobs,
                                 [&](std::size_t i) { return plan_for(kernels[i], lock, options, hub); });
    std::vector<Plan> plans;
    for (std::size_t i = 0; i < kernels.size(); ++i) {
        try {
            auto made = pending[i].get();
            plans.push_back(std::move(made));
        } catch (const Error& error) {
            if (error.code() == ErrorCode::interrupted) throw;
            result.failures.emplace_back(kernels[i], explained(error, kernels[i], hub));
        }
    }

    mark_spares(plans, lock, options, hub);
    std::erase_if(plans, [&](const Plan& plan) {
        for (const auto& failure : plan.choice.failures)
            result.failures.emplace_back(plan.kernel, failure);
        return !plan.choice.failures.empty();
    });

    std::vector<hub::FileRequest> all;
    for (const auto& plan : plans)
        all.insert(all.end(), plan.files.begin(), plan.files.end());
    const auto outcomes = hub::fetch_each(all, hub.settings(), hub.http(), hub.cache(), monitor);
    auto next = outcomes.begin();
    for (const auto& plan : plans) {
        const auto end = next + static_cast<std::ptrdiff_t>(plan.files.size());
        try {
            std::vector<hub::FetchedFile> files;
            for (; next != end; ++next) {
                if (!next->error) {
                    files.push_back(*next->file);
                    continue;
                }
                result.is_partial = true;
                throw Error(*next->error);
            }
            std::vector<Error> failures;
            auto builds = finish_plan(plan, files, lock, options, hub, failures);
            for (auto& failure : failures)
                result.failures.emplace_back(plan.kernel, std::move(failure));
            std::move(builds.begin(), builds.end(), std::back_inserter(result.builds));
        } catch (const Error& error) {
            if (error.code() == ErrorCode::interrupted) throw;
            result.failures.emplace_back(plan.kernel, explained(error, plan.kernel, hub));
        }
        next = end;
    }
    return result;
}

// The kernels whose failure was the fault of the cache: the Hub lists other files for their commits.
std::vector<LockedKernel> wrongly_listed(const DownloadResult& result, const DownloadOptions& options,
                                         const hub::Hub& hub) {
    std::vector<LockedKernel> kernels;
    std::set<Dependency> seen;
    for (const auto& [kernel, error] : result.failures) {
        const bool may_be = error.code() == ErrorCode::verification || error.code() == ErrorCode::not_found ||
                            error.code() == ErrorCode::no_build;
        if (!may_be || !seen.insert(kernel.dependency).second) continue;
        if (!hub.cache().read_listing(kernel.dependency.repo, kernel.commit)) continue;
        try {
            if (options.before_fetch && !hub.settings().offline) options.before_fetch(kernel.dependency.repo);
            if (hub.renew_tree(kernel.dependency.repo, kernel.commit)) kernels.push_back(kernel);
        } catch (const Error& unanswered) {
            if (unanswered.code() == ErrorCode::interrupted) throw;
            log::debug(unanswered.what());
        }
    }
    return kernels;
}

}  // namespace

DownloadResult download(const Lock& lock, const DownloadOptions& options, const hub::Hub& hub,
                        hub::Monitor* monitor) {
    auto result = download_once(lock.kernels(), lock, options, hub, monitor);
    const auto again = wrongly_listed(result, options, hub);
    if (again.empty()) return result;
    std::erase_if(result.failures, [&](const auto& failure) {
        return std::find(again.begin(), again.end(), failure.first) != again.end();
    });
    auto second = download_once(again, lock, options, hub, monitor);
    std::move(second.builds.begin(), second.builds.end(), std::back_inserter(result.builds));
    result.is_partial = result.is_partial || second.is_partial;
    std::move(second.failures.begin(), second.failures.end(), std::back_inserter(result.failures));
    std::stable_sort(result.builds.begin(), result.builds.end(), [&](const auto& a, const auto& b) {
        return lock.find(a.kernel.dependency) < lock.find(b.kernel.dependency);
    });
    return result;
}

}  // namespace kernels::lock
