#include "part_file.hpp"

#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <optional>
#include <string>

#include "blob_file.hpp"
#include "core/process_mark.hpp"
#include "kernels/core/digest.hpp"

namespace kernels::hub {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view ending = ".incomplete";

// Of this machine; its name itself may be long, or have any character.
const std::string& machine() {
    static const std::string text = to_hex(hash_bytes(HashAlgorithm::sha256, host_name())).substr(0, 8) + "-";
    return text;
}

// The process of this machine that `name` belongs to.
std::optional<int> owner_of(std::string_view name, std::string_view etag) {
    const std::string start = std::string(etag) + "." + machine();
    if (!name.starts_with(start) || !name.ends_with(ending)) return std::nullopt;
    name.remove_prefix(start.size());
    name.remove_suffix(std::min(ending.size(), name.size()));
    return process_number(name);
}

// What a process of this machine left when it was killed.
std::optional<fs::path> abandoned_part(const fs::path& blob) {
    const std::string etag = blob.filename();
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(blob.parent_path(), error)) {
        const auto owner = owner_of(entry.path().filename().native(), etag);
        // The lock on the blob is this process's: a part with its own number is an earlier one's.
        if (owner && (*owner == ::getpid() || is_gone(*owner))) return entry.path();
    }
    return std::nullopt;
}

}  // namespace

fs::path claim_part(const fs::path& blob) {
    const fs::path shared = blob.string() + std::string(ending);
    const fs::path own = blob.string() + "." + machine() + std::to_string(::getpid()) + std::string(ending);
    std::error_code error;
    const auto status = fs::symlink_status(shared, error);
    if (fs::is_directory(status)) throw write_error(shared, EISDIR);
    fs::path found = shared;
    if (!fs::exists(status)) {
        auto abandoned = abandoned_part(blob);
        if (!abandoned) return own;
        found = std::move(*abandoned);
    }
    if (found != own) fs::rename(found, own, error);  // failing, another process was first
    return own;
}

void release_part(const fs::path& part, const fs::path& blob) {
    std::error_code ignored;
    fs::rename(part, blob.string() + std::string(ending), ignored);
}

bool is_leftover(const fs::path& part) {
    const std::string name = part.filename();
    const std::string etag = name.substr(0, name.find('.'));
    std::error_code error;
    if (fs::is_regular_file(part.parent_path() / etag, error)) return true;
    if (name == etag + std::string(ending) || owner_of(name, etag)) return false;
    const auto changed = fs::last_write_time(part, error);
    return !error && fs::file_time_type::clock::now() - changed > std::chrono::hours(24);
}

}  // namespace kernels::hub
