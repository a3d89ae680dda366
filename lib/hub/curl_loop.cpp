#include "curl_loop.hpp"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <utility>

#include "kernels/core/cancel.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/log.hpp"
#include "kernels/core/text.hpp"

namespace kernels::hub {

struct CurlLoop::Job {
    Transfer* transfer = nullptr;
    CURL* easy = nullptr;
    curl_slist* headers = nullptr;
    std::array<char, CURL_ERROR_SIZE> message{};
    bool finished = false;
};

namespace {

bool is_success(int status) {
    return status >= 200 && status < 300;
}

std::size_t on_header(char* data, std::size_t, std::size_t size, void* user) {
    auto& transfer = *static_cast<Transfer*>(user);
    transfer.heard = true;
    const std::string_view line(data, size);
    if (line.starts_with("HTTP/")) {
        // A new head: an interim or proxy answer came before it.
        transfer.response.headers.clear();
        const auto space = line.find(' ');
        if (space != std::string_view::npos) {
            std::from_chars(line.data() + space + 1, line.data() + line.size(), transfer.response.status);
        }
    } else if (const auto colon = line.find(':'); colon != std::string_view::npos) {
        transfer.response.headers.emplace_back(lower(line.substr(0, colon)),
                                               std::string(trimmed(line.substr(colon + 1))));
    }
    return size;
}

std::size_t on_body(char* data, std::size_t, std::size_t size, void* user) {
    auto& transfer = *static_cast<Transfer*>(user);
    transfer.heard = true;
    const Request& request = *transfer.request;
    // curl goes on as long as the network gives something, which is long where what takes it is slow.
    if (is_cancelled(transfer.cancel)) return CURL_WRITEFUNC_ERROR;
    try {
        if (request.sink != nullptr && is_success(transfer.response.status)) {
            if (!transfer.body_begun) {
                transfer.body_begun = true;
                request.sink->begin(transfer.response);
            }
            request.sink->write({data, size});
        } else {
            if (transfer.response.body.size() + size > request.body_limit) {
                throw Error(ErrorCode::network, printable_url(transfer.url) + ": the answer is larger than " +
                                                    human_size(request.body_limit));
            }
            transfer.response.body.append(data, size);
        }
    } catch (...) {
        transfer.error = std::current_exception();
        return CURL_WRITEFUNC_ERROR;
    }
    return size;
}

// curl reads only lower-case http_proxy; its users set the upper-case one as well.
std::optional<std::string> proxy_for(const std::string& url) {
    if (!url.starts_with("http://")) return std::nullopt;
    if (environment_variable("http_proxy")) return std::nullopt;
    return environment_variable("HTTP_PROXY");
}

// Whether an entry such as 10.0.0.0/8 or fd00::/8 has the address `host`; curl 7.86 and newer take these.
bool is_in_network(const std::string& host, std::string_view entry) {
    const auto slash = entry.find('/');
    if (slash == std::string_view::npos) return false;
    unsigned bits = 0;
    const auto parsed = std::from_chars(entry.data() + slash + 1, entry.data() + entry.size(), bits);
    if (parsed.ec != std::errc() || parsed.ptr != entry.data() + entry.size()) return false;
    const auto bare = [](std::string_view text) {
        const bool bracketed = text.starts_with('[') && text.ends_with(']');
        return std::string(bracketed ? text.substr(1, text.size() - 2) : text);
    };
    const std::string network = bare(entry.substr(0, slash));
    for (const auto& [family, size] : {std::pair(AF_INET, 4U), std::pair(AF_INET6, 16U)}) {
        std::array<unsigned char, 16> a{};
        std::array<unsigned char, 16> b{};
        if (bits > size * 8 || ::inet_pton(family, bare(host).c_str(), a.data()) != 1 ||
            ::inet_pton(family, network.c_str(), b.data()) != 1)
            continue;
        bool same = std::equal(a.begin(), a.begin() + bits / 8, b.begin());
        if (bits % 8 != 0) same = same && ((a[bits / 8] ^ b[bits / 8]) >> (8 - bits % 8)) == 0;
        return same;
    }
    return false;
}

// Whether NO_PROXY names the host: itself, a domain or network that it is in, or all.
bool is_without_proxy(const std::string& url) {
    auto list = environment_variable("no_proxy");
    if (!list) list = environment_variable("NO_PROXY");
    if (!list) return false;
    std::string host = url_origin(url);
    host.erase(0, host.find("://") + 3);
    host.erase(host.rfind(':'));
    std::replace(list->begin(), list->end(), ' ', ',');
    for (auto entry : split(*list, ',')) {
        while (entry.starts_with('.'))
            entry.remove_prefix(1);
        if (entry.empty()) continue;
        const std::string name = lower(entry);
        if (name == "*" || host == name || host.ends_with("." + name) || is_in_network(host, name))
            return true;
    }
    return false;
}

// The first that is set counts.
constexpr std::array secure_proxies = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};
constexpr std::array plain_proxies = {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"};

// curl's words on a proxy that it cannot understand hold the user's password for it.
std::string without_passwords(std::string message) {
    for (const auto& names : {secure_proxies, plain_proxies}) {
        for (const char* name : names) {
            const auto proxy = environment_variable(name);
            if (!proxy) continue;
            const std::string shown = printable_url(*proxy);
            for (auto at = message.find(*proxy); at != std::string::npos;
                 at = message.find(*proxy, at + shown.size()))
                message.replace(at, proxy->size(), shown);
        }
    }
    return message;
}

}  // namespace

CurlLoop::CurlLoop(const Settings& settings)
    : m_settings(settings), m_user_agent(settings.user_agent ? settings.user_agent() : "") {
    static const CURLcode global = curl_global_init(CURL_GLOBAL_DEFAULT);
    m_multi = curl_multi_init();
    if (global != CURLE_OK || m_multi == nullptr)
        throw Error(ErrorCode::failed, "curl cannot be initialized");
    curl_multi_setopt(m_multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
    for (const char* name : {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}) {
        if (m_ca_file.empty()) m_ca_file = environment_variable(name).value_or("");
    }
    m_ca_folder = environment_variable("SSL_CERT_DIR").value_or("");
    try {
        m_thread = std::thread([this] { loop(); });
    } catch (const std::system_error& error) {
        curl_multi_cleanup(m_multi);
        throw Error(ErrorCode::failed, "no thread can be started: " + std::string(error.what()),
                    "raise the limit on processes (ulimit -u) or on memory (ulimit -v)");
    }
}

CurlLoop::~CurlLoop() {
    {
        const std::lock_guard lock(m_mutex);
        m_stop = true;
    }
    curl_multi_wakeup(m_multi);
    m_thread.join();
    curl_multi_cleanup(m_multi);
}

std::string CurlLoop::describe_trust(const std::string& url) const {
    const bool is_secure = url.starts_with("https://");
    std::string text;
    if (is_secure)
        text = "certificates: " +
               (!m_ca_file.empty()     ? m_ca_file
                : !m_ca_folder.empty() ? m_ca_folder
                                       : std::string("the system's store")) +
               "; ";
    if (is_without_proxy(url)) return text + "no proxy";
    for (const char* name : is_secure ? secure_proxies : plain_proxies) {
        if (const auto proxy = environment_variable(name))
            return text + "proxy: " + printable_url(*proxy) + " (" + name + ")";
    }
    return text + "no proxy";
}

void CurlLoop::run(Transfer& transfer) {
    Job job;
    job.transfer = &transfer;
    std::unique_lock lock(m_mutex);
    m_waiting.push_back(&job);
    curl_multi_wakeup(m_multi);
    m_done.wait(lock, [&] { return job.finished; });
}

void CurlLoop::configure(CURL* easy, Job& job) {
    Transfer& transfer = *job.transfer;
    transfer.cancel = m_settings.cancel;
    const Request& request = *transfer.request;
    curl_easy_setopt(easy, CURLOPT_URL, transfer.url.c_str());
    curl_easy_setopt(easy, CURLOPT_PRIVATE, &job);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, job.message.data());
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, static_cast<long>(m_settings.connect_timeout.count()));
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, static_cast<long>(m_settings.stall_timeout.count()));
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 512L * 1024L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    // Who speaks HTTP/2 answers all on one connection: new transfers wait until the first one knows. A server
    // without TLS cannot offer it, so there is nothing to wait for.
    if (transfer.url.starts_with("https:")) curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
    // The system's look-up of a name cannot be ended; a transfer that is ended leaves it to itself.
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    if (!m_ca_file.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, m_ca_file.c_str());
    if (!m_ca_folder.empty()) curl_easy_setopt(easy, CURLOPT_CAPATH, m_ca_folder.c_str());
    if (const auto proxy = proxy_for(transfer.url)) curl_easy_setopt(easy, CURLOPT_PROXY, proxy->c_str());
    // Files are hashed as they are; only listings may be compressed on the way.
    if (request.sink == nullptr) curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
    if (request.method == "HEAD") curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, m_user_agent.c_str());
    for (const auto& header : transfer.headers)
        job.headers = curl_slist_append(job.headers, header.c_str());
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, job.headers);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
}

