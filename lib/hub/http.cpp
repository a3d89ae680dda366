#include "kernels/hub/http.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <ctime>
#include <map>
#include <mutex>

#include "backoff.hpp"
#include "curl_loop.hpp"
#include "kernels/core/cancel.hpp"
#include "kernels/core/log.hpp"
#include "kernels/core/text.hpp"
#include "next_page.hpp"

namespace kernels::hub {
namespace {

using std::chrono::milliseconds;

constexpr int most_redirects = 10;
constexpr const char* wrong_redirect_hint =
    "the server or a proxy between is set up wrongly; is HF_ENDPOINT a Hub?";
// So long after a host was given up it is not asked again: what waits to ask it fails with the first.
constexpr std::chrono::seconds given_up_for{5};

bool is_redirect(int status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

bool is_worth_retrying(int status) {
    return status == 408 || status == 429 || status >= 500;
}

bool is_worth_retrying(CURLcode code) {
    switch (code) {
        case CURLE_COULDNT_RESOLVE_HOST:
        case CURLE_COULDNT_CONNECT:
        case CURLE_SSL_CONNECT_ERROR:  // a lost handshake; a wrong certificate is PEER_FAILED_VERIFICATION
        case CURLE_OPERATION_TIMEDOUT:
        case CURLE_GOT_NOTHING:
        case CURLE_SEND_ERROR:
        case CURLE_RECV_ERROR:
        case CURLE_PARTIAL_FILE:
        case CURLE_HTTP2:
        case CURLE_HTTP2_STREAM:
            return true;
        default:
            return false;
    }
}

// Whether not even a connection was made: others that want one would fail as well.
bool is_out_of_reach(const Transfer& transfer) {
    return transfer.curl == CURLE_COULDNT_RESOLVE_HOST || transfer.curl == CURLE_COULDNT_CONNECT ||
           (transfer.curl == CURLE_OPERATION_TIMEDOUT && !transfer.connected);
}

std::string today() {
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    std::array<char, 32> text{};
    ::gmtime_r(&now, &parts);
    std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M UTC", &parts);
    return text.data();
}

class CurlClient final : public HttpClient {
  public:
    explicit CurlClient(const Settings& settings)
        : m_settings(settings), m_endpoint(url_origin(settings.endpoint)) {}

    Response send(const Request& request) override {
        if (m_settings.offline) {
            throw Error(ErrorCode::network, printable_url(request.url) + ": not asked for, this is offline",
                        "run it once online, without HF_HUB_OFFLINE")
                .with_remedies({Remedy::online});
        }
        // curl costs milliseconds and a socket; what needs no request has neither.
        std::call_once(m_once, [this] { m_loop.emplace(m_settings); });
        std::string url = request.url;
        std::string sender;  // who redirected here
        for (int redirects = 0;; ++redirects) {
            Response response = send_with_retries(request, url, sender);
            if (!is_redirect(response.status)) return response;
            const auto location = response.header("location");
            if (!location) return response;
            if (redirects == most_redirects) {
                throw Error(ErrorCode::network,
                            printable_url(request.url) + ": more than " + std::to_string(most_redirects) +
                                " redirects, the last to " + backquoted(printable_url(*location)),
                            wrong_redirect_hint);
            }
            std::string next = absolute_location(url, *location);
            const bool is_secure = next.starts_with("https:");
            if (url.starts_with("https:") ? !is_secure : !is_secure && !next.starts_with("http:")) {
                throw Error(ErrorCode::network,
                            printable_url(url) + ": refused to be redirected from " +
                                url.substr(0, url.find(':')) + " to " + backquoted(printable_url(next)),
                            wrong_redirect_hint);
            }
            log::debug("redirect to " + printable_url(next));
            sender = url_origin(url);
            url = std::move(next);
        }
    }

  private:
    Response send_with_retries(const Request& request, const std::string& url, const std::string& sender) {
        const std::string host = url_origin(url);
        for (int attempt = 0;; ++attempt) {
            refuse_given_up(host);
            Transfer transfer;
            transfer.request = &request;
            transfer.url = url;
            transfer.response.url = url;
            for (const auto& [name, value] : request.headers)
                transfer.headers.push_back(name + ": " + value);
            if (m_settings.token && host == m_endpoint) {
                transfer.headers.push_back("Authorization: Bearer " + m_settings.token->reveal());
            }
            log::debug(request.method + " " + printable_url(url));
            m_loop->run(transfer);
            check_cancelled(m_settings.cancel);
            if (transfer.error) std::rethrow_exception(transfer.error);
            if (transfer.curl != CURLE_OK) {
                const std::string why = host + ": " + transfer.curl_message;
                if (transfer.body_begun) throw TransferBroken(ErrorCode::network, why);
                if (!is_worth_retrying(transfer.curl) || attempt >= m_settings.retries) {
                    const bool distrust = transfer.curl == CURLE_PEER_FAILED_VERIFICATION;
                    const bool elsewhere = !sender.empty() && sender != host;
                    const Error error(
                        ErrorCode::network,
                        "cannot reach " + why + (elsewhere ? " (" + sender + " redirects there)" : ""),
                        (distrust    ? "check this machine's clock (" + today() + ") and certificates; "
                         : elsewhere ? "check the network, and that this redirect is right; "
                                     : "check the network and HF_ENDPOINT; ") +
                            m_loop->describe_trust(url));
                    throw is_out_of_reach(transfer) ? give_up(host, error) : error;
                }
                pause_before_retry(m_settings, attempt, std::nullopt, why);
                continue;
            }
            if (is_worth_retrying(transfer.response.status) && attempt < m_settings.retries) {
                const auto wanted = retry_after(transfer.response);
                // A server that wants to be left alone for long is; the answer says for how long.
                if (wanted && *wanted > longest_pause) return std::move(transfer.response);
                pause_before_retry(m_settings, attempt, wanted,
                                   host + " answered " + std::to_string(transfer.response.status));
                continue;
            }
            return std::move(transfer.response);
        }
    }

    // What to throw: where another transfer has just given the host up, its error, so that all have the same.
    Error give_up(const std::string& host, const Error& error) {
        const std::lock_guard lock(m_mutex);
        forget_old();
        return m_given_up.try_emplace(host, std::chrono::steady_clock::now(), error).first->second.second;
    }

    void refuse_given_up(const std::string& host) {
        const std::lock_guard lock(m_mutex);
        forget_old();
        if (const auto found = m_given_up.find(host); found != m_given_up.end())
            throw Error(found->second.second);
    }

    void forget_old() {
        const auto now = std::chrono::steady_clock::now();
        std::erase_if(m_given_up, [&](const auto& host) { return now - host.second.first >= given_up_for; });
    }

    const Settings& m_settings;
    std::string m_endpoint;
    std::once_flag m_once;
    std::optional<CurlLoop> m_loop;
    std::mutex m_mutex;
    std::map<std::string, std::pair<std::chrono::steady_clock::time_point, Error>> m_given_up;
};

}  // namespace

std::optional<std::string> Response::header(std::string_view name) const {
    for (auto header = headers.rbegin(); header != headers.rend(); ++header) {
        if (header->first == name) return header->second;
    }
    return std::nullopt;
}

std::optional<milliseconds> retry_after(const Response& response) {
    const auto text = response.header("retry-after");
    if (!text) return std::nullopt;
    constexpr long long longest = 365LL * 24 * 3600;
    long long seconds = 0;
    const auto [end, status] = std::from_chars(text->data(), text->data() + text->size(), seconds);
    if (end == text->data() + text->size() && status == std::errc()) {
        if (seconds < 0) return std::nullopt;
        return std::chrono::seconds(std::min(seconds, longest));
    }
    const std::time_t until = curl_getdate(text->c_str(), nullptr);
    if (until < 0) return std::nullopt;
    // Against the server's own clock where it tells it: ours may be far off.
    const auto date = response.header("date");
    const std::time_t told = date ? curl_getdate(date->c_str(), nullptr) : -1;
    const std::time_t now = told >= 0 ? told : std::time(nullptr);
    return std::chrono::seconds(std::clamp<long long>(until - now, 0, longest));
}

std::unique_ptr<HttpClient> make_http_client(const Settings& settings) {
    return std::make_unique<CurlClient>(settings);
}

}  // namespace kernels::hub
