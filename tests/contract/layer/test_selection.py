"""The same question to both: which repository does a layer get?

Generated scripts with a fixed seed: mappings are registered and scopes entered, extending or replacing, and in between
layers are asked for, on a device with a capability, in a mode, with a fallback setting. The reference is the Python
client's own kernelize(), of which only the capability of the device and the loading of what was chosen are replaced.
"""

import random
from collections import Counter

import layer_probe
from layer_probe import ask, device, mode, mode_text, repository

import torch.nn as nn  # noqa: E402
from kernels import KernelizeFallback, kernelize, register_kernel_mapping, replace_kernel_forward_from_hub
from kernels import use_kernel_mapping
from kernels.layer import layer as layer_module
from kernels.layer import repos as repos_module
from kernels.layer.globals import _KERNEL_MAPPING

SCRIPTS = 900
SEED = 20261125
LAYERS = ["Norm", "Gate", "Attention"]
DEVICES = ["cpu", "cuda", "mps", "npu", "rocm", "xpu", "neuron", "tpu"]
CAPABILITIES = [70, 75, 80, 86, 89, 90, 94, 100]
USES = [["inference"], ["training"], ["inference", "torch-compile"], ["torch-compile", "training"]]
FALLBACKS = {
    "none": KernelizeFallback.NONE,
    "default": KernelizeFallback.DEFAULT,
    "all": KernelizeFallback.ALL,
    "no-layer": KernelizeFallback.NO_LAYER,
    "no-device|no-mode": KernelizeFallback.NO_DEVICE | KernelizeFallback.NO_COMPATIBLE_MODE,
    "no-properties": KernelizeFallback.NO_COMPATIBLE_PROPERTIES,
}
# How the client's errors begin or what they hold, and our name for the class, with what our message holds.
ERRORS = [
    ("mutually exclusive", "mode-pair", "exclude each other"),
    ("FALLBACK cannot be combined", "mode-fallback", "combines with no other"),
    ("FALLBACK can only be used", "mode-use", "no model is used in it"),
    ("kernelize mode must contain", "mode-use", "needs inference or training"),
    ("Unsupported device type", "device", "is no device"),
    ("Unknown device type", "device", "is no device"),
    ("must be <=", "range", "is greater than max_capability"),
    ("is only supported for", "properties", "they are no properties of"),
    ("with the right properties", "no-properties", None),
    ("with device type", "no-device", None),
    ("No layer mapping for", "no-layer", None),
    ("No repository for", "no-mode", None),
]
# What the client takes and we refuse: a mode that no use of a model ever looks for, capabilities below zero.
OURS_ALONE = {"needs inference or training beside it": "unusable-mode", "is negative": "negative"}


class NoDevice(Exception):
    """Stands for what torch raises without a device."""


