"""Which builds a device can run, and the device code that a library holds."""

import json
import shutil
import subprocess

import harness
from device_code import cuda_library, elf_library
from loopback_hub import build

CUDA = "torch213-cxx11-cu128-x86_64-linux"
HOPPER = "torch=2.13,cuda=12.8,cpu=x86_64,os=linux,capability=90"
BLACKWELL = "torch=2.13,cuda=12.8,cpu=x86_64,os=linux,capability=120"


def stating(archs, library=None, variant=CUDA, **more):
    """A CUDA build whose metadata states `archs`."""
    files = build(variant, **more)
    path = f"build/{variant}/metadata.json"
    document = json.loads(files[path])
    document["backend"] = {"type": "cuda", **({"archs": archs} if archs else {})}
    files[path] = json.dumps(document).encode()
    if library:
        files[f"build/{variant}/_demo.abi3.so"] = library
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

    def test_one_library_with_code_for_the_device_is_enough(self):
        files = stating([], cuda_library(90, 120))
        files[f"build/{CUDA}/lib/extra.so"] = cuda_library(90)
        files[f"build/{CUDA}/lib/plain.so"] = elf_library({".text": b"host code"})
        self.hub.publish("demo/one", "v1", files)
        self.write_project()
        self.expect(0, "lock")
        words = f"{CUDA}: not all of its code is for this device: lib/extra.so: built for 9.0"
        result = self.expect(0, "download", "--target", BLACKWELL)
        self.assertIn(words, result.err)
        self.assertNotIn("plain.so", result.err.split("warning: ")[1])
        # What is here is told of by lock --check as well.
        self.assertIn(words, self.expect(0, "lock", "--check", "--target", BLACKWELL).err)
        self.assertEqual(self.expect(0, "lock", "--check", "--target", HOPPER).err, "")
        self.assertNotIn("not all", self.expect(0, "download", "--target", HOPPER).err)
        none = self.expect_error(7, "no device code for this device", "download", "--target", HOPPER.replace("90", "75"))
        self.assertNotIn("plain.so", none.err)

    def test_one_library_for_each_arch_is_enough_where_the_metadata_states_the_device(self):
        files = stating(["8.0", "9.0"], elf_library({".text": b"host code"}))
        for capability in (80, 90):
            files[f"build/{CUDA}/impl_sm{capability}.so"] = cuda_library(capability)
        self.hub.publish("demo/one", "v1", files)
        self.write_project()
        self.expect(0, "lock")
        warning = "warning: demo/one@"
        words = f"{CUDA}: not all of its code is for this device: impl_sm80.so: built for 8.0, which does not run"
        result = self.expect(0, "download", "--target", HOPPER)
        self.assertIn(warning, result.err)
        self.assertEqual(result.err.count(words), 1, result.err)
        versions = self.expect(0, "versions", "demo/one", "--target", HOPPER)
        self.assertIn(f"{CUDA} compatible, preferred ✅", versions.out)
        self.assertIn(words, versions.err)
        self.assertNotIn("impl_sm90", self.expect(0, "download", "--target", HOPPER).err)
        # None of them has it, whatever the metadata says.
        lying = stating(["8.0", "9.0", "12.0"], cuda_library(80))
        lying[f"build/{CUDA}/impl_sm90.so"] = cuda_library(90)
        self.hub.publish("demo/two", "v1", lying)
        self.write_project('"demo/two" = 1')
        self.expect(0, "lock")
        self.expect_error(7, "no device code for this device", "download", "--target", BLACKWELL)

    def test_a_local_build_without_metadata_is_judged_by_its_libraries(self):
        folder = self.project / "kernel" / "build" / CUDA
        folder.mkdir(parents=True)
        (folder / "_demo.abi3.so").write_bytes(cuda_library(80))
        for command in ("versions", "info"):
            refused = self.expect(0, command, "kernel", "--target", HOPPER).out
            self.assertIn(f"{CUDA}: no device code for this device: _demo.abi3.so: built for 8.0", refused)
        ampere = HOPPER.replace("90", "80")
        self.assertIn(f"{CUDA} compatible, preferred ✅", self.expect(0, "versions", "kernel", "--target", ampere).out)

    def test_the_code_of_a_build_with_the_version_of_ptx(self):
        folder = self.project / "kernel" / "build" / CUDA
        folder.mkdir(parents=True)
        (folder / "metadata.json").write_bytes(stating(["8.0"])[f"build/{CUDA}/metadata.json"])
        (folder / "_demo.abi3.so").write_bytes(cuda_library(80, ptx=[90]))
        (archs,) = self.expect(0, "info", "--archs", "--json", "kernel").json["archs"]
        self.assertEqual(archs["code"], ["sm_80", "compute_90 (PTX 9.0)"])
        self.assertIn(f"  {CUDA}: 8.0; 8.0 9.0+PTX (sm_80, compute_90 (PTX 9.0))\n", self.expect(0, "info", "--archs", "kernel").out)

    def test_a_refused_download_into_a_folder_leaves_nothing(self):
        self.hub.publish("demo/one", "v1", stating(["9.0"]))
        self.write_project()
        self.expect(0, "lock")
        for target in (BLACKWELL, "torch=2.12,cpu,os=linux"):
            self.expect(7, "download", "--output", self.folder / "image", "--target", target)
            self.assertFalse((self.folder / "image").exists())
        self.expect(0, "download", "--output", self.folder / "image", "--target", HOPPER)
        self.expect(7, "download", "--output", self.folder / "image", "--target", BLACKWELL)
        self.assertEqual([one.name for one in (self.folder / "image").iterdir()], ["demo"])


