// kernels-torch: the commands of `kernels` that need libtorch. `kernels` starts it with its own command line.
#include <c10/util/Exception.h>
#include <torch/csrc/jit/runtime/print_handler.h>

#include <array>
#include <iostream>
#include <new>
#include <string_view>
#include <utility>

#include "commands.hpp"
#include "kernels/core/text.hpp"

namespace kernels::app {
namespace {

constexpr std::array runs = {
    std::pair<std::string_view, Run>{"kernelize", run_kernelize},
    std::pair<std::string_view, Run>{"inspect", run_inspect},
    std::pair<std::string_view, Run>{"run", run_run},
};

int run_command(const Context& context) {
    const CommandSpec* command = context.arguments.command();
    for (const auto& [name, run] : runs) {
        if (command == nullptr || name != command->name) continue;
        try {
            return run(context);
        } catch (const c10::Error& failure) {
            // A page with the places in libtorch; the first line says it.
            throw Error(ErrorCode::failed, context.arguments.positional().front() +
                                               ": libtorch: " + first_line(failure.what_without_backtrace()));
        } catch (const std::bad_alloc&) {
            throw Error(ErrorCode::failed, context.arguments.positional().front() + ": out of memory");
        }
    }
    throw Error(ErrorCode::usage, "kernels-torch runs kernelize, inspect and run only",
                "use `kernels` for the others");
}

}  // namespace
}  // namespace kernels::app

int main(int argc, char** argv) {
    // What a model prints is not what the command prints.
    torch::jit::setPrintHandler([](const std::string& text) { std::cerr << text; });
    kernels::app::end_after_interrupt(3);
    return kernels::app::run_program(argc, argv, kernels::app::run_command);
}
