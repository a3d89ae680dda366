// Kernel repositories that have moved: kernel-status.toml at a commit sends their users to another
// repository.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "kernels/core/reference.hpp"
#include "kernels/hub/hub.hpp"

namespace kernels::lock {

/// The file's name, at the top of a repository.
inline constexpr const char* status_file = "kernel-status.toml";

/// Reads a kernel-status.toml: `kind = "redirect"` with a `destination` and a `revision` ("main" when it is
/// not given; `vN` means the version). Throws Error(verification) that names `origin` for any other kind and
/// for what is no repository.
Dependency parse_redirect(std::string_view toml, const std::string& origin);

/// Where a commit's kernel-status.toml sends to; nothing when it has none. Throws as parse_redirect and
/// hub::Hub::small_file.
std::optional<Dependency> redirect_of(const RepoId& repo, const Commit& commit, const hub::Hub& hub);

/// The same from what is in the cache, without the network.
std::optional<Dependency> redirect_of(const RepoId& repo, const Commit& commit, const hub::Cache& cache);

/// As redirect_of for who only shows the kernel: a status that cannot be read is a warning.
std::optional<Dependency> shown_redirect(const RepoId& repo, const Commit& commit, const hub::Hub& hub);

}  // namespace kernels::lock
