// kernels: compute kernels from the Hub, locked, downloaded, and called from TorchScript models.
#include <array>
#include <cstdio>
#include <string_view>
#include <utility>

#include "commands.hpp"

namespace kernels::app {
namespace {

constexpr std::array runs = {
    std::pair<std::string_view, Run>{"lock", run_lock},
    std::pair<std::string_view, Run>{"download", run_download},
    std::pair<std::string_view, Run>{"add", run_add},
    std::pair<std::string_view, Run>{"remove", run_remove},
    std::pair<std::string_view, Run>{"outdated", run_outdated},
    std::pair<std::string_view, Run>{"tree", run_tree},
    std::pair<std::string_view, Run>{"mapping show", run_mapping_show},
    std::pair<std::string_view, Run>{"cache ls", run_cache_ls},
    std::pair<std::string_view, Run>{"cache size", run_cache_size},
    std::pair<std::string_view, Run>{"cache prune", run_cache_prune},
    std::pair<std::string_view, Run>{"cache verify", run_cache_verify},
    std::pair<std::string_view, Run>{"info", run_info},
    std::pair<std::string_view, Run>{"versions", run_versions},
    std::pair<std::string_view, Run>{"env", run_env},
    std::pair<std::string_view, Run>{"completion", run_completion},
    std::pair<std::string_view, Run>{"help", run_help},
};

void print_version(bool json) {
    if (json) {
        print_json({{"version", KERNELS_VERSION}});
    } else {
        std::puts("kernels " KERNELS_VERSION);
    }
}

int run_command(const Context& context) {
    const CommandSpec* command = context.arguments.command();
    const bool help = context.arguments.has("--help");
    if (context.arguments.asks_for_version()) {
        print_version(context.json);
        return 0;
    }
    if (help) {
        print_help(command, context.arguments.family());
        return 0;
    }
    if (command == nullptr) throw Error(ErrorCode::usage, "the command is missing", "see `kernels help`");
    if (command->needs_torch) return run_torch(context);
    for (const auto& [name, run] : runs) {
        if (name == command->name) return run(context);
    }
    throw Error(ErrorCode::failed, std::string(command->name) + ": described, but not part of this program");
}

}  // namespace
}  // namespace kernels::app

int main(int argc, char** argv) {
    const std::string_view first = argc > 1 ? argv[1] : "";
    if (first == "__complete") return kernels::app::run_complete(argc - 2, argv + 2);
    if (first == "__man") return kernels::app::print_man_sections(), 0;
    kernels::app::end_after_interrupt(1);  // a slow disk's fsync does not ask
    return kernels::app::run_program(argc, argv, kernels::app::run_command);
}
