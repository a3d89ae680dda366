"""kernels cache: ls, size, prune and verify, and what lock and download make of a cache that others wrote to."""

import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import unittest

import harness
from harness import TARGET, VARIANT
from loopback_hub import build, git_oid

import preload

OTHER = "torch213-cxx11-cu128-x86_64-linux"


class CacheTest(harness.CliTest):
    def setUp(self):
        super().setUp()
        self.publish_demo()
        self.write_project('"demo/two" = 1')
        self.expect(0, "lock")
        self.expect(0, "download", *TARGET)

    def assert_sound(self):
        blobs = [p for p in self.cache.glob("kernels--*/blobs/*") if p.suffix != ".incomplete"]
        for blob in blobs:
            data = blob.read_bytes()
            self.assertEqual(blob.name, hashlib.sha256(data).hexdigest() if len(blob.name) == 64 else git_oid(data))
        return blobs

    def blob(self, name, repo="one"):
        [link] = self.cache.glob(f"kernels--demo--{repo}/snapshots/*/build/{VARIANT}/{name}")
        return link.resolve()

    def damage(self, path, keep_time=False):
        status = path.stat()
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        seconds = status.st_mtime if keep_time else status.st_mtime + 100
        os.utime(path, (seconds, seconds))

    def files(self):
        return {p.relative_to(self.cache).as_posix(): os.readlink(p) if p.is_symlink() else p.read_bytes()
                for p in self.cache.rglob("*") if p.is_symlink() or p.is_file()}


class Look(CacheTest):
    def test_ls(self):
        document = self.expect(0, "cache", "ls", "--json").json
        self.assertEqual(document["cache"], str(self.cache))
        one, two = document["repositories"]
        self.assertEqual((one["repo"], two["repo"]), ("demo/one", "demo/two"))
        [snapshot] = one["snapshots"]
        self.assertEqual(snapshot["commit"], self.hub.commit_of("demo/one", "v1"))
        self.assertEqual(snapshot["refs"], ["v1"])
        self.assertEqual(sorted(snapshot["builds"]), sorted([OTHER, VARIANT]))  # lock has the metadata of all
        self.assertEqual(snapshot["files"], 5)
        text = self.expect(0, "cache", "ls", "demo/one").out.splitlines()
        self.assertEqual(len(text), 2)
        self.assertEqual(text[1].split()[:3], ["demo/one", "v1", snapshot["commit"][:12]])
        self.expect_error(4, "demo/oen: it is not in the cache", "cache", "ls", "demo/oen", hint="demo/one")
        self.assertIn("no kernels", self.expect(0, "cache", "ls", "--cache", self.folder / "none").out)

    def test_size_is_what_is_on_disk(self):
        def on_disk(folder):
            return sum(p.lstat().st_size for p in folder.rglob("*") if p.is_file() and not p.is_symlink())

        partial = self.cache / "kernels--demo--one" / "blobs" / ("0" * 64 + ".incomplete")
        partial.write_bytes(b"x" * 1000)
        document = self.expect(0, "cache", "size", "--json").json
        for entry in document["repositories"]:
            folder = self.cache / ("kernels--" + entry["repo"].replace("/", "--"))
            self.assertEqual(entry["bytes"], on_disk(folder))
        self.assertEqual(document["bytes"], sum(entry["bytes"] for entry in document["repositories"]))
        self.assertEqual([entry["partial_bytes"] for entry in document["repositories"]], [1000, 0])
        self.assertIn("1000 B of unfinished downloads", self.expect(0, "cache", "size").out)

    def test_mistakes_and_help(self):
        self.expect_error(2, "kernels cache: one of its commands is missing", "cache", hint="kernels help cache")
        self.expect_error(2, "`cache prnue`: there is no such command", "cache", "prnue", hint="`prune`")
        self.expect_error(2, "--repiar: there is no such option", "cache", "verify", "--repiar", hint="`--repair`")
        self.expect_error(2, "--dry-run belongs to --repair", "cache", "verify", "--dry-run")
        for arguments in (["help", "cache"], ["cache", "--help"]):
            text = self.expect(0, *arguments).out
            for word in ("cache ls", "cache size", "cache prune", "cache verify"):
                self.assertIn(word, text)

    def candidates(self, *words):
        return [line.split("\t")[0] for line in self.expect(0, "__complete", *words).out.splitlines()]

    def test_completions(self):
        self.assertEqual(self.candidates("cache", ""), ["ls", "size", "prune", "verify"])
        self.assertEqual(self.candidates("cache", "v"), ["verify"])
        self.assertEqual(self.candidates("help", "cache", "p"), ["prune"])
        self.assertEqual(self.candidates("cache", "ls", "demo/t"), ["demo/two"])
        self.assertEqual(self.candidates("cache", "ls", "demo/one", "demo/t"), ["demo/two"])
        self.assertEqual(self.candidates("cache", "prune", ""), [":folders"])
        self.assertIn("--repair", self.candidates("cache", "verify", "--r"))


