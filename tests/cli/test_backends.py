"""Every backend through download, info and versions, with real files; the device code is made by a writer (no HIP here)."""

import json
import pathlib

import harness
from device_code import cuda_library, hip_library
from loopback_hub import build

LINUX = "cpu=x86_64,os=linux"
# target → the build that is for it
BACKENDS = {f"torch=2.13,rocm=6.4,arch=gfx942,{LINUX}": "torch213-cxx11-rocm64-x86_64-linux",
            f"torch=2.13,xpu=2025.2,{LINUX}": "torch213-cxx11-xpu20252-x86_64-linux",
            "torch=2.13,cann=8.3,cpu=aarch64,os=linux": "torch213-cxx11-cann83-aarch64-linux",
            "torch=2.13,metal,macos=26.0": "torch213-metal-aarch64-darwin",
            f"torch=2.13,cuda=12.8,capability=90,{LINUX}": "torch213-cxx11-cu128-x86_64-linux"}


def made(variant, backend, archs=(), library=None, name="demo"):
    files = build(variant, name)
    path = f"build/{variant}/metadata.json"
    document = json.loads(files[path])
    document["backend"] = {"type": backend, **({"archs": list(archs)} if archs else {})}
    files[path] = json.dumps(document).encode()
    if library:
        files[f"build/{variant}/_{name}.abi3.so"] = library
    return files


def every_backend():
    rocm, xpu, cann, metal, cuda = BACKENDS.values()
    return {**made(rocm, "rocm", ["gfx90a", "gfx942"], hip_library("gfx90a:sramecc+:xnack-", "gfx942")), **made(xpu, "xpu"),
            **made(cann, "cann"), **made(metal, "metal"), **made(cuda, "cuda", ["9.0"], cuda_library(90))}


class Backends(harness.CliTest):
    def setUp(self):
        super().setUp()
        self.hub.publish("demo/one", "v1", every_backend())
        self.write_project()

    def test_download_takes_the_build_of_each(self):
        self.expect(0, "lock")
        for target, variant in BACKENDS.items():
            builds = self.expect(0, "download", "--json", "--target", target).json["builds"]
            self.assertEqual([one["variant"] for one in builds], [variant])
            folder = pathlib.Path(builds[0]["folder"])
            self.assertEqual((folder / "_demo.abi3.so").read_bytes(), every_backend()[f"build/{variant}/_demo.abi3.so"])
        several = [word for target in BACKENDS for word in ("--target", target)]
        builds = self.expect(0, "download", "--json", *several).json["builds"]
        self.assertEqual({one["variant"] for one in builds}, set(BACKENDS.values()))
        archs = {one["variant"]: one for one in self.expect(0, "info", "demo/one", "--archs", "--json").json["archs"]}
        rocm = archs["torch213-cxx11-rocm64-x86_64-linux"]
        self.assertEqual(rocm["libraries"], ["gfx90a", "gfx942"])
        self.assertEqual(archs["torch213-cxx11-cu128-x86_64-linux"]["libraries"], ["9.0"])
        self.assertEqual(rocm["problems"], [])

    def test_generic_processors_and_spirv_serve_the_devices_that_they_cover(self):
        rocm = "torch213-cxx11-rocm64-x86_64-linux"
        target = next(iter(BACKENDS))
        other = target.replace("gfx942", "gfx1030")
        generic = hip_library("gfx9-4-generic", "gfx11-generic")
        self.hub.publish("demo/two", "v1", made(rocm, "rocm", ["gfx90a", "gfx942"], generic))
        self.hub.publish("demo/three", "v1", made(rocm, "rocm", [], hip_library("amdgcnspirv", "gfx90a")))
        self.write_project('"demo/two" = 1\n"demo/three" = 1')
        self.expect(0, "lock")
        self.expect(0, "download", "--target", target)
        for repo, libraries in (("demo/two", ["gfx11-generic", "gfx9-4-generic"]), ("demo/three", ["amdgcnspirv", "gfx90a"])):
            self.assertIn(f"{rocm} compatible, preferred ✅", self.expect(0, "versions", repo, "--target", target).out)
            (archs,) = self.expect(0, "info", repo, "--archs", "--json").json["archs"]
            self.assertEqual(archs["libraries"], libraries)
        self.write_project('"demo/three" = 1')
        self.expect(0, "lock")
        self.expect(0, "download", "--target", other)
        self.write_project('"demo/two" = 1')
        self.expect(0, "lock")
        self.expect_error(7, "built for gfx90a, gfx942, the device is gfx1030", "download", "--target", other)

    def test_info_and_versions_choose_the_same(self):
        several = [word for target in BACKENDS for word in ("--target", target)]
        for document in (self.expect(0, "info", "demo/one", "--json", *several).json,
                         self.expect(0, "versions", "demo/one", "--json", *several).json["versions"][0]):
            self.assertEqual([one["preferred"] for one in document["targets"]], list(BACKENDS.values()))
        row = self.expect(0, "versions", "demo/one", *several).out.splitlines()[1]
        for variant in BACKENDS.values():
            self.assertIn(variant, row)

    def test_another_version_of_the_backend_does_not_fit(self):
        self.expect(0, "lock")
        for target, word in ((f"torch=2.13,rocm=6.3,arch=gfx942,{LINUX}", "a torch for rocm 6.4"),
                             (f"torch=2.13,xpu=2025.1,{LINUX}", "a torch for xpu 2025.2"),
                             ("torch=2.13,cann=8.2,cpu=aarch64,os=linux", "a torch for cann 8.3"),
                             ("torch=2.13,metal,macos=15", "macOS 26.0 or newer")):
            self.expect_error(7, "no build fits", "download", "--target", target, hint=word)

    def test_a_gfx_target_that_nothing_serves(self):
        target = f"torch=2.13,rocm=6.4,arch=gfx1100,{LINUX}"
        self.expect(0, "lock")
        self.expect_error(7, "built for gfx90a, gfx942, the device is gfx1100", "download", "--target", target)
        preferred = self.expect(0, "versions", "demo/one", "--json", "--target", target).json["versions"][0]["targets"][0]
        self.assertIsNone(preferred["preferred"])
        # and where only the offload bundle tells
        self.hub.publish("demo/two", "v1", made("torch213-cxx11-rocm64-x86_64-linux", "rocm", [], hip_library("gfx942"), "two"))
        self.write_project('"demo/two" = 1')
        self.expect(0, "lock")
        self.expect_error(7, "_two.abi3.so: built for gfx942, the device is gfx1100", "download", "--target", target)
        self.expect(0, "download", "--target", target.replace("gfx1100", "gfx942"))

    def test_a_rocm_whose_minor_version_has_two_digits(self):
        """The tag "rocm710" is that of 7.10, as for the Python client, and not of 71.0 alone."""
        variant = "torch213-cxx11-rocm710-x86_64-linux"
        self.hub.publish("demo/ten", "v1", made(variant, "rocm"))
        out = self.expect(0, "versions", "demo/ten", "--target", f"torch=2.13,rocm=7.10,{LINUX}").out
        self.assertIn(f"{variant} compatible, preferred", out)
        self.assertNotIn("compatible, preferred", self.expect(0, "versions", "demo/ten", "--target", f"torch=2.13,rocm=7.1,{LINUX}").out)


if __name__ == "__main__":
    harness.main()
