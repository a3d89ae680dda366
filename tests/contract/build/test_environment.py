"""What we read from files is what the Python client finds out by importing torch; and drivers, imitated by small
libraries, are asked as theirs are."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile

from probe import ask, peer

FAKE_NVML = """
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = COUNT; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **d) { *d = (void *)(long)(i + 1); return 0; }
int nvmlDeviceGetCudaComputeCapability(void *d, int *major, int *minor)
{ *major = 8; *minor = (long)d == 1 ? 6 : SECOND; return 0; }
"""
FAKE_DRIVER = """
int cuInit(unsigned flags) { return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device)
{ *value = attribute == 75 ? 9 : attribute == 76 ? 0 : -1; return 0; }
"""
FAKE_RUNTIME = "int cudaRuntimeGetVersion(int *version) { *version = 12060; return 0; }\n"
FAKE_HIP = """
#include <string.h>
int hipGetDevicePropertiesR0600(void *properties, int device)
{ memset(properties, 0, 1472); strcpy((char *)properties, "AMD Instinct"); strcpy((char *)properties + 1160,
  "gfx942:sramecc+:xnack-"); return 0; }
"""


def with_libraries(compiler, libraries, question, **variables):
    """The answer of a probe that finds these libraries and nothing of a user's environment."""
    with tempfile.TemporaryDirectory() as folder:
        for name, code in libraries.items():
            command = [compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", os.path.join(folder, name)]
            subprocess.run(command, input=code, text=True, check=True)
        environment = {"PATH": "/nonexistent", "HOME": folder, "LD_LIBRARY_PATH": folder, **variables}
        kept = dict(os.environ)
        os.environ.clear()
        os.environ.update(environment, KERNELS_BUILD_PROBE=kept["KERNELS_BUILD_PROBE"])
        try:
            return ask([{"ask": "environment", "project": folder, **question}])[0]
        finally:
            os.environ.clear()
            os.environ.update(kept)


def nvml(count, second):
    return FAKE_NVML.replace("COUNT", str(count)).replace("SECOND", str(second))


def test_this_python():
    torch = peer("torch")
    backend = peer("kernels.backends")._backend()
    (answer,) = ask([{"ask": "environment", "torch": sys.prefix}])
    facts = {name: value for name, (value, _) in answer["facts"].items()}
    assert facts["torch"] == torch.__version__, facts
    assert facts["backend"] == backend.variant_str, facts
    assert facts["cpu"] == platform.machine() and facts["os"] == platform.system().lower(), facts
    if platform.system() == "Linux":
        assert facts["cxx11-abi"] == str(torch.compiled_with_cxx11_abi()).lower(), facts
    print(f"this Python: {facts}")


def test_drivers(compiler):
    cuda = {"torch": "2.13+cu128"}

    def capability(libraries, **variables):
        return with_libraries(compiler, libraries, cuda, **variables)["facts"].get("capability")

    driver = {"libcuda.so.1": FAKE_DRIVER}
    assert capability({"libnvidia-ml.so.1": nvml(2, 6), **driver}) == ["86", "NVML"]
    # Devices that differ, or a choice among them: only the driver knows which one comes first.
    assert capability({"libnvidia-ml.so.1": nvml(2, 9), **driver}) == ["90", "the CUDA driver"]
    assert capability({"libnvidia-ml.so.1": nvml(1, 6), **driver}, CUDA_VISIBLE_DEVICES="0") == ["90", "the CUDA driver"]
    assert capability(driver) == ["90", "the CUDA driver"]

    none = with_libraries(compiler, {}, cuda)
    if "capability" not in none["facts"]:  # a machine without a GPU
        assert any("no CUDA device answered" in text for text in none["missing"]), none

    answer = with_libraries(compiler, {"libcudart.so": FAKE_RUNTIME}, {})
    if "torch" not in answer["facts"]:  # /usr may have one
        assert answer["facts"]["backend"] == ["cu126", "the CUDA runtime library"], answer

    if not os.path.isdir("/sys/class/kfd"):
        answer = with_libraries(compiler, {"libamdhip64.so": FAKE_HIP}, {"torch": "2.13+rocm6.4"})
        assert answer["facts"]["arch"] == ["gfx942", "the HIP library"], answer
    print("drivers: asked")


def main():
    test_this_python()
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler and platform.system() == "Linux":
        test_drivers(compiler)
    else:
        print("drivers: skipped, there is no C compiler to imitate them with")


if __name__ == "__main__":
    main()
