"""Kernelizing large models: the time by the number of layers, and the peak memory by the size of the weights.

Usage: bench_size.py BUILD_FOLDER PYTHON [GIB]     (PYTHON has torch; GIB of weights, 4 by default; needs twice as much disk)

Run by hand. Prints Markdown; exits with 1 when the time grows faster than the number of layers, or the peak memory is more than
the model's size and 300 MiB, also with --verify. What libtorch itself takes to read the model (and to run it, where it is frozen: layers that are
matched by pattern are always verified) is measured in a Python process and taken off. Its time to write traced models grows with
the square of their length, and the result has more to write, as it keeps the original forwards: the time is that of --dry-run.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
MAKE = """
import sys, warnings, torch
import torch.nn as nn
warnings.simplefilter("ignore")

class RMSNorm(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.variance_epsilon = 1e-5
    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = RMSNorm()
    def forward(self, x):
        return x + self.norm(x)

class Heavy(nn.Module):
    def __init__(self, gib):
        super().__init__()
        self.norm = RMSNorm()
        self.tables = nn.ParameterList([nn.Parameter(torch.zeros(2**25, 8)) for _ in range(gib)])
    def forward(self, x):
        for table in self.tables:
            x = x + table[:3]
        return self.norm(x)

class Deep(nn.Module):
    # Of 4 MiB.
    def __init__(self):
        super().__init__()
        self.norm = RMSNorm(1024)
        self.linear = nn.Linear(1024, 1024)
    def forward(self, x):
        return x + torch.relu(self.linear(self.norm(x)))

class Dense(nn.Module):
    # Of 64 MiB.
    def __init__(self):
        super().__init__()
        self.norm = RMSNorm(2048)
        self.up = nn.Linear(2048, 4096)
        self.down = nn.Linear(4096, 2048)
    def forward(self, x):
        return x + self.down(torch.relu(self.up(self.norm(x))))

kind, count = sys.argv[1], int(sys.argv[2])
block = {"heavy": Heavy, "dense": Dense, "deep": Deep}.get(kind, Block)
model = Heavy(count) if kind == "heavy" else nn.Sequential(*[block() for _ in range(count)])
with torch.no_grad():
    scripted = kind in ("scripted", "frozen")
    example = torch.ones(16, 1024) if kind == "deep" else torch.ones(3, 2048 if kind == "dense" else 8)
    saved = torch.jit.script(model.eval()) if scripted else torch.jit.trace(model, (example,), check_trace=False)
if kind == "frozen":
    torch.jit.script(nn.Sequential(Block()).eval()).save("unfrozen.pt")
    saved = torch.jit.freeze(saved)
saved.save(kind + ".pt")
"""

READ_AND_WRITE = """
import resource, sys, time, torch
start = time.process_time()
model = torch.jit.load(sys.argv[1])
if sys.argv[1] == "frozen.pt":
    with torch.no_grad():
        model(torch.ones(3, 8))
read = time.process_time() - start
model.save("copy.pt")
print(read, time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def measured(*command, **options):
    """Seconds of processor time and the peak memory in MiB of a process and its children, which `exec` each other."""
    before = time.monotonic()
    process = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL, **options)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{command} failed")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, time.monotonic() - before


def main() -> None:
    build, python = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).absolute()
    gib = int(sys.argv[3]) if len(sys.argv) > 3 else 4
    kernels = build / "apps/kernels/kernels"
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kernels-bench-"))
    demo = build / "examples/demo-hub"
    environment = {**os.environ, "HF_HOME": str(folder / "hf"),
                   "LOCAL_KERNELS": f"kernels-demo/transformer-ops={demo}/kernels-demo/transformer-ops/v1"}
    (folder / "kernels.toml").write_text(
        '[[layers]]\nname = "RMSNorm"\ndevice = "cpu"\nrepo = "kernels-demo/transformer-ops"\nversion = 1\n'
        'layer = "RMSNorm"\n')
    (folder / "make.py").write_text(MAKE)  # TorchScript's compiler reads the source from a file
    options = {"cwd": folder, "env": environment}
    wrong = []
    try:
        print("| model | layers | processor time | --dry-run | libtorch's reading | and writing | peak memory | libtorch's | with --verify | "
              "peak memory |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
        for kind in ("scripted", "traced", "frozen"):
            own = {}
            more = ("--pattern", "RMSNorm=unfrozen.pt:*RMSNorm", "--input", "float32[3,8]") if kind == "frozen" else ()
            for count in (500, 1000, 2000):
                subprocess.run([python, "make.py", kind, str(count)], check=True, **options)
                command = (kernels, "kernelize", f"{kind}.pt", "-o", "out.pt", "--device", "cpu", "--project", ".",
                           "--use-fallback", "none", *more)
                seconds, memory, _ = measured(*command, **options)
                dry, _, _ = measured(*command, "--dry-run", **options)
                libtorch = subprocess.run([python, "-W", "ignore", "-c", READ_AND_WRITE, f"{kind}.pt"], check=True,
                                          capture_output=True, text=True, **options).stdout
                reading, bare, bare_memory = map(float, libtorch.split())
                own[count] = dry - reading
                # Frozen layers are verified without it, as they are matched by pattern.
                verified, most, _ = measured(*command, "--verify", **options)
                print(f"| {kind} | {count} | {seconds:.2f} s | {dry:.2f} s | {reading:.2f} s | {bare:.2f} s | {memory:.0f} MiB | "
                      f"{bare_memory:.0f} MiB | {verified:.2f} s | {most:.0f} MiB |", flush=True)
                size = (folder / f"{kind}.pt").stat().st_size / 2**20
                for peak, how in ((memory, ""), (most, " with --verify")):
                    if peak > size + 300:
                        wrong.append(f"{kind}, {count} layers{how}: the peak memory is the model's size and {peak - size:.0f} MiB")
            # The start is in all of them, so that linear time grows by less than the number of layers.
            if own[2000] > 2.3 * own[1000]:
                wrong.append(f"{kind}: the time grows faster than the number of layers")
        print("\n| model | layers | processor time | peak memory | with --verify | peak memory |\n| --- | --- | --- | --- | --- | --- |")
        for kind, count, layers in (("dense", 3, 3), ("dense", 16, 16), ("deep", 256, 256), ("heavy", gib, 1)):
            subprocess.run([python, "make.py", kind, str(count)], check=True, **options)
            size = (folder / f"{kind}.pt").stat().st_size / 2**20
            command = (kernels, "kernelize", f"{kind}.pt", "-o", "out.pt", "--device", "cpu", "--project", ".")
            seconds, memory, wall = measured(*command, **options)
            verified, most, wall_of_verified = measured(*command, "--verify", **options)
            print(f"| traced, {kind}, {size:.0f} MiB | {layers} | {seconds:.2f} s ({wall:.1f} s in all) | {memory:.0f} MiB | "
                  f"{verified:.2f} s ({wall_of_verified:.1f} s in all) | {most:.0f} MiB |", flush=True)
            for peak, how in ((memory, ""), (most, " with --verify")):
                if peak > size + 300:
                    wrong.append(f"{kind}, {size:.0f} MiB{how}: the peak memory is the model's size and {peak - size:.0f} MiB")
    finally:
        shutil.rmtree(folder)
    for problem in wrong:
        print(problem, file=sys.stderr)
    sys.exit(1 if wrong else 0)


main()
