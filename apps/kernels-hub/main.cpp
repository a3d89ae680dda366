// kernels-hub: serves a folder of kernel repositories as a Hub, on loopback.
#include <httplib.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "server.hpp"

namespace kernels::hub_server {
namespace {

struct Settings {
    std::string folder;
    int port = 0;
    std::int64_t latency = 0;
    std::string ready_file;
    std::string log_file;
    std::vector<std::string> faults;
    Options options;
};

void describe(CLI::App& app, Settings& settings) {
    app.add_option("DIR", settings.folder, "Folder of kernel repositories: DIR/<org>/<name>/<branch>/…")
        ->required();
    app.add_option("--host", settings.options.host, "Address to listen on")->capture_default_str();
    app.add_option("--port", settings.port, "Port; 0: any that is free")
        ->check(CLI::Range(0, 65535))
        ->capture_default_str();
    app.add_option("--trusted", settings.options.trusted, "Trusted publisher, and nobody else; repeatable");
    app.add_flag("--all-trusted", settings.options.all_trusted,
                 "Every publisher is trusted, whatever orgs.json says");
    app.add_option("--page-size", settings.options.page_size, "Entries a page of a tree listing")
        ->check(CLI::Range(1, 1'000'000))
        ->capture_default_str();
    app.add_option("--latency", settings.latency, "Milliseconds before each answer")
        ->check(CLI::Range(0, 3'600'000));
    app.add_option("--token", settings.options.token, "The token that opens private and gated repositories");
    app.add_option("--ready-file", settings.ready_file,
                   "File that gets the URL as soon as requests are answered");
    app.add_option("--log", settings.log_file, "File that gets one JSON line a request");
    app.add_option(
        "--fault", settings.faults,
        "KIND[=VALUE]:GLOB[:COUNT]: answer requests for paths that match GLOB wrongly; repeatable");
    app.set_version_flag("--version", "kernels-hub " KERNELS_VERSION);
    app.footer("Kinds of --fault:\n" + describe_faults() +
               "\nA folder's hub.json beside the branches: {\"private\": true, \"gated\": true, "
               "\"moved-to\": \"org/name\"}.\n"
               "DIR/orgs.json: {\"org\": false} for publishers that are not trusted.");
}

int serve(Settings settings) {
    std::vector<Fault> parsed;
    for (const auto& text : settings.faults)
        parsed.push_back(Fault::parse(text));
    Faults faults(std::move(parsed));
    const Store store(settings.folder);
    settings.options.latency = std::chrono::milliseconds(settings.latency);
    auto log = settings.log_file.empty() ? std::make_unique<RequestLog>()
                                         : std::make_unique<RequestLog>(settings.log_file);

    // Blocked before there are threads, so that only sigwait below sees them.
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    std::signal(SIGPIPE, SIG_IGN);

    Server answers(store, settings.options, faults, *log);
    httplib::Server server;
    // A kept-alive connection holds its thread, and clients open many.
    server.new_task_queue = [] { return new httplib::ThreadPool(128); };
    server.set_keep_alive_max_count(1'000'000'000);
    server.set_keep_alive_timeout(60);
    server.set_tcp_nodelay(true);
    answers.attach(server);
    const int port = settings.port == 0 ? server.bind_to_any_port(settings.options.host)
                     : server.bind_to_port(settings.options.host, settings.port) ? settings.port
                                                                                 : -1;
    if (port < 0) {
        throw Error(ErrorCode::network,
                    "cannot listen on " + settings.options.host + ":" + std::to_string(settings.port),
                    "is the port taken? --port 0 takes any that is free");
    }
    std::thread listener([&] { server.listen_after_bind(); });
    const std::string url = "http://" + settings.options.host + ":" + std::to_string(port);
    std::printf("%s\n", url.c_str());
    std::fflush(stdout);
    if (!settings.ready_file.empty()) write_file(settings.ready_file, url + "\n");
    int signal = 0;
    sigwait(&signals, &signal);
    // Without waiting for idle connections: their clients may keep them for as long as they like.
    std::_Exit(0);
}

}  // namespace
}  // namespace kernels::hub_server

int main(int argc, char** argv) {
    using kernels::Error;
    CLI::App app(
        "Serves a folder of kernel repositories as a Hub, on loopback: for demos, tests and mirrors.",
        "kernels-hub");
    kernels::hub_server::Settings settings;
    kernels::hub_server::describe(app, settings);
    try {
        app.parse(argc, argv);
        return kernels::hub_server::serve(std::move(settings));
    } catch (const CLI::Success& wanted) {
        return app.exit(wanted);
    } catch (const CLI::ParseError& error) {
        std::fprintf(stderr, "error: kernels-hub: %s\nhint: see `kernels-hub --help`\n", error.what());
        return kernels::exit_status(kernels::ErrorCode::usage);
    } catch (const Error& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        if (!error.hint().empty()) std::fprintf(stderr, "hint: %s\n", error.hint().c_str());
        return kernels::exit_status(error.code());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: kernels-hub: %s\n", error.what());
        return 1;
    }
}