class DeviceChoice(harness.CliTest):
    """What download refuses, versions and info refuse, and every message tells what else there is."""

    OLDER = "torch213-cxx11-cu126-x86_64-linux"

    def setUp(self):
        super().setUp()
        self.hub.publish("demo/one", "v1", {**stating(["9.0"]), **stating(["12.0"], variant=self.OLDER)})
        self.hub.publish("demo/one", "v2", stating(["8.0"]))
        self.write_project()

    def test_versions_and_info_choose_as_download_does(self):
        self.expect(0, "lock")
        refused = {"variant": CUDA, "fits": False, "reason": "device",
                   "text": "no device code for this device: built for 9.0, which does not run on capability 12.0"}
        for document in (self.expect(0, "info", "demo/one", "--version", 1, "--json", "--target", BLACKWELL).json["targets"],
                         self.expect(0, "versions", "demo/one", "--json", "--target", BLACKWELL).json["versions"][0]["targets"]):
            self.assertIsNone(document[0]["preferred"])
            self.assertEqual(document[0]["builds"], [refused, {"variant": self.OLDER, "fits": True}])
        self.expect(7, "download", "--target", BLACKWELL)
        text = self.expect(0, "versions", "demo/one", "--target", BLACKWELL).out
        self.assertIn(f"{CUDA}: no device code for this device: built for 9.0", text)
        self.assertNotIn("preferred", text)
        served = self.expect(0, "versions", "demo/one", "--json", "--target", HOPPER).json["versions"]
        self.assertEqual([one["targets"][0]["preferred"] for one in served], [CUDA, None])
        table = self.expect(0, "versions", "demo/one", "--target", HOPPER, "--target", BLACKWELL).out.splitlines()
        self.assertEqual([line.split("  ")[-1].strip() for line in table[1:3]], ["no device code"] * 2)

    def test_a_misfit_lists_the_other_builds_and_what_would_help(self):
        self.hub.publish("demo/one", "v3", stating(["12.0"]))
        self.hub.publish("demo/one", "v4", stating(["9.0"]))
        self.expect(0, "lock")
        result = self.expect_error(7, f"{CUDA}: no device code for this device", "download", "--target", BLACKWELL,
                                   hint="v3 has a build that fits torch 2.13 with cuda 12.8 on capability 12.0")
        self.assertIn(f"  {self.OLDER}: fits, but {CUDA} is preferred", result.err)
        self.assertIn(f"{self.OLDER} would fit with a torch for cuda 12.6", result.err)
        error = self.expect(7, "download", "--json", "--target", BLACKWELL).json["error"]
        self.assertEqual([(one["variant"], one["reason"]) for one in error["builds"]],
                         [(CUDA, "device"), (self.OLDER, "not-preferred")])
        self.assertEqual([(one["kind"], one["value"], one["variant"]) for one in error["suggestions"]],
                         [("version", "v3", CUDA), ("backend", "12.6", self.OLDER)])
        self.expect(0, "download", "--target", BLACKWELL.replace("12.8", "12.6"))

    def test_a_version_without_code_for_the_device_is_not_suggested(self):
        self.hub.publish("demo/two", "v1", stating(["9.0"], variant="torch212-cxx11-cu128-x86_64-linux", name="two"))
        self.hub.publish("demo/two", "v2", stating(["9.0"], name="two"))
        self.write_project('"demo/two" = 1')
        self.expect(0, "lock")
        result = self.expect_error(7, "no build fits", "download", "--target", BLACKWELL)
        self.assertNotIn("v2", result.err.split("hint: ")[1])
        self.assertIn("v2", self.expect(7, "download", "--no-device-check", "--target", BLACKWELL).err.split("hint: ")[1])
        self.assertIn("v2", self.expect(7, "download", "--target", HOPPER).err.split("hint: ")[1])

    def test_a_library_that_has_no_code_is_told_like_the_metadata(self):
        self.hub.publish("demo/two", "v1", {**stating([], cuda_library(90), name="demo"), **stating(["12.0"], variant=self.OLDER)})
        self.write_project('"demo/two" = 1')
        self.expect(0, "lock")
        error = self.expect(7, "download", "--json", "--target", BLACKWELL).json["error"]
        self.assertIn("_demo.abi3.so: built for 9.0", error["message"])
        self.assertEqual([one["value"] for one in error["suggestions"]], ["12.6"])

    def test_several_failures_keep_their_fields(self):
        self.hub.publish("demo/two", "v1", stating(["9.0"], name="two"))
        self.write_project('"demo/one" = 1\n"demo/two" = 1')
        self.expect(0, "lock")
        for command in (("download",), ("lock", "--check")):
            error = self.expect(7, *command, "--json", "--target", BLACKWELL).json["error"]
            self.assertEqual([cause["builds"][0]["reason"] for cause in error["causes"]], ["device"] * 2)
            self.assertEqual([cause["code"] for cause in error["causes"]], ["no-build"] * 2)
            for cause in error["causes"]:
                self.assertIn("skip this check", cause["hint"])
                self.assertIn("(--no-device-check)", cause["hint"])
        self.expect(0, "lock", "--check", "--no-device-check", "--target", BLACKWELL)

    def test_the_check_can_be_skipped_wherever_the_hint_says_so(self):
        for command in (("versions", "demo/one"), ("info", "demo/one", "--version", 1)):
            self.assertNotIn(f"{CUDA} compatible", self.expect(0, *command, "--target", BLACKWELL).out)
            document = self.expect(0, *command, "--json", "--no-device-check", "--target", BLACKWELL).json
            targets = document["versions"][0]["targets"] if "versions" in document else document["targets"]
            self.assertEqual(targets[0]["preferred"], CUDA)

    def test_every_kernel_and_target_that_failed_is_told_with_its_own_hint(self):
        self.hub.publish("demo/two", "v1", stating(["12.0"], name="two"))
        self.write_project('"demo/one" = 1\n"demo/two" = 1')
        self.expect(0, "lock")
        ampere = BLACKWELL.replace("120", "80")
        command = ("download", "--target", BLACKWELL, "--target", ampere)
        result = self.expect_error(7, "2 of 2 kernels could not be downloaded", *command)
        lines = result.err.splitlines()
        told = [line for line in lines if line.startswith("  demo/")]
        self.assertEqual([("demo/one" in line, "capability 8.0" in line) for line in told],
                         [(True, False), (True, True), (False, True)], told)
        # A hint stands below its kernel, and names it where it names a version.
        self.assertEqual([line for line in lines if line.startswith("hint:")], [])
        hints = [line for line in lines if line.startswith("    hint: ")]
        self.assertEqual(len(hints), 3)
        self.assertEqual(["`kernels add demo/one@v2`" in hint for hint in hints], [False, True, False], hints)
        causes = self.expect(7, *command, "--json").json["error"]["causes"]
        self.assertEqual(len(causes), 3)
        # Of one kernel that fails for two targets both are told as well.
        self.write_project('"demo/two" = 1')
        self.expect(0, "lock")
        self.expect(0, "download", "--target", BLACKWELL)
        self.expect_error(7, "1 of 1 kernel could not be downloaded", "download", "--target", ampere, "--target",
                          ampere.replace("80", "86"))

    def test_what_nothing_tells_of_is_no_plain_yes_and_the_cache_tells(self):
        self.hub.publish("demo/two", "v1", stating([], cuda_library(90), name="demo"))
        self.write_project('"demo/two" = 1')
        turing = HOPPER.replace("90", "75")
        unknown = f"{CUDA} compatible, preferred, code for the device not known"
        locked = self.expect(0, "lock", "--target", turing)
        self.assertIn(f"{CUDA}: its metadata does not say for which devices it is", locked.err)
        self.assertIn(unknown, self.expect(0, "versions", "demo/two", "--target", turing).out)
        (build_of,) = self.expect(0, "info", "demo/two", "--json", "--target", turing).json["targets"][0]["builds"]
        self.assertEqual(build_of, {"variant": CUDA, "fits": True, "device": "unknown"})
        self.assertIn("whether it has code for the device is not known", self.expect(0, "info", "demo/two", "--target", turing).out)
        self.assertIn("✅", self.expect(0, "versions", "demo/two", "--target", "torch=2.13,cuda=12.8").out)
        self.expect(0, "download", "--target", HOPPER)
        versions = self.expect(0, "versions", "demo/two", "--target", turing).out
        self.assertIn(f"{CUDA}: no device code for this device: _demo.abi3.so: built for 9.0", versions)
        self.assertIn(f"{CUDA} compatible, preferred ✅", self.expect(0, "versions", "demo/two", "--target", HOPPER).out)
        self.assertIn("no device code", self.expect(7, "lock", "--check", "--target", turing).err)
        self.assertEqual(self.expect(0, "lock", "--check", "--target", HOPPER).err, "")


