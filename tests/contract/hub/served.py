"""A published repository that the tests of kernels-hub ask for."""

import hashlib

import harness

REPO = "demo/one"
LIBRARY = bytes(range(256)) * 40
VARIANT = "build/torch213-cxx11-cpu-x86_64-linux"
FILES = {f"{VARIANT}/__init__.py": b"# one\n", f"{VARIANT}/layers.py": b"", f"{VARIANT}/_one.abi3.so": LIBRARY,
         f"{VARIANT}/metadata.json": b'{"id": "_one"}', "README.md": "Grüße\n".encode()}
SHA = hashlib.sha256(LIBRARY).hexdigest()


class ServedTest(harness.WorldTest):
    def serve(self, *options):
        self.publish(REPO, "v1", FILES)
        self.publish(REPO, "main", {**FILES, "README.md": b"newer\n"})
        return self.start_hub(self.data, *options)

    def commits(self, hub):
        return {b["name"]: b["targetCommit"] for b in hub.ask(f"/api/kernels/{REPO}/refs").json["branches"]}
