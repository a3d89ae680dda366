// Where the Hub and the cache are, and how to talk to them.
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace kernels::hub {

struct FileRequest;

/// A token. It has no text form, so that it cannot end up in a message by accident.
class Secret {
  public:
    explicit Secret(std::string value) : m_value(std::move(value)) {}
    /// For the Authorization header and nothing else.
    const std::string& reveal() const noexcept { return m_value; }

  private:
    std::string m_value;
};

struct Settings {
    std::string endpoint;         ///< HF_ENDPOINT or the public Hub, without a slash at the end
    std::optional<Secret> token;  ///< HF_TOKEN, HUGGING_FACE_HUB_TOKEN, else the token file
    std::string token_origin;     ///< where the token came from, for `kernels env`
    std::filesystem::path cache;  ///< KERNELS_CACHE, HF_HUB_CACHE or below HF_HOME
    bool offline = false;         ///< HF_HUB_OFFLINE: no socket is opened
    int jobs = 8;                 ///< transfers at the same time
    /// Asked once, before the first request; an empty text (or no function) sends none, as when telemetry is
    /// disabled.
    std::function<std::string()> user_agent;
    std::chrono::seconds connect_timeout{10};
    std::chrono::seconds stall_timeout{30};  ///< a transfer that moves no byte for so long has failed
    std::chrono::seconds lock_timeout{
        600};  ///< how long to wait for another process's download of the same file
    int retries = 4;
    std::chrono::milliseconds retry_delay{500};  ///< before the first retry; doubles
    /// Where a file may be outside the cache. A copy that has the right bytes is taken in place of a
    /// download.
    std::function<std::vector<std::filesystem::path>(const FileRequest&)> donors;
    /// Set from a signal handler to stop: transfers end within a second with Error(interrupted).
    const std::atomic<bool>* cancel = nullptr;
};

/// `kernels/<version>; torch/<version>; backend/<cu128>; platform/<x86_64-linux>; file_type/kernel`; what is
/// empty is left out. Empty when HF_HUB_DISABLE_TELEMETRY, DISABLE_TELEMETRY or DO_NOT_TRACK is set.
std::string user_agent(const std::string& torch = {}, const std::string& backend = {});

/// `url` without slashes at its end. Throws Error(usage) for what is no http or https URL; `origin` (a
/// variable or an option) begins its message.
std::string checked_endpoint(std::string url, const std::string& origin);

/// The settings that the environment variables give; the names and defaults are huggingface_hub's.
Settings settings_from_environment();

}  // namespace kernels::hub
