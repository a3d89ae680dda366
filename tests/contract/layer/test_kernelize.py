"""The same question to both: what becomes of a layer when it is kernelized with this kernel?

Kernels are generated in folders and in a cache: good ones, ones that cannot be loaded, ones that break a rule for hub
layers, with all flags. Both clients kernelize one layer with each, in every mode, mapped with and without modes, the used one
and others, with every fallback setting. They must choose the same forward (seen in what it computes), or refuse for the same class of
reason. Where ours keeps a layer that the Python client refuses, that is on purpose, and DIFFERENCES says where.
"""

import itertools
import json
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

cache = tempfile.TemporaryDirectory(prefix="kernels-test-")
os.environ["HF_HUB_CACHE"] = f"{cache.name}/hub"  # both clients read it when they start
os.environ.pop("LOCAL_KERNELS", None)

from layer_probe import ask, mode  # noqa: E402

import torch  # noqa: E402
import torch.nn as nn  # noqa: E402
from kernels import KernelizeFallback, LocalLayerRepository, LockedLayerRepository, kernelize  # noqa: E402
from kernels import register_kernel_mapping, replace_kernel_forward_from_hub  # noqa: E402
from kernels.layer.globals import _KERNEL_MAPPING  # noqa: E402
from kernels.layer.layer import _CACHED_LAYER  # noqa: E402

VARIANT = "torch-cpu"
METADATA = {"name": "contract", "version": 1, "license": "Apache-2.0", "python-depends": [],
            "backend": {"type": "cpu"}}
USES = ["inference", "training", "inference|torch-compile", "training|torch-compile"]
# The modes of entries that serve a use, the exact one first, and one that serves it no more.
MAPPED = {
    "inference": ["inference", "training", "inference|torch-compile", "training|torch-compile"],
    "training": ["training", "training|torch-compile", "inference"],
    "inference|torch-compile": ["inference|torch-compile", "training|torch-compile", "training"],
    "training|torch-compile": ["training|torch-compile", "training"],
}
FALLBACKS = {"none": KernelizeFallback.NONE, "default": KernelizeFallback.DEFAULT, "all": KernelizeFallback.ALL}

# name: (parameters of the layer, its result)
ORIGINALS = {
    "one": ("self, x", "x + 1"),
    "two": ("self, x, y", "x + y"),
    "annotated": ("self, x: Tensor, y: Tensor", "x - y"),
    "keyword": ("self, x, *, y", "x + y"),
}
FORWARD = "    def forward({}):\n        return {}\n"
# name: (class body behind the flags, which originals it is tried with)
BODIES = {
    "one": (FORWARD.format("self, x", "x * 100"), "one"),
    "other-names": (FORWARD.format("self, input", "input * 100"), "one"),
    "annotated": (FORWARD.format("self, x: torch.Tensor", "x * 100"), "one"),
    "two": (FORWARD.format("self, a, b", "a * 100 + b"), "two annotated keyword"),
    "fewer": (FORWARD.format("self, x", "x * 100"), "two annotated"),
    "more": (FORWARD.format("self, x, y", "x * y"), "one"),
    "more-by-default": (FORWARD.format("self, x, y: float = 2.0", "x * y"), "one"),
    "further-keyword": (FORWARD.format("self, x, *, y=2.0", "x * y"), "one"),
    "further-eps": (FORWARD.format("self, x, eps: float = 1e-6", "x + eps"), "one"),
    "keyword-only": (FORWARD.format("self, *, x", "x * 100"), "one"),
    "keyword-only-second": (FORWARD.format("self, x, *, y", "x * 100 + y"), "two annotated keyword"),
    "positional-only": (FORWARD.format("self, x, /", "x * 100"), "one"),
    "constructor": ("    def __init__(self):\n        super().__init__()\n" + FORWARD.format("self, x", "x * 100"),
                    "one"),
    "state": ("    size = 3\n" + FORWARD.format("self, x", "x * 100"), "one"),
    "method": ("    def scaled(self, x):\n        return x * 100\n" + FORWARD.format("self, x", "self.scaled(x)"),
               "one"),
}
FLAGS = ["", "    has_backward = True\n    can_torch_compile = True\n", "    has_backward = False\n",
         "    can_torch_compile = True\n", "    has_backward = False\n    can_torch_compile = True\n"]
# How the client's errors begin or what they hold, our name for the class, and what our message holds.
CLASSES = [
    ("must not override nn.Module constructor", "constructor", ["has a constructor"]),
    ("must not contain additional members", "members", ["has the further member", "has the further method"]),
    ("different number of arguments", "count", ["argument, this one", "arguments, this one"]),
    ("different kind of arguments", "kind", ["by keyword only", "by position only"]),
    ("is not a Torch layer", "no-module", ["is no torch.nn.Module"]),
    ("does not support backward", "backward", ["has no backward"]),
    ("does not support torch.compile", "compile", ["cannot be used with torch.compile"]),
    ("No repository for", "no-mode", ["has no kernel for the mode"]),
    ("does not support mode", "flags", ["has no backward", "cannot be used with torch.compile"]),
    ("not found in kernel repo", "no-such-layer", ["there is no layer"]),
    ("does not define any layers", "no-layers", ["layers.py"]),
    ("invalid syntax", "syntax", ["layers.py:"]),
]
# Classes of reason with which the Python client refuses whatever the fallback is. Ours takes them as what they are, no
# kernel for this layer, so that a published kernel that breaks a rule does not end a model: DEFAULT covers what is
# known of the layer, ALL also what could not be loaded.
DIFFERENCES = {
    "default": {"constructor", "members", "count", "kind", "no-module", "backward", "compile"},
    "all": {"no-such-layer", "no-layers", "syntax"},
}


