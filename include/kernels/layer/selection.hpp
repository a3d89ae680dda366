// Which of a project's mapping entries a layer gets on a device in a mode.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kernels/layer/mode.hpp"
#include "kernels/project/project.hpp"

namespace kernels::layer {

/// The devices that a mapping can name.
const std::vector<std::string>& device_types();
/// Throws Error(usage) with the list when `device` is none.
void require_device_type(const std::string& device, const std::string& origin);

/// Checks the devices, capability intervals and modes of all entries. Throws Error(project_file) with file,
/// line and key.
void check_mapping(const project::Project& project);

struct Choice {
    const project::LayerEntry* entry = nullptr;  ///< nullptr: none
    std::string reason;                          ///< why there is none
};

/// The entry for a layer: the device's entries, of these the smallest capability interval that contains
/// `capability` (an entry without interval contains everything; the later of two with the same interval and
/// mode counts), of these the first of the mode's candidates.
Choice choose(const std::vector<project::LayerEntry>& entries, const std::string& layer,
              const std::string& device, std::optional<int> capability, Mode mode);

}  // namespace kernels::layer
