"""Libraries made with nvcc for several targets: what `kernels info --archs` reads out of them against what they were made
for, and against cuobjdump where it is on PATH or named by CUOBJDUMP (the package nvidia-cuda-cuobjdump has it).

KERNELS_CUDA_LIBRARIES names further libraries to compare, with blanks between them."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

from kernels_hub import need, skip

KERNELS = need("KERNELS_BIN")
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


def by_kernels(library):
    """What `kernels info --archs FILE` says: (archs as metadata states them, machine code, PTX)."""
    done = subprocess.run([KERNELS, "info", "--archs", "--json", library], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"kernels failed: {done.stderr}")
    document = json.loads(done.stdout)
    assert document["problems"] == [], document
    code = {part.split(" ")[0] for part in document["code"]}
    return set(document["libraries"]), {c for c in code if c.startswith("sm_")}, {c for c in code if c.startswith("compute_")}


def by_cuobjdump(cuobjdump, library):
    """(machine code, PTX); it drops the family mark of machine code."""
    done = subprocess.run([cuobjdump, "--list-elf", "--list-ptx", library], capture_output=True, text=True, check=True)
    machine = set(re.findall(r"\.(sm_\w+)\.cubin", done.stdout))
    return machine, {f"compute_{target}" for target in re.findall(r"\.sm_(\w+)\.ptx", done.stdout)}


def release_of(cuobjdump):
    printed = subprocess.run([cuobjdump, "--version"], capture_output=True, text=True).stdout
    return re.search(r"release \S+ \S+", printed)[0]


def compare_with_cuobjdump(cuobjdump, library):
    _, machine, ptx = by_kernels(library)
    theirs = by_cuobjdump(cuobjdump, library)
    assert ({target.removesuffix("f") for target in machine}, ptx) == theirs, (library, machine, ptx, theirs)
    assert machine or ptx, library


def check_units(nvcc, folder):
    """Two translation units for different devices, and one of host code, with what nvcc itself adds when it links."""
    objects = []
    for name, arch, source in (("old", "80", KERNEL), ("new", "90", KERNEL), ("host", "75", "int host() { return 1; }\n")):
        path = os.path.join(folder, f"unit_{name}.cu")
        with open(path, "w") as file:
            file.write(source.replace("NUMBER", name))
        objects.append(path.replace(".cu", ".o"))
        subprocess.run([nvcc, "-Xcompiler", "-fPIC", f"-gencode=arch=compute_{arch},code=sm_{arch}", "-c", path, "-o", objects[-1]], check=True)
    library = os.path.join(folder, "units.so")
    subprocess.run([nvcc, "-shared", *objects, "-o", library], check=True)
    told = {}
    for capability in (75, 80, 90):
        done = subprocess.run([KERNELS, "info", "--archs", "--json", library, "--target", f"cuda=13.0,capability={capability}"],
                              capture_output=True, text=True, check=True)
        (target,) = json.loads(done.stdout)["targets"]
        told[capability] = (target["fits"], target["text"])
    assert told == {75: (False, "built for 8.0, 9.0, which does not run on capability 7.5"),
                    80: (True, "its code for 8.0 runs on capability 8.0; a part of it is built for 9.0, which does not run on capability 8.0"),
                    90: (True, "its code for 9.0 runs on capability 9.0; a part of it is built for 8.0, which does not run on capability 9.0")}, told


def main():
    nvcc = shutil.which("nvcc")
    cuobjdump = os.environ.get("CUOBJDUMP") or shutil.which("cuobjdump")
    if not nvcc:
        skip("nvcc is not installed")
    read = compared = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, (targets, options) in LIBRARIES.items():
            library = compiled(nvcc, folder, name, targets, options, 2 if name in ("many", "relocatable") else 1)
            if library is None:
                print(f"{name}: not supported by this nvcc")
                continue
            expected = {TARGETS[target] for target in targets}
            archs, machine, ptx = by_kernels(library)
            assert archs == expected, f"{name}: made for {sorted(expected)}, read {sorted(archs)}"
            assert machine | ptx == {code for _, code in targets}, (name, machine, ptx)
            read += 1
            if cuobjdump:
                compare_with_cuobjdump(cuobjdump, library)
                compared += 1
        check_units(nvcc, folder)
    assert read >= 5, read
    if not cuobjdump:
        print(f"{read} libraries read; not compared: no cuobjdump on PATH, and CUOBJDUMP names none")
        return
    for library in os.environ.get("KERNELS_CUDA_LIBRARIES", "").split():
        compare_with_cuobjdump(cuobjdump, library)
        compared += 1
    print(f"{read} libraries read; {compared} compared with cuobjdump, {release_of(cuobjdump)}")


if __name__ == "__main__":
    main()
