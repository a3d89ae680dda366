"""The same build names parse, into the same parts; mutated names are refused by both or by none."""

import random

from build_probe import ask
from probe import peer

variants = peer("kernels.variants")

SEED = 7
FRAMEWORKS = {variants.Torch: 0, variants.TorchStableAbi: 1, variants.TvmFfi: 2}
VALID = [
    "torch213-cxx11-cu128-x86_64-linux",
    "torch29-cxx98-rocm64-x86_64-linux",
    "torch210-cpu-aarch64-darwin",
    "torch-stable-abi29-cu130-aarch64-linux",
    "torch-stable-abi210-xpu20252-x86_64-windows",
    "tvm-ffi01-cann83-aarch64-linux",
    "torch28-metal-aarch64-darwin",
    "torch29-neuron-x86_64-linux",
    "torch29-tpu-x86_64-linux",
    "torch-universal",
    "torch-cuda",
    "torch-npu",
]
PARTS = ["torch", "torch2", "torch29", "stable", "abi29", "abi", "tvm", "ffi01", "ffi", "cxx11", "cxx98", "cxx", "cu"]
PARTS += ["cu128", "cu1", "rocm", "rocm64", "xpu20252", "xpu", "cann83", "metal", "metal1", "cpu", "neuron", "x86_64"]
PARTS += ["linux", "", "universal", "2"]


def names(random):
    for name in VALID:
        yield name
        for _ in range(150):
            characters = list(name)
            for _ in range(random.randint(1, 3)):
                at = random.randrange(len(characters) + 1)
                change = random.random()
                if change < 0.4 and at < len(characters):
                    del characters[at]
                elif change < 0.7:
                    characters.insert(at, random.choice("-019atu"))
                elif at < len(characters):
                    characters[at] = random.choice("-019acu_")
            yield "".join(characters)
    for _ in range(3000):
        yield "-".join(random.choice(PARTS) for _ in range(random.randint(1, 7)))


def reference(name):
    try:
        variant = variants.parse_variant(name)
    except ValueError:
        return None
    if isinstance(variant, variants.NoarchVariant):
        return {"noarch": variant.arch.backend_name}
    version = variant.framework.version
    return {
        "framework": FRAMEWORKS[type(variant.framework)],
        "version": f"{version.major}.{version.minor}",
        "backend": variant.arch.backend.variant_str,
        "cpu": variant.arch.platform,
        "os": variant.arch.os,
    }


def main():
    all_names = sorted(set(names(random.Random(SEED))))
    answers = ask([{"ask": "parse", "name": name} for name in all_names])
    accepted = 0
    for name, ours in zip(all_names, answers):
        theirs = reference(name)
        assert ours == theirs, f"{name!r}: client {theirs}, ours {ours}"
        accepted += theirs is not None
    assert accepted >= 200 and len(all_names) - accepted >= 1000, (accepted, len(all_names))
    print(f"{len(all_names)} names agree, {accepted} of them builds")


if __name__ == "__main__":
    main()
