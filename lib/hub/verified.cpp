#include "verified.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>

#include "kernels/core/cancel.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/log.hpp"
#include "kernels/core/text.hpp"

namespace kernels::hub {

namespace fs = std::filesystem;

std::optional<Verified::Stamp> Verified::stamp_of(const fs::path& file, const std::string& etag) {
    struct stat status {};
    if (::stat(file.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
    const auto nanoseconds = [](const timespec& time) {
        return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
    };
    return Stamp{static_cast<std::uint64_t>(status.st_size), nanoseconds(status.st_mtim),
                 nanoseconds(status.st_ctim), static_cast<std::uint64_t>(status.st_ino), etag};
}

// A link stands for its blob, which several snapshots may share.
std::string Verified::key(const fs::path& file) const {
    std::error_code error;
    const fs::path real = fs::is_symlink(file, error)
                              ? (file.parent_path() / fs::read_symlink(file, error)).lexically_normal()
                              : file.lexically_normal();
    return real.lexically_relative(m_cache.root().lexically_normal()).generic_string();
}

Verified::Known& Verified::known(const RepoId& repo) {
    const auto [place, is_new] = m_repos.try_emplace(repo);
    if (!is_new) return place->second;
    std::optional<std::string> text;
    try {
        text = read_file_if_exists(record(repo));
    } catch (const Error& error) {
        log::debug(error.what());
    }
    if (!text) return place->second;
    for (const auto line : split(*text, '\n')) {
        Stamp stamp;
        const char* at = line.data();
        const char* const end = at + line.size();
        const auto read = [&](auto& number) {
            const auto [stop, status] = std::from_chars(at, end, number);
            if (status != std::errc() || stop == end || *stop != ' ') return false;
            at = stop + 1;
            return true;
        };
        if (!read(stamp.size) || !read(stamp.modified) || !read(stamp.changed) || !read(stamp.inode))
            continue;
        const char* const blank = std::find(at, end, ' ');
        if (blank == end) continue;
        stamp.etag.assign(at, blank);
        place->second.files.insert_or_assign(std::string(blank + 1, end), stamp);
    }
    return place->second;
}

bool Verified::is_right(const RepoId& repo, const fs::path& file, const TreeEntry& entry, bool& hashed) {
    const auto stamp = stamp_of(file, entry.etag());
    if (!stamp || stamp->size != entry.size) return false;
    const std::string name = key(file);
    {
        const std::lock_guard lock(m_mutex);
        const auto& files = known(repo).files;
        if (const auto found = files.find(name); found != files.end() && found->second == *stamp) return true;
    }
    hashed = true;
    if (hash_file(entry.hasher(), file, m_cancel) != entry.etag()) return false;
    const std::lock_guard lock(m_mutex);
    auto& place = known(repo);
    place.files.insert_or_assign(name, *stamp);
    place.changed = true;
    return true;
}

void Verified::note(const RepoId& repo, const fs::path& file, const std::string& etag) {
    const auto stamp = stamp_of(file, etag);
    if (!stamp) return;
    const std::lock_guard lock(m_mutex);
    auto& place = known(repo);
    place.files.insert_or_assign(key(file), *stamp);
    place.changed = true;
}

void Verified::forget(const RepoId& repo, const fs::path& file) {
    const std::lock_guard lock(m_mutex);
    auto& place = known(repo);
    if (place.files.erase(key(file)) > 0) place.changed = true;
}

void Verified::save() noexcept {
    const std::lock_guard lock(m_mutex);
    for (auto& [repo, place] : m_repos) {
        if (!place.changed) continue;
        place.changed = false;
        std::error_code unreadable;
        if (!fs::is_directory(m_cache.repo_folder(repo), unreadable)) continue;  // it was pruned meanwhile
        try {
            std::string text;
            for (const auto& [name, stamp] : place.files) {
                // What is gone is forgotten.
                std::error_code error;
                if (!fs::exists(m_cache.root() / name, error)) continue;
                text += std::to_string(stamp.size) + " " + std::to_string(stamp.modified) + " " +
                        std::to_string(stamp.changed) + " " + std::to_string(stamp.inode) + " " + stamp.etag +
                        " " + name + "\n";
            }
            m_cache.write(repo, record(repo), text);
        } catch (const std::exception& error) {
            log::debug(error.what());
        }
    }
}

}  // namespace kernels::hub
