#include "kernels/lock/download.hpp"

#include <algorithm>
#include <iterator>
#include <optional>
#include <set>

#include "choose.hpp"
#include "download_run.hpp"
#include "kernels/core/log.hpp"
#include "kernels/core/parallel.hpp"
#include "kernels/lock/failures.hpp"
#include "spares.hpp"

namespace kernels::lock {

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
    return download(lock, lock.kernels(), options, hub, hub, monitor);
}

DownloadResult download(const Lock& lock, const std::vector<LockedKernel>& kernels,
                        const DownloadOptions& options, const hub::Hub& hub, const hub::Hub& asked,
                        hub::Monitor* monitor) {
    DownloadRun run(lock, options, hub, asked);
    auto result = run.download(kernels, monitor);
    const auto again = wrongly_listed(result, options, hub);
    std::erase_if(result.failures, [&](const auto& failure) {
        return std::find(again.begin(), again.end(), failure.first) != again.end();
    });
    auto second = again.empty() ? DownloadResult() : run.download(again, monitor);
    std::move(second.builds.begin(), second.builds.end(), std::back_inserter(result.builds));
    result.is_partial = result.is_partial || second.is_partial;
    std::move(second.failures.begin(), second.failures.end(), std::back_inserter(result.failures));
    std::stable_sort(result.builds.begin(), result.builds.end(), [&](const auto& a, const auto& b) {
        return lock.find(a.kernel.dependency) < lock.find(b.kernel.dependency);
    });
    return result;
}

}  // namespace kernels::lock