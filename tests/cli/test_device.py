"""Which builds a device can run, what is said when none fits, and what would help."""

import json
import shutil
import subprocess

import harness
from harness import VARIANT
from loopback_hub import build

CUDA = "torch213-cxx11-cu128-x86_64-linux"
HOPPER = "torch=2.13,cuda=12.8,cpu=x86_64,os=linux,capability=90"
BLACKWELL = "torch=2.13,cuda=12.8,cpu=x86_64,os=linux,capability=120"


def stating(archs, library=None, **more):
    """A CUDA build whose metadata states `archs`."""
    files = build(CUDA, **more)
    path = f"build/{CUDA}/metadata.json"
    document = json.loads(files[path])
    document["backend"] = {"type": "cuda", **({"archs": archs} if archs else {})}
    files[path] = json.dumps(document).encode()
    if library:
        files[f"build/{CUDA}/_demo.abi3.so"] = library
    return files


class DeviceFit(harness.CliTest):
    def test_what_the_metadata_refuses_is_not_downloaded(self):
        self.hub.publish("demo/one", "v1", stating(["8.0", "9.0"]))
        self.write_project()
        self.expect(0, "lock")
        blobs = set(self.blobs())
        result = self.expect_error(7, f"{CUDA}: no device code for this device", "download", "--target", BLACKWELL,
                                   hint="--no-device-check")
        self.assertIn("12.0", result.err)
        self.assertIn("8.0, 9.0", result.err)
        self.assertEqual(set(self.blobs()), blobs)  # lock had the metadata already
        self.expect(0, "download", "--target", HOPPER)

    def test_the_check_can_be_skipped(self):
        self.hub.publish("demo/one", "v1", stating(["9.0a"]))
        self.write_project()
        self.expect(0, "lock")
        self.expect(7, "download", "--target", BLACKWELL)
        result = self.expect(0, "download", "--no-device-check", "--target", BLACKWELL, "--json")
        self.assertEqual(result.json["builds"][0]["variant"], CUDA)
        self.assertEqual(len(result.json["builds"][0]["files"]), 4)

    def test_each_kernel_is_judged_alone(self):
        self.hub.publish("demo/one", "v1", stating(["9.0"]))
        self.hub.publish("demo/two", "v1", stating(["12.0"], name="two"))
        self.write_project('"demo/one" = 1\n"demo/two" = 1')
        self.expect(0, "lock")
        result = self.expect(7, "download", "--target", BLACKWELL)
        self.assertIn("demo/one", result.err)
        self.assertIn("demo/two@v1", result.out)

    def test_where_the_metadata_is_silent_the_library_decides(self):
        nvcc = shutil.which("nvcc")
        if not nvcc:
            self.skipTest("nvcc is not installed")
        source, library = self.folder / "twice.cu", self.folder / "twice.so"
        source.write_text('extern "C" __global__ void twice(float* x) { x[threadIdx.x] *= 2.f; }\n')
        subprocess.run([nvcc, "-shared", "-Xcompiler", "-fPIC", "-cudart", "none", "-gencode=arch=compute_90,code=sm_90",
                        str(source), "-o", str(library)], check=True, capture_output=True)
        self.hub.publish("demo/one", "v1", stating([], library.read_bytes()))
        self.write_project()
        self.expect(0, "lock")
        result = self.expect_error(7, "no device code for this device", "download", "--target", BLACKWELL)
        self.assertIn("9.0", result.err)
        self.expect(7, "download", "--target", BLACKWELL)  # nor when it is there already
        self.expect(0, "download", "--target", HOPPER)
        self.expect(0, "download", "--no-device-check", "--target", BLACKWELL)


class NoBuild(harness.CliTest):
    def test_every_build_its_reason_nearest_first_and_a_newer_version(self):
        stable = "torch-stable-abi29-cu128-x86_64-linux"
        self.hub.publish("demo/one", "v1", {**build("torch29-cxx11-cu128-aarch64-linux"), **build("torch212-cxx11-cu128-x86_64-linux"),
                                            **build("torch212-cxx11-cu118-x86_64-linux")})
        self.hub.publish("demo/one", "v2", build(stable))
        self.write_project()
        self.expect(0, "lock")
        result = self.expect_error(7, "no build fits torch=2.13,cuda=12.8", "download", "--target",
                                   "torch=2.13,cuda=12.8,cpu=x86_64,os=linux",
                                   hint="v2 has a stable-ABI build that fits torch 2.13")
        at = [result.err.index(name) for name in ("torch212-cxx11-cu128-x86_64", "torch212-cxx11-cu118-x86_64", "torch29-cxx11-cu128-aarch64")]
        self.assertEqual(at, sorted(at))
        self.assertIn("torch 2.12", result.err.split("hint: ")[1])
        error = self.expect(7, "download", "--json", "--target", "torch=2.13,cuda=12.8,cpu=x86_64,os=linux").json["error"]
        self.assertEqual(error["code"], "no-build")
        self.assertEqual(len(error["details"]), 3)
        self.assertIn("v2 has a stable-ABI build", error["hint"])

    def test_the_suggestion_costs_nothing_when_the_hub_is_down(self):
        self.publish_demo()
        self.write_project()
        self.expect(0, "lock")
        result = self.expect_error(7, "no build fits", "download", "--offline", "--target", "torch=2.12,cpu=x86_64,os=linux")
        self.assertIn("2.13", result.err.split("hint: ")[1])


class Remarks(harness.CliTest):
    def test_a_dirty_source_tree_and_a_newer_client_are_warned_about(self):
        provenance = {"kernel-builder": {"version": "0.1.0", "commit": "0" * 40, "dirty": True}}
        self.hub.publish("demo/one", "v1", build(VARIANT, **{"kernels-minver": "99.0.0", "provenance": provenance}))
        self.write_project()
        self.expect(0, "lock")
        for _ in range(2):  # on what is there already as well
            result = self.expect(0, "download", *harness.TARGET)
            self.assertIn("made for kernels 99.0.0", result.err)
            self.assertIn("uncommitted changes", result.err)


if __name__ == "__main__":
    harness.main()