class Prune(CacheTest):
    def test_what_a_lock_uses_stays(self):
        before = {name: data for name, data in self.files().items() if not name.startswith(".locks/content/")}
        self.assertIn("0 B freed", self.expect(0, "cache", "prune").out)
        self.assertEqual(self.files(), before)

    def test_locks_on_content_go_unless_they_are_held(self):
        folder = self.cache / ".locks" / "content"
        left = sorted(folder.iterdir())
        self.assertGreater(len(left), 2)
        self.expect(0, "cache", "prune", "--dry-run")
        self.assertEqual(sorted(folder.iterdir()), left)
        with open(left[0]) as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            self.expect(0, "cache", "prune")
            self.assertEqual(list(folder.iterdir()), left[:1])
            self.assertEqual(os.fstat(held.fileno()).st_nlink, 1)
        self.expect(0, "cache", "prune")
        self.assertEqual(list(folder.iterdir()), [])

    def test_what_no_lock_uses_goes(self):
        old = self.hub.commit_of("demo/one", "v1")
        new = self.hub.publish("demo/one", "v1", {**build(VARIANT, size=5000), **build(OTHER, size=100)})
        self.expect(0, "lock", "--upgrade")
        self.expect(0, "download", *TARGET)
        shared = git_oid(build(VARIANT)[f"build/{VARIANT}/layers.py"])
        before = self.files()
        planned = self.expect(0, "cache", "prune", "--dry-run", "--json").json
        self.assertEqual(self.files(), before)
        [entry] = planned["repositories"]
        self.assertEqual((entry["repo"], entry["commits"], entry["whole"]), ("demo/one", [old], False))
        sizes = sum(len(data) for name, data in before.items() if "one/blobs" in name)
        result = self.expect(0, "cache", "prune", "--json").json
        after = self.files()
        self.assertEqual({**planned, "dry_run": False}, result)
        self.assertEqual(sizes - sum(len(data) for name, data in after.items() if "one/blobs" in name), result["bytes"])
        self.assertGreater(result["bytes"], 19000)
        self.assertFalse(any(old in name for name in after), after.keys())
        self.assertTrue(any(new in name for name in after))
        self.assertEqual(after["kernels--demo--one/refs/v1"], new.encode())
        self.assertTrue((self.cache / "kernels--demo--one" / "blobs" / shared).exists())
        self.hub.requests.clear()
        self.expect(0, "download", *TARGET)
        self.assertEqual(self.hub.requests, [])
        self.expect(0, "cache", "verify")

    def test_what_a_lock_names_stays_though_it_is_not_there_in_full(self):
        shutil.rmtree(self.cache)
        commit = self.hub.commit_of("demo/one", "v1")
        self.expect(0, "versions", "demo/one", *TARGET)  # the listing, and no snapshot
        sha = hashlib.sha256(build(VARIANT)[f"build/{VARIANT}/_demo.abi3.so"]).hexdigest()
        folder = self.cache / "kernels--demo--one"
        part = folder / "blobs" / (sha + ".incomplete")
        part.parent.mkdir()
        part.write_bytes(b"part")
        (folder / "blobs" / ("0" * 64 + ".incomplete")).write_bytes(b"of nothing")
        self.assertFalse((folder / "snapshots" / commit).exists())
        self.expect(0, "cache", "prune")
        self.assertTrue((folder / "listings" / (commit + ".json")).exists())
        self.assertEqual([path.name for path in part.parent.iterdir()], [part.name])

    def test_parts_that_nobody_continues_go(self):
        blobs = self.cache / "kernels--demo--one" / "blobs"
        complete = next(path.name for path in blobs.iterdir())
        missing = hashlib.sha256(build(VARIANT)[f"build/{VARIANT}/_demo.abi3.so"]).hexdigest()
        for link in self.cache.glob(f"kernels--demo--one/snapshots/*/build/{VARIANT}/*.so"):
            link.unlink()
        (blobs / missing).unlink()
        # As huggingface_hub names them; one may still be written to.
        parts = [blobs / name for name in (f"{complete}.0a1b2c3d.incomplete", f"{missing}.0a1b2c3d.incomplete",
                                           f"{missing}.4e5f6071.incomplete", f"{missing}.incomplete")]
        for part in parts:
            part.write_bytes(b"part")
        os.utime(parts[1], (1, 1))
        os.utime(parts[3], (1, 1))
        self.expect(0, "cache", "prune")
        self.assertEqual([part.exists() for part in parts], [False, False, True, True])

    @unittest.skipUnless(preload.supported(), "no compiler to kill it at a rename")
    def test_of_what_is_being_made_nothing_is_taken_for_a_file_or_a_ref(self):
        for place in ("/snapshots/", "/refs/", "/listings/"):
            with self.subTest(place):
                shutil.rmtree(self.cache)
                killed = self.run_kernels("download", *TARGET, **preload.at_rename(self.folder, place, "kill(getpid(), SIGKILL);"))
                self.assertEqual(killed.status, -signal.SIGKILL, killed)
                left = list(self.cache.glob("kernels--*/unfinished/*"))
                self.assertNotEqual(left, [])
                for folder in ("snapshots", "refs", "listings"):
                    self.assertEqual(list(self.cache.glob(f"kernels--*/{folder}/**/*.incomplete")), [])
                self.expect(0, "download", *TARGET)
                self.expect(0, "cache", "verify")
                self.expect(0, "cache", "prune")
                self.assertTrue(all(os.path.lexists(path) for path in left))  # another process may be at it
                for path in left:
                    os.utime(path, (1, 1), follow_symlinks=False)
                self.expect(0, "cache", "prune")
                self.assertFalse(any(os.path.lexists(path) for path in left))
                self.expect(0, "download", *TARGET, "--offline")

    def test_one_prunes_at_a_time(self):
        lock = self.cache / ".locks" / "kernels-prune.lock"
        with open(lock, "w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            result = self.expect_error(1, f"kernels-prune.lock: still locked by process {os.getpid()} after 0 s", "cache", "prune",
                                       "--lock-timeout", "0")
            self.expect(0, "cache", "prune", "--dry-run")
        self.expect(0, "cache", "prune")
        self.assertFalse(lock.exists())
        self.hub.publish("demo/one", "v1", build(VARIANT, size=5000))
        self.expect(0, "lock", "--upgrade")
        several = [subprocess.Popen([harness.BINARY, "cache", "prune"], cwd=self.project, env=self.environment, text=True,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(6)]
        for process in several:
            err = process.communicate(timeout=60)[1]
            self.assertEqual(process.returncode, 0, err)

    def test_a_file_with_a_repositorys_name_is_nobodys(self):
        (self.cache / "kernels--some--file").write_text("mine")
        self.expect(0, "cache", "prune")
        self.assertEqual((self.cache / "kernels--some--file").read_text(), "mine")

    def test_several_projects_and_whole_repositories(self):
        second = self.folder / "second"
        second.mkdir()
        (second / "kernels.toml").write_text('[dependencies]\n"demo/one" = 1\n')
        self.expect(0, "lock", second)
        self.expect(0, "cache", "prune", self.project, second)
        self.assertTrue((self.cache / "kernels--demo--two").exists())
        model = self.cache / "models--some--model" / "snapshots" / "abc" / "weights.bin"
        model.parent.mkdir(parents=True)
        model.write_bytes(b"weights")
        self.assertIn("demo/two", self.expect(0, "cache", "prune", second).out)
        self.assertFalse((self.cache / "kernels--demo--two").exists())
        self.assertFalse((self.cache / ".locks" / "kernels--demo--two").exists())
        self.assertTrue((self.cache / "kernels--demo--one").exists())
        self.assertEqual(model.read_bytes(), b"weights")
        self.expect(0, "download", self.project, *TARGET)

    def test_without_a_lock_nothing_goes(self):
        before = self.files()
        empty = self.folder / "empty"
        empty.mkdir()
        self.expect_error(2, "no project file", "cache", "prune", empty)
        (empty / "kernels.toml").write_text('[dependencies]\n"demo/one" = 1\n')
        self.expect_error(3, "kernels.lock", "cache", "prune", empty, hint="kernels lock")
        (empty / "kernels.lock").write_text("[{]")
        self.expect_error(1, "kernels.lock", "cache", "prune", self.project, empty)
        self.assertEqual(self.files(), before)

    def test_what_another_process_downloads_stays(self):
        etag = "ab" * 32
        partial = self.cache / "kernels--demo--one" / "blobs" / f"{etag}.incomplete"
        partial.write_bytes(b"half")
        lock = self.cache / ".locks" / "kernels--demo--one" / f"{etag}.lock"
        with open(lock, "w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            self.assertIn("another process is downloading it", self.expect(0, "cache", "prune").out)
            self.assertEqual(partial.read_bytes(), b"half")
        self.expect(0, "cache", "prune")
        self.assertFalse(partial.exists())
        self.assertFalse(lock.exists())


class Verify(CacheTest):
    def test_all_right_without_a_connection(self):
        self.hub.requests.clear()
        document = self.expect(0, "cache", "verify", "--json").json
        self.assertEqual(document["files"], len(self.assert_sound()))
        self.assertEqual((document["repaired"], document["unchecked"]), ([], []))
        self.assertEqual(self.hub.requests, [])

    def test_the_damaged_are_named_and_repaired(self):
        library, source = self.blob("_demo.abi3.so"), self.blob("layers.py", "two")
        for path in (library, source):
            self.damage(path, keep_time=True)
        missing = self.blob("__init__.py")
        missing.unlink()
        before = self.files()
        result = self.expect_error(6, "3 of", "cache", "verify", hint="--repair")
        for path in (library, source, missing):
            self.assertEqual(sum(str(path) in line for line in result.err.splitlines()), 1, result)
        self.assertIn("_demo.abi3.so at ", result.err)
        failed = self.run_kernels("cache", "verify", "--json")
        self.assertEqual((failed.status, failed.json["error"]["code"]), (6, "verification"))
        self.assertEqual(len(failed.json["error"]["details"]), 3)
        self.expect_error(6, "3 of", "cache", "verify", "--repair", "--dry-run")
        self.assertEqual({name: data for name, data in self.files().items() if "verified" not in name},
                         {name: data for name, data in before.items() if "verified" not in name})
        self.expect_error(5, "damaged, and this is offline", "cache", "verify", "--repair", "--offline")
        published, self.hub.repos = self.hub.repos, {}
        self.expect_error(4, "3 of 3 damaged files could not be repaired", "cache", "verify", "--repair")
        self.hub.repos = published
        self.expect_error(6, "1 of", "cache", "verify", "demo/two")
        total = len([path for path in self.cache.glob("kernels--*/blobs/*") if path.suffix != ".incomplete"]) + 1
        document = self.expect(0, "cache", "verify", "--repair", "--json").json
        self.assertEqual(document["files"], total)
        self.assertEqual({entry["file"] for entry in document["repaired"]}, {str(library), str(source), str(missing)})
        for blob in self.cache.glob("kernels--*/blobs/*"):
            blob.unlink()
        self.expect_error(6, f": {total} of {total} files are damaged", "cache", "verify")
        out = self.expect(0, "cache", "verify", "--repair").out
        self.assertIn(f": {total} files, {total} of them repaired: all right now\n", out)
        self.assert_sound()
        self.expect(0, "cache", "verify")

    def test_what_nothing_uses_is_removed_and_other_names_are_said(self):
        blobs = self.cache / "kernels--demo--one" / "blobs"
        stray, foreign = blobs / ("cd" * 32), blobs / "W-weird-etag"
        stray.write_bytes(b"x")
        foreign.write_bytes(b"x")
        self.expect_error(6, "1 of", "cache", "verify")
        self.assertIn(f"not checked, as nothing says what it should be: {foreign}",
                      self.expect(0, "cache", "verify", "--repair").out)
        self.assertFalse(stray.exists())
        self.assertTrue(foreign.exists())

    def test_a_file_that_cannot_be_read_is_damaged(self):
        path = self.blob("layers.py")
        path.unlink()
        path.symlink_to(path.name)  # a loop
        self.expect_error(6, "1 of", "cache", "verify")
        self.expect(0, "cache", "verify", "--repair")
        self.assert_sound()


class OthersWroteIt(CacheTest):
    def test_wrong_bytes_are_found_and_fetched_again(self):
        """The right size under the right name, as the Python client leaves what a CDN broke."""
        for name in ("_demo.abi3.so", "layers.py", "metadata.json"):
            with self.subTest(name):
                path = self.blob(name)
                right = path.read_bytes()
                self.damage(path)
                self.expect_error(6, "bytes do not match their hash", "download", "--offline", *TARGET,
                                  hint="kernels cache verify --repair")
                result = self.expect(0, "download", *TARGET)
                self.assertIn("its bytes do not match their hash", result.err)
                self.assertEqual(path.read_bytes(), right)
                self.hub.requests.clear()
                self.expect(0, "download", *TARGET)
                self.assertEqual(self.hub.requests, [])

    def test_a_cache_that_others_filled_is_hashed_once(self):
        for record in self.cache.glob("*/verified"):
            record.unlink()
        self.damage(self.blob("_demo.abi3.so"), keep_time=True)
        self.assertIn("bytes do not match", self.expect(0, "download", *TARGET).err)
        self.assert_sound()
        self.assertTrue(all(list(self.cache.glob("*/verified"))))
        self.expect(0, "download", "--offline", *TARGET)

    def test_a_damaged_record_costs_a_look_only(self):
        for record in self.cache.glob("*/verified"):
            record.write_bytes(b"\xff garbage\n12 x y\n-1 2 ../../etc/passwd\n")
        self.hub.requests.clear()
        self.expect(0, "download", *TARGET)
        self.assertEqual(self.hub.requests, [])

    def test_lock_does_not_believe_wrong_metadata(self):
        [path] = self.cache.glob(f"kernels--demo--two/snapshots/*/build/{VARIANT}/metadata.json")
        blob = path.resolve()
        document = json.loads(blob.read_text())
        blob.write_text(json.dumps({**document, "kernel-depends": []}).ljust(blob.stat().st_size)[:blob.stat().st_size])
        os.utime(blob, (1, 1))
        shutil.copy(self.project / "kernels.lock", self.folder / "right.lock")
        (self.project / "kernels.lock").unlink()
        self.expect(0, "lock")
        self.assertEqual((self.project / "kernels.lock").read_bytes(), (self.folder / "right.lock").read_bytes())


if __name__ == "__main__":
    harness.main()
