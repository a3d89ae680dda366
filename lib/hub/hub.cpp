#include "kernels/hub/hub.hpp"

#include <nlohmann/json.hpp>
#include <set>

#include "core/json_text.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/log.hpp"
#include "kernels/core/text.hpp"
#include "kernels/hub/fetch.hpp"
#include "next_page.hpp"

namespace kernels::hub {
namespace {

using Json = nlohmann::json;

// Runs `read` on the JSON of an answer; whatever is not as expected is the hub's fault.
template <typename Read>
auto read_json(const Response& response, const std::string& what, Read read) {
    try {
        return read(
            parse_json<Json>(response.body, ErrorCode::network, what + ": " + printable_url(response.url)));
    } catch (const Json::exception& error) {
        throw Error(ErrorCode::network,
                    what + ": " + printable_url(response.url) +
                        " gave an answer that cannot be read: " + error.what(),
                    "is HF_ENDPOINT a Hub?");
    }
}

Error offline_error(const std::string& what, const std::string& missing) {
    return Error(ErrorCode::network, what + ": " + missing + " is not in the cache, and this is offline",
                 "run it once online, without HF_HUB_OFFLINE, or `kernels download` the project")
        .with_remedies({Remedy::online});
}

std::vector<std::string> version_list(const std::map<std::int64_t, Ref>& versions) {
    std::vector<std::string> list;
    for (const auto& [number, ref] : versions)
        list.push_back(std::to_string(number));
    return list;
}

// For a 403, which may be about what the token may see.
std::string token_hint(const Settings& settings) {
    return settings.token ? "check what the token may read" : "it may need a token: set HF_TOKEN";
}

// Where 401 or 403 is about who asks and not about what was asked for.
std::optional<Error> refused_credentials(const Response& response, const Settings& settings) {
    if (response.status != 401 && response.status != 403) return std::nullopt;
    const std::string host = url_origin(response.url);
    const std::string status = " (" + std::to_string(response.status) + ")";
    if (host != url_origin(settings.endpoint)) {
        return Error(ErrorCode::network,
                     host + " refuses what " + url_origin(settings.endpoint) + " redirects to it" + status,
                     "ask who runs " + url_origin(settings.endpoint) +
                         "; a token is never sent to another host, so it is not at fault");
    }
    // A token that may not see a repository is told that there is none.
    const bool is_unknown =
        response.header("x-error-code") == "RepoNotFound" &&
        response.header("x-error-message") != "Invalid credentials in Authorization header";
    if (response.status != 401 || !settings.token || is_unknown) return std::nullopt;
    return Error(ErrorCode::network,
                 host + " refuses the token" +
                     (settings.token_origin.empty() ? "" : " from " + settings.token_origin) + status,
                 "renew it, or unset it: what is public needs none");
}

}  // namespace

Error no_versions_error(const RepoId& repo, const Settings& settings) {
    if (settings.offline) return offline_error(repo.to_string(), "any version of it");
    return {ErrorCode::not_found, repo.to_string() + ": it has no versions",
            "name a revision: " + repo.to_string() + "@main"};
}

void require_small(const RepoId& repo, const TreeEntry& entry) {
    constexpr std::uint64_t limit = std::uint64_t{16} << 20U;
    if (entry.size <= limit) return;
    throw Error(ErrorCode::verification,
                repo.to_string() + ": " + entry.path + " is " + human_size(entry.size) + " large");
}

Error answer_error(const Response& response, const std::string& what, const Settings& settings) {
    if (auto error = refused_credentials(response, settings)) return std::move(*error);
    const bool has_token = settings.token.has_value();
    const std::string code = response.header("x-error-code").value_or("");
    const std::string message = response.header("x-error-message").value_or("");
    const std::string host = url_origin(response.url);
    if (code == "GatedRepo") {
        return {ErrorCode::not_found, what + ": access to it must be granted by its publisher",
                has_token ? "ask for access on its page on the Hub"
                          : "ask for access on its page on the Hub, then set HF_TOKEN"};
    }
    if (code == "RepoNotFound" || response.status == 401) {
        return {ErrorCode::not_found, what + ": no such kernel repository on " + host + ", or it is private",
                has_token ? "check the name, and that the token may read it"
                          : "check the name; a private one needs HF_TOKEN"};
    }
    if (code == "RevisionNotFound") return {ErrorCode::not_found, what + ": no such revision on " + host};
    if (code == "EntryNotFound") return {ErrorCode::not_found, what + ": no such file on " + host};
    if (response.status == 404)
        return {ErrorCode::not_found, what + ": not found on " + host, "check the name"};
    if (response.status == 403) {
        return {ErrorCode::not_found, what + ": access refused by " + host, token_hint(settings)};
    }
    const auto wait = retry_after(response);
    const std::string later =
        wait && wait->count() > 0
            ? "try again in " + std::to_string((wait->count() + 999) / 1000) + " s, as it asks"
            : "try again later";
    if (response.status == 429) {
        return {ErrorCode::network, what + ": " + host + " asks for fewer requests (429)",
                later + (has_token ? "" : "; with HF_TOKEN the limit is higher")};
    }
    return {ErrorCode::network,
            what + ": " + host + " answered " + std::to_string(response.status) +
                (message.empty() ? std::string() : ": " + backquoted(message)),
            later};
}

std::string Hub::api(const RepoId& repo, const std::string& rest) const {
    return m_settings.endpoint + "/api/kernels/" + repo.to_string() + "/" + rest;
}

Response Hub::get(const std::string& url, const std::string& what) const {
    if (m_settings.offline) throw offline_error(what, "the answer to " + printable_url(url));
    Request request;
    request.url = url;
    Response response = m_http.send(request);
    if (response.status != 200) throw answer_error(response, what, m_settings);
    return response;
}

Refs Hub::refs(const RepoId& repo) const {
    const std::string what = repo.to_string();
    if (m_settings.offline) throw offline_error(what, "the list of its branches");
    return read_json(get(api(repo, "refs"), what), what, [](const Json& json) {
        Refs refs;
        const auto read = [&](const char* key, std::vector<Ref>& list) {
            if (!json.contains(key)) return;
            for (const auto& item : json.at(key)) {
                const auto commit = item.at("targetCommit").get<std::string>();
                if (!Commit::is_commit(commit)) continue;
                list.push_back({item.at("name").get<std::string>(), item.at("ref").get<std::string>(),
                                Commit::parse(commit)});
            }
        };
        read("branches", refs.branches);
        read("tags", refs.tags);
        return refs;
    });
}

std::map<std::int64_t, Ref> Hub::versions(const RepoId& repo) const {
    std::map<std::int64_t, Ref> versions;
    if (m_settings.offline) {
        for (const auto& [number, commit] : m_cache.versions(repo)) {
            const std::string name = KernelVersion{number}.branch();
            versions.emplace(number, Ref{name, name, commit});
        }
        return versions;
    }
    for (auto& branch : refs(repo).branches) {
        // Of two that are the same number the later counts, as for the Python client.
        if (const auto version = KernelVersion::of_branch(branch.name))
            versions.insert_or_assign(version->number, std::move(branch));
    }
    return versions;
}

Commit Hub::resolve(const RepoId& repo, const Reference& reference) const {
    const std::string what = repo.to_string();
    if (const auto* version = reference.version()) {
        const auto known = versions(repo);
        const auto found = known.find(version->number);
        if (found == known.end()) {
            if (m_settings.offline) throw offline_error(what, reference.describe());
            throw Error(ErrorCode::not_found,
                        what + ": there is no version " + std::to_string(version->number),
                        known.empty() ? "it has no versions at all; name a revision instead"
                                      : "versions: " + join(version_list(known), ", "));
        }
        if (const auto newest = known.rbegin()->first; newest > version->number) {
            log::warning(what + ": version " + std::to_string(version->number) + " is used, version " +
                         std::to_string(newest) + " is the newest");
        }
        return found->second.commit;
    }
    const std::string& name = reference.revision()->name();
    if (Commit::is_commit(name)) return Commit::parse(name);
    if (m_settings.offline) {
        if (const auto commit = m_cache.read_ref(repo, reference)) return *commit;
        throw offline_error(what, reference.describe());
    }
    const auto response = get(api(repo, "revision/" + url_quoted(name)), what + "@" + name);
    return read_json(response, what, [&](const Json& json) {
        const auto sha = json.at("sha").get<std::string>();
        if (!Commit::is_commit(sha)) {
            throw Error(ErrorCode::network,
                        what + "@" + name + ": the Hub gave no commit but " + backquoted(sha));
        }
        return Commit::parse(sha);
    });
}

bool Hub::has_commit(const RepoId& repo, const Commit& commit) const {
    const std::string what = repo.to_string() + "@" + commit.to_string();
    if (m_settings.offline) throw offline_error(what, "whether the Hub has it");
    Request request;
    request.url = api(repo, "revision/" + commit.to_string());
    const Response response = m_http.send(request);
    if (response.status == 200) return true;
    if (response.header("x-error-code") == "RevisionNotFound") return false;
    throw answer_error(response, what, m_settings);
}

Tree Hub::tree(const RepoId& repo, const Commit& commit) const {
    if (auto listing = m_cache.read_listing(repo, commit)) return std::move(*listing);
    const std::string what = repo.to_string() + "@" + commit.to_string();
    if (m_settings.offline) throw offline_error(what, "the list of its files");
    return listed_tree(repo, commit);
}

bool Hub::renew_tree(const RepoId& repo, const Commit& commit) const {
    if (m_settings.offline) return false;
    const auto known = m_cache.read_listing(repo, commit);
    const bool differs = listed_tree(repo, commit).files != (known ? known->files : std::vector<TreeEntry>{});
    if (differs && known) {
        log::warning(repo.to_string() + "@" + commit.brief() +
                     ": the cache had a wrong list of its files; the Hub's takes its place");
    }
    return differs;
}

Tree Hub::listed_tree(const RepoId& repo, const Commit& commit) const {
    const std::string what = repo.to_string() + "@" + commit.to_string();
    Tree tree;
    std::string url = api(repo, "tree/" + commit.to_string() + "?recursive=true&expand=false");
    constexpr std::size_t most_pages = 500;
    constexpr std::size_t most_files = 200'000;
    std::set<std::string> pages;
    while (pages.size() < most_pages && tree.files.size() <= most_files) {
        if (!pages.insert(url).second) {
            throw Error(ErrorCode::network,
                        what + ": the pages of the list of its files go round in a circle",
                        "is HF_ENDPOINT a Hub?");
        }
        const Response response = get(url, what);
        add_tree_page(response.body, what, tree);
        const auto next = next_page(response);
        if (!next) {
            finish_tree(what, tree);
            try {
                m_cache.write_listing(repo, commit, tree);
            } catch (const Error& error) {
                // A cache that cannot be written is still good for reading what is in it.
                log::debug(error.what());
            }
            return tree;
        }
        if (url_origin(*next) != url_origin(m_settings.endpoint)) {
            throw Error(ErrorCode::network,
                        what + ": the next page of its files is on another host, " + url_origin(*next));
        }
        url = *next;
    }
    throw Error(ErrorCode::network,
                what + ": the list of its files does not end: " + std::to_string(tree.files.size()) +
                    " files on " + std::to_string(pages.size()) + " pages",
                "is HF_ENDPOINT a Hub?");
}

std::optional<std::string> Hub::small_file(const RepoId& repo, const Commit& commit,
                                           const std::string& path) const {
    const auto file = m_cache.find_file(repo, commit, path);
    // Without a listing to check it against, the file is taken for what its name says.
    if (file && !m_cache.read_listing(repo, commit)) return read_file(*file);
    const Tree listing = tree(repo, commit);
    const TreeEntry* entry = listing.find(path);
    if (entry == nullptr) return std::nullopt;
    if (file) {
        auto text = read_file(*file);
        if (entry->matches(text)) return text;
    }
    require_small(repo, *entry);
    if (m_settings.offline && !m_settings.donors) throw offline_error(repo.to_string(), path);
    const FileRequest request{repo, commit, *entry};
    return read_file(fetch({&request, 1}, m_settings, m_http, m_cache).front().path);
}

bool Hub::trusted_publisher(const std::string& org) const {
    // Who asks first asks for all; the others wait for the answer.
    std::packaged_task<bool()> ask([this, &org] { return ask_for_publisher(org); });
    std::shared_future<bool> answer;
    bool is_first = false;
    {
        const std::lock_guard lock(m_publishers_mutex);
        auto& known = m_publishers[org];
        is_first = !known.valid();
        if (is_first) known = ask.get_future().share();
        answer = known;
    }
    if (is_first) ask();
    try {
        return answer.get();
    } catch (...) {
        const std::lock_guard lock(m_publishers_mutex);
        if (is_first) m_publishers.erase(org);  // no answer: who asks later asks again
        throw;
    }
}

bool Hub::ask_for_publisher(const std::string& org) const {
    if (m_settings.offline) throw offline_error("the publisher " + org, "whether it is trusted");
    Request request;
    request.url = m_settings.endpoint + "/api/organizations/" + url_quoted(org) + "/overview";
    const Response response = m_http.send(request);
    if (response.status == 404) return false;
    if (response.status == 401 || response.status == 403) {
        if (const auto error = refused_credentials(response, m_settings)) throw Error(*error);
        throw Error(ErrorCode::network,
                    "the publisher " + org + ": " + url_origin(response.url) +
                        " does not say whether it is trusted (" + std::to_string(response.status) + ")",
                    token_hint(m_settings));
    }
    if (response.status != 200) throw answer_error(response, "the publisher " + org, m_settings);
    return read_json(response, org, [](const Json& json) {
        const auto flag = json.find("trustedKernelPublisher");
        return flag != json.end() && flag->is_boolean() && flag->get<bool>();
    });
}

}  // namespace kernels::hub
