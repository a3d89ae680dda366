#include "common/commands.hpp"

#include <algorithm>
#include <array>

namespace kernels::app {
namespace {

constexpr std::array globals = {
    OptionSpec{"--project", "", "DIR",
               "the project's folder; the default is the current one, searching upwards"},
    OptionSpec{"--cache", "", "DIR",
               "the Hugging Face cache to use (else KERNELS_CACHE, HF_HUB_CACHE, HF_HOME)"},
    OptionSpec{"--endpoint", "", "URL", "the Hub to ask (else HF_ENDPOINT)"},
    OptionSpec{"--jobs", "", "N", "transfers at the same time (8)"},
    OptionSpec{"--lock-timeout", "", "SECONDS",
               "how long to wait for another process at the same file, folder or project (600)"},
    OptionSpec{"--offline", "", "", "open no network connection (as HF_HUB_OFFLINE=1)"},
    OptionSpec{"--json", "", "", "print one JSON document on stdout, on failure too"},
    OptionSpec{"--color", "", "WHEN", "auto, always or never; NO_COLOR is honoured"},
    OptionSpec{"--no-progress", "", "", "show no progress"},
    OptionSpec{"--quiet", "-q", "", "print errors only, and what is waited for"},
    OptionSpec{"--verbose", "-v", "", "print what is done; twice: every request", true},
    OptionSpec{"--help", "-h", "", "print help"},
    OptionSpec{"--version", "-V", "", "print the version of this program"},
};

constexpr OptionSpec torch_option{
    "--torch", "", "PATH|VERSION",
    "the torch to choose builds for (else KERNELS_TORCH, PYTHONPATH, an active environment, "
    ".venv, python3, a libtorch); 2.9 is one for the CPU, as 2.9+cpu is, 2.9+cu128 one for CUDA 12.8"};
constexpr OptionSpec target_option{"--target", "", "SPEC",
                                   "choose builds for another machine, such as "
                                   "torch=2.13,cuda=12.8,cpu=x86_64,os=linux; without torch= with "
                                   "the torch of --torch or of the project",
                                   true};
constexpr OptionSpec no_device_check_option{
    "--no-device-check", "", "",
    "use a build even if it holds no code for the device (its metadata may be narrower than the truth)"};
constexpr OptionSpec skip_device_check_option{
    "--no-device-check", "", "",
    "take a build that fits for usable even if it holds no code for the device that a target names"};
constexpr OptionSpec no_sum_option{"--no-sum", "", "", "keep no kernels.sum; one that is there is removed"};
constexpr OptionSpec repeat_option{"--repeat", "", "N", "runs to time (10)"};
constexpr OptionSpec threads_option{"--threads", "", "N",
                                    "threads within an operation (torch's own default)"};
constexpr OptionSpec seed_option{"--seed", "", "N", "seed of made-up inputs (0)"};
constexpr OptionSpec input_option{
    "--input", "", "FILE|SHAPE",
    "an input: a file of torch.save, a number, true, false, none, or a type and shape such as int64[1,16]; "
    "once for each argument",
    true};
constexpr OptionSpec rtol_option{"--rtol", "", "X",
                                 "relative tolerance (by dtype: 1e-4 for float32, 2e-2 for bfloat16)"};
constexpr OptionSpec atol_option{"--atol", "", "X",
                                 "absolute tolerance (as --rtol, times the root mean square of the result)"};

constexpr std::array lock_options = {
    OptionSpec{"--check", "", "",
               "write nothing; exit with status 3 and say what differs when the lock is out of date"},
    OptionSpec{"--upgrade", "", "[REPO]",
               "look every version up anew, or only REPO's; without it, entries that are still wanted stay"},
    target_option,
    torch_option,
    skip_device_check_option,
    no_sum_option,
};
constexpr std::array change_options = {target_option, torch_option, skip_device_check_option, no_sum_option};
constexpr std::array outdated_options = {
    OptionSpec{
        "--check", "", "",
        "exit with status 3 when there is something newer that the project can take: not a version that only "
        "another kernel could ask for"},
};
constexpr std::array download_options = {
    OptionSpec{"--all-variants", "", "", "every build of every kernel"},
    target_option,
    torch_option,
    no_device_check_option,
    OptionSpec{"--output", "-o", "DIR",
               "put the builds into DIR/org/name/build/VARIANT instead of the cache (LOCAL_KERNELS can name "
               "DIR/org/name)"},
    OptionSpec{"--no-sum", "", "", "do not check the builds against kernels.sum"},
    OptionSpec{
        "--locked", "", "",
        "fail with status 3 unless the lock has all that the project file needs, through all levels, and "
        "nothing more; without it the lock is used as it is"},
};
constexpr std::array info_options = {
    OptionSpec{"--revision", "", "REVISION", "a branch, tag or commit; the default is the newest version"},
    OptionSpec{"--version", "", "N", "a version"},
    OptionSpec{"--archs", "", "",
               "also the device code of every build: what its metadata says, and what the libraries on this "
               "machine hold"},
    target_option,
    torch_option,
    skip_device_check_option,
};
constexpr std::array prune_options = {
    OptionSpec{"--dry-run", "", "", "remove nothing; show what would go and how much it frees"},
};
constexpr std::array verify_options = {
    OptionSpec{"--repair", "", "",
               "fetch what is damaged again, checked as every download is; remove it where nothing uses it"},
    OptionSpec{"--dry-run", "", "", "with --repair: change nothing, name what would be repaired"},
};
constexpr std::array versions_options = {target_option, torch_option, skip_device_check_option};
constexpr std::array env_options = {torch_option};
constexpr std::array mapping_options = {
    OptionSpec{"--device", "", "DEVICE", "the device to choose for; the default is the target's"},
    OptionSpec{"--capability", "", "N", "its compute capability, 90 for 9.0; the default is the target's"},
    OptionSpec{"--mode", "", "MODE", "inference (default), training, and either with |torch-compile"},
    OptionSpec{"--layer", "", "NAME", "show this layer only", true},
    target_option,
    torch_option,
    skip_device_check_option,
};
constexpr std::array kernelize_options = {
    OptionSpec{"--output", "-o", "FILE",
               "where the result goes; the default is MODEL.kernelized.pt beside the model"},
    OptionSpec{"--device", "", "DEVICE",
               "cpu, cuda, rocm, xpu, npu, mps, neuron or tpu; the default is the target's, else that of the "
               "parameters"},
    OptionSpec{"--mode", "", "MODE", "inference (default), training, and either with |torch-compile"},
    OptionSpec{
        "--target", "", "SPEC",
        "make the model for another machine, such as torch=2.13,cuda=12.8,cpu=x86_64,os=linux; its device "
        "need not be here. One model, one target",
        false, true},
    torch_option,
    no_device_check_option,
    OptionSpec{"--layer", "", "NAME=REPO[@REF]:LAYER", "map a layer name, besides the project file", true},
    OptionSpec{"--bind", "", "NAME=CLASS_GLOB", "give classes a layer name, besides the project file", true},
    OptionSpec{"--pattern", "", "NAME=FILE:CLASS_GLOB",
               "find layers by the form of those of an unfrozen model or layer file, for models whose "
               "classes are gone",
               true},
    OptionSpec{
        "--use-fallback", "", "WHEN",
        "when a layer may keep its original forward: none, default (there is no kernel for it), all (also "
        "when its kernel cannot be loaded), or some of no-layer, no-device, no-properties, no-mode, "
        "cannot-load "
        "and not-redirectable with | between them"},
    OptionSpec{"--download", "", "",
               "ask the Hub for what versions and revisions mean now, and download what the cache lacks"},
    OptionSpec{"--dry-run", "", "", "write nothing; show what would be replaced"},
    OptionSpec{
        "--verify", "", "",
        "run original and result, and every replaced layer beside its original, on --input or on inputs that "
        "are inferred; fail with status 8 and write nothing when they differ"},
    input_option,
    rtol_option,
    atol_option,
    seed_option,
};
constexpr std::array run_options = {
    input_option,
    OptionSpec{"--reference", "", "ORIGINAL", "also run this model on the same input and compare"},
    rtol_option,
    atol_option,
    repeat_option,
    threads_option,
    seed_option,
};

constexpr std::array commands = {
    CommandSpec{
        "lock", Group::project, "[DIR]", 0, 1, "resolve the project's dependencies to commits",
        "Resolves the dependencies of the project file, and the kernels that these need, to commits, "
        "and writes kernels.lock and kernels.sum beside the project file. One of them that cannot be "
        "read, as after a merge, is written anew with a warning; a kernels.lock of the format before 0.17 is "
        "rewritten with the commits that it has. A kernel that has moved (kernel-status.toml) is followed "
        "with a warning, and stays locked as the Python client locks it.",
        lock_options},
    CommandSpec{
        "download", Group::project, "[DIR]", 0, 1, "download and verify the locked builds",
        "Downloads the build of every locked kernel that fits this machine into the Hugging Face "
        "cache. Every file "
        "is checked against its hash before it gets its name. What is complete costs no request; before "
        "anything else is fetched, its publisher has to be a trusted one or named by trust-remote-code in "
        "the project file, whoever wrote the lock. Of a kernel that has moved, the build that fits and is "
        "left at its old place comes along for the Python client, which follows no redirect. What only "
        "builds for other machines need may lack one for this: the builds say so, from those on that the "
        "project file names. A server that asks for a pause of up to a minute is given it.",
        download_options},
    CommandSpec{
        "add", Group::project, "REPO[@VERSION|@REVISION]...", 1, 1000,
        "add kernels to the project file and lock them",
        "Adds dependencies to the project file, or changes them, and locks them; other entries of the lock "
        "stay. Without a version or revision the newest version is taken. Comments and order of the file "
        "stay; without a project file a kernels.toml is written.",
        change_options},
    CommandSpec{"remove", Group::project, "REPO...", 1, 1000,
                "remove kernels from the project file and the lock",
                "Removes dependencies from the project file, and from the lock what nothing else needs.",
                change_options},
    CommandSpec{
        "outdated", Group::project, "[DIR]", 0, 1, "list locked kernels that have something newer",
        "Lists the locked kernels whose version or revision has moved to another commit, or that have a "
        "newer version.",
        outdated_options},
    CommandSpec{
        "tree",
        Group::project,
        "[DIR]",
        0,
        1,
        "show which kernel needs which",
        "Prints the project's locked kernels and the kernels that these need, with their commits; where only "
        "some builds of a kernel need another one, which. What a kernel needs is printed once.",
        {}},
    CommandSpec{
        "mapping show", Group::project, "[DIR]", 0, 1, "show which kernel each layer gets, and why",
        "Prints the project's kernel mapping after merging its [[layers]] entries, and which "
        "repository each layer "
        "gets on a device in a mode: its build when it is on this machine, why the layer in it cannot "
        "be used, what is missing, or why there is none.",
        mapping_options},
    CommandSpec{"cache ls",
                Group::cache,
                "[REPO...]",
                0,
                1000,
                "list the kernels in the cache",
                "Prints a row for each snapshot: the branches that had its commit when they were last looked "
                "up, the number and size of its files, when the repository last changed, and its builds.",
                {}},
    CommandSpec{
        "cache size",
        Group::cache,
        "[REPO...]",
        0,
        1000,
        "show how much room kernels take",
        "Prints the bytes on disk of each kernel repository, unfinished downloads included, and their "
        "sum.",
        {}},
    CommandSpec{
        "cache prune", Group::cache, "[DIR...]", 0, 1000, "remove kernels that no project's lock uses",
        "Removes every snapshot whose commit is in none of the kernels.lock files of the given "
        "projects (the current one without an argument), and the files that no other snapshot needs. "
        "A file that another process is downloading stays, but a download that needs a snapshot which goes "
        "ends with status 1 and says so: name the project that it is for too. Only kernels are looked at, "
        "never the models and datasets of the same cache.",
        prune_options},
    CommandSpec{"cache verify", Group::cache, "[REPO...]", 0, 1000, "check every byte of the cached kernels",
                "Hashes every file and names the ones whose bytes are not what their name or the file "
                "listing says, with status 6. It opens no connection unless it repairs.",
                verify_options},
    CommandSpec{
        "kernelize", Group::model, "MODEL", 1, 1, "rewrite a TorchScript model to call kernels",
        "Replaces the forward of every layer that the project maps to a kernel, with the kernel "
        "repository's own "
        "layer source, and writes a new model with a manifest of the kernels that it needs. The Hub is "
        "asked whether the publishers are trusted; offline there is a warning instead.",
        kernelize_options, true},
    CommandSpec{"inspect",
                Group::model,
                "MODEL",
                1,
                1,
                "show a model's layers, operators and manifest",
                "Lists the modules of a TorchScript model with their classes, the operators that its graphs "
                "call, and the "
                "manifest that kernelize embedded. No kernel library is needed or loaded.",
                {},
                true},
    CommandSpec{"run", Group::model, "MODEL", 1, 1, "run a model and compare it with the original",
                "Loads a model in this fresh process through the runtime library, runs it, and with "
                "--reference compares "
                "results and times with the original.",
                run_options, true},
    CommandSpec{"info", Group::kernel, "REPO|DIR|FILE", 1, 1, "describe a kernel",
                "Prints what a kernel repository, or a local folder with builds, says about itself. The text "
                "and the JSON document are the Python client's; the document has no schema number for that "
                "reason. Of a library file, --archs prints the device code.",
                info_options},
    CommandSpec{
        "versions", Group::kernel, "REPO|DIR", 1, 1, "list a kernel's versions and which builds fit",
        "Prints every version of a kernel with its builds: the ones that fit this machine first, the "
        "others with "
        "the reason. From two targets on it prints a row for each version and a column for each target. Of a "
        "local folder with builds (also one that LOCAL_KERNELS names) it lists the builds by the version "
        "that their metadata states.",
        versions_options},
    CommandSpec{"env", Group::kernel, "", 0, 0, "show what this machine is and where each fact came from",
                "Prints the torch that builds are chosen for, the backend, cache, endpoint and whether there "
                "is a token, "
                "with the origin of each.",
                env_options},
    CommandSpec{
        "completion",
        Group::program,
        "SHELL",
        1,
        1,
        "print the completion script for bash, zsh or fish",
        "Prints a script that completes commands and options; source it from the shell's start-up file.",
        {}},
    CommandSpec{"help",
                Group::program,
                "[COMMAND]",
                0,
                2,
                "explain a command",
                "Prints what a command does and its options.",
                {}},
};

}  // namespace

std::string_view to_string(Group group) noexcept {
    switch (group) {
        case Group::project:
            return "Projects";
        case Group::cache:
            return "The cache";
        case Group::kernel:
            return "Kernels and this machine";
        case Group::model:
            return "Models (run by kernels-torch, which links libtorch)";
        case Group::program:
            return "This program";
    }
    return "";
}

std::span<const CommandSpec> all_commands() {
    return commands;
}

std::span<const OptionSpec> global_options() {
    return globals;
}

const CommandSpec* find_command(std::string_view name) {
    const auto found = std::find_if(commands.begin(), commands.end(),
                                    [&](const CommandSpec& command) { return command.name == name; });
    return found == commands.end() ? nullptr : &*found;
}

std::vector<const CommandSpec*> family(std::string_view name) {
    std::vector<const CommandSpec*> members;
    for (const auto& command : commands) {
        const auto space = command.name.find(' ');
        if (space != std::string_view::npos && command.name.substr(0, space) == name)
            members.push_back(&command);
    }
    return members;
}

std::vector<std::string> first_words() {
    std::vector<std::string> words;
    for (const auto& command : commands) {
        const auto word = command.name.substr(0, command.name.find(' '));
        if (std::find(words.begin(), words.end(), word) == words.end()) words.emplace_back(word);
    }
    return words;
}

std::vector<std::string> second_words(std::string_view name) {
    std::vector<std::string> words;
    for (const auto* command : family(name))
        words.emplace_back(command->name.substr(name.size() + 1));
    return words;
}

}  // namespace kernels::app
