#include "kernels/lock/sum_file.hpp"

#include <algorithm>

#include "kernels/core/digest.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/parallel.hpp"
#include "kernels/core/text.hpp"
#include "kernels/lock/download.hpp"

namespace kernels::lock {
namespace {

constexpr std::string_view digest_prefix = "sha256:";
constexpr std::size_t mark_length = 8;

bool is_hex(std::string_view text, std::size_t length) {
    return text.size() == length && std::all_of(text.begin(), text.end(), [](char c) {
               return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
           });
}

// Fields are separated by spaces, so a path may hold none; tree listings have no control characters.
std::string escaped(std::string_view path) {
    std::string text;
    for (const char c : path) {
        if (c == ' ') {
            text += "%20";
        } else if (c == '%') {
            text += "%25";
        } else {
            text += c;
        }
    }
    return text;
}

std::optional<std::string> unescaped(std::string_view text) {
    std::string path;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            path += text[i];
            continue;
        }
        const auto code = text.substr(i, 3);
        if (code != "%20" && code != "%25") return std::nullopt;
        path += code == "%20" ? ' ' : '%';
        i += 2;
    }
    return path;
}

[[noreturn]] void fail_line(const std::string& origin, std::size_t number, const std::string& why) {
    throw Error(ErrorCode::failed, origin + ":" + std::to_string(number) + ": " + why,
                "write the file anew with `kernels lock`");
}

// What differs between a build's line and its tree, file by file.
std::vector<std::string> differences(const BuildSum& expected, const BuildSum& found) {
    std::vector<std::string> lines;
    for (const auto& [path, mark] : found.marks) {
        const auto known = expected.marks.find(path);
        if (known == expected.marks.end()) {
            lines.push_back(path + ": not in kernels.sum");
        } else if (known->second != mark) {
            lines.push_back(path + ": differs from kernels.sum");
        }
    }
    for (const auto& [path, mark] : expected.marks) {
        if (!found.marks.contains(path)) lines.push_back(path + ": missing, kernels.sum names it");
    }
    return lines;
}

// As messages name a build.
std::string build_name(const RepoId& repo, const Commit& commit, const build::BuildVariant& variant) {
    return repo.to_string() + "@" + commit.brief() + ": " + variant.to_string();
}

}  // namespace

BuildSum sum_of(const hub::Tree& tree, const build::BuildVariant& variant) {
    BuildSum sum;
    Hasher hasher(HashAlgorithm::sha256);
    const std::string folder = "build/" + variant.to_string();
    auto files = tree.below(folder);
    std::sort(files.begin(), files.end(),
              [](const hub::TreeEntry& a, const hub::TreeEntry& b) { return a.path < b.path; });
    for (const auto& file : files) {
        if (is_bytecode(file.path)) continue;
        const std::string path = file.path.substr(folder.size() + 1);
        hasher.update((file.lfs_sha256 ? "sha256:" : "git:") + file.etag() + " " + std::to_string(file.size) +
                      " " + path + "\n");
        sum.marks[path] = file.etag().substr(0, mark_length);
    }
    sum.digest = to_hex(hasher.finish());
    return sum;
}

std::pair<SumFile::Key, BuildSum> SumFile::parse_line(std::string_view line, const std::string& origin,
                                                      std::size_t number) {
    const auto fields = split(line, ' ');
    if (fields.size() < 4) fail_line(origin, number, "not `repository commit build digest file=mark …`");
    std::optional<Key> key;
    try {
        key = Key{RepoId::parse(fields[0]), Commit::parse(fields[1]), build::BuildVariant::parse(fields[2])};
    } catch (const Error& error) {
        fail_line(origin, number, error.what());
    }
    BuildSum sum;
    if (!fields[3].starts_with(digest_prefix) || !is_hex(fields[3].substr(digest_prefix.size()), 64)) {
        fail_line(origin, number, backquoted(fields[3]) + " is no digest of the form sha256:…");
    }
    sum.digest = fields[3].substr(digest_prefix.size());
    for (std::size_t i = 4; i < fields.size(); ++i) {
        const auto equals = fields[i].rfind('=');
        const auto path = unescaped(fields[i].substr(0, equals));
        if (equals == std::string_view::npos || equals == 0 || !path ||
            !is_hex(fields[i].substr(equals + 1), mark_length)) {
            fail_line(origin, number, backquoted(fields[i]) + " is no file and mark");
        }
        if (!sum.marks.emplace(*path, fields[i].substr(equals + 1)).second) {
            fail_line(origin, number, backquoted(*path) + " is there twice");
        }
    }
    return {std::move(*key), std::move(sum)};
}

SumFile SumFile::parse(std::string_view text, const std::string& origin) {
    SumFile file;
    const auto lines = split(text, '\n');
    for (std::size_t i = 0; i < lines.size(); ++i) {
        std::string_view line = lines[i];
        if (line.empty() && i + 1 == lines.size()) break;  // behind the last line's end
        if (line.ends_with('\r')) line.remove_suffix(1);   // as git may check it out on Windows
        if (!file.m_sums.insert(parse_line(line, origin, i + 1)).second) {
            fail_line(origin, i + 1, "the build has a line already");
        }
    }
    return file;
}

