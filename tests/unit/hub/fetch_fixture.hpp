// The file that the tests of hub::fetch ask a FaultServer for.
#pragma once

#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <string>

#include "checking.hpp"
#include "fault_server.hpp"
#include "kernels/core/digest.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/hub/fetch.hpp"
#include "temporary_folder.hpp"

namespace kernels::hub::testing {

using kernels::testing::answer;
using kernels::testing::FaultServer;
using kernels::testing::has;
using kernels::testing::TemporaryFolder;
namespace fs = std::filesystem;

inline const RepoId repo = RepoId::parse("org/name");
inline const Commit commit = Commit::parse(std::string(40, 'a'));
inline const std::string content = std::string(3000, 'k') + "\n" + std::string(3000, 'l');

inline TreeEntry entry_of(const std::string& path, const std::string& bytes, bool lfs) {
    Hasher git = git_blob_hasher(bytes.size());
    git.update(bytes);
    TreeEntry entry{path, bytes.size(), to_hex(git.finish()), std::nullopt};
    if (lfs) entry.lfs_sha256 = hash_bytes(HashAlgorithm::sha256, bytes);
    return entry;
}

// One file of a repository, and what the cache holds of it.
struct FetchFixture {
    TemporaryFolder folder;
    Cache cache{folder.path()};
    FileRequest file{repo, commit, entry_of("build/v/k.so", content, true)};
    fs::path blob = cache.blob_path(repo, file.entry.etag());
    fs::path part = blob.string() + ".incomplete";
    Settings settings;

    std::vector<FetchedFile> run(const FaultServer& server, Monitor* monitor = nullptr) {
        settings.endpoint = server.url();
        settings.retries = 2;
        settings.retry_delay = std::chrono::milliseconds(1);
        const auto http = make_http_client(settings);
        return fetch({&file, 1}, settings, *http, cache, monitor);
    }
    Error failure(const FaultServer& server, Monitor* monitor = nullptr) {
        return kernels::testing::error_of([&] { run(server, monitor); });
    }
    void leave_part(const std::string& bytes) const {
        fs::create_directories(part.parent_path());
        write_file(part, bytes);
    }
    // Nothing under the blob's name or in the snapshot, and no wrong bytes to continue from.
    void check_nothing_kept() const {
        CHECK_FALSE(fs::exists(blob));
        CHECK_FALSE(fs::exists(part));
        CHECK_FALSE(cache.find_file(repo, commit, file.entry.path));
    }
    void check_right() const {
        CHECK(read_file(blob) == content);
        CHECK(read_file(cache.snapshot_folder(repo, commit) / file.entry.path) == content);
        CHECK_FALSE(fs::exists(part));
    }
};

inline std::string whole(const std::string&, std::size_t) {
    return answer("200 OK", "", content);
}

}  // namespace kernels::hub::testing