class Script:
    """One script's documents; names are numbered, so that a greater number is a later registration."""

    def __init__(self, generator, number):
        self.random = generator
        self.number = number
        self.names = 0
        self.steps = []
        # One kind of device in most scripts, so that mappings meet; one place in a few, so that they collide.
        self.devices = generator.choices(DEVICES, [2, 6, 1, 1, 5, 1, 1, 1], k=2)
        self.layers = generator.sample(LAYERS, generator.randint(1, 2))
        self.capabilities = CAPABILITIES
        self.sizes = [1, 1, 2, 3, 5, 8]
        if generator.random() < 0.2:  # one place with many intervals of few ends
            self.devices = [generator.choice(["cuda", "rocm"])]
            self.layers = self.layers[:1]
            self.capabilities = generator.choice([[70, 75, 80, 85], [80, 86, 89, 90, 94]])
            self.sizes = [4, 6, 9]
        self.careless = generator.random() < 0.25
        self.mistakes = 0

    def mistake(self, likelihood):
        """Whether to make one: one at most in a mapping or query, since which of two is told first is no contract."""
        made = self.careless and not self.mistakes and self.random.random() < likelihood
        self.mistakes += made
        return made

    def repository(self):
        self.names += 1
        document = {
            "name": f"n{self.names}",
            "function": self.random.random() < 0.2,
            "source": self.random.choice(["hub", "hub", "local"]),
            "repo": "some/kernel",
            "path": "kernel",
            "trust": self.random.choice([False, True, ["some/kernel"]]),
        }
        # No version: the client asks the Hub for its commit, only to log what it chose.
        return document | {"revision": "main"}

    def device(self):
        if self.mistake(0.1):
            return self.random.choice(
                [
                    {"type": "gpu"},
                    {"type": "cuda", "properties": "cuda", "min": 90, "max": 75},
                    {"type": "rocm", "properties": "rocm", "min": 90, "max": 89},
                    {"type": "rocm", "properties": "cuda", "min": 75, "max": 90},
                    {"type": "cuda", "properties": "rocm", "min": 75, "max": 90},
                    {"type": "cpu", "properties": "cuda", "min": 75, "max": 90},
                    {"type": "cuda", "properties": "cuda", "min": -1, "max": 90},
                ]
            )
        kind = self.random.choice(self.devices)
        if kind not in ("cuda", "rocm") or self.random.random() < 0.25:
            return {"type": kind, "plain": self.random.random() < 0.5}
        least, most = sorted(self.random.choices(self.capabilities, k=2))
        if self.random.random() < 0.1:
            least = 0
        return {"type": kind, "properties": kind, "min": least, "max": most}

    def mode(self, for_mapping):
        if self.mistake(0.15):
            return self.random.choice(
                [["inference", "training"], ["fallback", "inference"], ["torch-compile"], ["training", "fallback"]]
                + ([["fallback"]] if not for_mapping else [])
            )
        return self.random.choice(USES + [["fallback"]] * for_mapping)

    def mapping(self):
        """Entries in the order that a dict of them has: a key that comes again keeps its first place."""
        self.mistakes = 0
        by_layer = {}
        for _ in range(self.random.choice(self.sizes)):
            document = self.device()
            key = tuple(sorted(document.items()))
            modes = None
            if self.random.random() < 0.6:
                modes = {}
                for _ in range(self.random.randint(1, 4)):
                    flags = self.mode(True)
                    modes[tuple(sorted(flags))] = flags
            by_layer.setdefault(self.random.choice(self.layers), {})[key] = (document, modes)
        entries = []
        for name, places in by_layer.items():
            for document, modes in places.values():
                entry = {"layer": name, "device": document}
                if modes is None:
                    entry["repository"] = self.repository()
                else:
                    entry["modes"] = [[flags, self.repository()] for flags in modes.values()]
                entries.append(entry)
        return entries

    def query(self):
        self.mistakes = 0
        kind = self.random.choice(self.devices) if self.random.random() < 0.85 else self.random.choice(DEVICES)
        if self.mistake(0.1):
            kind = self.random.choice(["gpu", "cuda:0", ""])
        capability = self.random.choice(self.capabilities) + self.random.choice([0, 0, 0, -1, 1])
        return {
            "step": "query",
            "layer": self.random.choice(self.layers if self.random.random() < 0.9 else LAYERS),
            "device": kind,
            "capability": None if self.random.random() < 0.1 else capability,
            "mode": self.mode(False),
            "fallback": self.random.choice([True, False, *FALLBACKS]),
        }

    def generate(self):
        depth = 0
        for _ in range(self.random.randint(2, 7)):
            kind = self.random.choices(["register", "enter", "leave"], [4, 4, 3 if depth else 0])[0]
            if kind == "leave":
                self.steps.append({"step": "leave"})
                depth -= 1
            else:
                inherit = self.random.random() < 0.75
                self.steps.append({"step": kind, "mapping": self.mapping(), "inherit": inherit})
                depth += kind == "enter"
            self.steps += [self.query() for _ in range(self.random.randint(0, 3))]
        return self.steps


def error_class(text):
    for part, name, _ in ERRORS:
        if part in text:
            return name
    raise AssertionError(f"the client has an error that this test does not know: {text}")


def client_mapping(entries):
    result = {}
    for entry in entries:
        if "repository" in entry:
            value = repository(entry["repository"])
        else:
            value = {mode(flags): repository(one) for flags, one in entry["modes"]}
        result.setdefault(entry["layer"], {})[device(entry["device"])] = value
    return result


class Client:
    """Plays a script with the Python client."""

    def __init__(self):
        self.chosen = None
        self.capability = None
        repos_module._find_capability = self.find_capability
        layer_module._get_layer_memoize = self.load
        layer_module._validate_layer_has_mode = self.note_mode

    def find_capability(self):
        if self.capability is None:
            raise NoDevice
        return self.capability

    def load(self, repo, module_class):
        self.chosen = {"chosen": getattr(repo, "layer_name", None) or repo.func_name}
        return module_class  # its own forward: nothing is replaced, and both flags can be set on it

    def note_mode(self, *, repo_mode, **_):
        self.chosen["mode"] = mode_text(repo_mode)

    def kernelize(self, step, fallback):
        class Layer(nn.Module):
            can_torch_compile = True

            def forward(self, x):
                return x

        replace_kernel_forward_from_hub(Layer, step["layer"])
        self.chosen = None
        self.capability = step["capability"]
        try:
            kernelize(Layer(), mode=mode(step["mode"]), device=step["device"], use_fallback=fallback)
        except NoDevice:
            return {"no_device": True}
        except ValueError as error:
            return {"error": error_class(str(error))}
        return self.chosen or {"kept": True}

    def query(self, step):
        fallback = step["fallback"]
        fallback = fallback if isinstance(fallback, bool) else FALLBACKS[fallback]
        answer = self.kernelize(step, fallback)
        if answer.get("error", "").startswith("no-"):
            return {"reason": answer["error"], "kept": False}
        if "kept" in answer:
            return {"reason": self.kernelize(step, False)["error"], "kept": True}
        return answer

    def play(self, steps, on_query):
        """Gives (step, answer, on_query(step) in the state that the query saw) for queries and what was refused."""
        _KERNEL_MAPPING.set({})
        answers = []
        scopes = []
        for step in steps:
            if step["step"] == "leave":
                scopes.pop().__exit__(None, None, None)
            elif step["step"] == "query":
                answers.append((step, self.query(step), on_query(step)))
            else:
                try:
                    mapping = client_mapping(step["mapping"])
                    if step["step"] == "register":
                        register_kernel_mapping(mapping, inherit_mapping=step["inherit"])
                    else:
                        scope = use_kernel_mapping(mapping, inherit_mapping=step["inherit"])
                        scope.__enter__()
                        scopes.append(scope)
                except Exception as error:
                    # A registration that failed leaves the client's mapping half changed: the script ends here.
                    answers.append((step, {"error": error_class(str(error))}, None))
                    break
        while scopes:
            scopes.pop().__exit__(None, None, None)
        return answers


