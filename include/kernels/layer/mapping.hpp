// Which kernel stands for which layer: layer name → device → mode → repository.
#pragma once

#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/layer/device.hpp"
#include "kernels/layer/mode.hpp"
#include "kernels/layer/repository.hpp"

namespace kernels::layer {

/// The repositories of a layer on a device, by mode. A repository without a mode is for Mode::fallback.
class ModeRepositories {
  public:
    ModeRepositories() = default;
    template <typename AnyRepository>
    requires std::constructible_from<Repository, AnyRepository> ModeRepositories(
        AnyRepository repository)  // NOLINT(google-explicit-constructor)
        : m_repositories{{Mode::fallback, Repository(std::move(repository))}} {}
    /// Of two repositories for one mode the later counts. Throws Error(usage) for torch_compile alone.
    ModeRepositories(std::initializer_list<std::pair<Mode, Repository>> repositories);

    /// Throws Error(usage) for torch_compile alone.
    void set(Mode mode, Repository repository);
    /// The repository for exactly this mode; nullptr when there is none. select() looks through the modes.
    const Repository* find(Mode mode) const noexcept;
    /// All of them, by mode.
    const std::map<Mode, Repository>& all() const noexcept { return m_repositories; }
    friend bool operator==(const ModeRepositories&, const ModeRepositories&) = default;

  private:
    std::map<Mode, Repository> m_repositories;
};

/// A kernel mapping: a value.
///
///     const KernelMapping mapping{
///         {"SiluAndMul", "cpu", LayerRepository("org/activation", "SiluAndMul", KernelVersion{1})},
///         {"RMSNorm", Device("cuda", CUDAProperties(80, 90)),
///          {{Mode::inference, LayerRepository("org/norm", "FastNorm", KernelVersion{1})},
///           {Mode::training, LayerRepository("org/norm", "RMSNorm", KernelVersion{1})}}},
///     };
///
/// A layer, a device type and a capability interval name one place. What is put there takes the place of
/// everything that was there, all modes together, as in the Python client.
class KernelMapping {
  public:
    /// One place, with what is there.
    struct Entry {
        std::string layer;
        Device device;
        ModeRepositories repositories;
        friend bool operator==(const Entry&, const Entry&) = default;
    };

    KernelMapping() = default;
    /// Later entries replace earlier ones for the same place.
    KernelMapping(std::initializer_list<Entry> entries);

    /// Throws Error(usage) for an empty layer name or an entry without a repository.
    void set(const std::string& layer, const Device& device, ModeRepositories repositories);
    /// Adds one mode to a place, and leaves the place's other modes alone. Throws Error(usage) for an empty
    /// layer name and for torch_compile alone.
    void add(const std::string& layer, const Device& device, Mode mode, Repository repository);
    /// Everything that `other` holds replaces what stands at the same place.
    void merge(const KernelMapping& other);
    /// Forgets what stands for a layer on a type of device.
    void erase(const std::string& layer, const std::string& device_type);

    /// Whether no layer has a repository.
    bool empty() const noexcept { return m_layers.empty(); }
    /// In the order of the alphabet.
    std::vector<std::string> layer_names() const;
    /// The places of a layer, by device type, then by interval; none for an unknown layer.
    std::vector<Entry> entries(const std::string& layer) const;
    /// The places of all layers, by layer.
    std::vector<Entry> entries() const;

    /// The devices' places of one type, by interval.
    using Places = std::map<CapabilityInterval, Entry>;
    /// nullptr when the layer is not known; by device type.
    const std::map<std::string, Places>* find(const std::string& layer) const noexcept;

    /// Whether they hold equal repositories at the same places, as mappings are equal in the Python client.
    friend bool operator==(const KernelMapping&, const KernelMapping&) = default;

  private:
    std::map<std::string, std::map<std::string, Places>> m_layers;
};

/// The mapping that a project's [[layers]] entries make. Entries for one place are one entry with several
/// modes; two for the same mode are a mistake. `lock` is the project's, nullptr when it has none: what
/// must be locked and is not shows when it is used. Throws Error(project_file) with file, line and key for
/// entries that exclude each other, devices, properties and modes that cannot be.
KernelMapping mapping_of(const project::Project& project, const std::shared_ptr<const lock::Lock>& lock);
/// With the lock beside the project file, where there is one.
KernelMapping mapping_of(const project::Project& project);

/// Merges `mapping` into the mapping that this thread sees: that of its innermost scope, else the one of the
/// process. With `inherit_mapping` false what was there is erased first.
void register_kernel_mapping(const KernelMapping& mapping, bool inherit_mapping = true);

/// A copy of the mapping that this thread sees.
KernelMapping current_kernel_mapping();

/// While it lives, its thread sees another mapping; see use_kernel_mapping.
///
/// Scopes are made to end as the blocks do that they stand in. C++ cannot forbid others (`new` is refused,
/// but make_shared and optional get by it), so these are defined too: a scope that ends before one that began
/// inside of it changes nothing for the inner one, and once that ends as well, its thread sees what it saw
/// before both. One that ends on another thread ends for the thread on which it began, which sees so when it
/// next asks, and is no data race. Both are told of by a warning.
class [[nodiscard]] KernelMappingScope {
  public:
    /// As use_kernel_mapping.
    KernelMappingScope(const KernelMapping& mapping, bool inherit_mapping);
    /// The thread sees again what it saw before.
    ~KernelMappingScope();
    KernelMappingScope(const KernelMappingScope&) = delete;
    KernelMappingScope& operator=(const KernelMappingScope&) = delete;
    static void* operator new(std::size_t) = delete;
    static void* operator new[](std::size_t) = delete;

  private:
    struct Frame;
    class Frames;
    friend void register_kernel_mapping(const KernelMapping& mapping, bool inherit_mapping);
    friend KernelMapping current_kernel_mapping();
    std::shared_ptr<Frame> m_frame;
};

/// Until the end of the block this thread sees the mapping that it saw before, extended by `mapping`, or,
/// with `inherit_mapping` false, only `mapping`. Scopes nest, and leaving one by an exception restores as
/// well.
///
///     const auto scope = use_kernel_mapping(mapping);
///
/// Threads: the mapping of the process is shared, and every function here may be called from any thread. A
/// scope belongs to its thread: other threads, also those started inside it, do not see it (as in the Python
/// client, where it is a context variable). Hand them current_kernel_mapping(). An inherited mapping is the
/// state at the scope's beginning: what others register later is not seen inside.
KernelMappingScope use_kernel_mapping(const KernelMapping& mapping, bool inherit_mapping = true);

/// Whether DISABLE_KERNEL_MAPPING asks to keep every original forward: a whole number other than 0, written
/// as Python's int() takes it (of ASCII: " +1", "1_000", not "", "1.0" or "true"). Throws Error(usage) when
/// it is none.
bool kernel_mapping_disabled();

}  // namespace kernels::layer
