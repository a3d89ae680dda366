#include "guarded_memory.hpp"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <stdexcept>
#include <unordered_map>
#include <unordered_set>

namespace kernels::torchscript {
namespace {

constexpr std::size_t margin = 64;        // torch's own alignment
constexpr unsigned char nan_byte = 0xff;  // NaN in every floating dtype

struct Block {
    unsigned char* memory = nullptr;
    std::size_t size = 0;  // of what is given out

    bool whole() const {
        const auto untouched = [](const unsigned char* from) {
            return std::all_of(from, from + margin, [](unsigned char byte) { return byte == nan_byte; });
        };
        return untouched(memory) && untouched(memory + margin + size);
    }
};

struct Blocks {
    std::mutex mutex;
    std::unordered_map<const void*, Block> live;  // by what is given out
    std::unordered_set<const void*> recent;       // of those: a model's weights are many
    std::atomic<bool> on = false;
    bool damaged = false;
    std::ptrdiff_t used = 0;  // since the guard is on: less than none where older memory was given back
    std::ptrdiff_t peak = 0;
    std::optional<std::size_t> most;

    void take(std::size_t size) {
        const auto now = used + static_cast<std::ptrdiff_t>(size);
        if (most && now > static_cast<std::ptrdiff_t>(*most))
            throw std::runtime_error("it takes more memory than it may");
        used = now;
        peak = std::max(peak, used);
    }
};

Blocks& blocks() {
    static Blocks all;
    return all;
}

// torch takes another allocator of at least the present one's priority.
constexpr unsigned char priority = 255;

c10::Allocator*& usual() {
    static c10::Allocator* allocator = nullptr;
    return allocator;
}

// Given out by the guarded allocator, or by the usual one while nothing is guarded.
void release(void* data) {
    std::unique_lock lock(blocks().mutex);
    const auto found = blocks().live.find(data);
    if (found == blocks().live.end()) {
        lock.unlock();
        usual()->raw_deleter()(data);
        return;
    }
    blocks().damaged = blocks().damaged || !found->second.whole();
    blocks().used -= static_cast<std::ptrdiff_t>(found->second.size);
    std::free(found->second.memory);
    blocks().live.erase(found);
    blocks().recent.erase(data);
}

// Stays torch's allocator once it is: oneDNN keeps memory for longer than a call, and gives it back by what
// is the allocator then.
class GuardedAllocator final : public c10::Allocator {
  public:
    c10::DataPtr allocate(std::size_t size) override {
        if (!blocks().on) return usual()->allocate(size);
        const std::lock_guard lock(blocks().mutex);
        blocks().take(size);
        const std::size_t whole = (size + 2 * margin + margin - 1) / margin * margin;
        auto* memory = static_cast<unsigned char*>(std::aligned_alloc(margin, whole));
        if (memory == nullptr) throw std::bad_alloc();
        std::memset(memory, nan_byte, margin);
        std::memset(memory + margin + size, nan_byte, whole - margin - size);
        unsigned char* given = memory + margin;
        blocks().live.emplace(given, Block{memory, size});
        blocks().recent.insert(given);
        return {given, given, &release, at::Device(at::kCPU)};
    }
    c10::DeleterFnPtr raw_deleter() const override { return &release; }
    void copy_data(void* to, const void* from, std::size_t size) const override {
        default_copy_data(to, from, size);
    }
};

}  // namespace

GuardedMemory::GuardedMemory(std::optional<std::size_t> most) {
    static GuardedAllocator guarded;
    if (usual() == nullptr) {
        usual() = c10::GetCPUAllocator();
        c10::SetCPUAllocator(&guarded, priority);
    }
    const std::lock_guard lock(blocks().mutex);
    blocks().damaged = false;
    blocks().recent.clear();
    blocks().used = blocks().peak = 0;
    blocks().most = most;
    blocks().on = true;
}

GuardedMemory::~GuardedMemory() {
    const std::lock_guard lock(blocks().mutex);
    blocks().on = false;
}

bool GuardedMemory::damaged(const std::vector<at::Tensor>& older) {
    const std::lock_guard lock(blocks().mutex);
    const auto whole = [](const void* data) {
        const auto found = blocks().live.find(data);
        return found == blocks().live.end() || found->second.whole();
    };
    return blocks().damaged || !std::all_of(blocks().recent.begin(), blocks().recent.end(), whole) ||
           !std::all_of(older.begin(), older.end(), [&](const at::Tensor& tensor) {
               return !tensor.has_storage() || whole(tensor.storage().data());
           });
}

std::size_t GuardedMemory::peak() {
    const std::lock_guard lock(blocks().mutex);
    return static_cast<std::size_t>(blocks().peak);
}

std::optional<std::size_t> GuardedMemory::size_of(const void* data) {
    const std::lock_guard lock(blocks().mutex);
    const auto found = blocks().live.find(data);
    return found == blocks().live.end() ? std::nullopt : std::optional(found->second.size);
}

}  // namespace kernels::torchscript
