#include "server.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>
#include <thread>

#include "kernels/core/digest.hpp"
#include "kernels/core/text.hpp"
#include "sending.hpp"

namespace kernels::hub_server {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr const char* dates = "2026-01-01T00:00:00.000Z";

std::string decoded(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        unsigned value = 0;
        if (text[i] == '%' && i + 2 < text.size() &&
            std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16).ptr == text.data() + i + 3) {
            out += static_cast<char>(value);
            i += 2;
        } else {
            out += text[i];
        }
    }
    return out;
}

// For paths in a Location: everything but unreserved characters and `/`.
std::string encoded(std::string_view text) {
    constexpr std::string_view plain = "-._~/";
    std::string out;
    for (const char c : text) {
        const bool alphanumeric = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (alphanumeric || plain.find(c) != std::string_view::npos) {
            out += c;
        } else {
            out += "%" + to_hex(std::string_view(&c, 1));
        }
    }
    return out;
}

// The same machine under its other name: what makes a redirect leave the host.
std::string other_host(const std::string& host) {
    const auto colon = host.rfind(':');
    const std::string port = colon == std::string::npos ? "" : host.substr(colon);
    return (host.substr(0, colon) == "localhost" ? "127.0.0.1" : "localhost") + port;
}

std::string signature(const std::string& sha256) {
    return hash_bytes(HashAlgorithm::sha256, "signed " + sha256).substr(0, 16);
}

std::string http_date(std::time_t time) {
    std::tm parts{};
    std::array<char, 40> text{};
    ::gmtime_r(&time, &parts);
    std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    return text.data();
}

bool flag(const httplib::Request& request, const char* name) {
    return lower(request.get_param_value(name)) == "true" || request.get_param_value(name) == "1";
}

OrderedJson entry_json(const Entry& entry) {
    OrderedJson json = {
        {"type", entry.folder ? "directory" : "file"}, {"oid", entry.oid}, {"size", entry.size}};
    if (entry.is_lfs()) {
        json["lfs"] = {{"oid", entry.sha256}, {"size", entry.size}, {"pointerSize", entry.pointer_size}};
    }
    json["path"] = entry.path;
    return json;
}

// An entry that no client may write where it says.
std::optional<OrderedJson> evil_entry(const std::optional<Fault>& fault) {
    if (!fault) return std::nullopt;
    OrderedJson json = {{"type", "file"}, {"oid", std::string(40, '0')}, {"size", 1}};
    switch (fault->kind) {
        case FaultKind::tree_dotdot:
            json["path"] = "build/../../../outside.txt";
            break;
        case FaultKind::tree_absolute:
            json["path"] = "/tmp/outside.txt";
            break;
        case FaultKind::tree_nul:
            json["path"] = std::string("build/a\0b.txt", 13);
            break;
        case FaultKind::tree_long:
            json["path"] = "build/" + std::string(5000, 'x');
            break;
        case FaultKind::tree_symlink:
            json["type"] = "symlink";
            json["path"] = "build/link";
            break;
        default:
            return std::nullopt;
    }
    return json;
}

}  // namespace

// One request on its way to its answer.
struct Server::Call {
    const httplib::Request& request;
    httplib::Response& response;
    std::vector<std::string> parts;  // of the path, decoded
    std::optional<Fault> fault;
    bool authorized = false;

    void json(const OrderedJson& document) {
        send(request, response, Content::of_text(document.dump()), "application/json; charset=utf-8", fault);
    }
    void error(int status, const std::string& code, const std::string& message) {
        response.status = status;
        if (!code.empty()) response.set_header("X-Error-Code", code);
        response.set_header("X-Error-Message", message);
        response.set_content(OrderedJson{{"error", message}}.dump(), "application/json; charset=utf-8");
    }
    void redirect(int status, const std::string& location) {
        response.status = status;
        response.set_header("Location", location);
    }
    std::string host() const { return request.get_header_value("Host"); }
    std::string rest(std::size_t from) const {
        return join(std::span(parts).subspan(std::min(from, parts.size())), "/");
    }
};

void Server::attach(httplib::Server& server) {
    server.set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
        // Ranges are ours to answer (see sending.cpp); httplib would apply them a second time.
        const_cast<httplib::Request&>(request).ranges.clear();
        if (m_options.latency.count() > 0) std::this_thread::sleep_for(m_options.latency);
        Call call{request, response, {}, std::nullopt, false};
        const std::string target = request.target.substr(0, request.target.find('?'));
        for (const auto part : split(std::string_view(target).substr(target.starts_with('/') ? 1 : 0), '/'))
            call.parts.push_back(decoded(part));
        const bool head = request.method == "HEAD";
        if (!head && request.method != "GET") {
            call.error(405, "", "this hub is read-only");
        } else {
            call.fault = m_faults.take(decoded(target), head);
            answer(call);
        }
        m_log.write({request.method, request.target, call.host(), request.get_header_value("Range"),
                     request.get_header_value("User-Agent"), request.has_header("Authorization"),
                     response.status});
        return httplib::Server::HandlerResponse::Handled;
    });
}

