#include "kernels/lock/download.hpp"

#include <algorithm>
#include <iterator>
#include <optional>
#include <set>

#include "choose.hpp"
#include "hub/blob_file.hpp"
#include "kernels/build/device_fit.hpp"
#include "kernels/build/metadata.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/log.hpp"
#include "kernels/core/parallel.hpp"
#include "kernels/core/text.hpp"
#include "kernels/lock/failures.hpp"
#include "kernels/lock/redirect.hpp"
#include "kernels/lock/sum_file.hpp"
#include "kernels/verify/digest.hpp"
#include "machine_needs.hpp"
#include "spares.hpp"

namespace kernels::lock {
namespace {

std::string folder_of(const build::BuildVariant& variant) {
    return "build/" + variant.to_string();
}

struct Plan {
    LockedKernel kernel;
    bool has_moved = false;  // what is chosen was left behind, for the Python client only
    hub::Tree tree;
    Choice choice;
    std::vector<hub::FileRequest> files;
};

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
    auto violations = verify::digest_violations(metadata, build.folder, known, cancel);
    if (!violations.empty()) {
        throw Error(ErrorCode::verification,
                    what + ": its files are not the ones that its metadata.json names",
                    "tell the publisher; the build is not usable", std::move(violations));
    }
    return metadata;
}

const char* why_spare(bool has_moved) {
    return has_moved ? "its kernel has moved" : "only builds at a place that a kernel has left need it";
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

namespace {

// One download; a second look at some of its kernels knows what the first found.
class Run {
  public:
    Run(const Lock& lock, const DownloadOptions& options, const hub::Hub& hub)
        : m_lock(lock),
          m_options(options),
          m_hub(hub),
          m_spares(lock, options, hub),
          m_machine_needs(lock, options, hub) {}

    DownloadResult download(const std::vector<LockedKernel>& kernels, hub::Monitor* monitor) {
        plan(kernels);
        tell_lacks();
        std::vector<hub::FileRequest> all;
        for (const auto& plan : m_plans)
            all.insert(all.end(), plan.files.begin(), plan.files.end());
        const auto outcomes = hub::fetch_each(all, m_hub.settings(), m_hub.http(), m_hub.cache(), monitor);
        std::span<const hub::FetchOutcome> rest(outcomes);
        for (const auto& plan : m_plans) {
            take(plan, rest.first(plan.files.size()));
            rest = rest.subspan(plan.files.size());
        }
        tell_lacks();
        m_plans.clear();
        return std::exchange(m_result, {});
    }

  private:
    void plan(const std::vector<LockedKernel>& kernels) {
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
                m_machine_needs.forgive(kernels[i], lacks);
                for (const auto& lack : lacks)
                    m_lacks.emplace_back(kernels[i], lack);
                // All else is downloaded for all targets or not at all.
                if (lacks.empty()) plans.push_back(std::move(made));
            } catch (const Error& error) {
                fail(kernels[i], error);
            }
        }
        auto listed = look_parallel(plans.size(), m_hub.settings().jobs,
                                    [&](std::size_t i) { return files_of(plans[i], m_options, m_hub); });
        for (std::size_t i = 0; i < plans.size(); ++i) {
            try {
                plans[i].files = listed[i].get();
                m_plans.push_back(std::move(plans[i]));
            } catch (const Error& error) {
                fail(plans[i].kernel, error);
            }
        }
    }

    void take(const Plan& plan, std::span<const hub::FetchOutcome> outcomes) {
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

    // The builds, or in `lacks` which of them cannot be used.
    std::vector<DownloadedBuild> finish(const Plan& plan, std::span<const hub::FetchedFile> files,
                                        std::vector<Lack>& lacks) {
        std::vector<DownloadedBuild> builds;
        const hub::Cache& cache = m_hub.cache();
        const RepoId& repo = plan.kernel.dependency.repo;
        for (const auto& chosen : plan.choice.builds) {
            DownloadedBuild build{plan.kernel, chosen.variant, {}, {}, {}, plan.has_moved};
            const std::string prefix = folder_of(chosen.variant) + "/";
            for (const auto& file : files) {
                if (!file.request.entry.path.starts_with(prefix)) continue;
                // An older cache holds the files elsewhere; the folder is the one above the first file.
                if (build.folder.empty()) {
                    const auto depth = std::count(
                        file.request.entry.path.begin() + static_cast<std::ptrdiff_t>(prefix.size()),
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
            build.remarks = build::remarks(metadata);
            builds.push_back(std::move(build));
        }
        if (!lacks.empty()) return {};
        // What Python needs to find the kernel offline (see hub::Cache). A cache that cannot be written needs
        // no change.
        try {
            const auto& reference = plan.kernel.dependency.reference;
            if (!Commit::is_commit(reference.to_string()))
                cache.write_ref(repo, reference, plan.kernel.commit);
            cache.drop_partial_python_listing(repo, plan.kernel.commit);
        } catch (const Error& error) {
            log::info(error.what());
        }
        return builds;
    }

    // What would help against each lack is asked for at the same time.
    void tell_lacks() {
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

    void fail(const LockedKernel& kernel, const Error& error) {
        if (error.code() == ErrorCode::interrupted) throw Error(error);
        auto full = explained(error, kernel, m_hub);
        if (hinders_nobody(kernel, error)) {
            log::warning(std::string(full.what()) + "; " + why_spare(false) + ", so it is left out");
        } else {
            m_result.failures.emplace_back(kernel, std::move(full));
        }
    }

    bool hinders_nobody(const LockedKernel& kernel, const Error& error) {
        if (!is_out_of_reach(error, m_hub)) return false;
        try {
            return !m_spares.is_needed(kernel);
        } catch (const Error& unknown) {
            if (unknown.code() == ErrorCode::interrupted) throw;
            return false;
        }
    }

    const Lock& m_lock;
    const DownloadOptions& m_options;
    const hub::Hub& m_hub;
    Spares m_spares;
    MachineNeeds m_machine_needs;
    std::vector<Plan> m_plans;
    std::vector<std::pair<LockedKernel, Lack>> m_lacks;
    DownloadResult m_result;
};

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

std::vector<LockedKernel> needed_kernels(const Lock& lock, const DownloadOptions& options,
                                         const hub::Hub& hub) {
    const auto& kernels = lock.kernels();
    Spares spares(lock, options, hub);
    auto noted = look_parallel(kernels.size(), hub.settings().jobs, [&](std::size_t i) {
        return spares.note(kernels[i], asked_redirect(kernels[i], options.before_fetch, hub));
    });
    bool any_moved = false;
    std::optional<Error> unknown;
    for (std::size_t i = 0; i < kernels.size(); ++i) {
        try {
            any_moved = noted[i].get() || any_moved;
        } catch (const Error& error) {
            if (error.code() == ErrorCode::interrupted || blames_cache(error)) throw;
            if (is_out_of_reach(error, hub)) continue;
            if (!unknown || error.code() == ErrorCode::verification) unknown = error;
        }
    }
    // Where none has moved all are needed, and whoever downloads them says what is wrong.
    if (unknown && any_moved) throw Error(*unknown);
    std::vector<LockedKernel> needed;
    std::copy_if(kernels.begin(), kernels.end(), std::back_inserter(needed),
                 [&](const LockedKernel& kernel) { return !spares.contains(kernel); });
    return needed;
}

DownloadResult download(const Lock& lock, const DownloadOptions& options, const hub::Hub& hub,
                        hub::Monitor* monitor) {
    return download(lock, lock.kernels(), options, hub, monitor);
}

DownloadResult download(const Lock& lock, const std::vector<LockedKernel>& kernels,
                        const DownloadOptions& options, const hub::Hub& hub, hub::Monitor* monitor) {
    Run run(lock, options, hub);
    auto result = run.download(kernels, monitor);
    const auto again = wrongly_listed(result, options, hub);
    if (again.empty()) return result;
    std::erase_if(result.failures, [&](const auto& failure) {
        return std::find(again.begin(), again.end(), failure.first) != again.end();
    });
    auto second = run.download(again, monitor);
    std::move(second.builds.begin(), second.builds.end(), std::back_inserter(result.builds));
    result.is_partial = result.is_partial || second.is_partial;
    std::move(second.failures.begin(), second.failures.end(), std::back_inserter(result.failures));
    std::stable_sort(result.builds.begin(), result.builds.end(), [&](const auto& a, const auto& b) {
        return lock.find(a.kernel.dependency) < lock.find(b.kernel.dependency);
    });
    return result;
}

}  // namespace kernels::lock
