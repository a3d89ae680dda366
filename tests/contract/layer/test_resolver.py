"""Resolving through a Hub: what is fetched, what is remembered, whom it trusts, and what it does offline.

The Python client's rules are the reference: trust_remote_code as its _check_trust_remote_code has it, versions looked
up anew by every process, locked kernels at the lock's commit.
"""

import base64
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "cli"))
from loopback_hub import Hub, build, redirect  # noqa: E402

PROBE = os.environ.get("KERNELS_LAYER_PROBE")
VARIANT = "torch213-cxx11-cpu-x86_64-linux"
TARGET = "torch=2.13,cpu,os=linux"


def layer(repo, name="Demo", trust=False, **reference):
    source = "locked" if "lock" in reference else "hub"
    return {"function": False, "source": source, "repo": repo, "name": name, "trust": trust, **reference}


class Resolving(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="kernels-test-")
        self.hub = Hub()
        self.first = self.hub.publish("demo/one", "v1", build(VARIANT))
        self.hub.publish("demo/two", "v1", build(VARIANT, name="two", depends=[("demo/one", 1)]))
        self.hub.publish("shady/one", "v1", build(VARIANT, name="shady"), trusted=False)

    def tearDown(self):
        self.hub.server.shutdown()
        self.hub.server.server_close()
        self.folder.cleanup()

    def resolve(self, *repositories, fetch=True, **environment):
        question = {"ask": "resolve", "target": TARGET, "repositories": repositories, "fetch": fetch}
        self.hub.requests.clear()
        done = subprocess.run(
            [PROBE], input=json.dumps(question) + "\n", capture_output=True, text=True, timeout=60,
            env={"HOME": self.folder.name, "HF_ENDPOINT": self.hub.url, "HF_HUB_CACHE": f"{self.folder.name}/cache",
                 **environment})
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_a_version_is_downloaded_once_and_remembered(self):
        first, again, other = self.resolve(*[layer("demo/one", version=1)] * 2, layer("demo/one", "Other", version=1))
        self.assertEqual(first["commit"], self.first)
        self.assertEqual(first, again)
        self.assertEqual(first, other)
        self.assertTrue((Path(first["folder"]) / "_demo.abi3.so").exists())
        (alone,) = self.resolve(layer("demo/one", version=1))
        self.assertEqual(alone, first)
        asked = len(self.hub.requests)
        self.resolve(*[layer("demo/one", version=1)] * 5)
        self.assertEqual(len(self.hub.requests), asked)
        self.assertFalse([path for path in self.hub.requests if "/resolve/" in path or "/cdn/" in path])
        # The branch moves on: the next process sees it.
        moved = self.hub.publish("demo/one", "v1", build(VARIANT, version=2))
        self.assertEqual(self.resolve(layer("demo/one", version=1))[0]["commit"], moved)

    def test_what_a_kernel_needs_comes_with_it(self):
        self.resolve(layer("demo/two", version=1))
        self.assertTrue(list(Path(self.folder.name).glob("cache/kernels--demo--one/snapshots/*/build/*/layers.py")))

    def test_what_only_the_builds_of_a_moved_kernel_need_does_not_matter(self):
        self.hub.publish("demo/leaf", "v1", build("torch29-cxx11-cpu-x86_64-linux", name="leaf"))
        self.hub.publish("demo/old", "v1", {**redirect("demo/one", "v1"), **build(VARIANT, name="old", depends=[("demo/leaf", 1)])})
        (found,) = self.resolve(layer("demo/old", version=1))
        self.assertEqual(found.get("commit"), self.first, found)

    def test_what_only_builds_for_other_machines_need_does_not_matter(self):
        cuda = "torch213-cxx11-cu128-x86_64-linux"
        leaf = self.hub.publish("demo/leaf", "v1", build(cuda, name="leaf"))
        top = self.hub.publish("demo/top", "v1", {**build(VARIANT, name="top"), **build(cuda, name="top", depends=[("demo/leaf", 1)])})
        lock = Path(self.folder.name) / "kernels.lock"
        lock.write_text(json.dumps([{"dependency": {"repo-id": repo, "version": 1}, "lock": {"commit": commit}}
                                    for repo, commit in (("demo/leaf", leaf), ("demo/top", top))]))
        for _ in range(2):  # there and gone
            (found,) = self.resolve(layer("demo/top", lock=str(lock)), HF_HUB_CACHE=f"{self.folder.name}/{len(self.hub.repos)}")
            self.assertEqual(found.get("commit"), top, found)
            self.hub.repos.pop("demo/leaf", None)

    def test_a_build_that_was_refused_stays_refused(self):
        files = build(VARIANT, name="wrong")
        path = f"build/{VARIANT}/metadata.json"
        digest = {"algorithm": "sha256", "files": {"_wrong.abi3.so": base64.b64encode(bytes(32)).decode()}}
        files[path] = json.dumps({**json.loads(files[path]), "digest": digest}).encode()
        commit = self.hub.publish("demo/wrong", "v1", files)
        lock = Path(self.folder.name) / "kernels.lock"
        lock.write_text(json.dumps([{"dependency": {"repo-id": "demo/wrong", "version": 1}, "lock": {"commit": commit}}]))
        for fetch in (True, True, False):
            (refused,) = self.resolve(layer("demo/wrong", lock=str(lock)), fetch=fetch)
            self.assertEqual(refused.get("code"), "verification", refused)

    def test_trust(self):
        allowed = [True, ["shady/one"], ["demo/one", "shady/one"]]
        refused = [False, [], ["shady/ones"], ["demo/one"]]
        for answer in self.resolve(*[layer("shady/one", trust=trust, version=1) for trust in refused]):
            self.assertEqual(answer["code"], "verification", answer)
            self.assertIn("shady is not a trusted kernel publisher", answer["error"])
        self.assertFalse(list(Path(self.folder.name).glob("cache/kernels--shady--one/blobs/*")))
        for answer in self.resolve(*[layer("shady/one", trust=trust, version=1) for trust in allowed]):
            self.assertIn("commit", answer)
        self.assertFalse([path for path in self.hub.requests if "organizations/shady" in path])
        # In the cache now, but nobody calls it trusted.
        self.assertEqual(self.resolve(layer("shady/one", version=1))[0]["code"], "verification")
        # Offline the client goes on with what it has.
        self.assertIn("commit", self.resolve(layer("shady/one", version=1), HF_HUB_OFFLINE="1")[0])

    def test_trust_of_what_the_cache_has_when_nothing_is_downloaded(self):
        self.resolve(layer("demo/one", version=1), layer("shady/one", trust=True, version=1))
        asked = [layer("demo/one", version=1), layer("demo/one", "Other", version=1), layer("shady/one", version=1),
                 layer("shady/one", trust=["shady/one"], version=1)]
        one, other, shady, allowed = self.resolve(*asked, fetch=False)
        self.assertEqual(one["commit"], self.first)
        self.assertEqual(one, other)
        self.assertEqual(shady["code"], "verification")
        self.assertIn("shady is not a trusted kernel publisher", shady["error"])
        self.assertIn("commit", allowed)
        # Each organization once, and nothing else is asked.
        self.assertEqual(sorted(self.hub.requests), ["/api/organizations/demo/overview", "/api/organizations/shady/overview"])
        # What cannot be checked is an error online, as in the Python client, and goes on offline.
        (unchecked,) = self.resolve(layer("demo/one", version=1), fetch=False, HF_ENDPOINT="http://127.0.0.1:9")
        self.assertEqual(unchecked["code"], "network", unchecked)
        self.assertIn("demo/one: whether its publisher is trusted cannot be checked", unchecked["error"])
        (offline,) = self.resolve(layer("shady/one", version=1), fetch=False, HF_HUB_OFFLINE="1")
        self.assertIn("commit", offline)

    def test_offline_asks_nothing(self):
        absent, = self.resolve(layer("demo/one", version=1), HF_HUB_OFFLINE="1")
        self.assertEqual(absent["code"], "not-found")
        self.resolve(layer("demo/one", version=1))
        (found,) = self.resolve(layer("demo/one", version=1), HF_HUB_OFFLINE="1")
        self.assertEqual(found["commit"], self.first)
        self.assertEqual(self.hub.requests, [])

    def test_a_locked_kernel_stays_at_its_commit(self):
        lock = Path(self.folder.name) / "kernels.lock"
        lock.write_text(json.dumps([{"dependency": {"repo-id": "demo/one", "version": 1}, "lock": {"commit": self.first}}]))
        self.hub.publish("demo/one", "v1", build(VARIANT, version=2))
        (found,) = self.resolve(layer("demo/one", lock=str(lock)))
        self.assertEqual(found["commit"], self.first)
        self.assertTrue((Path(found["folder"]) / "_demo.abi3.so").exists())

    def test_trust_of_locked_kernels(self):
        lock = Path(self.folder.name) / "kernels.lock"
        commit = self.hub.commit_of("shady/one", "v1")
        lock.write_text(json.dumps([{"dependency": {"repo-id": "shady/one", "version": 1}, "lock": {"commit": commit}}]))
        refused, allowed = self.resolve(*[layer("shady/one", trust=trust, lock=str(lock)) for trust in (False, True)])
        self.assertEqual(refused["code"], "verification")
        self.assertEqual(allowed["commit"], commit)

    def test_trust_of_what_a_locked_kernel_needs(self):
        self.hub.publish("demo/needy", "v1", build(VARIANT, name="needy", depends=[("shady/one", 1)]))
        lock = Path(self.folder.name) / "kernels.lock"
        lock.write_text(json.dumps([{"dependency": {"repo-id": repo, "version": 1}, "lock": {"commit": self.hub.commit_of(repo, "v1")}}
                                    for repo in ("demo/needy", "shady/one")]))
        (refused,) = self.resolve(layer("demo/needy", lock=str(lock)))
        self.assertEqual(refused["code"], "verification", refused)
        self.assertFalse([path for path in self.hub.requests if "shady/one" in path])
        (allowed,) = self.resolve(layer("demo/needy", trust=["shady/one"], lock=str(lock)))
        self.assertIn("commit", allowed)

    def test_local_kernels_ask_nothing(self):
        builds = Path(self.folder.name) / "mine" / VARIANT
        builds.mkdir(parents=True)
        (builds / "metadata.json").write_bytes(build(VARIANT)[f"build/{VARIANT}/metadata.json"])
        (found,) = self.resolve(layer("shady/one", version=1), LOCAL_KERNELS=f"shady/one={builds.parent}")
        self.assertEqual(found["folder"], str(builds))
        self.assertEqual(self.hub.requests, [])

    def test_failures_are_named(self):
        answers = self.resolve(layer("demo/none", version=1), layer("demo/one", version=7), layer("demo/one", version=1))
        self.assertEqual([answer.get("code") for answer in answers], ["not-found", "not-found", None])


if __name__ == "__main__":
    if not PROBE:
        print("skipped: KERNELS_LAYER_PROBE does not name the probe executable")
        sys.exit(77)
    unittest.main()
