"""Asks the probe executable named by KERNELS_LAYER_PROBE, and makes the Python client's objects from the same documents."""

import functools
import logging
import os
from pathlib import Path

import probe
from kernels_hub import skip

os.environ["HF_HUB_OFFLINE"] = "1"  # nothing here may ask the Hub
try:
    import kernels
    from kernels import CUDAProperties, Device, Mode, ROCMProperties
except ImportError as error:
    skip(f"the Python client is not installed ({error})")
logging.disable(logging.CRITICAL)  # its deprecation warnings, one for every function repository

MODES = {
    "inference": Mode.INFERENCE,
    "training": Mode.TRAINING,
    "torch-compile": Mode.TORCH_COMPILE,
    "fallback": Mode.FALLBACK,
}


ask = functools.partial(probe.ask, variable="KERNELS_LAYER_PROBE")


def mode(flags):
    return functools.reduce(lambda left, right: left | right, [MODES[flag] for flag in flags])


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