class LibraryFile(harness.CliTest):
    def test_the_device_code_of_one_file(self):
        file = self.folder / "some.so"
        file.write_bytes(cuda_library(80, 90, ptx=[90]))
        document = self.expect(0, "info", "--archs", file, "--json", "--target", HOPPER, "--target", BLACKWELL).json
        self.assertEqual(document["libraries"], ["8.0", "9.0", "9.0+PTX"])
        self.assertEqual(document["code"], ["sm_80", "sm_90", "compute_90 (PTX 9.0)"])
        self.assertEqual([one["fits"] for one in document["targets"]], [True, True])
        self.assertIn("sm_80, sm_90, compute_90 (PTX 9.0)", self.expect(0, "info", "--archs", file).out)
        self.expect_error(2, "nothing but its device code", "info", file, hint="--archs")
        file.write_bytes(cuda_library(80)[:-400])
        self.expect_error(1, "some.so", "info", "--archs", file)

    def test_cubins_and_fat_binaries_as_nvcc_makes_them(self):
        nvcc = shutil.which("nvcc")
        if not nvcc:
            self.skipTest("nvcc is not installed")
        source = self.folder / "twice.cu"
        source.write_text('extern "C" __global__ void twice(float* x) { x[threadIdx.x] *= 2.f; }\n')
        for arch in ("80", "90", "90a", "120"):
            file = self.folder / f"twice_{arch}.cubin"
            subprocess.run([nvcc, "-cubin", f"-arch=sm_{arch}", str(source), "-o", str(file)], check=True, capture_output=True)
            self.assertIn(f"Device code: sm_{arch}\n", self.expect(0, "info", "--archs", file).out)
        fits = self.expect(0, "info", "--archs", self.folder / "twice_90.cubin", "--json", "--target", HOPPER, "--target", BLACKWELL).json
        self.assertEqual((fits["libraries"], [one["fits"] for one in fits["targets"]]), (["9.0"], [True, False]))
        file = self.folder / "twice.fatbin"
        subprocess.run([nvcc, "-fatbin", "-gencode=arch=compute_80,code=sm_80", "-gencode=arch=compute_90,code=compute_90",
                        str(source), "-o", str(file)], check=True, capture_output=True)
        self.assertIn("Device code: sm_80, compute_90 (PTX 9.0)\n", self.expect(0, "info", "--archs", file).out)

    def test_a_library_with_a_version_in_its_name_counts(self):
        files = stating([], elf_library({".text": b"host code"}))
        files[f"build/{CUDA}/lib/libk.so.1"] = cuda_library(90)
        self.hub.publish("demo/one", "v1", files)
        self.write_project()
        self.expect(0, "lock")
        self.expect_error(7, "lib/libk.so.1: built for 9.0", "download", "--target", BLACKWELL)
        self.expect(0, "download", "--target", HOPPER)
        (archs,) = self.expect(0, "info", "demo/one", "--archs", "--json").json["archs"]
        self.assertEqual(archs["libraries"], ["9.0"])

    def test_what_cannot_be_read_is_a_problem(self):
        damaged = cuda_library(90).replace(b"\x50\xed\x55\xba\x01\x00\x10\x00", b"\x50\xed\x55\xba\x01\x00\xff\xff")
        folder = self.folder / "kernel" / "build" / CUDA
        folder.mkdir(parents=True)
        (folder / "metadata.json").write_bytes(stating(["9.0"])[f"build/{CUDA}/metadata.json"])
        (folder / "broken.so").write_bytes(damaged)
        archs = self.expect(0, "info", "--archs", "--json", self.folder / "kernel").json["archs"]
        self.assertEqual(archs[0]["problems"], ["broken.so: a CUDA fat binary is larger than its section"])
        alone = self.expect(1, "info", "--archs", "--json", folder / "broken.so").json
        self.assertEqual((alone["libraries"], len(alone["problems"])), ([], 1))
        whole = cuda_library(90)
        (folder / "cut.so").write_bytes(whole[:whole.index(b".shstrtab") + 200])
        result = self.expect_error(1, "cut.so: not all of it can be read: ", "info", "--archs", folder / "cut.so")
        self.assertIn("Archs: -", result.out)


if __name__ == "__main__":
    harness.main()
