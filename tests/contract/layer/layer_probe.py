"""Asks the probe executable named by KERNELS_LAYER_PROBE, and makes the Python client's objects from the same documents."""

import json
import logging
import os
import subprocess
import sys
from functools import reduce
from pathlib import Path

SKIP = 77
os.environ["HF_HUB_OFFLINE"] = "1"  # nothing here may ask the Hub
try:
    import kernels
    from kernels import CUDAProperties, Device, Mode, ROCMProperties
except ImportError as error:
    print(f"skipped: the Python client is not installed ({error})")
    sys.exit(SKIP)
logging.disable(logging.CRITICAL)  # its deprecation warnings, one for every function repository

MODES = {
    "inference": Mode.INFERENCE,
    "training": Mode.TRAINING,
    "torch-compile": Mode.TORCH_COMPILE,
    "fallback": Mode.FALLBACK,
}


def ask(questions, variable="KERNELS_LAYER_PROBE"):
    """The answers to `questions`, in order, of the probe that `variable` names."""
    probe = os.environ.get(variable)
    if not probe:
        print(f"skipped: {variable} does not name the probe executable")
        sys.exit(SKIP)
    lines = "".join(json.dumps(question) + "\n" for question in questions)
    done = subprocess.run([probe], input=lines, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"the probe failed: {done.stderr}")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(questions), (len(answers), len(questions))
    return answers


def mode(flags):
    return reduce(lambda left, right: left | right, [MODES[flag] for flag in flags])


def mode_text(mode):
    return "|".join(name for name in ["fallback", "inference", "training", "torch-compile"] if MODES[name] in mode)


def device(document):
    if "properties" not in document:
        return document["type"] if document.get("plain") else Device(type=document["type"])
    make = CUDAProperties if document["properties"] == "cuda" else ROCMProperties
    properties = make(min_capability=document["min"], max_capability=document["max"])
    return Device(type=document["type"], properties=properties)


def repository(document):
    kind = "Func" if document["function"] else "Layer"
    name = {"func_name" if document["function"] else "layer_name": document["name"]}
    if document["source"] == "local":
        return getattr(kernels, f"Local{kind}Repository")(Path(document["path"]), **name)
    trust = {"trust_remote_code": document["trust"]}
    if document["source"] == "locked":
        make = getattr(kernels, f"Locked{kind}Repository")
        return make(document["repo"], lockfile=Path(document["lock"]), **name, **trust)
    reference = {key: document[key] for key in ("version", "revision") if key in document}
    return getattr(kernels, f"{kind}Repository")(document["repo"], **reference, **name, **trust)