def nodes(node):
    return [] if node is None else nodes(node.left) + [node] + nodes(node.right)


def undecided(step):
    """Where the client's own choice is an accident: what the rule must give, by the state of its interval tree.

    Of equally small intervals it takes the one whose dict lies lower in memory. And its tree can hold one interval
    twice: after a rotation an equal start may lie on the left, where insertion does not look for it.
    """
    places = (_KERNEL_MAPPING.get().get(step["layer"]) or {}).get(step["device"])
    tree = getattr(places, "repos_by_capability", None)
    if tree is None or step["capability"] is None:
        return None
    latest = {}
    fitting = [node for node in nodes(tree.root) if node.start <= step["capability"] <= node.end]
    for node in fitting:
        age = max(int(name_of(repo)[1:]) for repo in node.data.values())
        place = (node.start, node.end)
        if place not in latest or age > latest[place][0]:
            latest[place] = (age, node.data)
    if not latest:
        return None
    width = min(end - start for start, end in latest)
    smallest = [place for place in latest if place[1] - place[0] == width]
    twice = sum(node.end - node.start == width for node in fitting) > len(smallest)
    if len(smallest) == 1 and not twice:
        return None
    return "twice" if twice else "tie", latest[max(smallest)][1]


def name_of(repo):
    return getattr(repo, "layer_name", None) or repo.func_name


def choice_among(repositories, wanted):
    found = repos_module._select_repository(repositories, mode=wanted)
    return {"reason": "no-mode"} if found is None else {"chosen": name_of(found[0]), "mode": mode_text(found[1])}


def our_class(text):
    for _, name, part in ERRORS:
        if part is not None and part in text:
            return name
    return None


def compare(step, theirs, accident, ours, seen):
    context = f"\n{step}\nclient {theirs} {accident}\nours   {ours}"
    if "error" in ours:
        assert our_class(ours["error"]) == theirs.get("error"), context
        seen[theirs["error"]] += 1
    elif "no_device" in theirs:
        # The client cannot go on without a device; we take what is for every device of the type, and nothing else.
        assert "chosen" in ours or ours["reason"] in ("no-properties", "no-mode"), context
        seen["unknown-capability"] += 1
    elif accident is not None:
        kind, repositories = accident
        expected = choice_among(repositories, mode(step["mode"]))
        assert {key: ours.get(key) for key in expected} == expected, context
        seen[kind] += 1
        seen[f"{kind}, the client differs"] += {key: theirs.get(key) for key in expected} != expected
    else:
        assert ours == theirs, context
        seen["chosen" if "chosen" in ours else f"{ours['reason']}, {'kept' if ours['kept'] else 'error'}"] += 1


def refused_alone(ours):
    """Why we refuse on purpose a registration that the client takes."""
    if "registering" not in ours:
        return None
    return next((name for part, name in OURS_ALONE.items() if part in ours["error"]), None)


def main():
    generator = random.Random(SEED)
    scripts = [Script(generator, number).generate() for number in range(SCRIPTS)]
    answers = ask([{"ask": "script", "steps": steps} for steps in scripts])
    client = Client()
    seen = Counter()
    queries = 0
    for steps, ours in zip(scripts, answers):
        theirs = client.play(steps, undecided)
        for number, answer in enumerate(ours):
            if alone := refused_alone(answer):
                seen[f"{alone}: we alone refuse"] += 1
                break  # what the client answers from here on has no counterpart
            assert number < len(theirs), (steps, theirs, ours)
            compare(*theirs[number], answer, seen)
            queries += theirs[number][0]["step"] == "query"
        else:
            assert len(ours) == len(theirs), (steps, theirs, ours)
    for name, count in sorted(seen.items()):
        print(f"{count:6} {name}")
    expected = {name for _, name, part in ERRORS if part is not None}
    expected |= {f"{name}, {end}" for name in ("no-layer", "no-device", "no-properties", "no-mode") for end in ("kept", "error")}
    expected |= {"chosen", "tie", "twice", "unknown-capability"}
    expected |= {f"{name}: we alone refuse" for name in OURS_ALONE.values()}
    few = {name: seen[name] for name in expected if seen[name] < 5}
    assert not few, f"hardly ever reached: {few}"
    assert queries >= 2000, queries
    print(f"{queries} choices in {SCRIPTS} scripts agree")


if __name__ == "__main__":
    main()