numbers = itertools.count()


def layers_of(kernels):
    return "import torch\nimport torch.nn as nn\n\n\n" + "\n\n".join(kernels)


def write_build(folder, layers):
    build = folder / "build" / VARIANT
    build.mkdir(parents=True)
    # Python keeps modules by their id; kernelize_probe registers the operators of these.
    (build / "metadata.json").write_text(json.dumps({"id": f"kernels_contract_{next(numbers)}", **METADATA}))
    (build / "__init__.py").write_text("from . import layers\n" if layers is not None else "")
    if layers is not None:
        (build / "layers.py").write_text(layers)
    return str(folder)


class Kernel:
    """A repository and a layer in it, with the text of its flags."""

    def __init__(self, repository, name, flags, originals, source):
        self.repository, self.name, self.flags, self.source = repository, name, flags, source
        self.originals = originals.split()

    def unfit_for(self, use, mapped):
        """The classes of reason by which the flags forbid a use, or the mode of the mapping's entry: beside another
        mistake either may be told first."""
        if self.name in ("Plain", "Absent"):
            return set()
        modes = f"{use}|{mapped}"
        backward = "training" in modes and "has_backward = False" in self.flags
        compiled = "torch-compile" in modes and "can_torch_compile = True" not in self.flags
        return {name for name, forbids in (("backward", backward), ("compile", compiled)) if forbids}

    def for_client(self):
        if "path" in self.repository:
            return LocalLayerRepository(Path(self.repository["path"]), layer_name=self.name)
        return LockedLayerRepository(self.repository["repo"], lockfile=Path(self.repository["lock"]),
                                     layer_name=self.name, trust_remote_code=False)


def generated_kernels(folder):
    classes, wanted = [], []
    for body_name, (body, originals) in BODIES.items():
        for number, flags in enumerate(FLAGS):
            name = f"{body_name.title().replace('-', '')}{number}"
            classes.append(f"class {name}(nn.Module):\n{flags}{body}")
            wanted.append((name, flags, originals))
    classes.append("class Plain:\n" + FORWARD.format("self, x", "x * 100"))
    wanted.append(("Plain", "", "one"))
    wanted.append(("Absent", "", "one"))

    local = {"path": write_build(folder / "local", layers_of(classes))}
    commit, absent = "1" * 40, "2" * 40
    lock = folder / "kernels.lock"
    lock.write_text(json.dumps([
        {"dependency": {"repo-id": repo, "version": 1}, "lock": {"commit": sha}}
        for repo, sha in (("kernels-community/here", commit), ("kernels-community/absent", absent))
    ]))
    snapshot = Path(os.environ["HF_HUB_CACHE"]) / "kernels--kernels-community--here" / "snapshots" / commit
    write_build(snapshot, layers_of(classes))
    locked = {"repo": "kernels-community/here", "lock": str(lock)}
    for name, flags, originals in wanted:
        yield Kernel(local, name, flags, originals, "local")
        yield Kernel(locked, name, flags, originals, "locked")

    good = layers_of(["class Good(nn.Module):\n" + FORWARD.format("self, x", "x * 100")])
    for case, layers in (("no-layers", None), ("syntax", good + "class (:\n")):
        yield Kernel({"path": write_build(folder / case, layers)}, "Good", "", "one", case)
    unfit = folder / "unfit"
    write_build(unfit, good)
    (unfit / "build" / VARIANT).rename(unfit / "build" / "torch29-cxx11-cpu-x86_64-linux")
    yield Kernel({"path": str(unfit)}, "Good", "", "one", "no build that fits")
    yield Kernel({"path": str(folder / "nowhere")}, "Good", "", "one", "no folder")
    yield Kernel({"repo": "kernels-community/absent", "lock": str(lock)}, "Good", "", "one", "not downloaded")
    yield Kernel({"repo": "kernels-community/other", "lock": str(lock)}, "Good", "", "one", "not locked")
    yield Kernel({"repo": "kernels-community/here", "lock": str(folder / "no.lock")}, "Good", "", "one", "no lock")


def inputs_of(original):
    """Positional and keyword arguments for the layer."""
    before, _, keyword = ORIGINALS[original][0].partition("*, ")
    count = before.count(",") - bool(keyword)
    values = [torch.full((1,), float(i)) for i in range(1, 3)]
    return values[:count], {keyword: values[count]} if keyword else {}


def flags_of(text):
    return mode(text.split("|"))