// Users ask themselves why nothing happens, whatever they want to hear of otherwise.
void CurlLoop::tell_of_silence() {
    constexpr std::chrono::seconds long_enough{5};
    const auto now = std::chrono::steady_clock::now();
    bool heard = m_running.empty();
    for (Job* job : m_running)
        heard = std::exchange(job->transfer->heard, false) || heard;
    if (heard) {
        m_heard = now;
        m_told = false;
    } else if (!m_told && now - m_heard >= long_enough) {
        m_told = true;
        log::notice("waiting for " + url_origin(m_running.front()->transfer->url) +
                    ", which has been silent for " + std::to_string(long_enough.count()) + " s");
    }
}

void CurlLoop::let_idle() {
    for (std::size_t i = m_running.size(); i-- > 0;) {  // from the end, as the one that fails goes
        Job* const job = m_running[i];
        Transfer& transfer = *job->transfer;
        if (!transfer.body_begun) continue;
        try {
            transfer.request->sink->idle();
        } catch (...) {
            transfer.error = std::current_exception();
            finish(job->easy, CURLE_WRITE_ERROR);
        }
    }
}

void CurlLoop::start(Job& job) {
    job.easy = curl_easy_init();
    if (job.easy != nullptr) {
        configure(job.easy, job);
        if (curl_multi_add_handle(m_multi, job.easy) == CURLM_OK) {
            m_running.push_back(&job);
            return;
        }
        curl_easy_cleanup(job.easy);
    }
    job.transfer->curl = CURLE_FAILED_INIT;
    const std::lock_guard lock(m_mutex);
    job.finished = true;
    m_done.notify_all();
}

