"""outdated: what is newer, what would bring it, and what offline cannot be known."""

import harness
from harness import VARIANT
from loopback_hub import build


class Outdated(harness.CliTest):
    def test_moved_commits_and_newer_versions(self):
        self.publish_demo()
        self.hub.publish("demo/one", "main", build(VARIANT))
        self.write_project('"demo/one" = { revision = "main" }\n"demo/two" = 1')
        self.expect(0, "lock")
        self.assertIn("3 kernels, all up to date", self.expect(0, "outdated").out)
        self.expect(0, "outdated", "--check")
        new = self.hub.publish("demo/one", "main", build(VARIANT, size=9))
        self.hub.publish("demo/two", "v3", build(VARIANT, name="two", version=3))
        out = self.expect(0, "outdated").out
        self.assertIn("demo/one@main: moved from", out)
        self.assertIn("demo/two@v1: v3 is the newest version", out)
        self.assertNotIn("demo/one@v1", out)
        self.assertIn("\n`kernels lock --upgrade` takes what moved, `kernels add REPO` takes the newest version.\n", out)
        self.assertEqual(self.run_kernels("outdated", "--check").status, 3)
        found = {(k["repo"], k["outdated"], k["newest_version"]) for k in self.expect(0, "outdated", "--json").json["kernels"]}
        self.assertEqual(found, {("demo/one", False, None), ("demo/one", True, None), ("demo/two", True, 3)})
        self.assertIn(new, self.expect(0, "outdated", "--json").out)

    def test_without_a_lock(self):
        self.write_project()
        self.expect_error(3, "kernels.lock", "outdated")
        self.expect_error(3, "kernels.lock", "tree")

    def test_what_another_kernel_asks_for_is_not_added(self):
        self.publish_demo()
        self.write_project('"demo/two" = 1')
        self.expect(0, "lock")
        self.hub.publish("demo/one", "v2", build(VARIANT, version=2))
        out = self.expect(0, "outdated").out
        self.assertEqual(out, "demo/one@v1: v2 is the newest version, but another kernel asks for this one\n")
        kernels = self.expect(0, "outdated", "--json").json["kernels"]
        self.assertEqual([(k["repo"], k["direct"]) for k in kernels], [("demo/one", False), ("demo/two", True)])
        self.expect(0, "outdated", "--check")  # the project cannot change that
        self.hub.publish("demo/one", "v1", build(VARIANT, size=9))
        self.assertIn("\n`kernels lock --upgrade` takes what moved.\n", self.expect(0, "outdated").out)
        self.assertEqual(self.run_kernels("outdated", "--check").status, 3)
        self.expect(0, "lock", "--upgrade")
        self.assertNotIn("moved", self.expect(0, "outdated").out)

    def test_one_kernel_is_one(self):
        self.publish_demo()
        self.write_project()
        self.expect(0, "lock")
        self.assertTrue(self.expect(0, "outdated").out.endswith("kernels.lock: 1 kernel, all up to date\n"))

    def test_offline_it_is_not_known(self):
        self.publish_demo()
        self.write_project()
        self.expect(0, "lock")
        self.expect(0, "download", *harness.TARGET)
        self.hub.publish("demo/one", "v2", build(VARIANT, version=2))
        self.hub.requests.clear()
        result = self.expect(0, "outdated", "--offline")
        self.assertIn("warning: offline: the Hub was not asked", result.err)
        self.assertIn("1 kernel, nothing newer in the cache", result.out)
        self.assertTrue(self.expect(0, "outdated", "--offline", "--json").json["offline"])
        self.assertIn("warning: offline: the Hub was not asked", self.expect(0, "lock", "--upgrade", "--offline").err)
        self.assertNotIn("not asked", self.expect(0, "lock", "--offline").err)
        self.assertEqual(self.hub.requests, [])
        self.assertFalse(self.expect(0, "outdated", "--json").json["offline"])


if __name__ == "__main__":
    harness.main()
