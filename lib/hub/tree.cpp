#include "kernels/hub/tree.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/json_text.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"

namespace kernels::hub {
namespace {

using Json = nlohmann::json;

// Whether a path from the network stays below the folder it is joined to, on every file system.
bool is_safe_path(std::string_view path) {
    constexpr std::size_t longest_path = 4000;
    constexpr std::size_t longest_name = 255;
    if (path.empty() || path.size() > longest_path) return false;
    for (const auto part : split(path, '/')) {
        if (part.empty() || part == "." || part == ".." || part.size() > longest_name) return false;
        for (const char c : part) {
            if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\') return false;
        }
    }
    return true;
}

bool is_hex(std::string_view text, std::size_t size) {
    return text.size() == size && std::all_of(text.begin(), text.end(), [](char c) {
               return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
           });
}

// JSON's numbers may be negative, broken or beyond all files.
std::uint64_t parse_size(const Json& size, const std::string& path, const std::string& origin) {
    constexpr std::uint64_t largest = std::uint64_t{1} << 50U;
    if (size.is_number_unsigned() && size.get<std::uint64_t>() <= largest) return size.get<std::uint64_t>();
    throw Error(ErrorCode::verification,
                origin + ": refused " + backquoted(path) + ", whose size is " + backquoted(size.dump()));
}

TreeEntry parse_entry(const Json& item, const std::string& origin) {
    TreeEntry entry;
    entry.path = item.at("path").get<std::string>();
    entry.size = parse_size(item.at("size"), entry.path, origin);
    entry.oid = item.at("oid").get<std::string>();
    if (const auto lfs = item.find("lfs"); lfs != item.end() && !lfs->is_null()) {
        entry.lfs_sha256 = lfs->at("oid").get<std::string>();
        entry.size = parse_size(lfs->at("size"), entry.path, origin);
    }
    if (!is_safe_path(entry.path)) {
        throw Error(ErrorCode::verification,
                    origin + ": refused a file with the path " + backquoted(entry.path));
    }
    if (!is_hex(entry.oid, 40) || (entry.lfs_sha256 && !is_hex(*entry.lfs_sha256, 64))) {
        throw Error(ErrorCode::verification, origin + ": " + backquoted(entry.path) + " has no usable hash");
    }
    return entry;
}

// A path names one file, and no file is a folder too. `tree` is sorted.
void refuse_conflicts(const Tree& tree, const std::string& origin) {
    for (std::size_t i = 0; i < tree.files.size(); ++i) {
        const std::string& path = tree.files[i].path;
        if (i > 0 && tree.files[i - 1].path == path) {
            throw Error(ErrorCode::verification,
                        origin + ": refused a list with two files " + backquoted(path));
        }
        // The files of a folder are neighbours: its path was looked up for the one before.
        const std::string_view before = i > 0 ? std::string_view(tree.files[i - 1].path) : std::string_view();
        for (auto slash = path.rfind('/'); slash != std::string::npos && slash > 0;
             slash = path.rfind('/', slash - 1)) {
            const std::string_view folder = std::string_view(path).substr(0, slash);
            if (before.starts_with(std::string_view(path).substr(0, slash + 1))) break;
            if (tree.find(folder) != nullptr) {
                throw Error(ErrorCode::verification, origin + ": refused a list where " + backquoted(folder) +
                                                         " is a file and the folder of " + backquoted(path));
            }
        }
    }
}

}  // namespace

void add_tree_page(std::string_view text, const std::string& origin, Tree& tree) {
    try {
        const auto json = parse_json<Json>(text, ErrorCode::verification, origin + ": the file listing");
        if (!json.is_array()) throw Error(ErrorCode::network, origin + ": the file listing is no list");
        for (const auto& item : json) {
            const auto type = item.at("type").get<std::string>();
            if (type == "directory") continue;
            if (type != "file") {
                throw Error(ErrorCode::verification, origin + ": refused " +
                                                         backquoted(item.at("path").get<std::string>()) +
                                                         ", which is a " + backquoted(type) + " and no file");
            }
            tree.files.push_back(parse_entry(item, origin));
        }
    } catch (const Json::exception& error) {
        throw Error(ErrorCode::network, origin + ": the file listing cannot be read: " + error.what());
    }
}

void finish_tree(const std::string& origin, Tree& tree) {
    std::sort(tree.files.begin(), tree.files.end(),
              [](const TreeEntry& a, const TreeEntry& b) { return a.path < b.path; });
    refuse_conflicts(tree, origin);
}

void parse_tree(std::string_view text, const std::string& origin, Tree& tree) {
    add_tree_page(text, origin, tree);
    finish_tree(origin, tree);
}

bool TreeEntry::matches(std::string_view bytes) const {
    if (bytes.size() != size) return false;
    Hasher whole = hasher();
    whole.update(bytes);
    return to_hex(whole.finish()) == etag();
}

std::string tree_to_json(const Tree& tree) {
    Json json = Json::array();
    for (const auto& file : tree.files) {
        Json item = {{"type", "file"}, {"path", file.path}, {"size", file.size}, {"oid", file.oid}};
        if (file.lfs_sha256) item["lfs"] = {{"oid", *file.lfs_sha256}, {"size", file.size}};
        json.push_back(std::move(item));
    }
    return json.dump();
}

const TreeEntry* Tree::find(std::string_view path) const noexcept {
    const auto found =
        std::lower_bound(files.begin(), files.end(), path,
                         [](const TreeEntry& file, std::string_view wanted) { return file.path < wanted; });
    return found == files.end() || found->path != path ? nullptr : &*found;
}

std::vector<TreeEntry> Tree::below(std::string_view folder) const {
    const std::string prefix = std::string(folder) + "/";
    std::vector<TreeEntry> found;
    std::copy_if(files.begin(), files.end(), std::back_inserter(found),
                 [&](const TreeEntry& file) { return file.path.starts_with(prefix); });
    return found;
}

std::vector<std::string> Tree::folders(std::string_view folder) const {
    const std::string prefix = std::string(folder) + "/";
    std::vector<std::string> found;
    for (const auto& file : files) {
        if (!file.path.starts_with(prefix)) continue;
        const auto rest = std::string_view(file.path).substr(prefix.size());
        const auto slash = rest.find('/');
        if (slash == std::string_view::npos) continue;
        const auto name = rest.substr(0, slash);
        if (found.empty() || found.back() != name) found.emplace_back(name);
    }
    return found;
}

}  // namespace kernels::hub
