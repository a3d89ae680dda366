#include "common/progress.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <mutex>

#include "kernels/core/files.hpp"
#include "kernels/core/text.hpp"

namespace kernels::app {
namespace {

using Clock = std::chrono::steady_clock;

std::size_t terminal_width() {
    winsize size{};
    if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 20) return 80;
    return size.ws_col;
}

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
    explicit Bar(const Context& context) : Lines(context.quiet, false), m_sink(context.log_sink) {
        // Messages take the place of the bar, which comes back below them.
        if (!m_sink) return;
        log::set_sink([this](log::Level level, const std::string& text) {
            const std::lock_guard lock(m_mutex);
            clear();
            m_sink(level, text);
        });
    }
    ~Bar() override {
        if (m_sink) log::set_sink(m_sink);
        clear();
    }

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
        std::string line = "[" + std::string(filled, '#') + std::string(width - filled, '.') + "] " +
                           std::to_string(m_finished) + "/" + std::to_string(m_files) + " files  " +
                           human_size(m_done) + " of " + human_size(m_total) + "  " +
                           human_size(static_cast<unsigned long long>(rate)) + "/s";
        // In the first second the rate says nothing yet.
        if (seconds > 1 && rate > 0 && left > 0) {
            line += "  " + std::to_string(static_cast<long long>(static_cast<double>(left) / rate) + 1) +
                    " s left";
        }
        // A line that wraps could not be taken back.
        line.resize(std::min(line.size(), terminal_width() - 1));
        std::fprintf(stderr, "\r\033[K%s", line.c_str());
        std::fflush(stderr);
        m_shown = true;
    }
    void clear() {
        if (m_shown) std::fprintf(stderr, "\r\033[K");
        m_shown = false;
    }

    std::size_t m_files = 0;
    std::size_t m_finished = 0;
    std::uint64_t m_total = 0;
    std::uint64_t m_done = 0;
    std::map<std::string, std::uint64_t> m_bytes;
    Clock::time_point m_start = Clock::now();
    Clock::time_point m_drawn{};
    bool m_shown = false;
    log::Sink m_sink;
};

}  // namespace

std::unique_ptr<hub::Monitor> make_progress(const Context& context) {
    const bool terminal = ::isatty(STDERR_FILENO) == 1 && environment_variable("TERM").value_or("") != "dumb";
    if (context.progress && terminal) return std::make_unique<Bar>(context);
    return std::make_unique<Lines>(context.quiet, context.progress);
}

}  // namespace kernels::app
