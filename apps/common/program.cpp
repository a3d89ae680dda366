#include "common/program.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>

#include "common/remedies.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/log.hpp"
#include "kernels/core/text.hpp"
#include "kernels/project/project.hpp"

namespace kernels::app {
namespace {

std::atomic<bool> stop_requested{false};

// How long a command may go on after an interrupt, where others' code runs that does not ask; 0: it asks.
unsigned seconds_to_end = 0;

extern "C" void on_interrupt(int) {
    // The second one ends the process at once.
    if (stop_requested.exchange(true)) ::_exit(130);
    if (seconds_to_end > 0) ::alarm(seconds_to_end);
}

extern "C" void on_end(int) {
    constexpr std::string_view message = "error: interrupted\n";
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, message.data(), message.size());
    ::_exit(130);
}

bool colour_for(const std::optional<std::string>& when, int stream) {
    if (when == "always") return true;
    if (when == "never" || environment_variable("NO_COLOR")) return false;
    if (when && *when != "auto") {
        throw Error(ErrorCode::usage,
                    "--color " + backquoted(*when) + ": it is one of auto, always and never");
    }
    return ::isatty(stream) == 1 && environment_variable("TERM").value_or("") != "dumb";
}

nlohmann::ordered_json to_json(const Error& error, const Arguments& arguments) {
    nlohmann::ordered_json body = {
        {"code", to_string(error.code())}, {"message", error.what()}, {"hint", hint_of(error, arguments)}};
    if (!error.details().empty()) body["details"] = error.details();
    add_builds(body, error);
    for (const auto& cause : error.causes())
        body["causes"].push_back(to_json(cause, arguments));
    return body;
}

void print_error(const Error& error, const Arguments& arguments, bool json, bool colour) {
    if (json) {
        print_json({{"error", to_json(error, arguments)}});
        return;
    }
    const char* const red = colour ? "\033[1;31m" : "";
    const char* const plain = colour ? "\033[0m" : "";
    // Whatever a message quotes, a terminal only gets text.
    const auto shown = [](const std::string& text) { return printable(text, "\n\t"); };
    std::fprintf(stderr, "%serror:%s %s\n", red, plain, shown(error.what()).c_str());
    for (const auto& line : error.details())
        std::fprintf(stderr, "  %s\n", shown(line).c_str());
    if (const auto hint = hint_of(error, arguments); !hint.empty())
        std::fprintf(stderr, "hint: %s\n", shown(hint).c_str());
}

// --json before anything could be parsed: an error must be a document all the same.
bool asks_for_json(int argc, const char* const* argv) {
    for (int i = 1; i < argc; ++i) {
        if (std::string_view(argv[i]) == "--json") return true;
    }
    return false;
}

}  // namespace

void end_after_interrupt(unsigned seconds) {
    seconds_to_end = seconds;
    std::signal(SIGALRM, on_end);
}

const std::atomic<bool>& interrupted() {
    return stop_requested;
}

void add_builds(nlohmann::ordered_json& document, const Error& error) {
    for (const auto& [variant, reason, text] : error.builds())
        document["builds"].push_back({{"variant", variant}, {"reason", reason}, {"text", text}});
    for (const auto& [kind, value, variant, text] : error.suggestions()) {
        document["suggestions"].push_back(
            {{"kind", kind}, {"value", value}, {"variant", variant}, {"text", text}});
    }
}

