"""What a kernels.lock of the format before 0.17 holds: its hashes are verified, and its commits stay."""

import base64
import hashlib
import json

import harness
from harness import TARGET, VARIANT
from loopback_hub import build, git_oid


class Before017(harness.CliTest):
    def locked(self):
        return [(e["dependency"]["repo-id"], e["dependency"].get("version"), e["lock"]["commit"])
                for e in json.loads((self.project / "kernels.lock").read_text())]

    def old_lock(self, change=lambda digest: digest):
        files = build(VARIANT)
        self.commit = commit = self.hub.publish("demo/one", "v1", files)
        hasher = hashlib.sha256()
        for path in sorted(files):
            hasher.update(path.encode())
            large = path.endswith(".so")
            hasher.update(bytes.fromhex(hashlib.sha256(files[path]).hexdigest() if large else git_oid(files[path])))
        digest = base64.b64encode(change(hasher.digest())).decode()
        entry = {"repo_id": "demo/one", "sha": commit, "variants": {VARIANT: {"hash": f"sha256-{digest}", "hash_type": "git_lfs_concat"}}}
        (self.project / "kernels.lock").write_text(json.dumps([entry]))
        self.write_project()

    def test_its_hashes_are_verified_and_lock_rewrites_it(self):
        self.old_lock()
        self.expect(0, "download", *TARGET)
        # So that the Python client finds it offline, by its version too.
        self.assertEqual((self.cache / "kernels--demo--one" / "refs" / "v1").read_text(), self.commit)
        self.expect(0, "lock")
        self.assertEqual(self.locked(), [("demo/one", 1, self.commit)])

    def test_its_commits_stay_until_they_are_to_move(self):
        self.old_lock()
        newer = self.hub.publish("demo/one", "v1", build(VARIANT, size=50))
        result = self.expect(0, "lock")
        self.assertIn("1 kernel, written", result.out)
        self.assertEqual(self.locked(), [("demo/one", 1, self.commit)])
        self.expect(0, "lock", "--check")
        self.expect(0, "download", "--locked", *TARGET)
        self.old_lock()
        self.hub.publish("demo/one", "v1", build(VARIANT, size=50))
        self.hub.publish("demo/two", "v1", build(VARIANT, name="two"))
        self.expect(0, "add", "demo/two")
        self.assertIn(("demo/one", 1, self.commit), self.locked())
        self.old_lock()
        self.hub.publish("demo/one", "v1", build(VARIANT, size=50))
        self.expect(0, "lock", "--upgrade", "demo/one")
        self.assertEqual(self.locked(), [("demo/one", 1, newer)])

    def test_a_version_that_the_project_names_now(self):
        """An old lock does not say of which version its commit is; the builds do."""
        self.old_lock()
        newer = self.hub.publish("demo/one", "v2", build(VARIANT, size=50, version=2))
        self.write_project('"demo/one" = 2')
        ref = self.cache / "kernels--demo--one" / "refs" / "v2"
        self.expect(0, "download", *TARGET)
        self.assertFalse(ref.exists() or ref.with_name("v1").exists())
        self.expect(3, "lock", "--check")
        for command in ("tree", "outdated"):
            self.assertNotIn("demo/one@v2: moved", self.expect(0, command).out)
            self.assertNotIn("demo/one@v2 " + self.commit[:12], self.expect(0, command).out)
        result = self.expect(0, "lock")
        self.assertIn("has a commit of version 1, and the project names version 2", result.err)
        self.assertEqual(self.locked(), [("demo/one", 2, newer)])

    def test_a_ref_that_is_there_stays(self):
        self.old_lock()
        newer = self.hub.publish("demo/one", "v1", build(VARIANT, size=50))
        old = (self.project / "kernels.lock").read_text()
        (self.project / "kernels.lock").unlink()
        self.expect(0, "lock")
        self.expect(0, "download", *TARGET)
        (self.project / "kernels.lock").write_text(old)
        self.expect(0, "download", "--no-sum", *TARGET)
        self.assertEqual((self.cache / "kernels--demo--one" / "refs" / "v1").read_text(), newer)

    def test_what_follows_from_it_is_told(self):
        self.old_lock()
        self.assertIn(f"demo/one@v1 {self.commit[:12]}", self.expect(0, "tree").out)
        self.assertIn("all up to date", self.expect(0, "outdated").out)
        moved = self.hub.publish("demo/one", "v1", build(VARIANT, size=50))
        self.hub.publish("demo/one", "v2", build(VARIANT, size=60))
        out = self.expect(0, "outdated").out
        self.assertIn(f"demo/one@v1: moved from {self.commit[:12]} to {moved[:12]}; v2 is the newest version", out)

    def test_a_build_without_a_hash_is_refused(self):
        self.old_lock()
        lock = self.project / "kernels.lock"
        entries = json.loads(lock.read_text())
        hashes = entries[0]["variants"]
        known = hashes.pop(VARIANT)
        for variants, status, message in (
                ({"torch99-cxx11-cpu-x86_64-linux": known}, 3, f"has no hash for {VARIANT}"),
                ({}, 1, "`variants` names no build"), ({"x y": known}, 1, "`x y` is no build variant")):
            entries[0]["variants"] = variants
            lock.write_text(json.dumps(entries))
            result = self.expect_error(status, message, "download", *TARGET, hint="kernels lock")
            self.assertIn("kernels.lock", result.err)
            self.assertEqual(self.blobs(), [])

    def test_another_hash_is_refused(self):
        self.old_lock(lambda digest: digest[::-1])
        result = self.expect_error(6, "are not the ones that kernels.lock names", "download", *TARGET)
        self.assertIn(VARIANT, result.err)
        self.assertEqual(self.blobs(), [])

    def test_lock_does_not_rewrite_what_it_contradicts(self):
        self.old_lock(lambda digest: digest[::-1])
        before = (self.project / "kernels.lock").read_bytes()
        for arguments in ([], ["--upgrade"], ["--check"]):
            result = self.expect_error(6, "demo/one@", "lock", *arguments)
            self.assertIn(f"the files of {VARIANT} are not the ones that kernels.lock names", result.err)
        self.assertEqual((self.project / "kernels.lock").read_bytes(), before)


if __name__ == "__main__":
    harness.main()
