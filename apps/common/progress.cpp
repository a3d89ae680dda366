#include "common/progress.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "kernels/core/file_lock.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/text.hpp"

namespace kernels::app {
namespace {

using Clock = std::chrono::steady_clock;

// Columns and rows.
std::pair<std::size_t, std::size_t> terminal_size() {
    winsize size{};
    if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 20) return {80, 24};
    return {size.ws_col, std::max<std::size_t>(size.ws_row, 2)};
}

// How wide a character is at most: no more is known of those beyond ASCII.
std::size_t width_of(char first_byte) {
    const auto byte = static_cast<unsigned char>(first_byte);
    return byte < 0x80U ? 1 : byte >= 0xC0U ? 2 : 0;  // what follows a first byte belongs to it
}

std::size_t columns(std::string_view text) {
    std::size_t count = 0;
    for (const char c : text)
        count += width_of(c);
    return count;
}

// The start of a text that fits into so many columns, in whole characters.
std::string_view fitting_start(std::string_view text, std::size_t room) {
    std::size_t taken = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        taken += width_of(text[i]);
        if (taken > room) return text.substr(0, i);
    }
    return text;
}

// The same of its end.
std::string_view fitting_end(std::string_view text, std::size_t room) {
    std::size_t over = columns(text);
    std::size_t start = 0;
    while (start < text.size() && (over > room || width_of(text[start]) == 0))
        over -= width_of(text[start++]);
    return text.substr(start);
}

class Lines : public hub::Monitor {
  public:
    Lines(bool quiet, bool progress) : m_quiet(quiet), m_progress(progress) {}

    void planned(std::size_t, std::uint64_t) override {}
    void started(const hub::FileRequest&) override {}
    void progressed(const hub::FileRequest&, std::uint64_t) override {}
    void finished(const hub::FileRequest& file, hub::Source source) override {
        if (!m_progress || source == hub::Source::another_process) return;
        say((source == hub::Source::hub ? "downloaded " : "copied ") + file.repo.to_string() + ": " +
            file.entry.path + " (" + human_size(file.entry.size) + ")");
    }
    void waiting(const hub::FileRequest& file, int pid) override {
        say(waiting_for(pid) + ", which downloads " + file.entry.path);
    }

  protected:
    virtual void say(const std::string& line) {
        const std::lock_guard lock(m_mutex);
        std::fprintf(stderr, "%s\n", printable(line).c_str());
    }
    std::mutex m_mutex;

  private:
    bool m_quiet;
    bool m_progress;
};

// A row for each file that is being fetched, and one for all of them.
class Bars final : public Lines {
  public:
    explicit Bars(const Context& context) : Lines(context.quiet, false), m_sink(context.log_sink) {
        // Messages take the place of the bars, which come back below them.
        if (!m_sink) return;
        log::set_sink([this](log::Level level, const std::string& text) {
            const std::lock_guard lock(m_mutex);
            clear();
            m_sink(level, text);
        });
    }
    ~Bars() override {
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
        const auto now = Clock::now();
        const auto [place, is_new] = m_active.try_emplace(file.entry.etag());
        Row& row = place->second;
        if (is_new) {
            row.name =
                printable(file.repo.name() + "/" + file.entry.path.substr(file.entry.path.rfind('/') + 1));
            row.size = file.entry.size;
        }
        if (is_new || bytes < row.bytes) {  // at its start, or from the start again
            m_came -= row.came();
            row.start = now;
            row.resumed = bytes;
        } else {
            m_came += bytes - row.bytes;
        }
        m_done += bytes - row.bytes;
        row.bytes = bytes;
        draw(now, false);
    }
    void finished(const hub::FileRequest& file, hub::Source) override {
        const std::lock_guard lock(m_mutex);
        const auto row = m_active.find(file.entry.etag());
        // What another process brought was never on its way here.
        m_done += file.entry.size - (row != m_active.end() ? row->second.bytes : 0);
        if (row != m_active.end()) m_active.erase(row);
        ++m_finished;
        draw(Clock::now(), m_finished == m_files);
    }