def original_class(name):
    parameters, result = ORIGINALS[name]
    scope = {"Tensor": torch.Tensor}
    exec(f"def forward({parameters}):\n    return {result}\n", scope)
    return type("Layer", (nn.Module,), {"forward": scope["forward"]})


def client_class(error, kernel):
    text = str(error)
    for part, name, _ in CLASSES:
        if part in text:
            return name
    if kernel.source == "not locked" and isinstance(error, ValueError):
        return "not-locked"
    if isinstance(error, FileNotFoundError):
        return "no-lock" if kernel.source == "no lock" else "cannot-load"
    raise AssertionError(f"the client has an error that this test does not know: {type(error)}: {text}") from error


def theirs(kernel, original, mapped, use, fallback):
    layer = original_class(original)
    replace_kernel_forward_from_hub(layer, "Layer")
    model = layer()
    inputs, named = inputs_of(original)
    _KERNEL_MAPPING.set({})
    try:
        repository = kernel.for_client()
        if len(kernel.originals) > 1:
            _CACHED_LAYER.pop(repository, None)  # what it has loaded it does not compare with another layer
        register_kernel_mapping({"Layer": {"cpu": repository if mapped is None else {flags_of(mapped): repository}}})
        kernelize(model, mode=flags_of(use), device="cpu", use_fallback=FALLBACKS[fallback])
    except Exception as error:  # of any kind: its class is what is compared
        return {"error": client_class(error, kernel)}
    return {"result": model(*inputs, **named).item(), "original": original_class(original)()(*inputs, **named).item()}


def our_classes(answer):
    """The classes of reason that our message speaks of."""
    text = answer.get("error") or answer["reason"]
    found = {name for _, name, parts in CLASSES if any(part in text for part in parts)}
    if answer.get("code") == "lock-stale" or ": not locked" in text:
        found.add("not-locked")
    if answer.get("code") in ("not-found", "no-build") or "no such folder" in text or "no build fits" in text:
        found.add("cannot-load")
    if "there is no lock file" in text:
        found.add("no-lock")
    return found


def compare(kernel, case, reference, ours, seen):
    original, mapped, use, fallback = case
    context = f"\n{kernel.repository} {kernel.name} {case}\nclient {reference}\nours   {ours}"
    if "error" not in reference:
        if reference["result"] != reference["original"]:
            assert ours.get("replaced") and ours["result"] == reference["result"], context
            if "path" in kernel.repository:
                assert ours["repo"].startswith(kernel.repository["path"]), context
            else:
                assert ours["repo"] == kernel.repository["repo"], context
            seen[kernel.source, "replaced"] += 1
        else:
            assert ours.get("replaced") is False and ours["result"] == reference["original"], context
            seen["kept", fallback] += 1
        return
    reason = reference["error"]
    assert our_classes(ours) & ({reason} | kernel.unfit_for(use, mapped)), context
    inputs, named = inputs_of(original)
    plain = original_class(original)()(*inputs, **named)
    assert ours["result"] == plain.item(), context  # as it was
    if reason in our_classes(ours):
        seen[reason, "the same reason"] += 1
    covered = (DIFFERENCES["default"] if fallback != "none" else set()) | (DIFFERENCES["all"] if fallback == "all" else set())
    assert ("error" in ours) == (reason not in covered), context
    seen[reason, "error" if "error" in ours else "kept by ours alone"] += 1


def main():
    seen = Counter()
    with tempfile.TemporaryDirectory(prefix="kernels-test-") as folder:
        cases = []
        for kernel in generated_kernels(Path(folder)):
            for original in kernel.originals:
                for use in USES:
                    for mapped in (None, *MAPPED[use]):
                        cases += [(kernel, (original, mapped, use, fallback)) for fallback in FALLBACKS]
        questions = []
        for kernel, (original, mapped, use, fallback) in cases:
            parameters, result = ORIGINALS[original]
            questions.append({"original": f"def forward({parameters}):\n    return {result}\n", "repository": kernel.repository,
                              "name": kernel.name, "mapped": mapped, "mode": use, "fallback": fallback,
                              "inputs": sum(map(len, inputs_of(original)))})
        answers = ask(questions, variable="KERNELS_KERNELIZE_PROBE")
        for (kernel, case), ours in zip(cases, answers):
            compare(kernel, case, theirs(kernel, *case), ours, seen)
    for key, number in sorted(seen.items()):
        print(f"{number:6} {', '.join(key)}")
    # Every class is reached, those that ours alone keeps both ways.
    expected = {(reason, "error") for _, reason, _ in CLASSES} | {(name, "error") for name in ("cannot-load", "no-lock", "not-locked")}
    expected |= {(reason, "the same reason") for _, reason, _ in CLASSES}
    expected |= {(reason, "kept by ours alone") for reasons in DIFFERENCES.values() for reason in reasons}
    expected |= {("local", "replaced"), ("locked", "replaced"), ("kept", "default"), ("kept", "all")}
    few = {key: seen[key] for key in expected if seen[key] < 2}
    assert not few, f"hardly ever reached: {few}"
    print(f"{len(cases)} layers kernelized alike")


if __name__ == "__main__":
    sys.exit(main())
