#include "crash_guard.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/program.hpp"

namespace kernels::app {
namespace {

constexpr std::array fatal = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

// All that the handler uses: it may neither allocate nor take a lock.
struct Prepared {
    std::array<char, 8192> text{};
    std::size_t size = 0;
    int stream = STDERR_FILENO;
    int status = 1;
};
Prepared prepared;
std::array<struct sigaction, fatal.size()> previous{};
// A stack of its own, since a stack overflow is one of the crashes.
std::array<char, 65536> handler_stack;

extern "C" void on_crash(int) {
    if (::write(prepared.stream, prepared.text.data(), prepared.size) < 0) ::_exit(prepared.status);
    ::_exit(prepared.status);
}

}  // namespace

CrashGuard::CrashGuard(ErrorCode code, std::string what, std::string hint, bool json)
    : m_code(code), m_what(std::move(what)), m_hint(std::move(hint)), m_json(json) {
    about_to("");
    stack_t stack{};
    stack.ss_sp = handler_stack.data();
    stack.ss_size = handler_stack.size();
    ::sigaltstack(&stack, nullptr);
    struct sigaction action {};
    action.sa_handler = on_crash;
    action.sa_flags = SA_ONSTACK;
    for (std::size_t i = 0; i < fatal.size(); ++i)
        ::sigaction(fatal[i], &action, &previous[i]);
}

CrashGuard::~CrashGuard() {
    for (std::size_t i = 0; i < fatal.size(); ++i)
        ::sigaction(fatal[i], &previous[i], nullptr);
}

void CrashGuard::about_to(const std::string& step) {
    const std::string message = step.empty() ? m_what : step + ": " + m_what;
    std::string text = "error: " + message + "\nhint: " + m_hint + "\n";
    if (m_json) {
        const nlohmann::ordered_json document = {
            {"schema", 1}, {"error", {{"code", to_string(m_code)}, {"message", message}, {"hint", m_hint}}}};
        text = document.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
    }
    prepared.size = std::min(text.size(), prepared.text.size());
    std::memcpy(prepared.text.data(), text.data(), prepared.size);
    prepared.stream = m_json ? STDOUT_FILENO : STDERR_FILENO;
    prepared.status = exit_status(m_code);
}

torchscript::Model load_model_guarded(const std::filesystem::path& path, bool json) {
    CrashGuard guard(ErrorCode::failed, "libtorch crashed while it read the model",
                     "the file is made to do harm, or damaged before it was written", json);
    guard.about_to(path.string());
    auto model = torchscript::load_model(path);
    model.cancel = &interrupted();
    return model;
}

}  // namespace kernels::app
