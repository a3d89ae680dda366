"""Nothing of a publisher that is not trusted is fetched, whatever names it."""

import json
import shutil

import harness
from harness import TARGET, VARIANT
from loopback_hub import build


class Trust(harness.CliTest):
    def requests_for(self, repo):
        return [request for request in self.hub.requests if repo in str(request)]

    def test_all_of_a_level_before_anything_of_any(self):
        self.publish_demo()
        self.hub.publish("someone/kernel", "v1", build(VARIANT), trusted=False)
        self.write_project('"demo/one" = 1\n"someone/kernel" = 1')
        self.expect_error(6, "someone is not a trusted kernel publisher", "lock")
        self.assertEqual(self.requests_for("demo/one") + self.requests_for("someone/kernel"), [])
        self.assertTrue(self.requests_for("organizations"))

    def test_add_asks_for_nothing_of_it(self):
        self.hub.publish("someone/kernel", "v1", build(VARIANT), trusted=False)
        self.write_project("")
        for name in ("someone/kernel", "someone/kernel@1"):
            self.expect_error(6, "someone is not a trusted kernel publisher", "add", name, hint="trust-remote-code")
        self.assertEqual(self.requests_for("someone/kernel"), [])
        self.write_project("", 'trust-remote-code = ["someone/kernel"]')
        self.expect(0, "add", "someone/kernel")

    def test_a_lock_by_hand_is_no_way_around(self):
        commit = self.hub.publish("someone/kernel", "v1", build(VARIANT), trusted=False)
        entry = {"dependency": {"repo-id": "someone/kernel", "version": 1}, "lock": {"commit": commit}}
        (self.project / "kernels.lock").write_text(json.dumps([entry], indent=2))
        for arguments in ([], ["--output", self.folder / "out"]):
            self.expect_error(6, "someone is not a trusted kernel publisher", "download", *TARGET, *arguments, hint="trust-remote-code")
        self.assertEqual(self.requests_for("someone/kernel"), [])
        trust = 'trust-remote-code = ["someone/kernel"]\n'
        (self.project / "kernels.toml").write_text(trust + '[dependencies]\n"someone/kernel" = 1\n')
        self.hub.requests.clear()
        self.expect(0, "download", *TARGET)
        self.assertEqual(self.requests_for("organizations"), [])
        # What is complete costs no request, whoever published it.
        (self.project / "kernels.toml").unlink()
        self.hub.requests.clear()
        self.expect(0, "download", *TARGET)
        self.assertEqual(self.hub.requests, [])

    def test_a_listing_in_the_cache_is_no_way_around(self):
        cuda = "torch213-cxx11-cu128-x86_64-linux"
        commit = self.hub.publish("someone/kernel", "v1", build(cuda), trusted=False)
        self.hub.publish("someone/kernel", "v2", build(VARIANT, version=2), trusted=False)
        self.expect(0, "versions", "someone/kernel", *TARGET)  # brings the listings
        self.assertEqual(self.blobs(), [])
        entry = {"dependency": {"repo-id": "someone/kernel", "version": 1}, "lock": {"commit": commit}}
        (self.project / "kernels.lock").write_text(json.dumps([entry], indent=2))
        device = ["--target", "torch=2.13,cuda=12.8,cpu=x86_64,os=linux,capability=90"]
        self.hub.requests.clear()
        for arguments in ([], ["--output", self.folder / "out"]):
            self.expect_error(6, "someone is not a trusted kernel publisher", "download", *device, *arguments)
        # Nor for what other versions would offer, where no build fits.
        result = self.expect_error(7, "no build fits", "download", *TARGET)
        self.assertNotIn("v2", result.err)
        self.assertEqual(self.requests_for("someone/kernel"), [])
        (self.project / "kernels.toml").write_text('trust-remote-code = true\n[dependencies]\n"someone/kernel" = 1\n')
        self.assertIn("v2", self.expect_error(7, "no build fits", "download", *TARGET).err)
        self.expect(0, "download", *device)
        # What is complete costs no request, into a folder too.
        (self.project / "kernels.toml").unlink()
        self.hub.requests.clear()
        self.expect(0, "download", *device)
        self.expect(0, "download", *device, "--output", self.folder / "out")
        self.assertEqual(self.hub.requests, [])

    def test_tree_of_a_lock_by_hand_is_no_way_around(self):
        commit = self.hub.publish("someone/kernel", "v1", build(VARIANT), trusted=False)
        entry = {"dependency": {"repo-id": "someone/kernel", "version": 1}, "lock": {"commit": commit}}
        (self.project / "kernels.lock").write_text(json.dumps([entry], indent=2))
        self.write_project('"someone/kernel" = 1')
        self.expect_error(6, "someone is not a trusted kernel publisher", "tree", hint="trust-remote-code")
        self.assertEqual(self.requests_for("someone/kernel"), [])
        self.write_project('"someone/kernel" = 1', 'trust-remote-code = true')
        self.expect(0, "tree")
        # What the cache holds is shown without a question.
        self.write_project('"someone/kernel" = 1')
        self.hub.requests.clear()
        self.assertIn("someone/kernel@v1", self.expect(0, "tree").out)
        self.assertEqual(self.hub.requests, [])

    def test_a_publisher_is_asked_about_once_a_run(self):
        self.publish_demo()
        self.write_project('"demo/two" = 1')
        self.expect(0, "lock")
        shutil.rmtree(self.cache)
        self.hub.requests.clear()
        self.expect(0, "download", "--locked", *TARGET)
        self.assertEqual(len(self.requests_for("organizations")), 1)


if __name__ == "__main__":
    harness.main()
