#include "request_log.hpp"

#include <nlohmann/json.hpp>

#include "kernels/core/error.hpp"

namespace kernels::hub_server {

RequestLog::RequestLog(const std::filesystem::path& path) : m_file(path, std::ios::trunc) {
    if (!m_file) throw Error(ErrorCode::failed, path.string() + ": the log cannot be written");
}

void RequestLog::write(const LoggedRequest& request) {
    if (!m_file.is_open()) return;
    const nlohmann::ordered_json line = {
        {"method", request.method},
        {"path", request.path},
        {"host", request.host},
        {"range", request.range},
        {"status", request.status},
        {"authorization", request.authorization},
        {"user-agent", request.user_agent},
    };
    const std::string text = line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
    const std::lock_guard guard(m_mutex);
    m_file << text << std::endl;
}

}  // namespace kernels::hub_server