SumFile SumFile::readable_part(std::string_view text, const std::string& origin) {
    SumFile file;
    const auto lines = split(text, '\n');
    for (std::size_t i = 0; i < lines.size(); ++i) {
        std::optional<std::pair<Key, BuildSum>> line;
        try {
            line = parse_line(lines[i], origin, i + 1);
        } catch (const Error&) {
            continue;
        }
        const auto [known, is_new] = file.m_sums.insert(*line);
        if (is_new || known->second.digest == line->second.digest) continue;
        throw Error(ErrorCode::verification,
                    origin + ":" + std::to_string(i + 1) + ": another line has another digest for " +
                        build_name(line->first.repo, line->first.commit, line->first.variant),
                    "a commit's files never change; find out which line is true and remove the other",
                    differences(known->second, line->second));
    }
    return file;
}

std::optional<SumFile> SumFile::load(const std::filesystem::path& file) {
    const auto text = read_file_if_exists(file);
    if (!text) return std::nullopt;
    return parse(*text, file.string());
}

std::string SumFile::to_text() const {
    std::vector<std::string> lines;
    for (const auto& [key, sum] : m_sums) {
        std::string line = key.repo.to_string() + " " + key.commit.to_string() + " " +
                           key.variant.to_string() + " " + std::string(digest_prefix) + sum.digest;
        for (const auto& [path, mark] : sum.marks)
            line += " " + escaped(path) + "=" + mark;
        lines.push_back(line + "\n");
    }
    std::sort(lines.begin(), lines.end());
    return join(lines, "");
}

void SumFile::add(const RepoId& repo, const Commit& commit, const hub::Tree& tree) {
    for (const auto& variant : variants_of(tree, repo.to_string()))
        m_sums.insert_or_assign(Key{repo, commit, variant}, sum_of(tree, variant));
}

const BuildSum* SumFile::find(const RepoId& repo, const Commit& commit,
                              const build::BuildVariant& variant) const noexcept {
    for (const auto& [key, sum] : m_sums) {
        if (key.variant == variant && key.commit == commit && key.repo == repo) return &sum;
    }
    return nullptr;
}

void SumFile::require(const RepoId& repo, const Commit& commit, const build::BuildVariant& variant,
                      const hub::Tree& tree) const {
    const std::string what = build_name(repo, commit, variant);
    const auto* expected = find(repo, commit, variant);
    if (expected == nullptr) {
        throw Error(ErrorCode::lock_stale, what + ": kernels.sum has no line for it", "run `kernels lock`");
    }
    const BuildSum found = sum_of(tree, variant);
    if (found.digest == expected->digest) return;
    auto lines = differences(*expected, found);
    // Equal marks prove nothing; then only the build can be named.
    const std::string which = lines.empty() ? "" : " (" + lines.front() + ")";
    throw Error(ErrorCode::verification, what + ": its files are not the ones that kernels.sum names" + which,
                "find out why the publisher's or the hub's files changed before you trust them",
                std::move(lines));
}

std::vector<std::string> SumFile::conflicts_with(const SumFile& other) const {
    std::vector<std::string> lines;
    for (const auto& [key, sum] : m_sums) {
        const auto known = other.m_sums.find(key);
        if (known == other.m_sums.end() || known->second.digest == sum.digest) continue;
        const std::string build = build_name(key.repo, key.commit, key.variant);
        for (const auto& line : differences(sum, known->second))
            lines.push_back(build + ": " + line);
        if (lines.empty() || !lines.back().starts_with(build)) lines.push_back(build);
    }
    return lines;
}

std::vector<std::string> SumFile::changes_to(const SumFile& other) const {
    std::vector<std::string> lines;
    const auto add = [&](const SumFile& from, const SumFile& without, const char* what) {
        for (const auto& [key, sum] : from.m_sums) {
            if (!without.m_sums.contains(key))
                lines.push_back(build_name(key.repo, key.commit, key.variant) + what);
        }
    };
    add(other, *this, ": it has no line");
    add(*this, other, ": its line is of no locked build");
    if (lines.empty()) lines.emplace_back("the same lines, written differently");
    return lines;
}

SumFile sums_of(const Lock& lock, const hub::Hub& hub) {
    auto trees = look_parallel(lock.kernels().size(), hub.settings().jobs, [&](std::size_t i) {
        const auto& kernel = lock.kernels()[i];
        return hub.tree(kernel.dependency.repo, kernel.commit);
    });
    SumFile file;
    for (std::size_t i = 0; i < trees.size(); ++i) {
        const auto& kernel = lock.kernels()[i];
        file.add(kernel.dependency.repo, kernel.commit, trees[i].get());
    }
    return file;
}

}  // namespace kernels::lock
