// Which torch is found, and what its files say; environments are folders made here.
#include <doctest/doctest.h>

#include <algorithm>

#include "build/places.hpp"
#include "kernels/build/environment.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/text.hpp"
#include "made_environment.hpp"

namespace fs = std::filesystem;
using namespace kernels;
using namespace kernels::build;
using namespace kernels::testing;

namespace {

std::string origin_of(const Environment& environment, const std::string& name) {
    for (const auto& fact : environment.facts) {
        if (fact.name == name) return fact.value + " from " + fact.origin;
    }
    return "unknown";
}

// Builds for the CPU are not taken in its place: an error, unless somebody names the backend, and a line in a
// report.
void check_unknown(const Fixture& fixture, const std::string& why) {
    CHECK_THROWS_WITH_AS(fixture.found(), doctest::Contains(("the backend is not known: " + why).c_str()),
                         Error);
    DetectOptions options{{}, fixture.project};
    options.backend_is_named = true;
    CHECK(detect(options).torch);
    options.backend_is_named = false;
    options.for_report = true;
    const auto environment = detect(options);
    CHECK(origin_of(environment, "backend").starts_with("not known from "));
    CHECK(std::any_of(environment.missing.begin(), environment.missing.end(),
                      [&](const Missing& missing) { return missing.text.find(why) != std::string::npos; }));
}

}  // namespace

TEST_CASE_FIXTURE(Fixture, "the order in which torch is looked for") {
    // From the last place to the first: each new one must win over those before it.
    put(folder / "libtorch/build-version", "2.1.0+cpu\n");
    variables.set("CMAKE_PREFIX_PATH", "/nonexistent:" + (folder / "libtorch").string());
    CHECK(version() == "2.1.0+cpu by CMAKE_PREFIX_PATH");

    python_environment(folder / "system", "2.2.0");
    put_program(folder / "system/bin/python3.11");
    fs::create_symlink("python3.11", folder / "system/bin/python3");
    variables.set("PATH", (folder / "absent").string() + ":" + (folder / "system/bin").string());
    CHECK(version() == "2.2.0 by python3 on PATH");

    python_environment(project / ".venv", "2.3.0");
    CHECK(version() == "2.3.0 by .venv of the project");

    python_environment(folder / "conda", "2.4.0");
    variables.set("CONDA_PREFIX", (folder / "conda").string());
    CHECK(version() == "2.4.0 by CONDA_PREFIX");

    python_environment(folder / "venv", "2.5.0");
    variables.set("VIRTUAL_ENV", (folder / "venv").string());
    CHECK(version() == "2.5.0 by VIRTUAL_ENV");

    variables.set("KERNELS_TORCH", "2.6.0");
    CHECK(version() == "2.6.0 by KERNELS_TORCH");
    CHECK(version("2.7.0") == "2.7.0 by the given torch");
}

TEST_CASE_FIXTURE(Fixture, "an environment without torch passes on to the next place") {
    fs::create_directories(folder / "venv/lib/python3.11/site-packages");
    variables.set("VIRTUAL_ENV", (folder / "venv").string());
    python_environment(project / ".venv", "2.9.1");
    CHECK(version() == "2.9.1 by .venv of the project");
}

TEST_CASE_FIXTURE(Fixture, "a virtual environment that shares the system's packages") {
    python_environment(folder / "base", "2.8.0");
    put(project / ".venv/pyvenv.cfg",
        "home = " + (folder / "base/bin").string() + "\ninclude-system-site-packages = true\n");
    CHECK(version() == "2.8.0 by .venv of the project, system packages");
    put(project / ".venv/pyvenv.cfg",
        "home = " + (folder / "base/bin").string() + "\ninclude-system-site-packages = false\n");
    CHECK(version() != "2.8.0 by .venv of the project, system packages");
}

TEST_CASE_FIXTURE(Fixture, "pyenv's shim leads to the version that it would run") {
    const auto root = folder / "pyenv";
    python_environment(root / "versions/3.11.7", "2.6.1");
    python_environment(root / "versions/3.12.1", "2.7.1");
    put_program(root / "shims/python3");
    put(root / "version", "3.11.7\n");
    variables.set("PATH", (root / "shims").string());
    CHECK(version() == "2.6.1 by python3 on PATH, by pyenv");
    put(project / ".python-version", "3.12.1\n");
    CHECK(version() == "2.7.1 by python3 on PATH, by pyenv");
    put(project / ".python-version", "# ours\n\n  3.12.1 3.11.7 # tests\n");
    CHECK(version() == "2.7.1 by python3 on PATH, by pyenv");
    put(project / ".python-version", "3.9.9\n");
    DetectOptions options{{}, project};
    options.for_report = true;
    REQUIRE_FALSE(detect(options).missing.empty());
    CHECK(detect(options).missing.front().text ==
          "the Python 3.9.9 that pyenv is told to use is not installed: there is no " +
              (root / "versions/3.9.9").string());
    put(project / ".python-version", "3.12.1\n");
    variables.set("PYENV_VERSION", "3.11.7");
    CHECK(version() == "2.6.1 by python3 on PATH, by pyenv");
}

