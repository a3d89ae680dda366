"""download --output: plain folders, no cache."""

import fcntl
import hashlib
import json
import os
import pathlib
import shutil
import subprocess

import harness
from harness import TARGET, VARIANT
from loopback_hub import build, redirect


class Output(harness.CliTest):
    def setUp(self):
        super().setUp()
        self.publish_demo()
        self.write_project('"demo/two" = 1')
        self.expect(0, "lock")
        self.out = self.folder / "image"

    def tree(self):
        return {str(path.relative_to(self.out)): path.read_bytes() for path in self.out.rglob("*") if path.is_file()}

    def expected(self):
        files = {f"demo/one/{path}": data for path, data in build(VARIANT).items()}
        files |= {f"demo/two/{path}": data for path, data in build(VARIANT, name="two", depends=[("demo/one", 1)]).items()}
        return files

    def test_plain_files_and_nothing_else(self):
        before = self.blobs()
        result = self.expect(0, "download", "--output", self.out, *TARGET, "--json")
        self.assertEqual(self.tree(), self.expected())
        self.assertFalse([path for path in self.out.rglob("*") if path.is_symlink()])
        self.assertEqual(sorted(os.listdir(self.out)), ["demo"])
        self.assertEqual(self.blobs(), before)  # the cache is not written
        named = {file["file"] for one in result.json["builds"] for file in one["files"]}
        self.assertEqual(named, {str(self.out / path) for path in self.expected()})
        info = self.expect(0, "info", self.out / "demo/one", "--json").json
        self.assertEqual((info["name"], info["backends"]), ("demo", ["cpu"]))

    def test_what_is_on_this_machine_is_copied(self):
        self.expect(0, "download", *TARGET)
        self.hub.requests.clear()
        self.expect(0, "download", "--offline", "-o", self.out, *TARGET)
        self.assertEqual(self.tree(), self.expected())
        # The copy is a copy: changing it leaves the cache alone.
        for path in self.out.rglob("*"):
            if path.is_file():
                path.write_bytes(b"changed")
        self.expect(0, "download", "--offline", "-o", self.out, *TARGET)
        self.assertEqual(self.tree(), self.expected())
        self.assertEqual(self.hub.requests, [])

    def test_offline_the_metadata_in_the_cache_tells_which_build_fits_a_device(self):
        variant = "torch213-cxx11-cu128-x86_64-linux"
        files = build(variant)
        document = json.loads(files[f"build/{variant}/metadata.json"])
        document["backend"]["archs"] = ["8.0"]
        self.hub.publish("demo/one", "v1", {**files, f"build/{variant}/metadata.json": json.dumps(document).encode()})
        target = ["--target", "torch=2.13,cuda=12.8,capability=8.0,cpu=x86_64,os=linux"]
        self.write_project('"demo/one" = 1')
        self.expect(0, "lock", "--upgrade")
        self.expect(0, "download", *target)
        self.hub.requests.clear()
        for _ in range(2):
            self.expect(0, "download", "--offline", "-o", self.out, *target)
        self.assertEqual(self.hub.requests, [])

    def test_two_states_of_one_kernel_have_no_room(self):
        self.hub.publish("demo/one", "v2", build(VARIANT, version=2))
        self.write_project('"demo/two" = 1\n"demo/one" = 2')
        self.expect(0, "lock")
        self.expect_error(1, "demo/one: the lock has two states of it, v1 (", "download", "-o", self.out, *TARGET, hint="kernels tree")
        self.assertFalse(self.out.exists())
        self.expect(0, "download", *TARGET)
        # One that has moved to another is not placed.
        self.hub.publish("demo/one", "v1", redirect("demo/one", "v2"))
        self.write_project('"demo/one" = 1')
        self.expect(0, "lock", "--upgrade")
        self.expect(0, "download", "-o", self.out, *TARGET)
        self.assertEqual(self.tree()[f"demo/one/build/{VARIANT}/__init__.py"], b"# demo 2\n")
        shutil.rmtree(self.out)
        self.publish_demo()
        # Two names of one state are one.
        self.hub.publish("demo/one", "main", {**build(VARIANT), **build("torch213-cxx11-cu128-x86_64-linux")})
        self.hub.repos["demo/one"]["branches"]["main"] = self.hub.commit_of("demo/one", "v1")
        (self.project / "kernels.toml").write_text('[dependencies]\n"demo/two" = 1\n"demo/one" = { revision = "main" }\n')
        self.expect(0, "lock", "--upgrade")
        self.expect(0, "download", "-o", self.out, *TARGET)
        self.assertEqual(self.tree(), self.expected())

    def test_a_new_version_replaces_the_whole_build(self):
        self.expect(0, "download", "-o", self.out, *TARGET)
        (self.out / "demo/two/build" / VARIANT / "left-over").write_text("x")
        self.hub.publish("demo/two", "v1", build(VARIANT, name="two", size=77))
        self.expect(0, "lock", "--upgrade")
        self.expect(0, "download", "-o", self.out, *TARGET)
        self.assertFalse((self.out / "demo/two/build" / VARIANT / "left-over").exists())
        self.assertEqual(len((self.out / "demo/two/build" / VARIANT / "_two.abi3.so").read_bytes()), 77)

    def test_a_build_of_another_state_is_told_of(self):
        """Who loads the kernel from the folder chooses among all builds in it."""
        more = "torch212-cxx11-cpu-x86_64-linux"
        self.hub.publish("demo/two", "v1", {**build(VARIANT, name="two"), **build(more, name="two")})
        self.expect(0, "lock", "--upgrade")
        self.expect(0, "download", "-o", self.out, "--all-variants")
        self.assertNotIn("warning", self.expect(0, "download", "-o", self.out, *TARGET).err)  # another build of the same state
        files = build(VARIANT, name="two", size=77)
        for state in (files, {**files, **build(more, name="two", version=5)}):  # without it, and with another one of that name
            self.hub.publish("demo/two", "v1", state)
            self.expect(0, "lock", "--upgrade")
            left = self.out / "demo/two/build" / more
            result = self.expect(0, "download", "-o", self.out, *TARGET)
            self.assertIn(f"warning: {left}: demo/two has no such build in the state that is locked", result.err)
            self.assertTrue(left.exists())

    def test_equal_bytes_of_another_repository_in_the_cache_are_not_fetched(self):
        same = build(VARIANT)[f"build/{VARIANT}/_demo.abi3.so"]
        self.hub.publish("demo/copy", "v1", {**build(VARIANT, name="copy"), f"build/{VARIANT}/_copy.abi3.so": same})
        self.expect(0, "download", *TARGET)
        self.write_project('"demo/copy" = 1')
        self.expect(0, "lock")
        self.hub.requests.clear()
        self.expect(0, "download", "-o", self.out, *TARGET)
        self.assertEqual((self.out / "demo/copy/build" / VARIANT / "_copy.abi3.so").read_bytes(), same)
        self.assertEqual([path for path in self.hub.requests if path.startswith("/cdn/")], [])

    def test_a_failure_leaves_the_old_build(self):
        self.expect(0, "download", "-o", self.out, *TARGET)
        before = self.tree()
        files = build(VARIANT, name="two", size=77)
        self.hub.publish("demo/two", "v1", files)
        self.hub.corrupt.add(hashlib.sha256(files[f"build/{VARIANT}/_two.abi3.so"]).hexdigest())
        self.expect(0, "lock", "--upgrade")
        self.expect_error(6, "do not match their hash", "download", "-o", self.out, *TARGET)
        after = {path: data for path, data in self.tree().items() if not path.startswith(".kernels-download")}
        self.assertEqual(after, before)

    def start(self):
        return subprocess.Popen([harness.BINARY, "download", "-o", str(self.out), *TARGET], cwd=self.project, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment)

    def test_several_processes_at_once(self):
        self.hub.slow = 0.1
        for turn in range(3):  # a new folder, and one that has the builds
            processes = [self.start() for _ in range(3)]
            ends = [(*process.communicate(timeout=60), process.returncode) for process in processes]
            self.assertEqual([status for _, _, status in ends], [0, 0, 0], ends)
            self.assertEqual(self.tree(), self.expected())
            self.assertEqual(sorted(os.listdir(self.out)), ["demo"])
            said = "".join(err for _, err, _ in ends)
            if turn == 0:
                self.assertRegex(said, rf"waiting for process ({'|'.join(str(p.pid) for p in processes)}), which writes to {self.out}")
        self.assertEqual(len([path for path in self.hub.requests if path.startswith("/cdn/")]), 2)

    def test_two_folders_at_once_fetch_equal_files_once(self):
        self.hub.slow = 0.1
        outs = [self.folder / name for name in ("first", "second", "third")]
        self.hub.requests.clear()
        processes = []
        for out in outs:
            self.out = out
            processes.append(self.start())
        ends = [(*process.communicate(timeout=60), process.returncode) for process in processes]
        self.assertEqual([status for _, _, status in ends], [0, 0, 0], ends)
        # Two files; a process that looks between another's rename of a file and its note of that fetches one again.
        self.assertLessEqual(len([path for path in self.hub.requests if path.startswith("/cdn/")]), 3)
        for self.out in outs:
            self.assertEqual(self.tree(), self.expected())
        self.assertEqual(list(self.cache.glob("kernels--*/blobs/*.so")), [])
        # What is noted may have become other bytes, or be gone.
        for path in self.out.rglob("*.so"):
            path.write_bytes(b"x" * path.stat().st_size)
        shutil.rmtree(outs[0])
        self.out = self.folder / "fourth"
        self.expect(0, "download", "-o", self.out, *TARGET)
        self.assertEqual(self.tree(), self.expected())

    def test_the_wait_for_another_process_ends(self):
        self.out.mkdir()
        with (self.out / ".kernels-download.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.expect_error(1, f"still locked by process {os.getpid()} after 1 s", "download", "-o", self.out, "--lock-timeout", 1,
                              *TARGET)
        self.expect(0, "download", "-o", self.out, *TARGET)
        self.assertEqual(sorted(os.listdir(self.out)), ["demo"])

    def test_an_output_that_cannot_be_written(self):
        (self.folder / "file").write_text("")
        self.expect_error(1, "cannot be written", "download", "-o", self.folder / "file" / "below", *TARGET, hint="--output")


class EqualFiles(harness.CliTest):
    def test_are_fetched_once_for_several_kernels(self):
        files = build(VARIANT, size=300000)
        self.hub.publish("demo/one", "v1", files)
        self.hub.publish("demo/two", "v1", files)
        self.write_project('"demo/one" = 1\n"demo/two" = 1')
        self.expect(0, "lock")
        self.hub.requests.clear()
        result = self.expect(0, "download", "--json", *TARGET)
        self.assertEqual(len([path for path in self.hub.requests if path.startswith("/cdn/")]), 1)
        libraries = [file for one in result.json["builds"] for file in one["files"] if file["path"].endswith(".so")]
        self.assertEqual(sorted(file["transferred"] for file in libraries), [0, 300000])
        self.assertEqual({pathlib.Path(file["file"]).read_bytes() for file in libraries}, {files[f"build/{VARIANT}/_demo.abi3.so"]})


if __name__ == "__main__":
    harness.main()
