#include "kernels/layer/resolve.hpp"

#include <charconv>
#include <map>
#include <set>
#include <utility>

#include "kernels/build/device_fit.hpp"
#include "kernels/build/metadata.hpp"
#include "kernels/build/selection.hpp"
#include "kernels/build/suggestion.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/log.hpp"
#include "kernels/core/places.hpp"
#include "kernels/core/text.hpp"
#include "kernels/lock/download.hpp"
#include "kernels/lock/redirect.hpp"
#include "kernels/verify/digest.hpp"

namespace kernels::layer {
namespace {

namespace fs = std::filesystem;

// What brings a commit here. The project's lock need not be what a reference of its own means.
std::string how_to_get(const Repository& repository) {
    return std::visit(
        [](const auto& one) -> std::string {
            if constexpr (requires { one.reference(); }) {
                return "have " + one.reference().describe() +
                       " of it in the dependencies, then `kernels lock` and `kernels download`";
            } else {
                return "run `kernels download` in the project";
            }
        },
        repository);
}

// "; of it version 1 is there", of those that the cache knows.
std::string other_versions(const RepoId& repo, const hub::Cache& cache) {
    std::vector<std::string> there;
    for (const auto& [number, commit] : cache.versions(repo))
        there.push_back(std::to_string(number));
    if (there.empty()) return {};
    return ", which has its version" + std::string(there.size() == 1 ? " " : "s ") + join(there, ", ");
}

// What a Hub repository's reference means here: a commit, or what the cache knows.
Commit commit_of(const RepoId& repo, const Reference& reference, const hub::Cache& cache,
                 const std::string& to_get) {
    const std::string name = reference.to_string();
    if (Commit::is_commit(name)) return Commit::parse(name);
    if (const auto commit = cache.read_ref(repo, reference)) return *commit;
    const bool is_version = reference.version() != nullptr;
    throw Error(
        ErrorCode::not_found,
        repo.to_string() + "@" + name + ": not in the cache" +
            (is_version ? other_versions(repo, cache) : ""),
        to_get + (is_version ? "; `kernels versions " + repo.to_string() + "` tells which there are" : ""))
        .with_remedies({Remedy::download});
}

// Follows a kernel that has moved, as far as the lock or the cache knows where to.
std::pair<RepoId, Commit> followed(RepoId repo, Commit commit, const lock::Lock* lock,
                                   const hub::Cache& cache) {
    std::set<RepoId> seen{repo};
    while (const auto redirect = lock::redirect_of(repo, commit, cache)) {
        const auto* locked = lock == nullptr ? nullptr : lock->find(*redirect);
        const auto next = locked != nullptr ? std::optional(locked->commit)
                                            : cache.read_ref(redirect->repo, redirect->reference);
        if (!next) break;
        if (!seen.insert(redirect->repo).second) {
            throw Error(ErrorCode::failed,
                        repo.to_string() + ": its redirects lead back to " + redirect->repo.to_string());
        }
        log::info(repo.to_string() + ": moved to " + redirect->to_string());
        repo = redirect->repo;
        commit = *next;
    }
    return {std::move(repo), std::move(commit)};
}

// Locking fetches the metadata of every build, so that a folder is there before its files are. What the
// commit holds is known from its listing; a cache without one was filled by another tool and is taken as it
// is.
void require_complete(const RepoId& repo, const Commit& commit, const std::vector<hub::TreeEntry>& listed,
                      const std::string& variant, const hub::Cache& cache, const std::string& what,
                      const std::string& to_get) {
    for (const auto& entry : listed) {
        if (lock::is_bytecode(entry.path) || cache.find_file(repo, commit, entry.path)) continue;
        throw Error(ErrorCode::not_found, what + ": " + variant + ": not downloaded", to_get)
            .with_remedies({Remedy::download});
    }
}

// A build that a download refused stays refused. Large files were hashed when they came, for what the listing
// names.
void require_digest(const ResolvedKernel& kernel, const std::vector<hub::TreeEntry>& listed,
                    const std::string& what) {
    const std::string folder = "build/" + kernel.variant + "/";
    std::map<std::string, std::string> known;
    for (const auto& entry : listed) {
        if (entry.lfs_sha256) known.emplace(entry.path.substr(folder.size()), *entry.lfs_sha256);
    }
    const fs::path file = kernel.folder / "metadata.json";
    const auto metadata = build::Metadata::parse(read_file(file), file.string());
    verify::require_digest(metadata, kernel.folder, what + ": " + kernel.variant, known);
}

// `repo` is empty for a local folder, which no command downloads.
ResolvedKernel from_folder(const fs::path& builds, const std::string& what, const std::string& repo,
                           const build::Target& target, DeviceCheck check, const std::string& to_get) {
    auto selection = build::select(build::variants_in(builds), target);
    // The chosen build is read before this is asked, so that what cannot be read is another one.
    const auto fit_of = build::if_known([&](const build::BuildVariant& variant, const build::Target& other) {
        const fs::path folder = builds / variant.to_string();
        std::optional<build::Metadata> metadata;
        if (const auto text = read_file_if_exists(folder / "metadata.json"))
            metadata = build::Metadata::parse(*text, (folder / "metadata.json").string());
        return build::device_fit(metadata, folder, other);
    });
    const auto refusal = [&] {
        const auto suggestions = check == DeviceCheck::yes ? build::suggest(selection, target, {}, fit_of)
                                                           : build::suggest(selection, target);
        const auto error = build::no_build_error(what, selection, target, suggestions,
                                                 repo.empty() ? build::Origin::local : build::Origin::hub);
        if (repo.empty()) return error;
        // The other versions are not here to be tried.
        const std::string others = "`kernels versions " + repo + " --target " + target.to_string() +
                                   "` shows whether another version fits";
        const bool has_more = !suggestions.empty() || build::names_device(target);
        return error.reworded(error.what(), has_more ? error.hint() + "; " + others : others);
    };
    if (selection.best() == nullptr) throw refusal();
    const std::string variant = selection.best()->to_string();
    const fs::path file = builds / variant / "metadata.json";
    const auto text = read_file_if_exists(file);
    if (!text) {
        const Error error(ErrorCode::not_found, what + ": " + variant + " has no metadata.json",
                          repo.empty()
                              ? "a build needs its metadata.json, which names its operators and what it was "
                                "built for; build the kernel again"
                              : to_get);
        throw repo.empty() ? error : error.with_remedies({Remedy::download});
    }
    const auto metadata = build::Metadata::parse(*text, file.string());
    if (check == DeviceCheck::yes && build::names_device(target)) {
        const auto fit = fit_of(*selection.best(), target);
        if (fit.fit == build::Fit::no) {
            build::refuse_for_device(selection, target, fit_of);
            throw refusal();
        }
        build::warn_of_caution(fit, what + ": " + variant);
    }
    return {"", "", variant, builds / variant, metadata.id, build::remarks(metadata)};
}

}  // namespace

std::string ResolvedKernel::describe() const {
    if (repo.empty()) return folder.string();
    return repo + "@" + Commit::parse(commit).brief() + ": " + variant;
}

ResolvedKernel resolve(const Repository& repository, const build::Target& target, const hub::Cache& cache,
                       DeviceCheck check) {
    const RepoId* named = repo_of(repository);
    auto local = named != nullptr ? local_kernel_folder(*named) : std::nullopt;
    const lock::Lock* lock = nullptr;
    const std::string to_get = how_to_get(repository);
    std::optional<Commit> wanted;
    std::visit(
        [&](const auto& one) {
            if constexpr (requires { one.path(); }) {
                local = one.path();
            } else if (local) {
                return;
            } else if constexpr (requires { one.reference(); }) {
                wanted = commit_of(one.repo(), one.reference(), cache, to_get);
            } else {
                wanted = one.entry().commit;
                lock = one.lock();
            }
        },
        repository);
    if (local) {
        const fs::path base = fs::absolute(*local);
        std::error_code error;
        if (!fs::is_directory(base, error)) {
            throw Error(ErrorCode::not_found, local->string() + ": there is no such folder",
                        named != nullptr
                            ? "LOCAL_KERNELS names it for " + named->to_string()
                            : "a local kernel is a folder of builds, or one with them in `build`");
        }
        const fs::path folder = fs::canonical(base);  // is told without the project's `..`
        return from_folder(fs::exists(folder / "build") ? folder / "build" : folder, local->string(), "",
                           target, check, to_get);
    }
    const auto [repo, commit] = followed(*named, *wanted, lock, cache);
    const std::string what = repo.to_string() + "@" + commit.brief();
    const fs::path builds = cache.snapshot_folder(repo, commit) / "build";
    std::error_code error;
    if (!fs::is_directory(builds, error)) {
        throw Error(ErrorCode::not_found, what + ": not downloaded", to_get)
            .with_remedies({Remedy::download});
    }
    auto resolved = from_folder(builds, what, repo.to_string(), target, check, to_get);
    const auto listing = cache.read_listing(repo, commit);
    const auto listed = listing ? listing->below("build/" + resolved.variant) : std::vector<hub::TreeEntry>();
    require_complete(repo, commit, listed, resolved.variant, cache, what, to_get);
    require_digest(resolved, listed, what);
    resolved.repo = repo.to_string();
    resolved.commit = commit.to_string();
    return resolved;
}

std::string device_type_of(const build::Target& target) {
    if (target.backend.kind == build::BackendKind::metal) return "mps";
    if (target.backend.kind == build::BackendKind::cann) return "npu";
    return std::string(target.backend.name());
}

std::optional<int> capability_of(const build::Target& target) {
    if (target.backend.kind == build::BackendKind::cuda) return target.capability;
    if (target.backend.kind != build::BackendKind::rocm || !target.gpu_arch) return std::nullopt;
    // gfx, the major version, and one character each for minor version and stepping.
    std::string_view digits = *target.gpu_arch;
    digits = digits.substr(0, digits.find(':'));
    if (!digits.starts_with("gfx") || digits.size() < 6) return std::nullopt;
    digits = digits.substr(3, digits.size() - 4);
    int capability = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), capability);
    if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
    return capability;
}

}  // namespace kernels::layer