TEST_CASE_FIXTURE(Fixture, "--torch takes a folder of many kinds, a file inside, or a version") {
    const auto torch = python_environment(folder / "venv", "2.9.0+cpu");
    put(folder / "venv/bin/python", "");
    for (const auto& path : {folder / "venv", torch, torch.parent_path(), folder / "venv/bin/python"}) {
        CAPTURE(path);
        CHECK(version(path.string()) == "2.9.0+cpu by the given torch");
    }
    CHECK(found("2.12+cu128").target.backend == Backend{BackendKind::cuda, {12, 8}});
    CHECK(found("2.12.1+rocm6.4").target.backend == Backend{BackendKind::rocm, {6, 4}});
    CHECK(found("2.12").target.torch == Version{2, 12});
    if (found("2.12").target.os == "linux") {
        CHECK(found("2.6.0+cu124").target.cxx11_abi == (found("2.12").target.cpu == "aarch64"));
        CHECK(found("2.6.0+cu126").target.cxx11_abi == true);
        CHECK(found("2.5.0+cu124").target.cxx11_abi == false);
    }
    try {
        found((folder / "absent").string());
        FAIL("accepted");
    } catch (const Error& error) {
        CHECK(error.code() == ErrorCode::usage);
        CHECK(std::string(error.what()).starts_with("the given torch `"));
    }
    variables.set("KERNELS_TORCH", project.string());
    CHECK_THROWS_AS(found(), Error);
}

TEST_CASE_FIXTURE(Fixture, "a version of which the backend is not known is refused with what is expected") {
    const auto refused = [&](const char* version) {
        try {
            found(version);
        } catch (const Error& error) {
            CHECK(error.code() == ErrorCode::usage);
            return std::string(error.what()) + "; " + error.hint();
        }
        return std::string("accepted");
    };
    for (const char* version :
         {"2.9+garbage", "2.9+cu12", "2.9+cu1280", "2.9+rocm6", "2.9+rocm640.0", "2.9+", "2.9+cpu+x"}) {
        CAPTURE(version);
        CHECK(refused(version).find("names no backend; for example 2.9, 2.9.1+cpu") != std::string::npos);
    }
    CHECK(refused("2.9+xpu").ends_with("or a target such as torch=2.9,xpu=2025.2"));
    for (const char* version : {"2", "2.", "2.x", "2.9 ", "2,9"}) {
        CAPTURE(version);
        CHECK(refused(version).find("no version of a torch") != std::string::npos);
    }
    CHECK(found("2.13.0.dev20260901+cu130").target.backend == Backend{BackendKind::cuda, {13, 0}});
    CHECK(found("2.9.0rc2").target.torch == Version{2, 9});
    CHECK(found("2.9+cu92").target.backend == Backend{BackendKind::cuda, {9, 2}});
}

TEST_CASE_FIXTURE(Fixture, "what torch.utils.cmake_prefix_path prints leads to its torch") {
    const auto torch = python_environment(folder / "venv", "2.9.0+cpu");
    const auto cmake = torch / "share/cmake";
    fs::create_directories(cmake);
    for (const auto& prefix : {cmake.string(), cmake.string() + "/"}) {
        variables.set("CMAKE_PREFIX_PATH", "/nonexistent;" + prefix);
        CHECK(version() == "2.9.0+cpu by CMAKE_PREFIX_PATH");
    }
    CHECK(version(cmake.string()) == "2.9.0+cpu by the given torch");
}

TEST_CASE_FIXTURE(Fixture, "from a folder below the project the nearest .venv counts") {
    const auto below = project / "a/b";
    fs::create_directories(below);
    const auto version_below = [&] {
        const auto environment = detect({{}, below, project});
        return environment.torch ? environment.torch->version : "none";
    };
    python_environment(folder / ".venv", "2.1.0");  // above the project: not its own
    CHECK(version_below() != "2.1.0");
    python_environment(project / ".venv", "2.2.0");
    CHECK(version_below() == "2.2.0");
    python_environment(project / "a/.venv", "2.3.0");
    CHECK(version_below() == "2.3.0");
}

