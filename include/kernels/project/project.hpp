// The project file: `[tool.kernels]` of pyproject.toml, or kernels.toml with the same keys at its top level.
#pragma once

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "kernels/core/reference.hpp"

namespace kernels::project {

/// Whose code may be used without being a trusted publisher's: everyone's (`true`), nobody's (`false`), or
/// that of a list of repositories. An empty list allows as little as `false` and is another value, as in the
/// Python client.
struct TrustPolicy {
    bool everyone = false;
    bool is_list = false;
    std::vector<RepoId> repositories;  ///< in the order in which they are given, which counts for equality

    TrustPolicy() = default;
    template <std::same_as<bool> Flag>
    TrustPolicy(Flag all) : everyone(all) {}     // NOLINT
    TrustPolicy(std::vector<RepoId> only_these)  // NOLINT
        : is_list(true), repositories(std::move(only_these)) {}
    /// Throws Error(usage) for a text that is no `org/name`.
    TrustPolicy(std::initializer_list<std::string_view> only_these);  // NOLINT

    bool allows(const RepoId& repo) const noexcept;
    friend bool operator==(const TrustPolicy&, const TrustPolicy&) = default;
};

/// A place in the project file, for messages: "pyproject.toml:12: tool.kernels.layers[0].mode".
struct Location {
    std::string file;
    std::uint32_t line = 0;
    std::string key;
    std::string to_string() const;
};

/// Where a layer's kernel comes from: as locked, by the project itself unless another lock file is named.
struct LockedSource {
    std::optional<std::filesystem::path> file;
};
using RepoSource = std::variant<LockedSource, Reference, std::filesystem::path>;

/// One `[[layers]]` entry: one entry of the kernel mapping.
struct LayerEntry {
    std::string name;
    std::string device;                 ///< "cuda"
    std::optional<int> min_capability;  ///< 80 for 8.0
    std::optional<int> max_capability;
    std::string mode;            ///< "inference", "training|torch-compile", …; empty means fallback
    std::optional<RepoId> repo;  ///< absent for a local path
    RepoSource source;
    std::string layer;                 ///< class in the kernel repository; or
    std::string func;                  ///< function of the kernel's package
    std::optional<TrustPolicy> trust;  ///< the entry's own; absent means the project's
    Location where;
    std::map<std::string, std::uint32_t> lines;  ///< of its keys, "device.min-capability" as well

    /// The place of one of its keys, or of the entry where the key is not given.
    Location location_of(const std::string& key) const;
};

using AttributeValue = std::variant<bool, std::int64_t, double, std::string>;

/// One `[[bindings]]` entry: which TorchScript modules carry a layer name.
struct Binding {
    std::string layer;
    std::optional<std::string> class_glob;   ///< of the class's name
    std::optional<std::string> module_glob;  ///< of the module's path
    std::map<std::string, AttributeValue> attributes;
    /// The kernel's names for the tensors that a traced module takes, in its order: tracing does not keep it.
    /// An optional tensor that the kernel takes beside them is None.
    std::vector<std::string> arguments;
    /// For each value that a traced module returns, in its order, the number of the kernel's result from 0:
    /// tracing orders them by their use, and leaves out what is not used.
    std::vector<std::int64_t> results;
    /// A TorchScript file whose matching layers are looked for by their form, for models whose classes are
    /// gone.
    std::optional<std::filesystem::path> pattern;
    Location where;
    /// What the module's own attributes must be; a module that lacks one of them does not match. The
    /// condition of replace_kernel_forward_from_hub, as far as a file can say it.
    std::map<std::string, AttributeValue> when;

    /// Whether both globs match, where they are given. A class glob without a dot may match the last part of
    /// the name alone: `Norm` is every class Norm, `*.Norm` those that are in some module.
    bool names(const std::string& class_name, const std::string& module_path) const;
};

struct Project {
    std::filesystem::path file;
    std::filesystem::path folder;
    std::optional<std::vector<Dependency>> dependencies;  ///< nothing when there is no such table
    TrustPolicy trust;
    std::vector<LayerEntry> layers;
    std::vector<Binding> bindings;

    std::filesystem::path lock_file() const { return folder / "kernels.lock"; }
    std::filesystem::path sum_file() const { return folder / "kernels.sum"; }
    /// Whom locking trusts: what `trust` says, and the repositories of layers that are locked by the project
    /// and whose own trust-remote-code allows them.
    TrustPolicy lock_trust() const;
    /// The dependencies; throws Error(project_file) when there is no such table.
    const std::vector<Dependency>& require_dependencies() const;
};

/// Reads the project that `start` belongs to: the first folder from `start` upwards with a kernels.toml or a
/// pyproject.toml that has `[tool.kernels]`. Throws Error(project_file) when there is none, when a folder has
/// both, and for every mistake in the file, with file, line and key.
Project load(const std::filesystem::path& start);

/// As load, but nothing when there is no project file.
std::optional<Project> find(const std::filesystem::path& start);

/// The folder of the project that `start` belongs to, also where its file has mistakes; `start` itself where
/// there is none.
std::filesystem::path folder_of(const std::filesystem::path& start);

/// Reads a project file's text; `file` decides between the two forms by its name.
Project parse(std::string_view text, const std::filesystem::path& file);

}  // namespace kernels::project
