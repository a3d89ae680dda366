// The mapping of the process, and the scopes of its threads.
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "core/python_number.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/log.hpp"
#include "kernels/core/text.hpp"
#include "kernels/layer/mapping.hpp"

namespace kernels::layer {

// What a thread sees inside of a scope. Only its own thread looks at it, but for `ended`: scopes may end
// anywhere.
struct KernelMappingScope::Frame {
    std::shared_ptr<const KernelMapping> mapping;
    std::shared_ptr<Frame> outer;
    std::thread::id thread = std::this_thread::get_id();
    std::atomic<bool> ended = false;
};

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

Shared extended(const Shared& base, const KernelMapping& mapping, bool inherit) {
    auto result = inherit ? std::make_shared<KernelMapping>(*base) : std::make_shared<KernelMapping>();
    result->merge(mapping);
    return result;
}

void warn_of_end(const char* how) noexcept {
    try {
        log::warning(std::string("a scope of use_kernel_mapping ended ") + how +
                     ": what is seen inside of the others stays as it is");
    } catch (...) {  // a destructor asks
    }
}

Shared of_process() {
    const std::lock_guard lock(process().mutex);
    return process().mapping;
}

}  // namespace

// The frames of this thread whose scopes have not ended. When the thread's objects are gone there are none:
// the destructors of static ones run later.
class KernelMappingScope::Frames {
  public:
    static std::shared_ptr<Frame> innermost() {
        if (gone) return nullptr;
        auto& top = of_thread().m_top;
        while (top != nullptr && top->ended)
            top = top->outer;
        return top;
    }
    static void enter(std::shared_ptr<Frame> frame) {
        if (!gone) of_thread().m_top = std::move(frame);
    }

    static thread_local bool gone;

    Frames(const Frames&) = delete;
    Frames& operator=(const Frames&) = delete;

  private:
    Frames() = default;
    ~Frames() { gone = true; }
    static Frames& of_thread() {
        thread_local Frames frames;
        return frames;
    }

    std::shared_ptr<Frame> m_top;
};

thread_local bool KernelMappingScope::Frames::gone = false;

void register_kernel_mapping(const KernelMapping& mapping, bool inherit_mapping) {
    if (const auto frame = KernelMappingScope::Frames::innermost()) {
        frame->mapping = extended(frame->mapping, mapping, inherit_mapping);
        return;
    }
    const std::lock_guard lock(process().mutex);
    process().mapping = extended(process().mapping, mapping, inherit_mapping);
}

KernelMapping current_kernel_mapping() {
    const auto frame = KernelMappingScope::Frames::innermost();
    return frame != nullptr ? *frame->mapping : *of_process();
}

KernelMappingScope::KernelMappingScope(const KernelMapping& mapping, bool inherit_mapping)
    : m_frame(std::make_shared<Frame>()) {
    m_frame->outer = Frames::innermost();
    m_frame->mapping = extended(m_frame->outer != nullptr ? m_frame->outer->mapping : of_process(), mapping,
                                inherit_mapping);
    Frames::enter(m_frame);
}

KernelMappingScope::~KernelMappingScope() {
    const bool own_thread = m_frame->thread == std::this_thread::get_id();
    const bool in_order = own_thread && (Frames::gone || Frames::innermost() == m_frame);
    m_frame->ended = true;
    if (in_order) {
        Frames::innermost();  // forgets the frame
    } else {
        warn_of_end(own_thread ? "before one that began inside of it" : "on another thread than it began on");
    }
}

KernelMappingScope use_kernel_mapping(const KernelMapping& mapping, bool inherit_mapping) {
    return {mapping, inherit_mapping};
}

namespace {

// What Python's int() takes of ASCII: a number with white space around.
std::optional<std::string> whole_number(std::string_view text) {
    constexpr std::string_view space = " \t\n\v\f\r\x1c\x1d\x1e\x1f";
    const auto first = text.find_first_not_of(space);
    if (first == std::string_view::npos) return std::nullopt;
    return python_integer(text.substr(first, text.find_last_not_of(space) - first + 1));
}

}  // namespace

bool kernel_mapping_disabled() {
    const char* value = std::getenv("DISABLE_KERNEL_MAPPING");
    if (value == nullptr) return false;
    const std::string_view text = value;
    const auto number = whole_number(text);
    if (!number) {
        throw Error(ErrorCode::usage, "DISABLE_KERNEL_MAPPING: " + backquoted(text) + " is no number",
                    "set it to 1, or to 0");
    }
    return number->find_first_of("123456789") != std::string::npos;
}

}  // namespace kernels::layer