void Server::answer(Call& call) const {
    if (call.fault) {
        const Fault& fault = *call.fault;
        switch (fault.kind) {
            case FaultKind::status:
                return call.error(static_cast<int>(fault.value_or(503)), "", "out of order on purpose");
            case FaultKind::retry_after:
                call.response.set_header("Retry-After", std::to_string(fault.value_or(1)));
                return call.error(429, "", "too many requests, on purpose");
            case FaultKind::retry_after_date: {
                constexpr std::time_t long_ago = 1'000'000'000;
                call.response.set_header("Date", http_date(long_ago));
                call.response.set_header("Retry-After",
                                         http_date(long_ago + static_cast<std::time_t>(fault.value_or(1))));
                return call.error(429, "", "too many requests, on purpose");
            }
            case FaultKind::stall:
                std::this_thread::sleep_for(std::chrono::seconds(fault.value_or(60)));
                break;
            case FaultKind::redirect_loop:
                return call.redirect(302, call.request.target);
            case FaultKind::redirect_away:
                // Who has been sent away gets the answer there.
                if (!call.host().starts_with(m_options.host)) break;
                return call.redirect(302, "http://" + other_host(call.host()) + call.request.target);
            default:
                break;
        }
    }
    const auto& parts = call.parts;
    if (parts.front() == "_cdn") return answer_content(call);
    const std::string authorization = call.request.get_header_value("Authorization");
    call.authorized = !m_options.token.empty() && authorization == "Bearer " + m_options.token;
    if (!m_options.token.empty() && !authorization.empty() && !call.authorized) {
        return call.error(401, "", "Invalid credentials in Authorization header");
    }
    if (parts.size() == 4 && parts[0] == "api" && parts[1] == "organizations" && parts[3] == "overview") {
        return answer_organization(call, parts[2]);
    }
    if (parts.size() >= 5 && parts[0] == "api" && parts[1] == "kernels") return answer_api(call);
    if (parts.size() >= 6 && parts[0] == "kernels" && parts[3] == "resolve") return answer_resolve(call);
    call.error(404, "", "no such path");
}

void Server::answer_organization(Call& call, const std::string& org) const {
    if (!m_store.has_organization(org)) return call.error(404, "", "This organization does not exist");
    const auto& named = m_options.trusted;
    const bool trusted =
        m_options.all_trusted ||
        (named.empty() ? m_store.is_trusted(org) : std::count(named.begin(), named.end(), org) > 0);
    call.json({{"name", org}, {"fullname", org}, {"avatarUrl", ""}, {"trustedKernelPublisher", trusted}});
}

// The repository, if it may be seen; otherwise the answer says why not.
const Repository* Server::open(Call& call, const std::string& id) const {
    const Repository* repository = m_store.find(id);
    if (repository == nullptr || (repository->is_private && !call.authorized)) {
        // Nobody learns which private repositories exist.
        call.error(m_options.token.empty() || call.authorized ? 404 : 401, "RepoNotFound",
                   "Repository not found");
        return nullptr;
    }
    if (!repository->moved_to.empty()) {
        std::string target = call.request.target;
        target.replace(target.find(id), id.size(), repository->moved_to);
        call.redirect(307, target);
        return nullptr;
    }
    return repository;
}

void Server::answer_api(Call& call) const {
    const auto& parts = call.parts;
    const Repository* repository = open(call, parts[2] + "/" + parts[3]);
    if (repository == nullptr) return;
    if (parts[4] == "refs" && parts.size() == 5) return answer_refs(call, *repository);
    if ((parts[4] != "revision" || parts.size() != 6) && (parts[4] != "tree" || parts.size() < 6)) {
        return call.error(404, "", "no such path");
    }
    const CommitTree* tree = repository->find(parts[5]);
    if (tree == nullptr) return call.error(404, "RevisionNotFound", "Invalid rev id: " + parts[5]);
    if (parts[4] == "revision") return answer_revision(call, *repository, *tree);
    answer_tree(call, *tree, call.rest(6));
}

void Server::answer_refs(Call& call, const Repository& repository) const {
    OrderedJson branches = OrderedJson::array();
    for (const auto& [name, commit] : repository.branches) {
        branches.push_back({{"name", name}, {"ref", "refs/heads/" + name}, {"targetCommit", commit}});
    }
    call.json({{"tags", OrderedJson::array()},
               {"branches", std::move(branches)},
               {"converts", OrderedJson::array()}});
}

