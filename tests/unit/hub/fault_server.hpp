// An HTTP server on loopback that answers with exactly the bytes a test wants, right or wrong.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace kernels::testing {

/// Answers one connection after another: reads a request's head, sends what the handler returns, and closes,
/// or waits for the client to.
class FaultServer {
  public:
    /// Gets the request's head (request line and headers) and its number, from 0; returns the raw answer.
    using Handler = std::function<std::string(const std::string& head, std::size_t number)>;

    enum class Then { closes, waits };

    explicit FaultServer(Handler handler, Then then = Then::closes)
        : m_handler(std::move(handler)), m_then(then) {
        m_fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof(address);
        auto* const generic = reinterpret_cast<sockaddr*>(&address);
        if (m_fd < 0 || ::bind(m_fd, generic, size) != 0 || ::listen(m_fd, 64) != 0 ||
            ::getsockname(m_fd, generic, &size) != 0) {
            throw std::runtime_error("cannot listen on loopback");
        }
        m_port = std::to_string(ntohs(address.sin_port));
        // Without a handler nobody accepts: the kernel connects, and no answer ever comes.
        if (m_handler) m_thread = std::thread([this] { serve(); });
    }
    ~FaultServer() {
        ::shutdown(m_fd, SHUT_RDWR);
        if (m_thread.joinable()) m_thread.join();
        ::close(m_fd);
    }
    FaultServer(const FaultServer&) = delete;
    FaultServer& operator=(const FaultServer&) = delete;

    const std::string& port() const noexcept { return m_port; }
    std::string url() const { return "http://127.0.0.1:" + m_port; }
    std::vector<std::string> heads() const {
        const std::lock_guard lock(m_mutex);
        return m_heads;
    }

  private:
    void serve() {
        for (;;) {
            const int connection = ::accept(m_fd, nullptr, nullptr);
            if (connection < 0) return;
            std::string head;
            char buffer[4096];
            while (head.find("\r\n\r\n") == std::string::npos) {
                const auto got = ::recv(connection, buffer, sizeof(buffer), 0);
                if (got <= 0) break;
                head.append(buffer, static_cast<std::size_t>(got));
            }
            std::size_t number = 0;
            {
                const std::lock_guard lock(m_mutex);
                number = m_heads.size();
                m_heads.push_back(head);
            }
            const std::string answer = m_handler(head, number);
            for (std::size_t sent = 0; sent < answer.size();) {
                const auto count =
                    ::send(connection, answer.data() + sent, answer.size() - sent, MSG_NOSIGNAL);
                if (count <= 0) break;
                sent += static_cast<std::size_t>(count);
            }
            if (m_then == Then::closes) ::shutdown(connection, SHUT_WR);
            while (::recv(connection, buffer, sizeof(buffer), 0) > 0) {
            }
            ::close(connection);
        }
    }

    Handler m_handler;
    Then m_then;
    int m_fd = -1;
    std::string m_port;
    mutable std::mutex m_mutex;
    std::vector<std::string> m_heads;
    std::thread m_thread;
};

/// An answer whose Content-Length is `announced`, whatever the body's length is.
inline std::string answer(const std::string& status, const std::string& headers, const std::string& body,
                          std::size_t announced) {
    return "HTTP/1.1 " + status + "\r\nConnection: close\r\n" + headers +
           "Content-Length: " + std::to_string(announced) + "\r\n\r\n" + body;
}
inline std::string answer(const std::string& status, const std::string& headers = {},
                          const std::string& body = {}) {
    return answer(status, headers, body, body.size());
}

}  // namespace kernels::testing
