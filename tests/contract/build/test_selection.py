"""The same question to both: which builds fit an environment, in which order, and why not the others.

6,000 generated (environment, list of builds) pairs with a fixed seed; the Python client's own resolver is the
reference for the order of all builds and for the class and the words of every rejection.
"""

import random
from collections import Counter

from build_probe import ask
from probe import peer

variants = peer("kernels.variants")
backends = peer("kernels.backends")
from packaging.version import Version  # noqa: E402  (a dependency of the client)

PAIRS = 6000
SEED = 20261123

REASONS = [  # how the client's sentences begin, and our name for the rule
    ("CPU (", "cpu"),
    ("OS (", "os"),
    ("Torch version (", "torch-version"),
    ("Torch CXX11 ABI", "cxx11-abi"),
    ("Torch stable ABI version", "stable-abi"),
    ("tvm-ffi version", "tvm-ffi"),
    ("CUDA version (", "backend"),
    ("backend (", "backend"),
    ("Metal kernels require", "macos"),
]
BACKENDS = ["cpu", "metal", "neuron", "tpu"]
BACKENDS += ["cu118", "cu121", "cu124", "cu126", "cu128", "cu129", "cu130", "cu132"]
BACKENDS += ["rocm62", "rocm63", "rocm64", "rocm70", "xpu20250", "xpu20252", "xpu20253", "cann81", "cann82", "cann83"]
TORCHES = ["2.8", "2.9", "2.10", "2.13"]
TVM_FFIS = ["0.1", "0.2", "1.0"]


def generated_backend(random):
    # Half of all backends are CUDA, since its rule is the one with an order.
    return random.choice(BACKENDS[4:12] if random.random() < 0.5 else BACKENDS)


def generated_variant(random, likely):
    """A build name that shares parts with the environment often enough to reach the late rules."""

    def pick(value, others):
        return value if value is not None and random.random() < 0.75 else random.choice(others)

    if random.random() < 0.15:
        names = ["cpu", "cuda", "rocm", "xpu", "npu", "cann", "metal", "neuron", "tpu", "universal", "universal"]
        return "torch-" + random.choice(names)
    backend = pick(likely["backend"], BACKENDS)
    if backend.startswith("cu") and random.random() < 0.5:
        backend = random.choice(BACKENDS[4:12])
    kind = random.random()
    if kind < 0.5:
        framework = "torch" + pick(likely["torch"], TORCHES).replace(".", "")
        framework += random.choice(["", "-cxx11", "-cxx11", "-cxx98"])
    elif kind < 0.8:
        framework = "torch-stable-abi" + random.choice(TORCHES + ["2.11", "3.0"]).replace(".", "")
    else:
        framework = "tvm-ffi" + pick(likely["tvm_ffi"], TVM_FFIS).replace(".", "")
    cpu = pick(likely["cpu"], ["x86_64", "aarch64"])
    system = pick(likely["os"], ["linux", "darwin", "windows"])
    return f"{framework}-{backend}-{cpu}-{system}"


def generated_pair(random):
    system = random.choices(["linux", "darwin", "windows"], [6, 3, 2])[0]
    environment = {
        "cpu": random.choice(["x86_64", "aarch64"]),
        "os": system,
        "backend": "metal" if system == "darwin" and random.random() < 0.6 else generated_backend(random),
        "torch": random.choice(TORCHES + [None]),
        "cxx11_abi": random.choice([True, True, False]) if system == "linux" else None,
        "tvm_ffi": random.choice(TVM_FFIS + [None]),
        "macos": random.choice(["14.5", "26.0", "26.1", "15.6", None]) if system == "darwin" else None,
    }
    names = [generated_variant(random, environment) for _ in range(random.randint(1, 14))]
    return environment, names


def reason_class(text):
    for start, name in REASONS:
        if text.startswith(start):
            return name
    raise AssertionError(f"the client has a reason that this test does not know: {text}")


def reference(environment, names):
    def version(key):
        return None if environment[key] is None else Version(environment[key])

    _, trace = variants._resolve_variant_for_system(
        variants=[variants.parse_variant(name) for name in names],
        selected_backend=backends.parse_backend(environment["backend"]),
        cpu=environment["cpu"],
        os=environment["os"],
        torch_version=version("torch"),
        torch_cxx11_abi=environment["cxx11_abi"],
        tvm_ffi_version=version("tvm_ffi"),
        macos_version=version("macos"),
    )
    return [
        [d.variant.variant_str, reason_class(d.reason), d.reason]
        if isinstance(d, variants.VariantRejected)
        else [d.variant.variant_str, None, None]
        for d in trace
    ]


def main():
    generator = random.Random(SEED)
    pairs = [generated_pair(generator) for _ in range(PAIRS)]
    answers = ask([{"ask": "select", **environment, "variants": names} for environment, names in pairs])
    seen = Counter()
    several = 0
    for (environment, names), ours in zip(pairs, answers):
        theirs = reference(environment, names)
        assert ours == theirs, f"\nenvironment {environment}\nclient {theirs}\nours   {ours}"
        seen.update(reason for _, reason, _ in theirs)
        several += sum(reason is None for _, reason, _ in theirs) > 1
    # A generator that never reaches a rule would prove nothing about it.
    expected = {None, *(name for _, name in REASONS)}
    assert expected <= set(seen), f"never reached: {expected - set(seen)}"
    assert min(seen.values()) >= 50, seen
    assert several >= 500, several
    print(f"{PAIRS} pairs agree, {several} with several fitting builds; by rule: {dict(seen)}")


if __name__ == "__main__":
    main()
