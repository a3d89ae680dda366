#include "common/progress.hpp"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <map>
#include <mutex>

#include "kernels/core/text.hpp"

namespace kernels::app {
namespace {

using Clock = std::chrono::steady_clock;

class Lines : public hub::Monitor {
  public:
    Lines(bool quiet, bool progress) : m_quiet(quiet), m_progress(progress) {}

    void planned(std::size_t, std::uint64_t) override {}
    void started(const hub::FileRequest&) override {}
    void progressed(const hub::FileRequest&, std::uint64_t) override {}
    void finished(const hub::FileRequest& file) override {
        if (!m_progress) return;
        say("downloaded " + file.repo.to_string() + ": " + file.entry.path + " (" +
            human_size(file.entry.size) + ")");
    }
    void waiting(const hub::FileRequest& file, int pid) override {
        if (m_quiet) return;
        say("waiting for " + (pid > 0 ? "process " + std::to_string(pid) : std::string("another process")) +
            ", which downloads " + file.entry.path);
    }

  protected:
    virtual void say(const std::string& line) {
        const std::lock_guard lock(m_mutex);
        std::fprintf(stderr, "%s\n", line.c_str());
    }
    std::mutex m_mutex;

  private:
    bool m_quiet;
    bool m_progress;
};

class Bar final : public Lines {
  public:
    explicit Bar(bool quiet) : Lines(quiet, false) {}
    ~Bar() override { clear(); }

    void planned(std::size_t files, std::uint64_t bytes) override {
        const std::lock_guard lock(m_mutex);
        m_files = files;
        m_total = bytes;
        m_start = Clock::now();
    }
    void progressed(const hub::FileRequest& file, std::uint64_t bytes) override {
        const std::lock_guard lock(m_mutex);
        auto& known = m_bytes[file.entry.etag()];
        m_done += bytes - known;
        known = bytes;
        const auto now = Clock::now();
        if (now - m_drawn < std::chrono::milliseconds(100)) return;
        m_drawn = now;
        draw(now);
    }
    void finished(const hub::FileRequest&) override {
        const std::lock_guard lock(m_mutex);
        ++m_finished;
        draw(Clock::now());
    }

  private:
    void say(const std::string& line) override {
        const std::lock_guard lock(m_mutex);
        std::fprintf(stderr, "\r\033[K%s\n", line.c_str());
    }
    void draw(Clock::time_point now) {
        constexpr std::size_t width = 24;
        const double seconds = std::chrono::duration<double>(now - m_start).count();
        const double rate = seconds > 0 ? static_cast<double>(m_done) / seconds : 0;
        const double part = m_total > 0 ? static_cast<double>(m_done) / static_cast<double>(m_total) : 1;
        const auto filled = static_cast<std::size_t>(std::min(1.0, part) * width);
        const std::uint64_t left = m_total > m_done ? m_total - m_done : 0;
        std::string bar = std::string(filled, '#') + std::string(width - filled, '.');
        std::fprintf(stderr, "\r\033[K[%s] %zu/%zu files  %s of %s  %s/s", bar.c_str(), m_finished, m_files,
                     human_size(m_done).c_str(), human_size(m_total).c_str(),
                     human_size(static_cast<unsigned long long>(rate)).c_str());
        // In the first second the rate says nothing yet.
        if (seconds > 1 && rate > 0 && left > 0)
            std::fprintf(stderr, "  %.0f s left", static_cast<double>(left) / rate);
        std::fflush(stderr);
        m_shown = true;
    }
    void clear() {
        if (m_shown) std::fprintf(stderr, "\r\033[K");
    }

    std::size_t m_files = 0;
    std::size_t m_finished = 0;
    std::uint64_t m_total = 0;
    std::uint64_t m_done = 0;
    std::map<std::string, std::uint64_t> m_bytes;
    Clock::time_point m_start = Clock::now();
    Clock::time_point m_drawn{};
    bool m_shown = false;
};

}  // namespace

std::unique_ptr<hub::Monitor> make_progress(const Context& context) {
    if (context.progress && ::isatty(STDERR_FILENO) == 1) return std::make_unique<Bar>(context.quiet);
    return std::make_unique<Lines>(context.quiet, context.progress);
}

}  // namespace kernels::app
