"""Our client beside the Python one, in the same run: medians of whole commands, and their ratio.

Usage: bench.py BUILD PEER-PYTHON [RUNS [PART...]]   (BUILD: build/release; PEER-PYTHON has kernels and huggingface_hub;
parts: demo, variants, many, large; all without one)
"""

import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

build = pathlib.Path(sys.argv[1]).resolve()
python = sys.argv[2]
runs = int(sys.argv[3]) if len(sys.argv) > 3 else 7
parts = sys.argv[4:] or ["demo", "variants", "many", "large"]
kernels = build / "apps" / "kernels" / "kernels"
peer = [python, "-c", "import sys\nfrom kernels.cli import main\nsys.argv[0] = 'kernels'\nsys.exit(main())"]
work = pathlib.Path(tempfile.mkdtemp(prefix="kernels-bench-"))
project = work / "project"
shutil.copytree(pathlib.Path(__file__).resolve().parents[2] / "examples" / "project", project)


def median(command, environment, prepare=lambda: None):
    times = []
    for _ in range(runs + 1):
        prepare()
        start = time.perf_counter()
        done = subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True)
        times.append(time.perf_counter() - start)
        if done.returncode != 0:
            sys.exit(f"{command}: {done.stderr}")
    return statistics.median(times[1:])


def compare(name, arguments, environment, cold=False):
    prepare = (lambda: shutil.rmtree(environment["HF_HOME"], ignore_errors=True)) if cold else (lambda: None)
    ours = median([kernels, *arguments], environment, prepare)
    theirs = median([*peer, *arguments], environment, prepare)
    print(f"| {name} | {ours * 1000:.1f} ms | {theirs * 1000:.0f} ms | {theirs / ours:.0f} |", flush=True)


def serve(folder, latency=0, *options):
    hub = subprocess.Popen([build / "apps" / "kernels-hub" / "kernels-hub", folder, "--latency", str(latency), *options],
                           stdout=subprocess.PIPE, text=True)
    return hub, hub.stdout.readline().strip()


def publish(hub, repo, sizes, variant="torch-cpu"):
    """A version 1 with one build, by default a Python-only one that any machine can use; `sizes` of its other files."""
    folder = hub / repo / "v1" / "build" / variant
    folder.mkdir(parents=True)
    name = repo.split("/")[1].replace("-", "_")
    (folder / "metadata.json").write_text(json.dumps({
        "id": f"_{name}_{len(variant)}_abc1234", "name": name.replace("_", "-"), "version": 1, "license": "MIT", "python-depends": [],
        "upstream": f"https://example.org/{variant}", "backend": {"type": "cuda" if "-cu" in variant else "cpu"}}))
    for number, size in enumerate(sizes):
        with open(folder / (f"_part{number}.abi3.so" if size > 100_000 else f"part{number}.py"), "wb") as file:
            for at in range(0, size, 1 << 20):
                file.write(random.randbytes(min(1 << 20, size - at)))


def project_of(name, repos):
    folder = work / name
    folder.mkdir()
    (folder / "pyproject.toml").write_text("[tool.kernels.dependencies]\n" + "".join(f'"{repo}" = 1\n' for repo in repos))
    return folder


def many_variants(environment):
    """3 kernels of 13 builds: what `lock` reads is the metadata.json of each."""
    hub, repos = work / "variants-hub", [f"bench/wide-{number}" for number in range(3)]
    variants = ["torch-cpu"] + [f"torch{torch}-cxx11-cu{cuda}-{cpu}-linux" for torch in (211, 212, 213) for cuda in (126, 128)
                                for cpu in ("x86_64", "aarch64")]
    for repo in repos:
        for variant in variants:
            publish(hub, repo, [5000, 200], variant)
    folder = project_of("variants", repos)
    for latency in (0, 80):
        process, environment["HF_ENDPOINT"] = serve(hub, latency)
        try:
            compare(f"lock of 3 kernels x {len(variants)} builds, {latency} ms latency", ["lock", folder], environment, cold=True)
        finally:
            process.terminate()
            process.wait()


