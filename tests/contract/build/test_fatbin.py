"""Libraries made with nvcc for several targets: what we read out of them against what they were made for, and
against cuobjdump where it is installed."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

from build_probe import ask
from kernels_hub import skip

KERNEL = 'extern "C" __global__ void twice_NUMBER(float* x) { x[threadIdx.x] *= 2.f; }\n'
# Targets in nvcc's words (virtual arch, code) with the arch as metadata states it.
TARGETS = {
    ("75", "sm_75"): "7.5",
    ("80", "sm_80"): "8.0",
    ("86", "sm_86"): "8.6",
    ("89", "sm_89"): "8.9",
    ("90", "sm_90"): "9.0",
    ("90a", "sm_90a"): "9.0a",
    ("100a", "sm_100a"): "10.0a",
    ("100f", "sm_100f"): "10.0f",
    ("120", "sm_120"): "12.0",
    ("90", "compute_90"): "9.0+PTX",
    ("90a", "compute_90a"): "9.0a+PTX",
    ("120f", "compute_120f"): "12.0f+PTX",
}
# Which of them go into one library, and how it is compiled.
LIBRARIES = {
    "one": ([("80", "sm_80")], []),
    "exact": ([("90a", "sm_90a"), ("100a", "sm_100a")], []),
    "family": ([("100f", "sm_100f"), ("120f", "compute_120f")], []),
    "ptx_only": ([("90", "compute_90")], []),
    "many": (list(TARGETS), []),
    "many_plain": (list(TARGETS), ["--no-compress"]),
    "many_small": (list(TARGETS), ["-compress-mode=size"]),
    "many_fast": (list(TARGETS), ["-compress-mode=speed"]),
    "relocatable": ([("80", "sm_80"), ("90a", "sm_90a")], ["-rdc=true"]),
}


def compiled(nvcc, folder, name, targets, options, files):
    sources = []
    for number in range(files):
        sources.append(os.path.join(folder, f"{name}_{number}.cu"))
        with open(sources[-1], "w") as file:
            file.write(KERNEL.replace("NUMBER", str(number)))
    library = os.path.join(folder, f"{name}.so")
    codes = [f"-gencode=arch=compute_{arch},code={code}" for arch, code in targets]
    command = [nvcc, "-shared", "-Xcompiler", "-fPIC", "-cudart", "none", *codes, *options, *sources, "-o", library]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        unsupported = re.search(r"Unsupported gpu architecture|unsupported|not allowed", done.stderr)
        if unsupported or ("rdc" in " ".join(options) and "cudadevrt" in done.stderr):
            return None
        sys.exit(f"nvcc failed: {done.stderr}")
    return library


def by_cuobjdump(cuobjdump, library):
    """(machine code, PTX) targets; it drops the family mark of machine code."""
    listing = subprocess.run([cuobjdump, "--list-elf", "--list-ptx", library], capture_output=True, text=True).stdout
    return set(re.findall(r"\.(sm_\w+)\.cubin", listing)), set(re.findall(r"\.(sm_\w+)\.ptx", listing))


def in_its_words(arch):
    number = arch.removesuffix("+PTX").replace(".", "")
    return "sm_" + number.removesuffix("f")


def main():
    nvcc = shutil.which("nvcc")
    if not nvcc:
        skip("nvcc is not installed")
    cuobjdump = os.environ.get("CUOBJDUMP") or shutil.which("cuobjdump")
    read = compared = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, (targets, options) in LIBRARIES.items():
            library = compiled(nvcc, folder, name, targets, options, 2 if name in ("many", "relocatable") else 1)
            if library is None:
                print(f"{name}: not supported by this nvcc")
                continue
            (answer,) = ask([{"ask": "archs", "path": library}])
            expected = {TARGETS[target] for target in targets}
            assert set(answer) == expected, f"{name}: made for {sorted(expected)}, read {sorted(answer)}"
            read += 1
            if cuobjdump:
                machine, ptx = by_cuobjdump(cuobjdump, library)
                ours_machine = {in_its_words(arch) for arch in answer if not arch.endswith("+PTX")}
                ours_ptx = {in_its_words(arch) for arch in answer if arch.endswith("+PTX")}
                ptx = {re.sub("f$", "", target) for target in ptx}
                machine = {re.sub("f$", "", target) for target in machine}
                assert (machine, ptx) == (ours_machine, ours_ptx), (name, machine, ptx, answer)
                compared += 1
    assert read >= 5, read
    print(f"{read} libraries read; {compared} compared with cuobjdump" + ("" if cuobjdump else " (not installed)"))


if __name__ == "__main__":
    main()
