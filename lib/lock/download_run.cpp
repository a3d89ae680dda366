#include "download_run.hpp"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <map>
#include <optional>
#include <set>

#include "hub/blob_file.hpp"
#include "kernels/build/device_fit.hpp"
#include "kernels/build/metadata.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/log.hpp"
#include "kernels/core/parallel.hpp"
#include "kernels/lock/failures.hpp"
#include "kernels/lock/redirect.hpp"
#include "kernels/lock/sum_file.hpp"
#include "kernels/verify/digest.hpp"

namespace kernels::lock {
namespace {

using Plan = DownloadPlan;

std::string folder_of(const build::BuildVariant& variant) {
    return "build/" + variant.to_string();
}

std::vector<hub::FileRequest> files_of(const Plan& plan, const DownloadOptions& options,
                                       const hub::Hub& hub) {
    const RepoId& repo = plan.kernel.dependency.repo;
    std::vector<hub::FileRequest> files;
    for (const auto& chosen : plan.choice.builds) {
        const auto& variant = chosen.variant;
        if (options.sums != nullptr) options.sums->require(repo, plan.kernel.commit, variant, plan.tree);
        require_legacy_hash(plan.kernel, variant, plan.tree);
        for (auto& entry : plan.tree.below(folder_of(variant))) {
            if (!is_bytecode(entry.path)) files.push_back({repo, plan.kernel.commit, std::move(entry)});
        }
    }
    const bool complete = std::all_of(files.begin(), files.end(),
                                      [&](const hub::FileRequest& file) { return is_at_hand(file, hub); });
    if (!complete && options.before_fetch) options.before_fetch(repo);
    return files;
}

Plan plan_for(const LockedKernel& kernel, const DownloadOptions& options, const hub::Hub& hub,
              Spares& spares) {
    hub::Tree tree = asked_tree(kernel, options.before_fetch, hub);
    const auto redirect = redirect_of(kernel.dependency.repo, kernel.commit, hub);
    Plan plan{kernel, spares.note(kernel, redirect), std::move(tree), {}, {}};
    if (redirect && !plan.has_moved) {
        log::warning(name_of(kernel) + ": moved to " + redirect->to_string() +
                     ", which kernels.lock does not have; run `kernels lock`");
    }
    plan.choice = plan.has_moved ? builds_that_fit(plan.tree, kernel.dependency.repo.to_string(), options)
                                 : choose_builds(kernel, plan.tree, options, hub);
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
    verify::require_digest(metadata, build.folder, what, known, cancel);
    return metadata;
}

const char* why_spare(bool has_moved) {
    return has_moved ? "its kernel has moved" : "only builds at a place that a kernel has left need it";
}

}  // namespace

DownloadResult DownloadRun::download(const std::vector<LockedKernel>& kernels, hub::Monitor* monitor) {
    bring(plan(kernels), monitor);
    bring(forgiven(), monitor);
    tell_lacks();
    tell_failures();
    return std::exchange(m_result, {});
}

void DownloadRun::bring(std::vector<Plan> chosen, hub::Monitor* monitor) {
    const auto plans = with_files(std::move(chosen));
    std::vector<hub::FileRequest> all;
    for (const auto& plan : plans)
        all.insert(all.end(), plan.files.begin(), plan.files.end());
    const auto outcomes = hub::fetch_each(all, m_hub.settings(), m_hub.http(), m_hub.cache(), monitor);
    std::span<const hub::FetchOutcome> rest(outcomes);
    for (const auto& plan : plans) {
        take(plan, rest.first(plan.files.size()));
        rest = rest.subspan(plan.files.size());
    }
}

std::vector<Plan> DownloadRun::plan(const std::vector<LockedKernel>& kernels) {
    auto pending = look_parallel(kernels.size(), m_hub.settings().jobs, [&](std::size_t i) {
        return plan_for(kernels[i], m_options, m_hub, m_spares);
    });
    std::vector<Plan> plans;
    for (std::size_t i = 0; i < kernels.size(); ++i) {
        try {
            Plan made = pending[i].get();
            auto& lacks = made.choice.lacks;
            // A spare comes along as far as it fits. An empty listing may be the cache's fault.
            const bool may_be_spare =
                made.has_moved || (!lacks.empty() && !made.tree.folders("build").empty());
            if (may_be_spare && m_spares.contains(kernels[i])) lacks.clear();
            (lacks.empty() ? plans : m_lacking).push_back(std::move(made));
        } catch (const Error& error) {
            fail(kernels[i], error);
        }
    }
    return plans;
}

std::vector<Plan> DownloadRun::forgiven() {
    std::vector<Plan> plans;
    for (auto& plan : std::exchange(m_lacking, {})) {
        try {
            m_machine_needs.forgive(plan.kernel, plan.choice.lacks);
            for (const auto& lack : plan.choice.lacks)
                m_lacks.emplace_back(plan.kernel, lack);
            if (plan.choice.lacks.empty()) plans.push_back(std::move(plan));
        } catch (const Error& error) {
            fail(plan.kernel, error);
        }
    }
    return plans;
}

std::vector<Plan> DownloadRun::with_files(std::vector<Plan> plans) {
    std::vector<Plan> whole;
    auto listed = look_parallel(plans.size(), m_hub.settings().jobs,
                                [&](std::size_t i) { return files_of(plans[i], m_options, m_hub); });
    for (std::size_t i = 0; i < plans.size(); ++i) {
        try {
            plans[i].files = listed[i].get();
            whole.push_back(std::move(plans[i]));
        } catch (const Error& error) {
            fail(plans[i].kernel, error);
        }
    }
    return whole;
}

void DownloadRun::take(const Plan& plan, std::span<const hub::FetchOutcome> outcomes) {
    try {
        std::vector<hub::FetchedFile> files;
        const Error* wrong = nullptr;
        for (const auto& outcome : outcomes) {
            if (!outcome.error) {
                files.push_back(*outcome.file);
            } else if (wrong == nullptr || (blames_cache(*wrong) && !blames_cache(*outcome.error))) {
                wrong = &*outcome.error;  // of a cache that is only read, rather what is not in it
            }
        }
        if (wrong != nullptr) {
            m_result.is_partial = true;
            throw Error(*wrong);
        }
        std::vector<Lack> lacks;
        auto builds = finish(plan, files, lacks);
        for (auto& lack : lacks)
            m_lacks.emplace_back(plan.kernel, std::move(lack));
        std::move(builds.begin(), builds.end(), std::back_inserter(m_result.builds));
    } catch (const Error& error) {
        fail(plan.kernel, error);
    }
}

std::vector<DownloadedBuild> DownloadRun::finish(const Plan& plan, std::span<const hub::FetchedFile> files,
                                                 std::vector<Lack>& lacks) {
    std::vector<DownloadedBuild> builds;
    std::set<std::int64_t> versions;  // that they say they are
    const hub::Cache& cache = m_hub.cache();
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
            metadata = check_build(build, m_hub.settings().cancel);
        } catch (const Error& error) {
            if (error.code() != ErrorCode::verification || !m_spares.contains(plan.kernel)) throw;
            log::warning(build.describe() + ": " + why_spare(plan.has_moved) +
                         ", and the build is left out: " + error.what());
            continue;
        }
        if (m_options.check_device && !plan.has_moved) {
            auto lacking = without_device_code(plan.kernel, chosen, metadata, build.folder,
                                               m_options.before_fetch, m_hub);
            m_machine_needs.forgive(plan.kernel, lacking);
            if (!lacking.empty() && !m_spares.contains(plan.kernel))
                std::move(lacking.begin(), lacking.end(), std::back_inserter(lacks));
        }
        for (const auto& needed : metadata.kernel_depends) {
            // Of what Python only would need, `kernels lock` has said why it is not there.
            if (m_lock.find(needed.repo) != nullptr || m_spares.contains(plan.kernel)) continue;
            log::warning(build.describe() + " needs " + needed.to_string() +
                         ", which kernels.lock does not have; run `kernels lock`");
        }
        versions.insert(metadata.version);
        build.remarks = build::remarks(metadata);
        builds.push_back(std::move(build));
    }
    if (!lacks.empty()) return {};
    // A reference to a commit of which nothing is here is a fault of a cache.
    if (builds.empty() && !plan.has_moved) return {};
    // What Python needs to find the kernel offline (see hub::Cache). A cache that cannot be written needs
    // no change.
    try {
        const auto& reference = plan.kernel.dependency.reference;
        if (!Commit::is_commit(reference.to_string()))
            cache.write_ref(repo, reference, plan.kernel.commit);
        else if (const auto version = named_version(plan.kernel, versions);
                 version && !cache.read_ref(repo, *version))
            cache.write_ref(repo, *version, plan.kernel.commit);
        cache.drop_partial_python_listing(repo, plan.kernel.commit);
    } catch (const Error& error) {
        log::info(error.what());
    }
    return builds;
}

