// The commands that need libtorch: kernels-torch runs them in place of this program.
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "commands.hpp"
#include "kernels/core/files.hpp"

namespace kernels::app {
namespace {

namespace fs = std::filesystem;

std::optional<fs::path> own_folder() {
    std::error_code error;
    const auto program = fs::read_symlink("/proc/self/exe", error);
    if (error) return std::nullopt;
    return program.parent_path();
}

}  // namespace

std::optional<fs::path> find_torch_program() {
    const auto executable = [](const fs::path& path) {
        std::error_code ignored;
        return fs::is_regular_file(path, ignored) && ::access(path.c_str(), X_OK) == 0;
    };
    // As with every setting, the environment comes before the default places.
    if (const auto named = environment_variable("KERNELS_TORCH_BIN")) {
        if (executable(*named)) return fs::path(*named);
        throw Error(ErrorCode::usage, "KERNELS_TORCH_BIN: " + *named + " is no executable file");
    }
    const auto folder = own_folder();
    if (!folder) return std::nullopt;
    // Beside this program, in an installation, and in a build tree.
    const std::array places = {fs::path("kernels-torch"), fs::path("../libexec/kernels/kernels-torch"),
                               fs::path("../kernels-torch/kernels-torch")};
    for (const auto& place : places) {
        if (executable(*folder / place)) return (*folder / place).lexically_normal();
    }
    return std::nullopt;
}

int run_torch(const Context& context) {
    const auto program = find_torch_program();
    const std::string command(context.arguments.command()->name);
    if (!program) {
        throw Error(ErrorCode::failed, "kernels " + command + ": kernels-torch was not found",
                    "it is built when CMake finds a libtorch (-DKERNELS_TORCH=ON "
                    "-DCMAKE_PREFIX_PATH=/path/to/libtorch); "
                    "KERNELS_TORCH_BIN names one elsewhere");
    }
    std::vector<std::string> words = {program->string()};
    words.insert(words.end(), context.command_line.begin(), context.command_line.end());
    std::vector<char*> argv;
    argv.reserve(words.size() + 1);
    for (auto& word : words)
        argv.push_back(word.data());
    argv.push_back(nullptr);
    ::execv(program->c_str(), argv.data());
    throw Error(ErrorCode::failed, program->string() + ": " + std::strerror(errno));
}

}  // namespace kernels::app
