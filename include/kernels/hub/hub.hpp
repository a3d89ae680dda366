// What the Hub says about kernel repositories: versions, commits, files, publishers.
#pragma once

#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "kernels/core/reference.hpp"
#include "kernels/hub/cache.hpp"
#include "kernels/hub/http.hpp"
#include "kernels/hub/settings.hpp"
#include "kernels/hub/tree.hpp"

namespace kernels::hub {

struct Ref {
    std::string name;  ///< "v1"
    std::string ref;   ///< "refs/heads/v1"
    Commit commit;
};

struct Refs {
    std::vector<Ref> branches;
    std::vector<Ref> tags;
};

/// Asks the Hub, or the cache when settings.offline. Thread-safe: call it from several threads to ask several
/// things at once.
///
/// Throws Error(not_found) for repositories, versions, revisions and files that do not exist, Error(network)
/// when the Hub cannot be reached or fails, and Error(verification) for answers that cannot be trusted.
/// Offline, what the cache lacks is Error(network) with the command that fetches it.
class Hub {
  public:
    Hub(const Settings& settings, HttpClient& http, const Cache& cache)
        : m_settings(settings), m_http(http), m_cache(cache) {}

    Refs refs(const RepoId& repo) const;
    /// The kernel versions, each a branch vN, with their commits.
    std::map<std::int64_t, Ref> versions(const RepoId& repo) const;
    /// The commit that a version or revision means now. An older version than the newest is warned about.
    Commit resolve(const RepoId& repo, const Reference& reference) const;
    /// Whether the Hub still has a commit of a repository that it knows. The cache is not looked at.
    bool has_commit(const RepoId& repo, const Commit& commit) const;
    /// The files of a commit: from the cache's listing, else one listing asked of the Hub and remembered.
    Tree tree(const RepoId& repo, const Commit& commit) const;
    /// Asks the Hub for the files of a commit again, as the cache's listing may be what is wrong, and
    /// remembers the answer. Whether it differs from what the cache said; offline nothing is asked.
    bool renew_tree(const RepoId& repo, const Commit& commit) const;
    /// A small file through the cache, checked against the tree; nothing when the commit has no such file.
    std::optional<std::string> small_file(const RepoId& repo, const Commit& commit,
                                          const std::string& path) const;
    /// Whether the organization is a trusted kernel publisher. An organization that does not exist is none.
    /// This object asks the Hub once an organization and remembers the answer.
    bool trusted_publisher(const std::string& org) const;

    const Settings& settings() const noexcept { return m_settings; }
    const Cache& cache() const noexcept { return m_cache; }
    HttpClient& http() const noexcept { return m_http; }

  private:
    std::string api(const RepoId& repo, const std::string& rest) const;
    Response get(const std::string& url, const std::string& what) const;
    Tree listed_tree(const RepoId& repo, const Commit& commit) const;
    bool ask_for_publisher(const std::string& org) const;

    const Settings& m_settings;
    HttpClient& m_http;
    const Cache& m_cache;
    mutable std::mutex m_publishers_mutex;
    mutable std::map<std::string, std::shared_future<bool>> m_publishers;
};

/// The error for a repository of which no version is known.
Error no_versions_error(const RepoId& repo, const Settings& settings);

/// Refuses to read a file into memory that is too large to be metadata. Throws Error(verification).
void require_small(const RepoId& repo, const TreeEntry& entry);

/// The error for an unsuccessful answer about `what` ("kernels-community/activation", say). A token that is
/// refused, and another host that wants one, are told as such and without `what`.
Error answer_error(const Response& response, const std::string& what, const Settings& settings);

}  // namespace kernels::hub