void Server::answer_revision(Call& call, const Repository& repository, const CommitTree& tree) const {
    OrderedJson siblings = OrderedJson::array();
    for (const auto& [path, entry] : tree.entries) {
        if (!entry.folder) siblings.push_back({{"rfilename", path}});
    }
    call.json({{"_id", tree.commit.substr(0, 24)},
               {"id", repository.id},
               {"author", repository.id.substr(0, repository.id.find('/'))},
               {"sha", tree.commit},
               {"private", repository.is_private},
               {"gated", repository.gated ? OrderedJson("manual") : OrderedJson(false)},
               {"disabled", false},
               {"downloads", 0},
               {"likes", 0},
               {"createdAt", dates},
               {"lastModified", dates},
               {"siblings", std::move(siblings)}});
}

void Server::answer_tree(Call& call, const CommitTree& tree, const std::string& folder) const {
    if (!folder.empty()) {
        const auto found = tree.entries.find(folder);
        if (found == tree.entries.end() || !found->second.folder) {
            return call.error(404, "EntryNotFound", folder + " does not exist on this revision");
        }
    }
    const std::string prefix = folder.empty() ? "" : folder + "/";
    const bool recursive = flag(call.request, "recursive");
    const std::string cursor = call.request.get_param_value("cursor");
    OrderedJson page = OrderedJson::array();
    std::string last;
    for (auto item = tree.entries.lower_bound(prefix); item != tree.entries.end(); ++item) {
        const auto& [path, entry] = *item;
        if (!path.starts_with(prefix)) break;
        if (!recursive && path.find('/', prefix.size()) != std::string::npos) continue;
        if (!cursor.empty() && path <= cursor) continue;
        if (page.size() == m_options.page_size) {
            const std::string target = call.request.target.substr(0, call.request.target.find('?'));
            std::string query;
            for (const auto* name : {"recursive", "expand", "limit"}) {
                if (call.request.has_param(name)) {
                    query += std::string(name) + "=" + encoded(call.request.get_param_value(name)) + "&";
                }
            }
            call.response.set_header("Link", "<http://" + call.host() + target + "?" + query +
                                                 "cursor=" + encoded(last) + ">; rel=\"next\"");
            break;
        }
        page.push_back(entry_json(entry));
        if (flag(call.request, "expand")) {
            page.back()["lastCommit"] = {{"id", tree.commit}, {"title", "published"}, {"date", dates}};
        }
        last = path;
    }
    if (auto evil = evil_entry(call.fault)) page.push_back(std::move(*evil));
    call.json(page);
}

void Server::answer_resolve(Call& call) const {
    const auto& parts = call.parts;
    const std::string id = parts[1] + "/" + parts[2];
    const Repository* repository = open(call, id);
    if (repository == nullptr) return;
    if (repository->gated && !call.authorized) {
        return call.error(401, "GatedRepo", "Access to kernel " + id + " is restricted");
    }
    const CommitTree* tree = repository->find(parts[4]);
    if (tree == nullptr) return call.error(404, "RevisionNotFound", "Invalid rev id: " + parts[4]);
    call.response.set_header("X-Repo-Commit", tree->commit);
    const std::string path = call.rest(5);
    const auto found = tree->entries.find(path);
    if (found == tree->entries.end() || found->second.folder) {
        return call.error(404, "EntryNotFound", "Entry not found: " + path);
    }
    const Entry& entry = found->second;
    if (!entry.is_lfs()) {
        call.response.set_header("ETag", "\"" + entry.oid + "\"");
        return send(call.request, call.response, Content::of_file(entry.source, entry.size),
                    "application/octet-stream", call.fault);
    }
    call.response.set_header("ETag", "\"" + entry.oid + "\"");
    call.response.set_header("X-Linked-Etag", "\"" + entry.sha256 + "\"");
    call.response.set_header("X-Linked-Size", std::to_string(entry.size));
    call.redirect(302, "http://" + other_host(call.host()) + "/_cdn/" + encoded(id) + "/" + entry.sha256 +
                           "/" + encoded(parts.back()) + "?signature=" + signature(entry.sha256));
}

// The content of an LFS file: only for who was sent here, and never together with a token.
void Server::answer_content(Call& call) const {
    const auto& parts = call.parts;
    if (parts.size() != 5) return call.error(404, "", "no such path");
    if (call.request.has_header("Authorization")) {
        return call.error(400, "", "a signed address and an Authorization header exclude each other");
    }
    if (call.request.get_param_value("signature") != signature(parts[3])) {
        return call.error(403, "", "the signature of the address is wrong");
    }
    const Entry* entry = m_store.find_blob(parts[1] + "/" + parts[2], parts[3]);
    if (entry == nullptr) return call.error(404, "", "no such object");
    call.response.set_header("ETag", "\"" + entry->sha256 + "\"");
    send(call.request, call.response, Content::of_file(entry->source, entry->size),
         "application/octet-stream", call.fault);
}

}  // namespace kernels::hub_server