void print_json(nlohmann::ordered_json document) {
    nlohmann::ordered_json whole = {{"schema", 1}};
    whole.update(document);
    std::puts(whole.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
}

std::string bold(const std::string& text, bool colour) {
    return colour ? "\033[1m" + text + "\033[0m" : text;
}

hub::Settings Context::settings() const {
    hub::Settings settings = hub::settings_from_environment();
    if (const auto cache = arguments.value("--cache")) settings.cache = expand_user(*cache);
    if (const auto endpoint = arguments.value("--endpoint")) {
        settings.endpoint = hub::checked_endpoint(*endpoint, "--endpoint");
    }
    if (const auto jobs = arguments.number("--jobs", 1))
        settings.jobs = static_cast<int>(std::min(*jobs, 64LL));
    if (arguments.has("--offline")) settings.offline = true;
    if (const auto seconds = arguments.number("--lock-timeout", 0)) {
        settings.lock_timeout = std::chrono::seconds(std::min(*seconds, 1'000'000LL));
    }
    settings.cancel = &stop_requested;
    settings.user_agent = [options = detect_options(arguments.value("--project").value_or("."))] {
        try {
            const auto found = build::detect(options);
            return hub::user_agent(found.torch ? found.torch->version : "", found.target.backend.to_string());
        } catch (const Error&) {
            return hub::user_agent();  // a torch that is not there is the command's to report
        }
    };
    return settings;
}

build::DetectOptions Context::detect_options(const std::filesystem::path& folder) const {
    return {arguments.value("--torch"), folder, project::folder_of(folder), "--torch"};
}

build::Target Context::named_target(const std::string& spec, build::Target base,
                                    const std::filesystem::path& folder) const {
    const auto torch = arguments.value("--torch");
    const auto named = build::Target::parse(spec);
    const bool has_framework = named.torch || named.tvm_ffi || base.torch;
    if (!torch && has_framework) return build::Target::parse(spec, base);
    auto options = detect_options(folder);
    options.backend_is_named = true;
    const auto here = build::detect(options);
    const auto refuse = [&](const std::string& why, const std::string& hint) {
        throw Error(ErrorCode::usage, "--torch " + backquoted(*torch) + ": " + why, hint);
    };
    if (torch && named.torch && named.torch != here.target.torch) {
        refuse("the target " + backquoted(spec) + " is for torch " + named.torch->to_string(),
               "leave out one of the two");
    }
    // Of a torch in a folder the version alone is asked for: other machines have that for other devices.
    if (torch && here.torch && here.torch->folder.empty()) {
        const auto misfit = build::torch_misfit(here.torch->version, named);
        if (!misfit.empty()) {
            const auto& version = here.torch->version;
            refuse(misfit,
                   "name it without what is behind the +: --torch " + version.substr(0, version.find('+')));
        }
    }
    if (here.target.torch) {
        base.torch = here.target.torch;
        base.cxx11_abi = here.target.cxx11_abi;
        // Of a version alone the ABI is that of the wheels for the target.
        if (base.cxx11_abi && here.torch->folder.empty())
            base.cxx11_abi = build::wheels_have_cxx11_abi(*base.torch, named.backend, named.cpu);
    }
    return build::Target::parse(spec, base);
}

std::string Context::project_folder() const {
    const auto named = arguments.value("--project");
    if (!arguments.positional().empty()) {
        if (named)
            throw Error(ErrorCode::usage,
                        "the project's folder is given twice, as an argument and with --project");
        return arguments.positional().front();
    }
    return named.value_or(".");
}

namespace {

// A folder in front of a cache that cannot be written; none where there is no need or no room for one.
std::filesystem::path temporary_front(const hub::Cache& cache, CacheUse use) {
    if (use == CacheUse::fills || (use == CacheUse::asks && cache.is_writable())) return {};
    std::error_code error;
    std::string name = (std::filesystem::temp_directory_path(error) / "kernels-XXXXXX").string();
    if (error || ::mkdtemp(name.data()) == nullptr) return {};
    log::info(cache.root().string() + ": it cannot be written, so nothing that is fetched now is kept");
    return name;
}

}  // namespace

Session::Session(const Context& context, CacheUse use)
    : m_settings(context.settings()),
      m_http(hub::make_http_client(m_settings)),
      m_temporary(temporary_front(hub::Cache(m_settings.cache), use)),
      m_cache(m_temporary.empty() ? hub::Cache(m_settings.cache)
                                  : hub::Cache::in_front_of(hub::Cache(m_settings.cache), m_temporary)),
      m_hub(m_settings, *m_http, m_cache) {}

Session::~Session() {
    if (m_temporary.empty()) return;
    std::error_code ignored;
    std::filesystem::remove_all(m_temporary, ignored);
}

namespace {

// Whose number 0, 1 or 2 is free at the start would be given to the next file or socket, and messages would
// be written into that. Writing to what takes their places fails, as writing to nothing does.
void take_standard_streams() {
    constexpr std::array modes = {O_WRONLY, O_RDONLY, O_RDONLY};
    for (int fd = 0; fd < static_cast<int>(modes.size()); ++fd) {
        if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF) static_cast<void>(::open("/dev/null", modes.at(fd)));
    }
}

}  // namespace

int run_program(int argc, const char* const* argv, Run run) {
    take_standard_streams();
    bool json = asks_for_json(argc, argv);
    bool colour = false;
    Context context;
    try {
        struct sigaction action {};
        action.sa_handler = on_interrupt;
        struct sigaction before {};
        // Who starts it behind `&` or nohup wants it to go on.
        if (::sigaction(SIGINT, nullptr, &before) != 0 || before.sa_handler != SIG_IGN)
            ::sigaction(SIGINT, &action, nullptr);
        ::sigaction(SIGTERM, &action, nullptr);
        std::signal(SIGXFSZ, SIG_IGN);  // a limit on file sizes is an error of the write, as a full disk is
        context.arguments = Arguments::parse(argc, argv);
        context.command_line.assign(argv + 1, argv + argc);
        const Arguments& arguments = context.arguments;
        context.json = json = arguments.has("--json");
        context.quiet = arguments.has("--quiet");
        context.progress = !context.quiet && !json && !arguments.has("--no-progress") &&
                           !environment_flag("HF_HUB_DISABLE_PROGRESS_BARS");
        const auto when = arguments.value("--color");
        context.colour_out = colour_for(when, STDOUT_FILENO);
        context.colour_err = colour = colour_for(when, STDERR_FILENO);
        const int verbosity = arguments.count("--verbose");
        const auto least = context.quiet    ? log::Level::notice
                           : verbosity == 0 ? log::Level::warning
                           : verbosity == 1 ? log::Level::info
                                            : log::Level::debug;
        context.log_sink = log::stderr_sink(least, colour);
        log::set_sink(context.log_sink);
        const int status = run(context);
        if (std::fflush(stdout) != 0)
            throw Error(ErrorCode::failed, "stdout: " + std::string(std::strerror(errno)));
        return status;
    } catch (const Error& error) {
        // A document that stdout does not take is no answer.
        print_error(error, context.arguments, json && std::ferror(stdout) == 0, colour);
        return exit_status(error.code());
    } catch (const std::exception& error) {
        print_error(Error(ErrorCode::failed, error.what()), context.arguments, json, colour);
        return exit_status(ErrorCode::failed);
    }
}

}  // namespace kernels::app
