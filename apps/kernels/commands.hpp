// The commands of `kernels`, one file each.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "common/program.hpp"
#include "kernels/lock/lock_file.hpp"
#include "kernels/project/project.hpp"

namespace kernels::app {

int run_lock(const Context& context);
int run_add(const Context& context);
int run_remove(const Context& context);
int run_outdated(const Context& context);
int run_tree(const Context& context);
int run_download(const Context& context);
int run_mapping_show(const Context& context);
int run_cache_ls(const Context& context);
int run_cache_size(const Context& context);
int run_cache_prune(const Context& context);
int run_cache_verify(const Context& context);
int run_info(const Context& context);
int run_versions(const Context& context);
int run_env(const Context& context);
int run_help(const Context& context);
int run_completion(const Context& context);
/// kernelize, inspect and run: hands the whole command line to kernels-torch.
int run_torch(const Context& context);

/// `kernels help`, `kernels help COMMAND`, or that of a family of commands.
void print_help(const CommandSpec* command, const std::string& family_name = {});

/// `kernels __man`: the sections of man/kernels.1 that the table of commands determines.
void print_man_sections();

/// `kernels __complete WORD...`, which the completion scripts call: what may stand in place of the last word,
/// one a line, with its description behind a tab; `:files` or `:folders` when the shell shall add such names.
/// Asks no network and is silent about mistakes.
int run_complete(int argc, const char* const* argv);

/// The program kernels-torch, if there is one.
std::optional<std::filesystem::path> find_torch_program();

/// A lock's entry in `--json` documents: `{"repo", "version" or "revision", "commit"}`.
nlohmann::ordered_json locked_to_json(const lock::LockedKernel& kernel);

/// What the project itself needs of a lock: its dependencies, and what its layers load from the lock.
std::vector<Dependency> named_in(const project::Project& project, const lock::Lock& lock);

}  // namespace kernels::app
