// HTTP requests: plain values, and one client for all of them.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/core/error.hpp"
#include "kernels/hub/settings.hpp"

namespace kernels::hub {

/// The answer to a request. Header names are lower-case.
struct Response {
    int status = 0;
    std::vector<std::pair<std::string, std::string>> headers;
    std::string body;  ///< empty when a sink took it
    std::string url;   ///< after redirects

    /// The last header of that (lower-case) name.
    std::optional<std::string> header(std::string_view name) const;
};

/// Takes a body while it arrives. Called on the client's own thread; an exception ends the transfer and
/// reaches the caller.
class BodySink {
  public:
    virtual ~BodySink() = default;
    /// Before the first byte of a successful (2xx) answer.
    virtual void begin(const Response& head) = 0;
    virtual void write(std::string_view bytes) = 0;
    /// Between writes, every 200 ms at least, also while nothing comes.
    virtual void idle() {}
};

struct Request {
    std::string method = "GET";
    std::string url;
    std::vector<std::pair<std::string, std::string>> headers;
    BodySink* sink = nullptr;                             ///< else the body is collected
    std::uint64_t body_limit = std::uint64_t{64} << 20U;  ///< for collected bodies, in bytes
};

/// A body broke off after some of it was delivered to the sink; the caller may ask for the rest.
class TransferBroken : public Error {
  public:
    using Error::Error;
};

/// Sends requests. Thread-safe; send() blocks its caller only.
class HttpClient {
  public:
    virtual ~HttpClient() = default;
    /// The final answer, whatever its status, after redirects and retries. Throws Error(network) when the
    /// host cannot be reached, TransferBroken, Error(interrupted), and what the sink throws.
    virtual Response send(const Request& request) = 0;
};

/// The client on curl's multi interface: keep-alive, HTTP/2 where offered, at most settings.jobs transfers at
/// a time; retries connection loss, 408, 429 and 5xx with growing pauses (Retry-After wins; where it asks for
/// more than a minute the answer is final); proxies and CA files from the environment; TLS 1.2 or newer; no
/// redirect from https to http; a host that could not be connected to, after all retries, is not asked for
/// some seconds, so that what is queued fails with it; the token goes to the endpoint's own host only.
/// Offline it refuses every request; curl starts with the first one.
std::unique_ptr<HttpClient> make_http_client(const Settings& settings);
std::unique_ptr<HttpClient> make_http_client(Settings&&) = delete;  ///< the client keeps a reference

/// How long the answer's Retry-After asks to wait: seconds, or an HTTP date, which counts from the answer's
/// own Date. Nothing when there is none that can be read.
std::optional<std::chrono::milliseconds> retry_after(const Response& response);

/// A URL as it may be printed: without user, query and fragment.
std::string printable_url(std::string_view url);

/// `scheme://host:port` of a URL, lower-case, with the scheme's default port written out.
std::string url_origin(std::string_view url);

/// `text` with everything but unreserved characters percent-encoded; '/' too unless `keep_slash`.
std::string url_quoted(std::string_view text, bool keep_slash = false);

}  // namespace kernels::hub
