"""The same question to both: are two repositories equal, do equal ones hash alike, and what does trust_remote_code allow?"""

import itertools
import json
import random
import tempfile
from collections import Counter
from pathlib import Path

from layer_probe import ask, repository

from kernels import hf_hub  # noqa: E402

SEED = 20261125
PAIRS = 3000


def lock(folder, name, kernels):
    entries = [
        {"dependency": {"repo-id": repo, "version": version}, "lock": {"commit": digit * 40}}
        for repo, version, digit in kernels
    ]
    path = folder / name
    path.write_text(json.dumps(entries))
    return str(path)


def documents(folder):
    """Repositories that differ in one thing or another, and some that only look different."""
    one = [("some/kernel", 1, "1")]
    locks = [
        lock(folder, "one.lock", one),
        lock(folder, "same.lock", one),
        lock(folder, "commit.lock", [("some/kernel", 1, "2")]),
        lock(folder, "version.lock", [("some/kernel", 2, "1")]),
        lock(folder, "more.lock", [("other/kernel", 1, "3"), *one]),
    ]
    trusts = [False, True, ["some/kernel"], ["some/kernel", "a/b"], ["a/b", "some/kernel"]]
    heads = [{"function": function, "name": name} for function in (False, True) for name in ("Norm", "Gate")]
    paths = ["kernel", "./kernel", "kernel/", "kernel//", "kernel/.", "a/../kernel", "/kernel", "other", ".", "./."]
    references = [{"version": 1}, {"version": 2}, {"revision": "v1"}, {"revision": "main"}]
    found = []
    for head in heads:
        found += [{**head, "source": "local", "path": path} for path in paths]
        for repo, reference, trust in itertools.product(["some/kernel", "some/kernels"], references, trusts):
            found.append({**head, "source": "hub", "repo": repo, "trust": trust, **reference})
        for path, trust in itertools.product(locks, trusts):
            found.append({**head, "source": "locked", "repo": "some/kernel", "lock": path, "trust": trust})
    return found


def near(document, documents, generator):
    """A document with most of the same fields, so that equal pairs and near misses are common."""
    same_kind = [one for one in documents if one["source"] == document["source"]]
    sample = generator.sample(same_kind, 12)
    return max(sample, key=lambda one: sum(one.get(key) == value for key, value in document.items()))


def theirs(left, right):
    left, right = repository(left), repository(right)
    return {"equal": left == right, "same_hash": hash(left) == hash(right)}


def check_equality(folder):
    generator = random.Random(SEED)
    every = documents(folder)
    pairs = [(one, one) for one in generator.sample(every, 150)]
    while len(pairs) < PAIRS:
        left = generator.choice(every)
        pairs.append((left, generator.choice(every) if generator.random() < 0.2 else near(left, every, generator)))
    seen = Counter()
    answers = ask([{"ask": "equal", "left": left, "right": right} for left, right in pairs])
    for (left, right), ours in zip(pairs, answers):
        reference = theirs(left, right)
        assert ours["equal"] == reference["equal"], (left, right, ours, reference)
        assert ours["same_hash"] or not ours["equal"], (left, right, "equal with different hashes")
        seen[(left["source"], ours["equal"], left == right)] += 1
    for source in ("hub", "local", "locked"):
        assert seen[(source, False, False)] >= 50 and seen[(source, True, True)] >= 20, seen
    # Equal, though written in another way: another path, another lock file with the same content.
    assert seen[("local", True, False)] >= 20 and seen[("locked", True, False)] >= 20, seen
    print(f"{PAIRS} pairs of repositories agree: {dict(seen)}")


class Organization:
    def __init__(self, trusted):
        self.trustedKernelPublisher = trusted


class NoPublisher:
    """Stands for the Hub: no organization is trusted, so only trust_remote_code decides."""

    def get_organization_overview(self, name):
        return Organization(False)


def check_trust():
    hf_hub._get_hf_api = lambda *args, **kwargs: NoPublisher()
    lists = [[], ["some/kernel"], ["some/kernels"], ["some/other", "some/kernel"], ["other/kernel"]]
    questions = [
        {"ask": "allows", "repo": repo, "trust": trust}
        for repo in ("some/kernel", "some/other", "some/Kernel")
        for trust in [True, False, *lists]
    ]
    allowed = 0
    for question, ours in zip(questions, ask(questions)):
        try:
            hf_hub._check_trust_remote_code(
                repo_id=question["repo"], local_files_only=False, trust_remote_code=question["trust"]
            )
            reference = True
        except ValueError:
            reference = False
        assert ours == reference, (question, ours, reference)
        allowed += ours
    assert 3 < allowed < len(questions) - 3, allowed
    print(f"{len(questions)} questions of trust agree")


def main():
    with tempfile.TemporaryDirectory(prefix="kernels-test-") as folder:
        check_equality(Path(folder))
    check_trust()


if __name__ == "__main__":
    main()
