// Environments with a torch: folders made here, and variables with nothing of the machine's own in them.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "kernels/build/environment.hpp"
#include "kernels/core/files.hpp"
#include "temporary_folder.hpp"

namespace kernels::testing {

namespace fs = std::filesystem;

// An environment of variables for one test, with nothing of the machine's own in it.
class Variables {
  public:
    explicit Variables(const fs::path& home) {
        for (const char* name : {"KERNELS_TORCH", "VIRTUAL_ENV", "CONDA_PREFIX", "CMAKE_PREFIX_PATH",
                                 "PYENV_VERSION", "PYTHONPATH", "PYTHONUSERBASE", "PYTHONNOUSERSITE",
                                 "ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME", "ROCM_PATH", "ROCM_HOME"}) {
            remove(name);
        }
        set("PATH", "/nonexistent");
        set("HOME", home.string());
    }
    ~Variables() {
        for (const auto& [name, value] : m_old) {
            if (value) {
                ::setenv(name.c_str(), value->c_str(), 1);
            } else {
                ::unsetenv(name.c_str());
            }
        }
    }
    Variables(const Variables&) = delete;
    Variables& operator=(const Variables&) = delete;
    void set(const char* name, const std::string& value) {
        keep(name);
        ::setenv(name, value.c_str(), 1);
    }
    void remove(const char* name) {
        keep(name);
        ::unsetenv(name);
    }

  private:
    void keep(const char* name) { m_old.emplace(name, environment_variable(name)); }
    std::map<std::string, std::optional<std::string>> m_old;
};

inline void put(const fs::path& file, const std::string& text) {
    fs::create_directories(file.parent_path());
    write_file(file, text);
}

inline void put_program(const fs::path& file) {
    put(file, "#!/bin/sh\n");
    fs::permissions(file, fs::perms::owner_exec, fs::perm_options::add);
}

inline std::string version_py(
    const std::string& version,
    const std::string& more = "cuda: Optional[str] = None\nhip: Optional[str] = None\n") {
    return "from typing import Optional\n\n__all__ = ['__version__', 'cuda', 'hip']\n__version__ = '" +
           version + "'\ndebug = False\n" + more;
}

// A Python environment with a torch.
inline fs::path python_environment(const fs::path& prefix, const std::string& version,
                                   const std::string& more = "") {
    const auto torch = prefix / "lib/python3.11/site-packages/torch";
    put(torch / "__init__.py", "");
    put(torch / "version.py", more.empty() ? version_py(version) : version_py(version, more));
    return torch;
}

struct Fixture {
    TemporaryFolder folder;
    Variables variables{folder.path()};
    fs::path project = folder / "project";
    Fixture() { fs::create_directories(project); }
    build::Environment found(std::optional<std::string> torch = {}) const {
        return build::detect({std::move(torch), project});
    }
    std::string version(std::optional<std::string> torch = {}) const {
        const auto environment = found(std::move(torch));
        return environment.torch ? environment.torch->version + " by " + environment.torch->origin : "none";
    }
};

}  // namespace kernels::testing