  private:
    struct Row {
        std::string name;
        std::uint64_t size = 0;
        std::uint64_t bytes = 0;
        std::uint64_t resumed = 0;  // there before; not part of the rate
        Clock::time_point start;
        std::uint64_t came() const { return bytes - resumed; }
    };

    static std::string bar(std::uint64_t done, std::uint64_t total, std::size_t width) {
        const double part = total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 1;
        const auto filled = static_cast<std::size_t>(std::min(1.0, part) * static_cast<double>(width));
        return "[" + std::string(filled, '#') + std::string(width - filled, '.') + "] ";
    }
    static double rate(std::uint64_t bytes, Clock::duration time) {
        const double seconds = std::chrono::duration<double>(time).count();
        return seconds > 0 ? static_cast<double>(bytes) / seconds : 0;
    }
    // How much is there and how fast it comes: `came` in `time`.
    static std::string amounts(std::uint64_t done, std::uint64_t total, std::uint64_t came,
                               Clock::duration time) {
        const double speed = rate(came, time);
        std::string text = human_size(done) + " of " + human_size(total) + "  " +
                           human_size(static_cast<unsigned long long>(speed)) + "/s";
        // In the first second the rate says nothing yet.
        if (time > std::chrono::seconds(1) && speed > 0 && total > done) {
            const double left = static_cast<double>(total - done) / speed;
            text += "  " + std::to_string(static_cast<long long>(left) + 1) + " s left";
        }
        return text;
    }
    std::string total_row(Clock::time_point now) const {
        return bar(m_done, m_total, 16) + std::to_string(m_finished) + "/" + std::to_string(m_files) +
               " files  " + amounts(m_done, m_total, m_came, now - m_start);
    }

    void say(const std::string& line) override {
        const std::lock_guard lock(m_mutex);
        clear();
        std::fprintf(stderr, "%s\n", line.c_str());
    }
    void draw(Clock::time_point now, bool at_once) {
        if (!at_once && now - m_drawn < std::chrono::milliseconds(100)) return;
        m_drawn = now;
        const auto [width, height] = terminal_size();
        std::vector<std::string> rows;
        for (const auto& [etag, row] : m_active) {
            if (rows.size() + 2 > std::min<std::size_t>(height, most_rows)) break;
            const std::string before = bar(row.bytes, row.size, 8);
            const std::string behind = "  " + amounts(row.bytes, row.size, row.came(), now - row.start);
            // Of a name that is too long the end says most.
            const std::size_t taken = before.size() + behind.size() + 1;
            const std::size_t room = width > taken ? width - taken : 0;
            rows.push_back(before + std::string(fitting_end(row.name, room)) + behind);
        }
        rows.push_back(total_row(now));
        std::string text = to_start();
        for (auto& row : rows) {
            // A line that wraps could not be taken back.
            text +=
                std::string(fitting_start(row, width - 1)) + "\033[K" + (&row == &rows.back() ? "" : "\n");
        }
        std::fprintf(stderr, "%s\033[J", text.c_str());
        std::fflush(stderr);
        m_rows = rows.size();
    }
    // From the end of the last row to the start of the first.
    std::string to_start() const { return m_rows > 1 ? "\033[" + std::to_string(m_rows - 1) + "A\r" : "\r"; }
    void clear() {
        if (m_rows > 0) std::fprintf(stderr, "%s\033[J", to_start().c_str());
        m_rows = 0;
    }

    static constexpr std::size_t most_rows = 10;
    std::size_t m_files = 0;
    std::size_t m_finished = 0;
    std::uint64_t m_total = 0;
    std::uint64_t m_done = 0;
    std::uint64_t m_came = 0;  // of that, in this run
    std::map<std::string, Row> m_active;
    Clock::time_point m_start = Clock::now();
    Clock::time_point m_drawn{};
    std::size_t m_rows = 0;
    log::Sink m_sink;
};

}  // namespace

std::unique_ptr<hub::Monitor> make_progress(const Context& context) {
    const bool terminal = ::isatty(STDERR_FILENO) == 1 && environment_variable("TERM").value_or("") != "dumb";
    if (context.progress && terminal) return std::make_unique<Bars>(context);
    return std::make_unique<Lines>(context.quiet, context.progress);
}

}  // namespace kernels::app