TEST_CASE_FIXTURE(Fixture, "a torch whose files cannot be read is an error, on a page a line") {
    const auto torch = python_environment(project / ".venv", "2.9.0");
    fs::remove(torch / "version.py");
    fs::create_directories(torch / "version.py");
    CHECK_THROWS_AS(found(), Error);
    DetectOptions options{{}, project};
    options.for_report = true;
    const auto page = detect(options);
    CHECK_FALSE(page.torch);
    REQUIRE_FALSE(page.missing.empty());
    CHECK(page.missing.front().text.find("version.py: is a folder; this torch is damaged") !=
          std::string::npos);
}

TEST_CASE_FIXTURE(Fixture, "the backend is read from version.py, in the Python client's order") {
    const auto backend = [&](const std::string& more) {
        python_environment(project / ".venv", "2.9.0", more);
        return found().target.backend.to_string();
    };
    const std::string none =
        "cuda: Optional[str] = None\nhip: Optional[str] = None\nxpu: Optional[str] = None\n";
    CHECK(backend(none) == "cpu");
    CHECK(backend("cuda: Optional[str] = '12.8'\nhip: Optional[str] = None\n") == "cu128");
    CHECK(backend("cuda = '13.0'\nhip = None\n") == "cu130");
    CHECK(backend("cuda: Optional[str] = None\nhip: Optional[str] = '6.4.43482-0f2d60242'\n") == "rocm64");
    CHECK(
        backend("cuda: Optional[str] = None\nhip: Optional[str] = None\nxpu: Optional[str] = '20250200'\n") ==
        "xpu20252");
    const auto packages = project / ".venv/lib/python3.11/site-packages";
    put(packages / "torch_npu/__init__.py", "");
    put(folder / "ascend/aarch64-linux/ascend_toolkit_install.info",
        "package_name=Ascend-cann-toolkit\nversion=8.3.RC1\ninnerversion=V1\n");
    variables.set("ASCEND_HOME_PATH", (folder / "ascend").string());
    CHECK(backend(none) == "cann83");
    CHECK(backend("cuda: Optional[str] = '12.8'\n") == "cu128");
    variables.remove("ASCEND_HOME_PATH");
    put(folder / "cann/version.cfg", "toolkit_installed_version=[8.2.0.1.200:8.2.RC2]\n");
    variables.set("ASCEND_TOOLKIT_HOME", (folder / "cann").string());
    CHECK(backend(none) == "cann82");
    put(packages / "torch_neuronx/__init__.py", "");
    CHECK(backend("cuda: Optional[str] = '12.8'\n") == "neuron");
    put(packages / "torch_tpu/__init__.py", "");
    CHECK(backend("cuda: Optional[str] = '12.8'\n") == "tpu");
}

TEST_CASE_FIXTURE(Fixture, "a libtorch without Python: version, backend, C++ ABI") {
    const auto libtorch = folder / "libtorch";
    put(libtorch / "build-version", "2.9.0+cu129\n");
    auto environment = found(libtorch.string());
    CHECK(environment.target.torch == Version{2, 9});
    CHECK(environment.target.backend == Backend{BackendKind::cuda, {12, 9}});
    if (environment.target.os == "linux") CHECK(environment.target.cxx11_abi == true);
    put(libtorch / "share/cmake/Torch/TorchConfig.cmake",
        "set(TORCH_CXX_FLAGS \"-D_GLIBCXX_USE_CXX11_ABI=0\")\n");
    environment = found(libtorch.string());
    if (environment.target.os == "linux") CHECK(environment.target.cxx11_abi == false);

    const auto by_headers = folder / "usr";
    put(by_headers / "include/torch/csrc/api/include/torch/version.h",
        "#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 6\n#define TORCH_VERSION_PATCH 1\n");
    CHECK(version(by_headers.string()) == "2.6.1 by the given torch");
}

TEST_CASE_FIXTURE(Fixture, "a libtorch without a tag for another device is never one for the CPU") {
    variables.set("ROCM_PATH", (folder / "rocm").string());
    for (const char* library : {"libtorch_xpu.so", "libtorch_hip.so"}) {
        const auto libtorch = folder / library;
        put(libtorch / "include/torch/version.h",
            "#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 10\n#define TORCH_VERSION_PATCH 0\n");
        put(libtorch / "lib" / library, "");
        variables.set("CMAKE_PREFIX_PATH", libtorch.string());
        check_unknown(*this, "it has " + (libtorch / "lib" / library).string());
    }
    put(folder / "rocm/.info/version", "6.4.1-83\n");
    const auto environment = found();
    CHECK(environment.target.backend.to_string() == "rocm64");
    CHECK(environment.torch->backend_origin == (folder / "rocm/.info/version").string());
}

