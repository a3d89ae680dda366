// What was asked, one JSON line a request.
#pragma once

#include <filesystem>
#include <fstream>
#include <mutex>
#include <string>

namespace kernels::hub_server {

/// One answered request. Of a token only its presence is kept.
struct LoggedRequest {
    std::string method;
    std::string path;  ///< with the query, as it was sent
    std::string host;
    std::string range;
    std::string user_agent;
    bool authorization = false;
    int status = 0;
};

/// Thread-safe; each line is flushed, so that a test can read it as soon as it has its answer.
class RequestLog {
  public:
    RequestLog() = default;
    /// Throws Error(failed) when the file cannot be written.
    explicit RequestLog(const std::filesystem::path& path);
    void write(const LoggedRequest& request);

  private:
    std::mutex m_mutex;
    std::ofstream m_file;
};

}  // namespace kernels::hub_server
