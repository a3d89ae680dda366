#include "kernels/core/log.hpp"

#include <spdlog/sinks/ansicolor_sink.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <memory>
#include <mutex>
#include <set>

#include "kernels/core/text.hpp"

namespace kernels::log {
namespace {

struct State {
    std::mutex mutex;
    Sink sink;
};

State& state() {
    static State the_state;
    return the_state;
}

void emit(Level level, const std::string& text) {
    State& current = state();
    const std::lock_guard lock(current.mutex);
    if (current.sink) current.sink(level, text);
}

}  // namespace

void set_sink(Sink sink) {
    State& current = state();
    const std::lock_guard lock(current.mutex);
    current.sink = std::move(sink);
}

Sink stderr_sink(Level least, bool colour) {
    auto output = std::make_shared<spdlog::sinks::ansicolor_stderr_sink_mt>(
        colour ? spdlog::color_mode::always : spdlog::color_mode::never);
    auto logger = std::make_shared<spdlog::logger>("kernels", output);
    logger->set_pattern("%^%l:%$ %v");
    logger->set_level(spdlog::level::debug);
    const auto warned = std::make_shared<std::set<std::string>>();
    return [logger, least, warned](Level level, const std::string& text) {
        if (level < least || (level == Level::warning && !warned->insert(text).second)) return;
        if (level == Level::notice) {
            std::fprintf(stderr, "%s\n", printable(text, "\n\t").c_str());
            return;
        }
        logger->log(level == Level::debug  ? spdlog::level::debug
                    : level == Level::info ? spdlog::level::info
                                           : spdlog::level::warn,
                    spdlog::string_view_t(printable(text, "\n\t")));
    };
}

void debug(const std::string& text) {
    emit(Level::debug, text);
}

void info(const std::string& text) {
    emit(Level::info, text);
}

void warning(const std::string& text) {
    emit(Level::warning, text);
}

void notice(const std::string& text) {
    emit(Level::notice, text);
}

}  // namespace kernels::log
