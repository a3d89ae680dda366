"""metadata.json: what the Python client reads, ours reads to the same values; what it refuses, ours refuses.

The differences that are meant are named in STRICTER and LOOSER, with why.
"""

import json

from probe import ask, peer

rust = peer("kernels._rust")

OID = "a" * 40
PLAIN = {
    "name": "relu",
    "id": "_relu_cpu_1",
    "version": 1,
    "license": "MIT",
    "python-depends": [],
    "backend": {"type": "cpu"},
}
# The client lets a repository through that no hub can have.
STRICTER = {"a repository without organization"}
LOOSER = set()

MISSING = object()


def document(**changes):
    out = dict(PLAIN)
    for key, value in changes.items():
        key = key.replace("_", "-")
        if value is MISSING:
            out.pop(key)
        else:
            out[key] = value
    return json.dumps(out)


def depends(**entry):
    return document(kernel_depends=[{key.replace("_", "-"): value for key, value in entry.items()}])


def provenance(**parts):
    return document(provenance={key.replace("_", "-"): value for key, value in parts.items()})


def cases():
    yield "plain", document()
    for key in PLAIN:
        yield f"no {key}", document(**{key.replace("-", "_"): MISSING})
        yield f"null {key}", document(**{key.replace("-", "_"): None})
        for name, value in [("text", "x"), ("number", 3), ("list", [1]), ("object", {}), ("bool", True)]:
            yield f"{key} as {name}", document(**{key.replace("-", "_"): value})
    yield "an unknown key", document(future=1)
    yield "negative version", document(version=-1)
    yield "fractional version", document(version=1.5)
    yield "great version", document(version=2**63 - 1)
    for name in ["Relu", "relu_1", "r", "re lu", "relu-", "-relu", "relu2d", "r1", "", "9relu"]:
        yield f"name {name!r}", document(name=name)
    for version in ["0.17", "0.17.2", "1", "", "0.17.dev0", "a", "0.17.0.0", " 0.17", "0..1"]:
        yield f"minver {version!r}", document(kernels_minver=version)
    yield "minver as number", document(kernels_minver=1)
    yield "minver null", document(kernels_minver=None)
    for backend in ["cuda", "rocm", "xpu", "cann", "metal", "neuron", "tpu", "CUDA", "npu", "mps", ""]:
        yield f"backend {backend!r}", document(backend={"type": backend})
    yield "archs", document(backend={"type": "cuda", "archs": ["8.0", "9.0a"]})
    yield "archs null", document(backend={"type": "cuda", "archs": None})
    yield "archs as text", document(backend={"type": "cuda", "archs": "8.0"})
    yield "archs of numbers", document(backend={"type": "cuda", "archs": [8.0]})
    yield "unknown key in backend", document(backend={"type": "cuda", "x": 1})
    for key in ["upstream", "source"]:
        for value in ["https://example.org/a/b", "https://example.org/a/b.git", None, "git@example.org:a/b.git"]:
            yield f"{key} {value!r}", document(**{key: value})
        yield f"{key} as number", document(**{key: 1})
    yield "python-depends", document(python_depends=["einops", "nvidia-cutlass-dsl"])
    yield "python-depends of numbers", document(python_depends=[1])
    yield "kernel-depends null", document(kernel_depends=None)
    yield "depends on a version", depends(repo_id="a/b", version=1)
    yield "depends on a revision", depends(repo_id="a/b", revision="main")
    yield "depends, revision null", depends(repo_id="a/b", version=1, revision=None)
    yield "depends, both", depends(repo_id="a/b", version=1, revision="main")
    yield "depends, neither", depends(repo_id="a/b")
    yield "depends, unknown key", depends(repo_id="a/b", version=1, x=1)
    yield "depends, negative version", depends(repo_id="a/b", version=-1)
    yield "depends, version as text", depends(repo_id="a/b", version="1")
    yield "depends, no repository", depends(version=1)
    yield "a repository without organization", depends(repo_id="b", version=1)
    yield "digest", document(digest={"algorithm": "sha256", "files": {"a.py": "AAAA"}})
    yield "digest sha512", document(digest={"algorithm": "sha512", "files": {}})
    yield "digest md5", document(digest={"algorithm": "md5", "files": {}})
    yield "digest null", document(digest=None)
    yield "digest without files", document(digest={"algorithm": "sha256"})
    yield "digest of numbers", document(digest={"algorithm": "sha256", "files": {"a": 1}})
    yield "digest files as list", document(digest={"algorithm": "sha256", "files": []})
    builder = {"version": "1"}
    clean = {"version": "1", "commit": OID, "dirty": False}
    dirty = {"version": "1", "sha": OID, "dirty": True}
    yield "provenance null", document(provenance=None)
    yield "provenance as text", document(provenance="x")
    yield "builder without git", provenance(kernel_builder=builder)
    yield "builder without version", provenance(kernel_builder={"commit": OID, "dirty": True})
    yield "builder, half of git", provenance(kernel_builder={"version": "1", "sha": OID})
    yield "builder, short commit", provenance(kernel_builder={"version": "1", "sha": "abc", "dirty": False})
    yield "builder, null dirty", provenance(kernel_builder={"version": "1", "sha": OID, "dirty": None})
    yield "builder clean", provenance(kernel_builder=clean)
    yield "builder dirty", provenance(kernel_builder=dirty)
    yield "kernel dirty", provenance(kernel_builder=builder, kernel={"sha": OID, "dirty": True})
    yield "kernel clean", provenance(kernel_builder=builder, kernel={"commit": OID, "dirty": False})
    yield "kernel without dirty", provenance(kernel_builder=builder, kernel={"commit": OID})
    yield "kernel, dirty as text", provenance(kernel_builder=builder, kernel={"commit": OID, "dirty": "no"})
    yield "kernel null", provenance(kernel_builder=builder, kernel=None)
    yield "no builder", provenance(kernel={"commit": OID, "dirty": True})
    yield "not JSON", "{"
    yield "empty", ""
    yield "a list", "[]"
    yield "trailing text", document() + "x"


def reference(text):
    try:
        read = rust.Metadata.from_bytes(text.encode())
    except ValueError as error:
        return {"error": str(error)}
    return {
        "id": read.id,
        "name": str(read.name),
        "version": read.version,
        "python_depends": read.python_depends,
        "archs": read.backend.archs or [],
        "dirty": read.provenance is not None and read.provenance.dirty,
        "kernel_depends": len(read.kernel_depends),
    }


def main():
    table = list(cases())
    answers = ask([{"ask": "metadata", "text": text} for _, text in table])
    wrong = []
    refused = 0
    for (name, text), ours in zip(table, answers):
        theirs = reference(text)
        refused += "error" in theirs
        if name in STRICTER:
            agree = "error" in ours and "error" not in theirs
        elif name in LOOSER:
            agree = "error" not in ours and "error" in theirs
        elif "error" in theirs or "error" in ours:
            agree = "error" in theirs and "error" in ours
        else:
            agree = ours == theirs
        agree = agree and ours.get("error", "metadata.json: ").startswith("metadata.json: ")
        if not agree:
            wrong.append(f"{name}\n  client {theirs}\n  ours   {ours}")
    assert not wrong, "\n" + "\n".join(wrong)
    assert refused >= 40, refused
    print(f"{len(table)} documents agree, {refused} of them refused")


if __name__ == "__main__":
    main()
