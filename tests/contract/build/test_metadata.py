"""metadata.json: what the Python client reads, ours reads to the same values; what it refuses, ours refuses.

The differences that are meant are named in STRICTER and LOOSER, with why.
"""

import json
import random

from build_probe import ask
from probe import peer

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
# The client lets a repository and a revision through that no hub can have.
STRICTER = {"a repository without organization", "a revision that leads elsewhere"}
LOOSER = set()

MISSING = object()

URLS = [
    "", "x", "not a url", "/a/b", "//example.org/a", "a/b", ":x", "://x", "https:", "https://", "https//h", "file:///tmp", "mailto:a@b",
    "a:b", "C:\\x", "http+git://h", "HTTPS://Example.ORG/A b", " https://h/x ", "ht\ntps://h", "https://h/é", "https:h",
    "http:\\\\h\\x", "https://h/a/./b/../c/%2e/%2E%2e/e", "https://h/..", "https://h?x#y", "https://h/?#", "https://u:pw@h:443/x",
    "https://u:@h", "https://:@h/", "https://a@b@c/", "https://u;=|@h", "https://u@/x", "https://h:080/", "https://h:", "https://h:8a/",
    "https://h:99999/", "https://exa mple.org", "https://ex%41mple.org", "https://a%2Fb/", "https://%zz/", "https://a\x7fb/", "https://[::1]:80/",
    "https://[1:0:0:4::]/", "https://[0:0:1::0.0.0.0]/", "https://[::ffff:1.2.3.4]/", "https://[::1%25a]/", "https://[::1", "https://1.2.3", "https://0x7f.1/",
    "https://0300.1/", "https://256.1.1.1", "https://1.2.3.4.5", "https://a.1/", "https://09/", "https://1..2/", "https://h./",
    "git@h:a/b.git", "git@h:", "git@h:/abs", "@h:a", "1a:b", "1h:/abs", "a b@h:x", "git@H.Org:A/../b", "git@h:22/x", "git@h::x",
    "git@h@i:x", "git:pw@h:x", "git@h\\x:b", "git@h:é", "git@h://x", "https:?x", " git@h:x ", "./x:y", "ssh:foo", "ssh:a b ?c d",
    "ssh:/x", "ssh:/.//x", "ssh://", "ssh:///x", "ssh://git@H/../x", "ssh://h:22", "ssh://h:/x", "ssh://:80", "ssh://h h/", "ssh://h%20h/",
    "ssh://hé/", "ssh://[::1]/x", "git+ssh://git@h.org/a.git", "git+http://h:80/x", "git://u@/x", "git://?x", "ssh://git@h.org:a/b",
    "https://h/a b\"<>`{}|^?q'\"<> #f <>`\"", "ssh://h/a b\"<>`{}|^\\?q'\"<> #f <>`\"",
]


def generated_urls(count=3000):
    generator = random.Random(20261126)
    starts = ["https://", "http://", "ssh://", "git://", "git+ssh://", "HTTP:", "ssh:", "git+file://", "git@", "", "9"]
    parts = ["h", "Ex.org", "@", ":", "/", "//", "\\", "..", ".", "%2e", "%41", "%zz", "?", "#", " ", "'", "\"", "|", "^", "[", "]", "[::1]",
             "[1:2::]", "0x1f", "127.1", "080", "443", "80", "22", "65536", "a b", "é/", "=", ";", "~", "\t", "_"]
    # Hosts stay ASCII: the client converts names in other scripts, ours keeps them.
    for _ in range(count):
        text = generator.choice(starts) + "".join(generator.choice(parts) for _ in range(generator.randint(1, 7)))
        if "é" not in text or not text.lower().startswith("http"):
            yield text


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
        for value in ["https://example.org/a/b", "https://example.org/a/b.git", None, *URLS]:
            yield f"{key} {value!r}", document(**{key: value})
        yield f"{key} as number", document(**{key: 1})
    for value in generated_urls():
        yield f"generated source {value!r}", document(source=value)
    yield "python-depends", document(python_depends=["einops", "nvidia-cutlass-dsl"])
    yield "python-depends of numbers", document(python_depends=[1])
    yield "kernel-depends null", document(kernel_depends=None)
    yield "depends on a version", depends(repo_id="a/b", version=1)
    yield "depends on a revision", depends(repo_id="a/b", revision="main")
    yield "a revision that leads elsewhere", depends(repo_id="a/b", revision="../../x")
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
        "upstream": read.upstream,
        "source": read.source,
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
