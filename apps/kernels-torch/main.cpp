// kernels-torch: the commands of `kernels` that need libtorch. `kernels` starts it with its own command line.
#include <c10/util/Exception.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <array>
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

// Large tensors go back to the system when they end. glibc keeps more the more were freed: 50 MiB of a model
// that is verified.
void give_back_memory() {
#ifdef __GLIBC__
    ::mallopt(M_MMAP_THRESHOLD, 1 << 20);
    ::mallopt(M_TRIM_THRESHOLD, 8 << 20);
#endif
}

}  // namespace
}  // namespace kernels::app

int main(int argc, char** argv) {
    kernels::app::give_back_memory();
    kernels::app::end_after_interrupt(3);
    return kernels::app::run_program(argc, argv, kernels::app::run_command);
}
