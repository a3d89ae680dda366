"""A lock has what the builds of all machines need; a download wants what is needed for its targets."""

import re
import shutil
import unittest

import harness
from harness import TARGET, VARIANT
from loopback_hub import build, redirect

CUDA_VARIANT = "torch213-cxx11-cu128-x86_64-linux"
CUDA = ["--target", "torch=2.13,cuda=12.8,cpu=x86_64,os=linux"]


class OtherMachines(harness.CliTest):
    def lock(self, cpu=(), cuda=(), **repositories):
        """demo/top with a build for the processor and one for CUDA, which need these."""
        self.hub.publish("demo/top", "v1", {**build(VARIANT, name="top", depends=list(cpu)),
                                            **build(CUDA_VARIANT, name="top", depends=list(cuda))})
        for name, files in repositories.items():
            self.hub.publish(f"demo/{name}", "v1", files)
        self.write_project('"demo/top" = 1')
        self.expect(0, "lock")
        shutil.rmtree(self.cache)  # as in CI, where the lock alone is there

    def builds(self, *arguments):
        downloaded = self.expect(0, "download", "--json", *arguments).json["builds"]
        return [(one["repo"], one["version"], one["variant"]) for one in downloaded]

    def test_a_kernel_that_only_the_builds_of_others_need(self):
        self.lock(cuda=[("demo/leaf", 1)], leaf=build(CUDA_VARIANT, name="leaf"))
        top = ("demo/top", 1, VARIANT)
        self.assertEqual(self.builds(*TARGET), [top])
        self.assertFalse((self.cache / "kernels--demo--leaf" / "refs").exists())  # to a commit of which nothing is here
        for arguments in (["--locked"], ["-o", self.folder / "image"], ["--offline"]):
            self.assertEqual(self.builds(*TARGET, *arguments), [top], arguments)
        self.hub.requests.clear()
        self.assertEqual(self.builds(*TARGET), [top])
        self.assertEqual(self.hub.requests, [])
        self.expect(0, "lock", *TARGET)
        self.expect(0, "lock", "--check", *TARGET)
        # For both, each gets what it needs.
        self.assertEqual(self.builds(*TARGET, *CUDA), [("demo/leaf", 1, CUDA_VARIANT), top, ("demo/top", 1, CUDA_VARIANT)])

    def test_one_that_is_needed_fails(self):
        self.lock(cpu=[("demo/middle", 1)], cuda=[("demo/leaf", 1)], leaf=build(CUDA_VARIANT, name="leaf"),
                  middle={**build(VARIANT, name="middle", depends=[("demo/leaf", 1)])})
        self.hub.publish("demo/leaf", "v3", build(VARIANT, name="leaf", version=3))
        for command in (["download"], ["lock"], ["lock", "--check"]):
            self.expect_error(7, "demo/leaf@", *command, *TARGET,
                              hint=f"v3 has a build that fits torch 2.13 with cpu ({VARIANT}), but another kernel asks for this one")

    def test_one_that_the_project_names_fails(self):
        self.lock(cuda=[("demo/leaf", 1)], leaf=build(CUDA_VARIANT, name="leaf"))
        self.hub.publish("demo/leaf", "v3", build(VARIANT, name="leaf", version=3))
        self.write_project('"demo/top" = 1\n"demo/leaf" = 1')
        self.expect_error(7, "demo/leaf@", "download", *TARGET, hint="`kernels add demo/leaf@v3`")
        # A lock alone does not say who names what.
        for file in self.project.glob("*.toml"):
            file.unlink()
        self.expect_error(7, "demo/leaf@", "download", *TARGET)

    def test_what_tells_who_needs_what_cannot_be_had(self):
        self.lock(cuda=[("demo/leaf", 1)], leaf=build(CUDA_VARIANT, name="leaf"))
        orderly = self.hub.answer
        self.hub.answer = lambda handler: self.hub.send(handler, 404 if "demo/top/tree" in handler.path else 503) \
            if "demo/top" in handler.path else orderly(handler)
        result = self.expect(4, "download", *TARGET)
        self.assertNotIn("no build", result.err)

    def test_one_that_is_gone(self):
        self.lock(cuda=[("demo/leaf", 1)], leaf=build(CUDA_VARIANT, name="leaf"))
        del self.hub.repos["demo/leaf"]
        for arguments in ([], ["-o", self.folder / "image"]):
            result = self.expect(0, "download", *TARGET, *arguments)
        self.assertIn("; only builds for other machines need it, so it is left out", self.expect(0, "download", *TARGET).err)
        self.expect_error(4, "demo/leaf", "download", *CUDA)

    def test_beside_a_moved_kernel(self):
        """A folder's own cache lacks what tells where it has moved."""
        self.lock(cuda=[("demo/leaf", 1)], leaf=build(CUDA_VARIANT, name="leaf"))
        self.hub.publish("demo/old", "v1", redirect("demo/top", "v1"))
        self.write_project('"demo/old" = 1')
        self.expect(0, "lock", "--upgrade")
        self.expect(0, "download", "--all-variants")
        self.hub.requests.clear()
        for more in ([], ["--offline"]):
            self.assertEqual(self.builds(*TARGET, "-o", self.folder / "image", *more), [("demo/top", 1, VARIANT)])
        self.assertEqual(self.hub.requests, [])

    def test_a_lack_beside_one(self):
        self.hub.publish("demo/gpu", "v1", build(CUDA_VARIANT, name="gpu"))
        self.lock(cuda=[("demo/leaf", 1)], leaf=build(CUDA_VARIANT, name="leaf"))
        self.write_project('"demo/top" = 1\n"demo/gpu" = 1')
        self.expect(0, "lock")
        self.expect_error(7, "demo/gpu@", "download", *TARGET)

    def test_states_for_different_machines(self):
        """A folder has room for one of them, and one is needed."""
        self.hub.publish("demo/leaf", "v2", build(VARIANT, name="leaf", version=2))
        self.lock(cpu=[("demo/leaf", 1)], cuda=[("demo/leaf", 2)], leaf=build(VARIANT, name="leaf"))
        self.hub.publish("demo/leaf", "v2", {**build(VARIANT, name="leaf", version=2), **build(CUDA_VARIANT, name="leaf", version=2)})
        self.expect(0, "lock", "--upgrade")
        image = self.folder / "image"
        self.assertEqual(self.builds(*TARGET, "-o", image), [("demo/leaf", 1, VARIANT), ("demo/top", 1, VARIANT)])
        self.assertIn('"version": 1', (image / f"demo/leaf/build/{VARIANT}/metadata.json").read_text())
        self.assertEqual(self.builds(*CUDA, "-o", self.folder / "cuda"), [("demo/leaf", 2, CUDA_VARIANT), ("demo/top", 1, CUDA_VARIANT)])
        self.expect_error(1, "the lock has two states of it", "download", *TARGET, *CUDA, "-o", self.folder / "both")

    def test_a_failed_verification_does_not_hide_behind_two_states(self):
        self.hub.publish("demo/leaf", "v2", build(VARIANT, name="leaf", version=2))
        self.hub.publish("demo/bad", "v1", build(VARIANT, name="bad"))
        self.lock(cpu=[("demo/leaf", 1)], leaf=build(VARIANT, name="leaf"))
        self.write_project('"demo/top" = 1\n"demo/leaf" = 2\n"demo/bad" = 1')
        self.expect(0, "lock")
        sums = self.project / "kernels.sum"
        sums.write_text(re.sub(r"^(demo/bad .* sha256:)\w{4}", r"\1dead", sums.read_text(), flags=re.M))
        image = self.folder / "image"
        result = self.expect(6, "download", *TARGET, "-o", image)
        for said in ("demo/bad@", "the lock has two states of it"):
            self.assertIn(said, result.err)
        self.assertFalse((image / "demo").exists())


if __name__ == "__main__":
    unittest.main()