TEST_CASE_FIXTURE(Fixture, "an npu whose CANN toolkit is not found is told of") {
    python_environment(project / ".venv", "2.9.0");
    put(project / ".venv/lib/python3.11/site-packages/torch_npu/__init__.py", "");
    variables.set("ASCEND_HOME_PATH", (folder / "absent").string());
    if (cann_version()) return;  // this machine has one in its usual place
    check_unknown(*this, "torch_npu is installed, but no CANN toolkit");
}

TEST_CASE_FIXTURE(Fixture, "macOS: its version, and a torch that computes by Metal") {
    const auto list = folder / "SystemVersion.plist";
    put(list,
        "<plist version=\"1.0\">\n<dict>\n\t<key>ProductBuildVersion</key>\n\t<string>25A354</string>\n"
        "\t<key>ProductVersion</key>\n\t<string>26.0.1</string>\n</dict>\n</plist>\n");
    CHECK(macos_version(list) == Version{26, 0});
    put(list, "bplist00");
    CHECK_FALSE(macos_version(list));
    CHECK_FALSE(macos_version(folder / "absent"));

    const auto torch =
        python_environment(project / ".venv", "2.9.0", "cuda = None\nhip = None\nxpu = '20250200'\n");
    CHECK(read_torch_on("darwin", torch)->backend == Backend{BackendKind::metal, {}});
    CHECK(read_torch_on("linux", torch)->backend.to_string() == "xpu20252");
    put(folder / "libtorch/build-version", "2.9.0\n");
    CHECK(read_torch_on("darwin", folder / "libtorch")->backend == Backend{BackendKind::metal, {}});
    CHECK(read_torch_on("linux", folder / "libtorch")->backend == Backend{});
}

TEST_CASE_FIXTURE(Fixture, "the ROCm device that the kernel's driver tells of") {
    const auto arch = [&](std::initializer_list<const char*> versions) {
        const auto nodes = folder / "nodes";
        fs::remove_all(nodes);
        for (const char* version : versions) {
            put(nodes / version / "properties",
                "cpu_cores_count 0\ngfx_target_version " + std::string(version) + "\nvendor_id 4098\n");
        }
        const auto [answer, differing] = rocm_arch({}, nodes);
        if (!answer && !differing.empty()) return join(differing, " or ");
        return answer ? answer->value + " from " + answer->origin : "none";
    };
    CHECK(arch({"0", "90402"}) == "gfx942 from the kernel's amdkfd driver");
    CHECK(arch({"90010"}) == "gfx90a from the kernel's amdkfd driver");
    CHECK(arch({"120001"}) == "gfx1201 from the kernel's amdkfd driver");
    // Which of several devices a program sees, HIP's library knows alone.
    CHECK_FALSE(arch({"90402", "110000"}).ends_with("amdkfd driver"));
    if (!arch({"0"}).ends_with("HIP library")) CHECK(arch({"90402", "110000"}) == "gfx1100 or gfx942");
    CHECK_FALSE(arch({"0"}).ends_with("amdkfd driver"));
}

TEST_CASE_FIXTURE(Fixture, "tvm-ffi's version is found beside torch") {
    python_environment(project / ".venv", "2.9.0");
    put(project / ".venv/lib/python3.11/site-packages/apache_tvm_ffi-0.1.7.dist-info/METADATA", "");
    const auto environment = found();
    CHECK(environment.target.tvm_ffi == Version{0, 1});
    CHECK(origin_of(environment, "tvm-ffi").find("apache_tvm_ffi-0.1.7.dist-info") != std::string::npos);
}

TEST_CASE_FIXTURE(Fixture, "tvm-ffi without torch") {
    put(project / ".venv/lib/python3.12/site-packages/apache_tvm_ffi-0.2.0rc1.dist-info/METADATA", "");
    const auto environment = found();
    if (environment.torch) return;  // /usr has one
    CHECK(environment.target.tvm_ffi == Version{0, 2});
}