def many_kernels(environment):
    """20 kernels of 7 files: 6 sources and a library of 2 MiB."""
    hub, repos = work / "many-hub", [f"bench/kernel-{number}" for number in range(20)]
    for repo in repos:
        publish(hub, repo, [2 << 20, *[4000 + 100 * number for number in range(5)]])
    folder = project_of("many", repos)
    for latency in (0, 80):
        process, environment["HF_ENDPOINT"] = serve(hub, latency)
        try:
            compare(f"lock of 20 kernels, {latency} ms latency", ["lock", folder], environment, cold=True)
            compare(f"download of 20 kernels x 7 files, {latency} ms latency", ["download", folder], environment, cold=True)
        finally:
            process.terminate()
            process.wait()


def one_large_file(environment):
    """1 GiB, against the Python client and against curl, which neither hashes nor syncs; with the most memory used. From
    loopback, where hashing and the server take the processors from each other, and at the rate of a line of 1 Gbit/s."""
    hub = work / "large-hub"
    publish(hub, "bench/large", [1 << 30])
    folder = project_of("large", ["bench/large"])
    large_from(environment, "1 GiB file", folder, serve(hub))
    large_from(environment, "1 GiB file at 1 Gbit/s", folder, serve(hub, 0, "--fault", "slow=125000000:*_part0*"))


def large_from(environment, title, folder, server):
    process, environment["HF_ENDPOINT"] = server
    try:
        subprocess.run([kernels, "lock", "-q", folder], env=environment, check=True)
        url = environment["HF_ENDPOINT"] + "/kernels/bench/large/resolve/v1/build/torch-cpu/_part0.abi3.so"
        out = work / "out"
        commands = {"kernels": [kernels, "download", "-q", folder], "curl": ["curl", "-sLo", out, url],
                    "curl and sync": ["sh", "-c", f"curl -sLo {out} {url} && sync {out}"],
                    "Python client": [*peer, "download", folder]}
        times, memory = {name: [] for name in commands}, {}
        for _ in range(runs + 1):  # in turns, so that a slow moment of the disk meets all
            for name, command in commands.items():
                shutil.rmtree(environment["HF_HOME"], ignore_errors=True)
                out.unlink(missing_ok=True)
                os.sync()
                start = time.perf_counter()
                child = subprocess.Popen([*map(str, command)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                _, status, usage = os.wait4(child.pid, 0)
                times[name].append(time.perf_counter() - start)
                memory[name] = usage.ru_maxrss / 1024
                if status:
                    sys.exit(f"{name}: failed")
        ours = statistics.median(times["kernels"][1:])
        for name in commands:
            median_time = statistics.median(times[name][1:])
            print(f"| {title}, {name} | {ours * 1000:.0f} ms, {memory['kernels']:.0f} MiB | "
                  f"{median_time * 1000:.0f} ms, {memory[name]:.0f} MiB | {median_time / ours:.2f} |", flush=True)
    finally:
        process.terminate()
        process.wait()


def main():
    torch = subprocess.run([python, "-c", "import torch, os; print(os.path.dirname(torch.__file__))"], capture_output=True,
                           text=True, check=True).stdout.strip()
    environment = {"PATH": os.environ["PATH"], "HOME": str(work), "HF_HOME": str(work / "hf"), "KERNELS_TORCH": torch}
    version = median([kernels, "--version"], environment)
    print(f"kernels --version: {version * 1000:.1f} ms\n")
    print("| command | kernels | Python client | ratio |\n| --- | --- | --- | --- |")
    if "demo" in parts:
        compare("--help", ["--help"], environment)
    for latency in (0, 80) if "demo" in parts else ():
        hub, environment["HF_ENDPOINT"] = serve(build / "examples" / "demo-hub", latency)
        try:
            compare(f"lock, cold cache, {latency} ms latency", ["lock", project], environment, cold=True)
            compare(f"lock, warm cache, {latency} ms latency", ["lock", project], environment)
            compare(f"download, {latency} ms latency", ["download", project], environment, cold=True)
            compare(f"download of what is there, {latency} ms latency", ["download", project], environment)
        finally:
            hub.terminate()
            hub.wait()
    for name, part in (("variants", many_variants), ("many", many_kernels), ("large", one_large_file)):
        if name in parts:
            part(environment)
    load = os.getloadavg()
    print(f"\n{time.strftime('%Y-%m-%d')}, {os.cpu_count()} processors, load {load[1]:.1f}, {runs} runs")


try:
    main()
finally:
    shutil.rmtree(work, ignore_errors=True)