std::optional<KernelVersion> DownloadRun::named_version(const LockedKernel& kernel,
                                                        const std::set<std::int64_t>& versions) const {
    if (kernel.legacy_hashes.empty() || versions.size() != 1) return std::nullopt;
    const Dependency version{kernel.dependency.repo, KernelVersion{*versions.begin()}};
    const auto& direct = m_options.direct;
    if (std::find(direct.begin(), direct.end(), version) == direct.end()) return std::nullopt;
    return *version.reference.version();
}

void DownloadRun::tell_lacks() {
    auto errors = look_parallel(m_lacks.size(), m_hub.settings().jobs, [&](std::size_t i) {
        return no_build(m_lacks[i].first, m_lacks[i].second, m_options, m_hub);
    });
    for (std::size_t i = 0; i < m_lacks.size(); ++i) {
        const LockedKernel& kernel = m_lacks[i].first;
        try {
            m_result.failures.emplace_back(kernel, errors[i].get());
        } catch (const Error& error) {
            fail(kernel, error);
        }
    }
    m_lacks.clear();
}

void DownloadRun::fail(const LockedKernel& kernel, const Error& error) {
    if (error.code() == ErrorCode::interrupted) throw Error(error);
    m_failed.push_back({kernel, error, is_out_of_reach(error, m_hub)});
}

void DownloadRun::tell_failures() {
    for (const auto& [kernel, error, out_of_reach] : std::exchange(m_failed, {})) {
        auto full = explained(error, kernel, m_hub);
        const std::string why = out_of_reach ? why_not_needed(kernel) : "";
        if (why.empty()) {
            m_result.failures.emplace_back(kernel, std::move(full));
        } else {
            log::warning(std::string(full.what()) + "; " + why + ", so it is left out");
        }
    }
}

std::string DownloadRun::why_not_needed(const LockedKernel& kernel) {
    const auto is_needed_for = [&](const build::Target& target) {
        return m_machine_needs.is_needed(kernel.dependency, target);
    };
    const auto& targets = m_options.targets;
    try {
        if (!m_spares.is_needed(kernel)) return why_spare(false);
        if (!m_options.all_variants && std::none_of(targets.begin(), targets.end(), is_needed_for))
            return "only builds for other machines need it";
    } catch (const Error& unknown) {
        if (unknown.code() == ErrorCode::interrupted) throw;
    }
    return {};
}

}  // namespace kernels::lock
