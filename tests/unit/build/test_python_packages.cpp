// Of several places with packages, the one that Python would import torch from.
#include <doctest/doctest.h>

#include "build/python_packages.hpp"
#include "kernels/core/error.hpp"
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

TEST_CASE_FIXTURE(Fixture, "what extends a torch counts from all package folders of its Python") {
    const auto backend = [&] { return found().target.backend.to_string(); };
    const std::string cuda = "cuda: Optional[str] = '12.8'\nhip: Optional[str] = None\n";
    const auto base = folder / "base";
    put_program(base / "bin/python3.11");
    fs::create_symlink("python3.11", base / "bin/python3");
    const auto torch = python_environment(base, "2.9.0", cuda);
    put_venv(project / ".venv", base / "bin", true);
    const auto venv = project / ".venv/lib/python3.11/site-packages";
    fs::create_directories(venv);
    CHECK(backend() == "cu128");

    SUBCASE("the virtual environment's, of a torch of the system") {
        put(venv / "torch_neuronx/__init__.py", "");
        put(venv / "torch_neuronx-2.8.0.dist-info/METADATA", "");
        put(venv / "apache_tvm_ffi-0.2.1.dist-info/METADATA", "");
        put(torch.parent_path() / "apache_tvm_ffi-0.1.0.dist-info/METADATA", "");  // behind the other
        const auto environment = found();
        CHECK(environment.target.backend.to_string() == "neuron");
        CHECK(environment.target.tvm_ffi == Version{0, 2});
        REQUIRE(environment.torch);
        CHECK(environment.torch->backend_origin ==
              "torch_neuronx 2.8.0 (" + (venv / "torch_neuronx").string() + ")");
    }
    SUBCASE("the system's, of a torch of the virtual environment") {
        python_environment(project / ".venv", "2.8.0", cuda);
        put(torch.parent_path() / "torch_tpu/__init__.py", "");
        CHECK(backend() == "tpu");
        put_venv(project / ".venv", base / "bin", false);
        CHECK(backend() == "cu128");
    }
    SUBCASE("the user's") {
        put(folder / ".local/lib/python3.10/site-packages/torch_tpu/__init__.py", "");
        CHECK(backend() == "cu128");
        put(folder / ".local/lib/python3.11/site-packages/torch_tpu/__init__.py", "");
        CHECK(backend() == "tpu");
        variables.set("PYTHONNOUSERSITE", "1");
        CHECK(backend() == "cu128");
    }
    SUBCASE("those that PYTHONPATH names, and of a torch there those of the Python that would run") {
        put(folder / "module/torch_tpu/__init__.py", "");
        variables.set("PYTHONPATH", (folder / "module").string());
        CHECK(backend() == "tpu");
        put_torch(folder / "other", "2.7.0");
        put(venv / "torch_neuronx/__init__.py", "");
        variables.set("PYTHONPATH", (folder / "other").string());
        CHECK(version() == "2.7.0 by PYTHONPATH");
        CHECK(backend() == "neuron");
    }
    SUBCASE("lib64's") {
        put(project / ".venv/lib64/python3.11/site-packages/torch_tpu/__init__.py", "");
        CHECK(backend() == "tpu");
    }
    SUBCASE("a linked torch has those beside the link") {
        python_environment(folder / "source", "2.6.0", cuda);
        fs::create_directory_symlink(folder / "source/lib/python3.11/site-packages/torch", venv / "torch");
        put(venv / "torch_neuronx/__init__.py", "");
        CHECK(version() == "2.6.0 by .venv of the project");
        CHECK(backend() == "neuron");
        CHECK(found((venv / "torch").string()).target.backend.to_string() == "neuron");
    }
    SUBCASE("not those of another Python, nor of another version of Python in the same prefix") {
        python_environment(folder / "conda", "2.5.0", cuda);
        put(folder / "conda/lib/python3.12/site-packages/torch_tpu/__init__.py", "");
        put(venv / "torch_neuronx/__init__.py", "");
        variables.set("CONDA_PREFIX", (folder / "conda").string());
        CHECK(version() == "2.5.0 by CONDA_PREFIX");
        CHECK(backend() == "cu128");
    }
}

TEST_CASE_FIXTURE(Fixture, "an environment or a Python that is named has the packages of an active one") {
    const auto base = folder / "base";
    put_program(base / "bin/python3.11");
    fs::create_symlink("python3.11", base / "bin/python3");
    python_environment(base, "2.1.0");
    put_venv(folder / "venv", base / "bin", true);
    put_program(folder / "venv/bin/python3");
    const std::string venv = folder / "venv";
    CHECK(version(venv) == "2.1.0 by the given torch, system packages");
    CHECK(version(venv + "/bin/python3") == "2.1.0 by the given torch, system packages");
    variables.set("KERNELS_TORCH", venv);
    CHECK(version() == "2.1.0 by KERNELS_TORCH, system packages");
    for (const char* python : {"bin/python3", "bin/python3.11"})
        CHECK(version((base / python).string()) == "2.1.0 by the given torch");
    put_torch(folder / ".local/lib/python3.11/site-packages", "2.2.0");
    put_torch(folder / ".local/lib/python3.10/site-packages", "2.0.0");
    for (const fs::path& named : {base, base / "bin/python3", base / "bin/python3.11", folder / "venv"}) {
        CAPTURE(named);
        CHECK(version(named.string()) == "2.2.0 by the given torch, the user's packages");
    }
    put(folder / "venv/lib/python3.11/site-packages/torch_tpu/__init__.py", "");
    CHECK(found(venv).target.backend.to_string() == "tpu");
    put_venv(folder / "venv", base / "bin", false);
    CHECK_THROWS_WITH_AS(found(venv), doctest::Contains("no torch there"), Error);
    // PYTHONPATH's torch is named by another, and what extends torch in it counts.
    put_torch(folder / "module", "2.7.0");
    put(folder / "module/torch_neuronx/__init__.py", "");
    variables.set("PYTHONPATH", (folder / "module").string());
    CHECK(version((base / "bin/python3").string()) == "2.2.0 by the given torch, the user's packages");
    CHECK(found(base.string()).target.backend.to_string() == "neuron");
    // What is itself a torch is meant by itself.
    put(base / "build-version", "2.9.0");
    CHECK(version(base.string()) == "2.9.0 by the given torch");
}

TEST_CASE_FIXTURE(Fixture,
                  "folders that .pth files add, by their path lines, after the packages themselves") {
    const auto packages = project / ".venv/lib/python3.11/site-packages";
    put_venv(project / ".venv", folder / "usr/bin", false);
    put_torch(folder / "src/one", "2.1.0");
    put_torch(folder / "src/two", "2.2.0");
    put(packages / "b.pth", (folder / "src/one").string() + "\n");
    CHECK(version() == "2.1.0 by .venv of the project");
    // The first file by name wins; comments, code and what is not there are passed over, ends of lines too.
    put(packages / "a.pth", "# " + (folder / "src/one").string() + "\nimport sys; sys.path.insert(0, '" +
                                (folder / "src/one").string() +
                                "')\n\n/nonexistent\n../../../../../src/two \r\n");
    put(packages / "c.txt", (folder / "src/one").string());
    CHECK(version() == "2.2.0 by .venv of the project");
    CHECK(found().torch->folder == fs::canonical(folder / "src/two/torch"));
    // What extends it may be in another such folder.
    put(folder / "src/one/torch_neuronx/__init__.py", "");
    CHECK(found().target.backend.to_string() == "neuron");
    put_torch(packages, "2.3.0");
    CHECK(version() == "2.3.0 by .venv of the project");
}
