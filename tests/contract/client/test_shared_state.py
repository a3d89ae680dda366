"""Our client beside the Python one on the same hub: the same lock, and one cache for both, online and offline."""

import hashlib
import json
import pathlib
import subprocess
import sys
import unittest

import harness

KERNELS = harness.need("KERNELS_BIN")
harness.need("KERNELS_HUB_BIN")
harness.need_modules("kernels", "huggingface_hub", "torch")
CLIENT = "import sys\nfrom kernels.cli import main\nsys.argv[0] = 'kernels'\nsys.exit(main())"

# Loads kernels by version or commit and says where from. Pure Python kernels: what counts here is the cache.
LOAD = """
import json, sys, kernels
reference = {"version": int(sys.argv[2])} if len(sys.argv[2]) < 40 else {"revision": sys.argv[2]}
print(json.dumps({"file": kernels.get_kernel(sys.argv[1], **reference).__file__}))
"""

SCAN = """
import json
from huggingface_hub import scan_cache_dir
print(json.dumps([str(warning) for warning in scan_cache_dir().warnings]))
"""

READ = """
import json, sys
from kernels._rust import KernelLocks
text = open(sys.argv[1]).read()
locks = KernelLocks.from_json(text)
assert locks.to_json() == text
print(json.dumps([[dependency.repo_id, lock.commit] for dependency, lock in locks.items()]))
"""


def build(name, variant="torch-cpu", depends=()):
    metadata = {"id": f"_{name}_abc1234", "name": name, "version": 1, "license": "Apache-2.0", "python-depends": [],
                "backend": {"type": "cpu"}}
    if depends:
        metadata["kernel-depends"] = list(depends)
    return {f"build/{variant}/metadata.json": json.dumps(metadata, indent=2).encode(),
            f"build/{variant}/__init__.py": f"name = '{name}'\n".encode(),
            f"build/{variant}/table.bin": name.encode() * 30_000}


