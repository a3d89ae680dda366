// One thread that runs all transfers on curl's multi interface.
#pragma once

#include <curl/curl.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "kernels/hub/http.hpp"

namespace kernels::hub {

/// One transfer: no redirects, no retries. `error` holds what ended it early; `curl` what curl said.
struct Transfer {
    const Request* request = nullptr;
    std::string url;
    std::vector<std::string> headers;
    Response response;
    CURLcode curl = CURLE_OK;
    std::string curl_message;
    std::exception_ptr error;
    bool body_begun = false;
    bool connected = false;  ///< there was a connection, whatever became of it
    const std::atomic<bool>* cancel = nullptr;
    bool heard = false;  ///< something has arrived since the loop last looked
};

class CurlLoop {
  public:
    explicit CurlLoop(const Settings& settings);
    ~CurlLoop();
    CurlLoop(const CurlLoop&) = delete;
    CurlLoop& operator=(const CurlLoop&) = delete;

    /// Runs the transfer; returns when it has ended.
    void run(Transfer& transfer);
    /// Where certificates and proxies come from, for messages about failures.
    std::string describe_trust(const std::string& url) const;

  private:
    struct Job;
    void loop();
    void start(Job& job);
    void finish(CURL* easy, CURLcode code);
    void configure(CURL* easy, Job& job);
    void tell_of_silence();
    void let_idle();

    const Settings& m_settings;
    std::string m_user_agent;
    std::string m_ca_file;
    std::string m_ca_folder;
    CURLM* m_multi = nullptr;
    std::mutex m_mutex;
    std::condition_variable m_done;
    std::deque<Job*> m_waiting;
    std::vector<Job*> m_running;
    std::chrono::steady_clock::time_point m_heard;  // when something arrived last, or had no need to
    bool m_told = false;                            // that nothing has arrived since then
    bool m_stop = false;
    std::thread m_thread;
};

}  // namespace kernels::hub