TEST_CASE_FIXTURE(Fixture, "every fact says where it came from") {
    const auto torch = python_environment(project / ".venv", "2.9.0+cpu");
    const auto environment = found();
    CHECK(origin_of(environment, "torch") ==
          "2.9.0+cpu from .venv of the project (" + fs::canonical(torch).string() + ")");
    CHECK(origin_of(environment, "backend").starts_with("cpu from .venv"));
    CHECK(origin_of(environment, "cpu").ends_with("from uname"));
    CHECK(environment.missing.empty());
}

TEST_CASE_FIXTURE(Fixture, "a damaged torch is an error, as what comes after it is another one") {
    const auto torch = python_environment(project / ".venv", "2.9.0");
    python_environment(folder / "venv", "2.1.0");
    variables.set("VIRTUAL_ENV", (project / ".venv").string());
    variables.set("CONDA_PREFIX", (folder / "venv").string());
    const auto refused = [&](const std::string& text) {
        put(torch / "version.py", text);
        try {
            return "accepted: " + version();
        } catch (const Error& error) {
            CHECK(error.code() == ErrorCode::failed);
            const std::string start = "VIRTUAL_ENV: " + (torch / "version.py").string() + ": ";
            CHECK(std::string(error.what()).starts_with(start));
            CHECK(error.hint().find("damaged") != std::string::npos);
            return std::string(error.what()).substr(std::min(start.size(), std::string(error.what()).size()));
        }
    };
    const std::string none = "hip: Optional[str] = None\n";
    CHECK(refused("") == "it does not say its __version__");
    CHECK(refused(std::string(4096, '\0') + "\xff\xfe") == "it does not say its __version__");
    CHECK(refused("__version__ = unknown()\n") == "its __version__ is no text: `unknown()`");
    CHECK(refused("__version__ = None\n") == "its __version__ is None");
    CHECK(refused("__version__ = '2.9.0+cu") == "its __version__ is no text: `'2.9.0+cu`");
    CHECK(refused(version_py("main")) == "its __version__ is no version: `main`");
    CHECK(refused(version_py("2")) == "its __version__ is no version: `2`");
    CHECK(refused("__version__ = '2.9.0+cu128'\ndebug = False\n") == "it does not say its cuda");
    CHECK(refused(version_py("2.9.0", "cuda: Optional[str] = None\n")) == "it does not say its hip");
    CHECK(refused(version_py("2.9.0", "cuda: Optional[str] = 'abc'\n")) == "its cuda is no version: `abc`");
    CHECK(refused(version_py("2.9.0", "cuda = '12'\n" + none)) == "its cuda is no version: `12`");
    CHECK(refused(version_py("2.9.0", "cuda = 12.8\n" + none)) == "its cuda is no text: `12.8`");
    CHECK(refused(version_py("2.9.0", "cuda = '99999999999.8'\n")).starts_with("its cuda is no version"));
    CHECK(refused(version_py("2.9.0", "cuda = None\nhip = 'six'\n")) == "its hip is no version: `six`");
    CHECK(refused(version_py("2.9.0", "cuda = None\nhip = None\nxpu = '2025x2'\n")) ==
          "its xpu is no version: `2025x2`");
    CHECK(refused(std::string(2U << 20U, 'x')).starts_with("larger than the allowed"));
    CHECK(refused("cuda:" + std::string(900'000, 'x')) == "it does not say its __version__");
    fs::remove(torch / "version.py");
    CHECK_THROWS_WITH_AS(found(), doctest::Contains("no such file beside its __init__.py"), Error);
    fs::remove(torch / "__init__.py");
    CHECK(version() == "2.1.0 by CONDA_PREFIX");
    // An npu package beside it does not hide the damage.
    put(torch / "__init__.py", "");
    put(torch.parent_path() / "torch_npu/__init__.py", "");
    CHECK(refused(version_py("2.9.0", "cuda = 'abc'\n")) == "its cuda is no version: `abc`");
    CHECK_THROWS_WITH_AS(found(torch.string()), doctest::Contains("its cuda is no version"), Error);
}

TEST_CASE_FIXTURE(Fixture, "a libtorch whose build-version is damaged is an error, another's file is none") {
    put(folder / "libtorch/build-version", "garbage\n");
    variables.set("CMAKE_PREFIX_PATH", (folder / "libtorch").string());
    CHECK(version().find("CMAKE_PREFIX_PATH") == std::string::npos);
    put(folder / "libtorch/share/cmake/Torch/TorchConfig.cmake", "");
    CHECK_THROWS_WITH_AS(found(), doctest::Contains("build-version: it is no version: `garbage`"), Error);
}