void CurlLoop::finish(CURL* easy, CURLcode code) {
    char* data = nullptr;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &data);
    Job& job = *reinterpret_cast<Job*>(data);
    job.transfer->curl = code;
    m_heard = std::chrono::steady_clock::now();
    m_told = false;
    curl_off_t connect_time = 0;
    curl_easy_getinfo(easy, CURLINFO_CONNECT_TIME_T, &connect_time);
    job.transfer->connected = connect_time > 0 || job.transfer->response.status != 0;
    job.transfer->curl_message =
        without_passwords(job.message[0] != '\0' ? job.message.data() : curl_easy_strerror(code));
    curl_multi_remove_handle(m_multi, easy);
    curl_easy_cleanup(easy);
    curl_slist_free_all(job.headers);
    m_running.erase(std::find(m_running.begin(), m_running.end(), &job));
    const std::lock_guard lock(m_mutex);
    job.finished = true;
    m_done.notify_all();
}

void CurlLoop::loop() {
    constexpr int poll_milliseconds = 200;  // how soon a cancel is seen
    // A peer that hangs up is an error of its transfer. curl leaves the signal to us (CURLOPT_NOSIGNAL), and
    // it comes to the thread that writes.
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
    for (;;) {
        std::vector<Job*> to_start;
        const bool cancelled = is_cancelled(m_settings.cancel);
        {
            const std::lock_guard lock(m_mutex);
            if (m_stop && m_waiting.empty() && m_running.empty()) return;
            while (!m_waiting.empty() &&
                   (cancelled || m_running.size() + to_start.size() <
                                     static_cast<std::size_t>(std::max(1, m_settings.jobs)))) {
                to_start.push_back(m_waiting.front());
                m_waiting.pop_front();
            }
        }
        tell_of_silence();
        let_idle();
        for (Job* job : to_start)
            start(*job);
        if (cancelled) {
            while (!m_running.empty())
                finish(m_running.back()->easy, CURLE_ABORTED_BY_CALLBACK);
        }
        int active = 0;
        curl_multi_perform(m_multi, &active);
        int left = 0;
        while (CURLMsg* message = curl_multi_info_read(m_multi, &left)) {
            if (message->msg == CURLMSG_DONE) finish(message->easy_handle, message->data.result);
        }
        const bool room = !m_running.empty() && active == 0;
        if (!room) curl_multi_poll(m_multi, nullptr, 0, poll_milliseconds, nullptr);
    }
}

}  // namespace kernels::hub
