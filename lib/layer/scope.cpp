// The mapping of the process, and the scopes of its threads.
#include <charconv>
#include <cstdlib>
#include <mutex>

#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"
#include "kernels/layer/mapping.hpp"

namespace kernels::layer {
namespace {

using Shared = std::shared_ptr<const KernelMapping>;

// Mappings are never changed where they are, but replaced: who has one keeps it as it is.
struct ProcessMapping {
    std::mutex mutex;
    Shared mapping = std::make_shared<const KernelMapping>();
};

ProcessMapping& process() {
    // Never destroyed, so that the destructors of static objects may still register.
    static auto* mapping = new ProcessMapping;
    return *mapping;
}

thread_local Shared innermost;  // nullptr outside of scopes

Shared extended(const Shared& base, const KernelMapping& mapping, bool inherit) {
    auto result = inherit ? std::make_shared<KernelMapping>(*base) : std::make_shared<KernelMapping>();
    result->merge(mapping);
    return result;
}

Shared visible() {
    if (innermost != nullptr) return innermost;
    const std::lock_guard lock(process().mutex);
    return process().mapping;
}

}  // namespace

void register_kernel_mapping(const KernelMapping& mapping, bool inherit_mapping) {
    if (innermost != nullptr) {
        innermost = extended(innermost, mapping, inherit_mapping);
        return;
    }
    const std::lock_guard lock(process().mutex);
    process().mapping = extended(process().mapping, mapping, inherit_mapping);
}

KernelMapping current_kernel_mapping() {
    return *visible();
}

KernelMappingScope::KernelMappingScope(const KernelMapping& mapping, bool inherit_mapping)
    : m_outer(innermost) {
    innermost = extended(visible(), mapping, inherit_mapping);
}

KernelMappingScope::~KernelMappingScope() {
    innermost = std::move(m_outer);
}

KernelMappingScope use_kernel_mapping(const KernelMapping& mapping, bool inherit_mapping) {
    return {mapping, inherit_mapping};
}

bool kernel_mapping_disabled() {
    const char* text = std::getenv("DISABLE_KERNEL_MAPPING");
    if (text == nullptr) return false;
    const auto number = trimmed(text);
    if (number.empty()) return false;
    int value = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
    if (error != std::errc() || end != number.data() + number.size()) {
        throw Error(ErrorCode::usage, "DISABLE_KERNEL_MAPPING: " + backquoted(text) + " is no number",
                    "set it to 1, or to 0");
    }
    return value != 0;
}

}  // namespace kernels::layer