class SharedStateTest(harness.WorldTest):
    def setUp(self):
        super().setUp()
        self.project = self.folder / "project"
        self.project.mkdir()
        self.publish("demo/leaf", "v1", build("leaf"))
        self.publish("demo/leaf", "main", build("leaf-main"))
        self.publish("demo/middle", "v1", build("middle", depends=[{"repo-id": "demo/leaf", "version": 1}]))
        # The Python client locks a revision only where it is a commit already.
        self.hub = self.start_hub(self.data)
        pinned = {"repo-id": "demo/leaf", "revision": self.commit("demo/leaf", "main")}
        self.publish("demo/middle", "v2", {**build("middle", depends=[pinned]), **build("middle", "torch-cuda")})
        self.publish("demo/branch", "v1", build("branch", depends=[{"repo-id": "demo/leaf", "revision": "main"}]))
        self.publish("demo/top", "v1", build("top", depends=[{"repo-id": "demo/middle", "version": 2},
                                                             {"repo-id": "demo/leaf", "version": 1}]))
        self.hub = self.start_hub(self.data, "--page-size", 4)

    def write_project(self, dependencies):
        (self.project / "pyproject.toml").write_text(
            '[project]\nname = "demo"\nversion = "1"\n\n[tool.kernels.dependencies]\n' + dependencies)

    def ours(self, *arguments, **more):
        return self.run_command(KERNELS, *arguments, "--torch", self.torch_folder(), **more)

    def torch_folder(self):
        import torch

        return pathlib.Path(torch.__file__).parent

    def python(self, *arguments, **more):
        return self.run_command(sys.executable, "-c", CLIENT, *arguments, **more)

    def both_locks(self):
        lock = self.project / "kernels.lock"
        found = []
        for run in (lambda: self.run_command(KERNELS, "lock", self.project), lambda: self.python("lock", self.project)):
            lock.unlink(missing_ok=True)
            run()
            found.append(lock.read_bytes())
        return found

    def test_locks_are_equal_byte_for_byte(self):
        for dependencies, entries in (('"demo/leaf" = 1\n', 1), ('"demo/middle" = 1\n"demo/leaf" = 1\n', 2),
                                      ('"demo/top" = 1\n', 4), ('"demo/middle" = 2\n"demo/top" = 1\n', 4)):
            self.write_project(dependencies)
            ours, theirs = self.both_locks()
            self.assertEqual(ours, theirs, dependencies)
            self.assertEqual(len(json.loads(ours)), entries, dependencies)

    def test_a_branch_is_locked_as_its_commit_and_the_python_client_reads_it(self):
        self.write_project('"demo/branch" = 1\n')
        self.run_command(KERNELS, "lock", self.project)
        read = self.run_python(READ, self.project / "kernels.lock")
        self.assertEqual(read, [["demo/branch", self.commit("demo/branch")], ["demo/leaf", self.commit("demo/leaf", "main")]])

    def commit(self, repo, branch="v1"):
        branches = self.hub.ask(f"/api/kernels/{repo}/refs").json["branches"]
        return next(b["targetCommit"] for b in branches if b["name"] == branch)

    def test_python_works_offline_on_what_we_downloaded(self):
        self.write_project('"demo/leaf" = 1\n')
        self.run_command(KERNELS, "lock", self.project)
        self.ours("download", self.project)
        self.assertEqual(self.run_python(SCAN), [])
        commit = self.commit("demo/leaf")
        self.hub.stop()
        for reference in ("1", commit):
            loaded = self.run_python(LOAD, "demo/leaf", reference, HF_HUB_OFFLINE="1")
            self.assertIn("kernels--demo--leaf/snapshots", loaded["file"])

    def test_python_alone_is_lost_offline_and_after_our_download_it_is_not(self):
        """Its own download leaves no refs/vN, and a trees/ listing of builds that were not downloaded."""
        self.write_project('"demo/middle" = 2\n')
        self.python("lock", self.project)
        self.python("download", self.project)
        commit = self.commit("demo/middle", "v2")
        repository = self.folder / "hf" / "hub" / "kernels--demo--middle"
        listing = repository / "trees" / f"{commit}.json"
        self.assertTrue(listing.exists())
        self.assertFalse((repository / "refs" / "v2").exists())
        for reference in ("2", commit):
            self.run_command(sys.executable, "-c", LOAD, "demo/middle", reference, status=1, HF_HUB_OFFLINE="1")
        before = len(self.hub.requests())
        self.ours("download", self.project)
        self.assertEqual([r for r in self.hub.requests()[before:] if "/resolve/" in r["path"] or "/_cdn/" in r["path"]], [])
        self.assertFalse(listing.exists())
        for reference in ("2", commit):
            loaded = self.run_python(LOAD, "demo/middle", reference, HF_HUB_OFFLINE="1")
            self.assertIn(f"kernels--demo--middle/snapshots/{commit}", loaded["file"])
        self.assertEqual(self.run_python(SCAN), [])
        # A listing of what is there in full may stay: Python wrote it, and it hinders nobody.
        self.run_command(KERNELS, "download", self.project, "--all-variants")
        self.python("download", self.project)
        self.run_command(KERNELS, "download", self.project, "--all-variants")
        self.assertEqual(self.run_python(SCAN), [])
        self.run_python(LOAD, "demo/middle", commit, HF_HUB_OFFLINE="1")

    def test_what_python_took_for_right_is_checked(self):
        """It keeps a flipped byte under the right name, without a word; our download names it and puts it right."""
        self.write_project('"demo/leaf" = 1\n')
        self.python("lock", self.project)
        self.hub = self.start_hub(self.data, "--fault", "flip:/_cdn/*")
        self.python("download", self.project)
        [table] = (self.folder / "hf" / "hub").glob("kernels--demo--leaf/snapshots/*/build/torch-cpu/table.bin")
        right = build("leaf")["build/torch-cpu/table.bin"]
        self.assertEqual(len(table.read_bytes()), len(right))
        self.assertNotEqual(table.read_bytes(), right)
        refused = self.ours("download", self.project, status=6)
        self.assertIn("table.bin", refused.stderr)
        self.hub = self.start_hub(self.data)
        self.assertIn("its bytes do not match their hash", self.ours("download", self.project).stderr)
        self.assertEqual(table.read_bytes(), right)

    def test_locks_exclude_each_other(self):
        """While Python holds its lock on a blob we wait, say for whom, and go on when it lets go."""
        self.write_project('"demo/leaf" = 1\n')
        self.run_command(KERNELS, "lock", self.project)
        name = hashlib.sha256(build("leaf")["build/torch-cpu/table.bin"]).hexdigest()
        lock = self.folder / "hf" / "hub" / ".locks" / "kernels--demo--leaf" / f"{name}.lock"
        hold = ("import sys, time; from huggingface_hub.utils import WeakFileLock\n"
                "with WeakFileLock(sys.argv[1]):\n    print('held', flush=True); sys.stdin.readline()")
        python = subprocess.Popen([sys.executable, "-c", hold, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.assertEqual(python.stdout.readline(), "held\n")
        ours = subprocess.Popen([KERNELS, "download", str(self.project), "--torch", str(self.torch_folder())], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, env=self.environment)
        self.assertEqual(ours.stderr.readline(), f"waiting for process {python.pid}, which downloads build/torch-cpu/table.bin\n")
        self.assertIsNone(ours.poll())
        python.communicate("go\n")
        out, err = ours.communicate(timeout=60)
        self.assertEqual(ours.returncode, 0, err)
        self.assertIn("downloaded", out)

    def test_python_finds_a_kernel_that_has_moved_and_what_it_needs(self):
        """It follows no kernel-status.toml: what it locks is in our lock too, and loads offline after our download."""
        status = b'kind = "redirect"\ndestination = "demo/top"\nrevision = "v1"\n'
        self.publish("demo/old", "v1", {**build("old", depends=[{"repo-id": "demo/leaf", "version": 1}]), "kernel-status.toml": status})
        self.hub = self.start_hub(self.data)
        self.write_project('"demo/old" = 1\n"demo/leaf" = 1\n')
        ours, theirs = (json.loads(lock) for lock in self.both_locks())
        self.assertEqual([entry for entry in ours if entry["dependency"]["repo-id"] in ("demo/old", "demo/leaf")][-1], theirs[-1])
        self.assertEqual([entry for entry in theirs if entry not in ours], [])
        self.assertEqual([entry["dependency"]["repo-id"] for entry in ours if entry not in theirs], ["demo/leaf", "demo/middle", "demo/top"])
        (self.project / "kernels.lock").write_text(json.dumps(ours, indent=2))
        self.ours("download", self.project)
        self.hub.stop()
        load = ("import json, kernels, pathlib, sys\nlock = pathlib.Path(sys.argv[1])\n"
                "print(json.dumps([kernels.load_kernel('demo/old', lockfile=lock).name, kernels.get_kernel('demo/old', version=1).name,\n"
                "                  kernels.load_kernel('demo/leaf', lockfile=lock).name]))")
        loaded = self.run_python(load, self.project / "kernels.lock", HF_HUB_OFFLINE="1")
        self.assertEqual(loaded, ["old", "old", "leaf"])

    def test_scan_after_everything_that_writes(self):
        self.write_project('"demo/top" = 1\n')
        for command in (["lock"], ["download"], ["cache", "verify"], ["lock", "--upgrade"], ["cache", "prune"]):
            words = command if command == ["cache", "verify"] else [*command, self.project]
            self.run_command(KERNELS, *words, *(["--torch", self.torch_folder()] if command == ["download"] else []))
            self.assertEqual(self.run_python(SCAN), [], command)

    def test_we_use_what_python_downloaded(self):
        self.write_project('"demo/leaf" = 1\n"demo/middle" = 1\n')
        self.python("lock", self.project)
        self.python("download", self.project)
        before = len(self.hub.requests())
        self.ours("download", self.project)
        content = [r for r in self.hub.requests()[before:] if "/resolve/" in r["path"] or "/_cdn/" in r["path"]]
        self.assertEqual(content, [])
        self.assertEqual(self.run_python(SCAN), [])
        self.hub.stop()
        self.ours("download", self.project, "--offline")

    def test_python_continues_in_our_cache(self):
        self.write_project('"demo/middle" = 1\n')
        self.run_command(KERNELS, "lock", self.project)
        self.ours("download", self.project)
        before = len(self.hub.requests())
        self.python("download", self.project)
        content = [r for r in self.hub.requests()[before:] if "/_cdn/" in r["path"]]
        self.assertEqual(content, [])
        self.assertEqual(self.run_python(SCAN), [])

    def test_no_file_is_fetched_twice_and_the_token_stays(self):
        self.write_project('"demo/top" = 1\n')
        self.run_command(KERNELS, "lock", self.project, HF_TOKEN="hf_for-the-endpoint-alone")
        self.ours("download", self.project, HF_TOKEN="hf_for-the-endpoint-alone")
        content = [r for r in self.hub.requests() if r["path"].startswith("/_cdn/")]
        self.assertEqual(len(content), len({r["path"] for r in content}))
        self.assertGreaterEqual(len(content), 3)
        self.assertFalse(any(r["authorization"] for r in content))
        self.assertTrue(all(r["authorization"] for r in self.hub.requests() if not r["path"].startswith("/_cdn/")))
        before = len(self.hub.requests())
        self.ours("download", self.project)
        self.assertEqual(self.hub.requests()[before:], [])


if __name__ == "__main__":
    unittest.main()
