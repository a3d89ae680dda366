"""Our client beside the Python one, in the same run: medians of whole commands, and their ratio.

Usage: bench.py BUILD PEER-PYTHON [RUNS]      (BUILD: build/release; PEER-PYTHON has kernels and huggingface_hub)
"""

import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

build = pathlib.Path(sys.argv[1]).resolve()
python = sys.argv[2]
runs = int(sys.argv[3]) if len(sys.argv) > 3 else 7
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
    print(f"| {name} | {ours * 1000:.1f} ms | {theirs * 1000:.0f} ms | {theirs / ours:.0f} |")


def main():
    torch = subprocess.run([python, "-c", "import torch, os; print(os.path.dirname(torch.__file__))"], capture_output=True,
                           text=True, check=True).stdout.strip()
    environment = {"PATH": os.environ["PATH"], "HOME": str(work), "HF_HOME": str(work / "hf"), "KERNELS_TORCH": torch}
    version = median([kernels, "--version"], environment)
    print(f"kernels --version: {version * 1000:.1f} ms\n")
    print("| command | kernels | Python client | ratio |\n| --- | --- | --- | --- |")
    compare("--help", ["--help"], environment)
    for latency in (0, 80):
        hub = subprocess.Popen([build / "apps" / "kernels-hub" / "kernels-hub", build / "examples" / "demo-hub",
                                "--latency", str(latency)], stdout=subprocess.PIPE, text=True)
        try:
            environment["HF_ENDPOINT"] = hub.stdout.readline().strip()
            compare(f"lock, cold cache, {latency} ms latency", ["lock", project], environment, cold=True)
            compare(f"lock, warm cache, {latency} ms latency", ["lock", project], environment)
            compare(f"download, {latency} ms latency", ["download", project], environment, cold=True)
            compare(f"download of what is there, {latency} ms latency", ["download", project], environment)
        finally:
            hub.terminate()
            hub.wait()


try:
    main()
finally:
    shutil.rmtree(work, ignore_errors=True)
