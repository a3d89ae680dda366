// Of several places with packages, the one that Python would import torch from.
#include <doctest/doctest.h>

#include "build/python_packages.hpp"
#include "made_environment.hpp"

using namespace kernels;
using namespace kernels::build;
using namespace kernels::testing;

namespace {

// A torch among the packages of `folder`.
void put_torch(const fs::path& folder, const std::string& version) {
    put(folder / "torch/__init__.py", "");
    put(folder / "torch/version.py", version_py(version));
}

void put_venv(const fs::path& prefix, const fs::path& home, bool shares) {
    put(prefix / "pyvenv.cfg", "home = " + home.string() + "\ninclude-system-site-packages = " +
                                   (shares ? "true" : "false") + "\nversion = 3.11.2\n");
}

}  // namespace

TEST_CASE_FIXTURE(Fixture,
                  "a virtual environment that shares packages: the user's, Debian's local, Debian's") {
    // From the last place to the first: each new one must win over those before it.
    const auto usr = folder / "usr";
    put_program(usr / "bin/python3.11");
    fs::create_symlink("python3.11", usr / "bin/python3");
    fs::create_directories(usr / "lib/python3/dist-packages");
    put_venv(project / ".venv", usr / "bin", true);
    const std::string system = " by .venv of the project, system packages";
    put_torch(usr / "lib/python3.11/site-packages", "2.0.0");  // not where Debian's Python looks
    put_torch(usr / "local/lib/python3.12/dist-packages", "2.0.1");
    CHECK(version().find("2.0.") == std::string::npos);
    put_torch(usr / "lib/python3/dist-packages", "2.1.0");
    CHECK(version() == "2.1.0" + system);
    put_torch(usr / "local/lib/python3.11/dist-packages", "2.2.0");
    CHECK(version() == "2.2.0" + system);
    put_torch(folder / ".local/lib/python3.10/site-packages", "2.0.2");
    CHECK(version() == "2.2.0" + system);
    put_torch(folder / ".local/lib/python3.11/site-packages", "2.3.0");
    CHECK(version() == "2.3.0 by .venv of the project, the user's packages");
    put_torch(folder / "base/lib/python3.11/site-packages", "2.4.0");
    variables.set("PYTHONUSERBASE", (folder / "base").string());
    CHECK(version() == "2.4.0 by .venv of the project, the user's packages");
    put_torch(project / ".venv/lib/python3.11/site-packages", "2.5.0");
    CHECK(version() == "2.5.0 by .venv of the project");
    put_torch(folder / "module", "2.6.0");
    variables.set("PYTHONPATH", "/nonexistent::" + (folder / "module").string());
    CHECK(version() == "2.6.0 by PYTHONPATH");
    variables.remove("PYTHONPATH");

    fs::remove_all(project / ".venv/lib");
    variables.set("PYTHONNOUSERSITE", "1");
    CHECK(version() == "2.2.0" + system);
    variables.remove("PYTHONNOUSERSITE");
    put_venv(project / ".venv", usr / "bin", false);
    CHECK(version().find(".venv") == std::string::npos);
}

TEST_CASE_FIXTURE(Fixture, "a Python that is no virtual environment has the user's packages before its own") {
    const auto conda = folder / "conda";
    put_program(conda / "bin/python3.11");
    fs::create_symlink("python3.11", conda / "bin/python3");
    python_environment(conda, "2.1.0");
    variables.set("CONDA_PREFIX", conda.string());
    CHECK(version() == "2.1.0 by CONDA_PREFIX");
    put_torch(folder / ".local/lib/python3.11/site-packages", "2.2.0");
    CHECK(version() == "2.2.0 by CONDA_PREFIX, the user's packages");
    variables.remove("CONDA_PREFIX");
    variables.set("PATH", (conda / "bin").string());
    CHECK(version() == "2.2.0 by python3 on PATH, the user's packages");
    variables.set("PYTHONNOUSERSITE", "1");
    CHECK(version() == "2.1.0 by python3 on PATH");
    // A virtual environment on PATH is one all the same.
    variables.remove("PYTHONNOUSERSITE");
    put_venv(folder / "venv", conda / "bin", false);
    put_program(folder / "venv/bin/python3");
    python_environment(folder / "venv", "2.3.0");
    variables.set("PATH", (folder / "venv/bin").string());
    CHECK(version() == "2.3.0 by python3 on PATH");
}
