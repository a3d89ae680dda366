"""Kernelized models beside the Python client's, in the same run: what a layer costs, whole models, whole processes.

Usage: bench_kernelize.py BUILD PEER-PYTHON      (BUILD: build/release with the target layer_cost)
Exit status 1 when a replaced layer costs more than 1000 ns beside its operator.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

if len(sys.argv) != 3:
    sys.exit("usage: bench_kernelize.py BUILD PEER-PYTHON")
build = pathlib.Path(sys.argv[1]).resolve()
python = sys.argv[2]
kernels = build / "apps" / "kernels" / "kernels"
work = pathlib.Path(tempfile.mkdtemp(prefix="kernels-bench-"))
repository = build / "examples" / "demo-hub" / "kernels-demo" / "transformer-ops" / "v2"
environment = {**os.environ, "LOCAL_KERNELS": f"kernels-demo/transformer-ops={repository}", "HOME": str(work),
               "KERNELS_TORCH_BIN": str(build / "apps" / "kernels-torch" / "kernels-torch")}
layer_cost = build / "tests" / "bench" / "layer_cost"
for part, target in ((layer_cost, "layer_cost"), (kernels, "kernels_cli"),
                     (build / "apps" / "kernels-torch" / "kernels-torch", "kernels_torch_app"),
                     (repository, "demo_hub")):
    if not part.exists():
        sys.exit(f"{part} is not built: cmake --build {build} --target {target}")
LAYERS = 100
LIMIT = 1000  # nanoseconds that a layer may cost more than its operator alone

MODELS = '''
import sys, torch, torch.nn as nn, torch.nn.functional as F

class RMSNorm(nn.Module):
    def __init__(self, size=32):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.variance_epsilon = 1e-6
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = x.to(torch.float32)
        return self.weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)).to(x.dtype)

class ReLU(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x)

class SiluAndMul(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        d = x.shape[-1] // 2
        return F.silu(x[..., :d]) * x[..., d:]

class Block(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.norm, self.up, self.activation = RMSNorm(size), nn.Linear(size, 4 * size), SiluAndMul()
        self.down = nn.Linear(2 * size, size)
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(self.activation(self.up(self.norm(x))))

def model(name):
    torch.manual_seed(0)
    if name == "relu":
        return nn.Sequential(*(ReLU() for _ in range(100))).eval()
    if name == "norm":
        return nn.Sequential(*(RMSNorm() for _ in range(100))).eval()
    size, blocks = {"small": (64, 8), "large": (512, 8)}[name]
    return nn.Sequential(*(Block(size) for _ in range(blocks))).eval()
'''

SAVE = MODELS + '''
for name in ("relu", "norm", "small", "large"):
    torch.jit.script(model(name)).save(f"{name}.pt")
'''

# The Python client: the same kernels, eager. `layers` are replaced; milliseconds of a forward when an input is given.
PEER = MODELS + '''
import pathlib, statistics, time
from kernels import LocalLayerRepository, Mode, kernelize, register_kernel_mapping, replace_kernel_forward_from_hub
repository, name, shape = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
torch.set_num_threads(1)
for cls in (RMSNorm, ReLU, SiluAndMul):
    replace_kernel_forward_from_hub(cls, cls.__name__)
register_kernel_mapping({cls.__name__: {"cpu": LocalLayerRepository(repo_path=repository, layer_name=cls.__name__)}
                         for cls in (RMSNorm, ReLU, SiluAndMul)})
built = kernelize(model(name), mode=Mode.INFERENCE, device="cpu", use_fallback=False)
if shape != "-":
    x = torch.randn(*map(int, shape.split(",")))
    with torch.inference_mode():
        for _ in range(20): built(x)
        best = []
        for _ in range(20):  # the smallest of many medians, as in layer_cost
            times = []
            for _ in range(30):
                start = time.perf_counter()
                built(x)
                times.append(time.perf_counter() - start)
            best.append(statistics.median(times))
    print(min(best) * 1000)
'''


def run(*command):
    """Output, seconds and peak memory (MiB) of a process."""
    start = time.perf_counter()
    process = subprocess.Popen([*map(str, command)], cwd=work, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True)
    out = process.stdout.read()
    err = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status != 0:
        sys.exit(f"{command}: {out}{err}")
    return out, seconds, usage.ru_maxrss / 1024


def kernelize(name):
    mapped = [f"--layer={layer}=kernels-demo/transformer-ops:{layer}" for layer in ("RMSNorm", "ReLU", "SiluAndMul")]
    return run(kernels, "kernelize", f"{name}.pt", "-o", f"{name}.k.pt", "--device", "cpu", *mapped)


def peer(name, shape="-"):
    return run(python, "peer.py", repository, name, shape)


(work / "save.py").write_text(SAVE)
(work / "peer.py").write_text(PEER)
run(python, "save.py")
namespace = json.loads(next(repository.rglob("metadata.json")).read_text())["id"]
for other in repository.rglob("metadata.json"):
    if "-cpu-" in other.parent.name:
        namespace = json.loads(other.read_text())["id"]

too_slow = []
print("| nanoseconds a layer | in the model | in the frozen model | its operator alone | more |\n| --- | --- | --- | --- | --- |")
for name, op in (("relu", "relu"), ("norm", "rms_norm")):
    kernelize(name)
    cost = json.loads(run(layer_cost, "--chain", f"{name}.k.pt", f"{namespace}::{op}", LAYERS)[0])
    print(f"| {op} | {cost['layer']} | {cost['frozen']} | {cost['direct']} | {cost['layer'] - cost['direct']} |")
    if cost["layer"] - cost["direct"] > LIMIT:
        too_slow.append(op)

print("\n| forward | kernelized TorchScript | Python client, eager | ratio |\n| --- | --- | --- | --- |")
for name, shape in (("norm", "1,32"), ("small", "1,16,64"), ("large", "1,64,512")):
    kernelize(name)
    ours = float(run(layer_cost, f"{name}.k.pt", *shape.split(","))[0])
    theirs = float(peer(name, shape)[0].splitlines()[-1])
    print(f"| {name} [{shape}] | {ours:.3f} ms | {theirs:.3f} ms | {theirs / ours:.2f} |")

print("\n| whole process | kernels kernelize | Python: import and kernelize | ratio |\n| --- | --- | --- | --- |")
for name in ("small", "large"):
    ours = [kernelize(name) for _ in range(5)]
    theirs = [peer(name) for _ in range(5)]
    for what, at, unit, scale in (("time", 1, "ms", 1000), ("peak memory", 2, "MiB", 1)):
        mine, other = (statistics.median(row[at] for row in rows) * scale for rows in (ours, theirs))
        print(f"| {name}, {what} | {mine:.0f} {unit} | {other:.0f} {unit} | {other / mine:.1f} |")

if too_slow:
    sys.exit(f"more than {LIMIT} ns beside the operator: {', '.join(too_slow)}")
