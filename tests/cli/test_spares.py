"""Of a lock, what only builds need that a kernel left behind: it is there for the Python client and hinders nobody else."""

import base64
import shutil

import harness
from harness import TARGET, VARIANT
from loopback_hub import build, metadata

OLD = "torch29-cxx11-cpu-x86_64-linux"


class Spares(harness.CliTest):
    def lock_spare(self, **leaf):
        """demo/old moved to demo/one; what is left there needs demo/leaf, the spare."""
        self.publish_demo()
        self.hub.publish("demo/leaf", "v1", leaf)
        status = {"kernel-status.toml": b'kind = "redirect"\ndestination = "demo/one"\nrevision = "v1"\n'}
        self.hub.publish("demo/old", "v1", {**status, **build(VARIANT, name="old", depends=[("demo/leaf", 1)])})
        self.write_project('"demo/old" = 1')
        self.expect(0, "lock")
        self.assertEqual(self.locked(), [("demo/leaf", 1), ("demo/old", 1), ("demo/one", 1)])

    def repos(self, *arguments):
        return [build["repo"] for build in self.expect(0, "download", "--json", *arguments, *TARGET).json["builds"]]

    def test_one_that_does_not_fit_costs_no_request(self):
        self.lock_spare(**build(OLD, name="leaf"))
        shutil.rmtree(self.cache)  # as in CI, where the lock alone is there
        self.assertEqual(self.repos(), ["demo/old", "demo/one"])
        self.hub.requests.clear()
        self.assertEqual(self.repos(), ["demo/old", "demo/one"])
        self.assertEqual(self.repos("--locked"), ["demo/old", "demo/one"])
        self.assertEqual(self.hub.requests, [])

    def test_what_fits_one_of_two_targets_comes_along(self):
        self.lock_spare(**build(OLD, name="leaf"), **build(VARIANT, name="leaf"))
        other = "torch213-cxx11-cu128-x86_64-linux"
        target = ["--target", "torch=2.13,cuda=12.8,cpu=x86_64,os=linux"]
        builds = self.expect(0, "download", "--json", *TARGET, *target).json["builds"]
        self.assertEqual([(one["repo"], one["variant"]) for one in builds],
                         [("demo/leaf", VARIANT), ("demo/old", VARIANT), ("demo/one", VARIANT), ("demo/one", other)])

    def test_a_wrong_digest_is_a_warning(self):
        files = {"_leaf.abi3.so": base64.b64encode(bytes(32)).decode()}
        wrong = metadata("leaf", digest={"algorithm": "sha256", "files": files})
        self.lock_spare(**{**build(VARIANT, name="leaf"), f"build/{VARIANT}/metadata.json": wrong})
        result = self.expect(0, "download", "--json", *TARGET)
        self.assertEqual([build["repo"] for build in result.json["builds"]], ["demo/old", "demo/one"])
        self.assertIn("only builds at a place that a kernel has left need it, and the build is left out", result.err)
        # Where the project names it, it is refused.
        self.write_project('"demo/old" = 1\n"demo/leaf" = 1')
        self.expect_error(6, "demo/leaf@", "download", *TARGET)

    def test_one_that_is_gone(self):
        self.lock_spare(**build(VARIANT, name="leaf"))
        shutil.rmtree(self.cache)
        del self.hub.repos["demo/leaf"]
        for arguments in ([], ["-o", self.folder / "image"]):
            with self.subTest(arguments):
                result = self.expect(0, "download", *arguments, *TARGET)
                self.assertEqual("so it is left out" in result.err and "demo/leaf@" in result.err, not arguments, result.err)
        self.write_project('"demo/old" = 1\n"demo/leaf" = 1')
        self.expect_error(4, "demo/leaf", "download", *TARGET)

    def test_a_publisher_who_is_trusted_no_longer(self):
        self.lock_spare(**build(VARIANT, name="leaf"))
        self.hub.publish("someone/leaf", "v1", build(VARIANT, name="leaf"))
        old = build(VARIANT, name="old", depends=[("someone/leaf", 1)])
        self.hub.publish("demo/old", "v1", {**self.hub.repos["demo/old"]["commits"][self.hub.commit_of("demo/old", "v1")], **old})
        self.expect(0, "lock", "--upgrade")
        self.assertEqual(self.locked(), [("demo/old", 1), ("demo/one", 1), ("someone/leaf", 1)])
        shutil.rmtree(self.cache)
        self.hub.trusted.remove("someone")
        self.hub.requests.clear()
        result = self.expect(0, "download", "--json", *TARGET)
        self.assertEqual([build["repo"] for build in result.json["builds"]], ["demo/old", "demo/one"])
        self.assertIn("someone is not a trusted kernel publisher; only builds", result.err)
        self.assertEqual([path for path in self.hub.requests if "someone/leaf" in path], [])
        self.write_project('"demo/old" = 1\n"someone/leaf" = 1')
        self.expect_error(6, "someone is not a trusted", "download", *TARGET)

    def test_what_the_hub_does_wrong_is_a_failure(self):
        self.lock_spare(**build(VARIANT, name="leaf"))
        shutil.rmtree(self.cache)
        orderly = self.hub.answer

        def answer(handler):
            if "demo/leaf/tree" in handler.path:
                return self.hub.send(handler, 200, b"[{]")
            return orderly(handler)

        self.hub.answer = answer
        self.expect(5, "download", *TARGET)

    def test_metadata_that_is_too_large(self):
        self.lock_spare(**build(VARIANT, name="leaf"))
        files = self.hub.repos["demo/old"]["commits"][self.hub.commit_of("demo/old", "v1")]
        path = f"build/{OLD}/metadata.json"
        self.hub.publish("demo/old", "v1", {**files, path: b" " * (16 * 1024 * 1024 + 1)})
        result = self.expect(0, "lock", "--upgrade")
        self.assertIn(path + " is 16", result.err)
        self.assertEqual(self.locked(), [("demo/leaf", 1), ("demo/old", 1), ("demo/one", 1)])


if __name__ == "__main__":
    harness.main()
