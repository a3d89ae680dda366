"""Trees of kernels that need each other: conflicts, circles and missing kernels, with both clients on the same hub.

The Python client locks every state of a repository that is needed, so the bytes are compared; ours also says which path
asks for which. What neither can lock, both refuse, and ours names the path that led there.
"""

import json
import sys
import unittest

import harness

KERNELS = harness.need("KERNELS_BIN")
harness.need("KERNELS_HUB_BIN")
harness.need_modules("kernels", "huggingface_hub", "torch")
CLIENT = "import sys\nfrom kernels.cli import main\nsys.argv[0] = 'kernels'\nsys.exit(main())"
CPU, CUDA = "torch213-cxx11-cpu-x86_64-linux", "torch213-cxx11-cu128-x86_64-linux"

LOCKED = """
import json, pathlib, sys
from kernels.locking import get_locked_kernel_revision
_, dependency = get_locked_kernel_revision("demo/leaf", pathlib.Path(sys.argv[1]))
print(json.dumps(dependency.version.version))
"""


class TreeTest(harness.WorldTest):
    def setUp(self):
        super().setUp()
        self.project = self.folder / "project"
        self.project.mkdir()
        self.lock = self.project / "kernels.lock"
        for branch in ("v1", "v2"):
            self.kernel("demo/leaf", branch)
            self.publish("demo/leaf", branch, {"README.md": branch.encode()})

    def kernel(self, repo, branch="v1", depends=(), variant=CPU):
        metadata = {"id": "_leaf_abc1234", "name": "leaf", "version": 1, "license": "Apache-2.0", "python-depends": [],
                    "backend": {"type": "cuda" if "-cu" in variant else "cpu"},
                    "kernel-depends": [{"repo-id": name, "version": version} for name, version in depends]}
        self.publish(repo, branch, {f"build/{variant}/metadata.json": json.dumps(metadata).encode(),
                                    f"build/{variant}/__init__.py": b""})

    def both(self, dependencies, status=0):
        """Runs both clients; what ours says and, when they succeed, the lock, which is the same."""
        if not self.hubs:
            self.start_hub(self.data)
        (self.project / "pyproject.toml").write_text(
            "[tool.kernels.dependencies]\n" + "".join(f'"{repo}" = {version}\n' for repo, version in dependencies))
        self.lock.unlink(missing_ok=True)
        ours = self.run_command(KERNELS, "lock", self.project, status=status)
        mine = self.lock.read_bytes() if status == 0 else None
        self.lock.unlink(missing_ok=True)
        self.run_command(sys.executable, "-c", CLIENT, "lock", self.project, status=0 if status == 0 else 1)
        self.assertEqual(mine, self.lock.read_bytes() if self.lock.exists() else None)
        return ours.stderr, [(entry["dependency"]["repo-id"], entry["dependency"]["version"]) for entry in json.loads(mine or b"[]")]

    def test_two_kernels_need_different_versions(self):
        self.kernel("demo/a", depends=[("demo/leaf", 1)])
        self.kernel("demo/b", depends=[("demo/leaf", 2)])
        said, lock = self.both([("demo/a", 1), ("demo/b", 1)])
        self.assertEqual(lock, [("demo/a", 1), ("demo/b", 1), ("demo/leaf", 1), ("demo/leaf", 2)])
        self.assertIn("demo/leaf: different states of it are needed, and each is locked: "
                      "version 1 (needed by demo/a@v1 -> demo/leaf@v1), version 2 (needed by demo/b@v1 -> demo/leaf@v2)\n", said)

    def test_the_builds_of_one_kernel_need_different_versions(self):
        self.kernel("demo/a", depends=[("demo/leaf", 1)])
        self.kernel("demo/a", depends=[("demo/leaf", 2)], variant=CUDA)
        self.kernel("demo/b", depends=[("demo/leaf", 1), ("demo/leaf", 2)])
        for repo in ("demo/a", "demo/b"):
            said, lock = self.both([(repo, 1)])
            self.assertEqual(lock, [(repo, 1), ("demo/leaf", 1), ("demo/leaf", 2)])
            self.assertIn(f"version 1 (needed by {repo}@v1 -> demo/leaf@v1), version 2 (needed by {repo}@v1 -> demo/leaf@v2)", said)

    def test_the_project_itself_needs_another_version(self):
        self.kernel("demo/a", depends=[("demo/leaf", 1)])
        said, lock = self.both([("demo/a", 1), ("demo/leaf", 2)])
        self.assertEqual(lock, [("demo/a", 1), ("demo/leaf", 1), ("demo/leaf", 2)])
        self.assertIn("version 2 (needed by the project); a layer that names no version gets version 1, and so does Python's load_kernel, which can name none\n", said)
        self.assertEqual(self.run_python(LOCKED, self.lock), 1)

    def test_no_conflict_is_none(self):
        self.kernel("demo/a", depends=[("demo/leaf", 2)])
        self.kernel("demo/up", "v1", depends=[("demo/up", 2)])  # a version that stands on another is no circle
        self.kernel("demo/up", "v2")
        self.assertNotIn("different states", self.both([("demo/a", 1), ("demo/leaf", 2)])[0])
        self.assertEqual(self.both([("demo/up", 1)])[1], [("demo/up", 1), ("demo/up", 2)])

    def test_circles_and_what_is_missing_are_refused_by_both(self):
        self.kernel("demo/self", depends=[("demo/self", 1)])
        self.kernel("demo/a", depends=[("demo/b", 1)])
        self.kernel("demo/b", depends=[("demo/a", 1)], variant=CUDA)  # by a build for another machine too
        self.kernel("demo/no-version", depends=[("demo/leaf", 7)])
        self.kernel("demo/no-kernel", depends=[("demo/none", 1)])
        self.kernel("demo/deep", depends=[("demo/no-kernel", 1)])
        for repo, status, words in [
                ("demo/self", 1, "demo/self@v1 -> demo/self@v1"),
                ("demo/a", 1, "demo/a@v1 -> demo/b@v1 -> demo/a@v1"),
                ("demo/no-version", 4, "demo/leaf: there is no version 7 (needed by demo/no-version@v1 -> demo/leaf@v7)"),
                ("demo/deep", 4, "(needed by demo/deep@v1 -> demo/no-kernel@v1 -> demo/none@v1)")]:
            with self.subTest(repo):
                said, _ = self.both([(repo, 1)], status)
                self.assertIn(words, said)
                self.assertEqual(len([line for line in said.splitlines() if line.startswith("error: ")]), 1)


if __name__ == "__main__":
    unittest.main()
