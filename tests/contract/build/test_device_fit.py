"""Archs in metadata against a device: the Python client's check and ours say the same for every pair.

Generic gfx processors are left out: the client compares names alone and refuses what runs."""

import itertools
import random

from build_probe import ask
from probe import peer

archs_module = peer("kernels.archs")

KNOWN = ["7.5", "8.0", "8.6", "8.9", "9.0", "9.0a", "10.0", "10.0a", "10.0f", "10.3f", "12.0", "12.0a", "12.1f"]
KNOWN += ["8.0+PTX", "9.0+PTX", "9.0a+PTX", "10.0f+PTX", "12.0+PTX"]
UNKNOWN = ["sm_90", "9", "", "9.0b", "9.x", "+PTX", "a", "9.0 ", "90a", "-9.0", "9.0+ptx", "gfx942"]
CAPABILITIES = [50, 61, 70, 75, 80, 86, 87, 89, 90, 100, 101, 103, 110, 120, 121]
GFX = ["gfx90a", "gfx942", "gfx1100", "gfx90a:sramecc+:xnack-"]


def main():
    generator = random.Random(3)
    lists = [[arch] for arch in KNOWN + UNKNOWN]
    lists += [list(pair) for pair in itertools.combinations(KNOWN + UNKNOWN[:4], 2)]
    lists += [generator.sample(KNOWN + UNKNOWN, generator.randint(3, 6)) for _ in range(200)]
    questions = []
    expected = []
    for archs, capability in itertools.product(lists, CAPABILITIES):
        questions.append({"ask": "fits", "type": "cuda", "archs": archs, "capability": capability})
        expected.append(bool(archs_module._supports_cuda_capability(archs, divmod(capability, 10))))
    for archs, arch in itertools.product([["gfx90a"], ["gfx942", "gfx1100"], ["gfx90a:xnack-"]], GFX):
        questions.append({"ask": "fits", "type": "rocm", "archs": archs, "arch": arch})
        expected.append(arch.split(":")[0] in archs)  # the client's rule, inlined there in the check
    for question, ours, theirs in zip(questions, ask(questions), expected):
        assert ours == theirs, f"{question}: client {theirs}, ours {ours}"
    assert 1000 < sum(expected) < len(expected) - 1000
    print(f"{len(expected)} pairs agree, {sum(expected)} of them run")


if __name__ == "__main__":
    main()
