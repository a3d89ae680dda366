"""Models that PyTorch saved, made for a device that is not on this machine."""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import harness

KERNELS = harness.need("KERNELS_BIN")
harness.need("KERNELS_TORCH_BIN")
harness.need("KERNELS_HUB_BIN")
RUNTIME = harness.need("KERNELS_RUNTIME_LIB")
DEMO = pathlib.Path(harness.need("KERNELS_DEMO_HUB"))
harness.need_modules("torch")
import torch  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[3]
TORCH = ".".join(torch.__version__.split(".")[:2])
CUDA = f"torch={TORCH},cuda=12.8,cpu=x86_64,os=linux"
PROJECT = """
[dependencies]
"kernels-demo/transformer-ops" = 2
"kernels-demo/gated-mlp" = 1
"""
LAYER = """
[[layers]]
name = "{name}"
device = "{device}"
repo = "kernels-demo/{repo}"
layer = "{name}"
"""

# What a machine with the device does, with Meta tensors in the place of its memory: the operators are defined, and
# their Meta kernels give shapes.
ON_META = """
import json, sys, torch
model, namespace, runtime = sys.argv[1:]
ops = torch.library.Library(namespace, "DEF")
calls = []
def silu_and_mul(out, x):
    assert out.shape[:-1] == x.shape[:-1] and 2 * out.shape[-1] == x.shape[-1]
    calls.append("silu_and_mul")
def rms_norm(out, x, weight, epsilon):
    assert out.shape == x.shape and weight.shape == x.shape[-1:] and abs(epsilon - 1e-5) < 1e-12
    calls.append("rms_norm")
for name, schema, function in (("silu_and_mul", "(Tensor(a!) out, Tensor input) -> ()", silu_and_mul),
                               ("rms_norm", "(Tensor(a!) out, Tensor input, Tensor weight, float epsilon) -> ()", rms_norm)):
    ops.define(name + schema)
    ops.impl(name, function, "Meta")
with torch.no_grad():
    out = torch.jit.load(model, map_location="meta")(torch.zeros(2, 5, dtype=torch.int64, device="meta"))
torch.ops.load_library(runtime)
try:
    torch.ops.kernels.load(model)
    refused = ""
except RuntimeError as error:
    refused = str(error)
print(json.dumps({"shape": list(out.shape), "calls": {name: calls.count(name) for name in calls}, "refused": refused}))
"""


@unittest.skipIf(torch.cuda.is_available(), "this machine has the device")
class DevicesTest(harness.WorldTest):
    @classmethod
    def setUpClass(cls):
        cls.models = pathlib.Path(tempfile.mkdtemp(prefix="kernels-models-"))
        subprocess.run([sys.executable, ROOT / "examples" / "models" / "make_models.py", cls.models], check=True,
                       stdout=subprocess.DEVNULL)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.models)

    def setUp(self):
        super().setUp()
        self.project = self.folder / "project"
        self.project.mkdir()
        layers = [LAYER.format(name=name, device=device, repo="transformer-ops") for name in ("RMSNorm", "SiluAndMul")
                  for device in ("cpu", "cuda", "rocm", "xpu", "npu", "mps")]
        (self.project / "kernels.toml").write_text(PROJECT + "".join(layers))
        self.environment["KERNELS_TORCH"] = str(pathlib.Path(torch.__file__).parent)
        self.start_hub(DEMO)
        self.run_command(KERNELS, "lock", self.project)
        # gated-mlp has no build for CUDA; the other one is downloaded all the same.
        self.run_command(KERNELS, "download", self.project, "--target", CUDA, status=7)
        self.run_command(KERNELS, "download", self.project)
        shutil.copytree(self.models, self.folder, dirs_exist_ok=True)

    def kernelize(self, model, *options, status=0):
        return self.run_command(KERNELS, "kernelize", model, "--project", self.project, *options, status=status)

    def refused(self, *options, status, words, hint=""):
        done = self.kernelize("scripted.pt", "-o", "refused.pt", *options, status=status)
        self.assertIn(words, done.stderr.splitlines()[0])
        self.assertTrue(done.stderr.startswith("error: "), done.stderr)
        self.assertIn(hint, done.stderr)
        self.assertEqual((done.stdout, (self.folder / "refused.pt").exists()), ("", False))

    def test_cuda_models_are_made_on_a_machine_without_cuda(self):
        for model in ("scripted", "traced"):
            with self.subTest(model):
                done = self.kernelize(f"{model}.pt", "-o", "k.pt", "--target", CUDA + ",capability=90", "--json")
                manifest = json.loads(done.stdout)["manifest"]
                self.assertEqual({row["status"] for row in manifest["layers"]}, {"replaced"}, manifest)
                self.assertEqual(manifest["device"], "cuda")
                self.assertIn("cuda=12.8,capability=90", manifest["target"])
                namespace = manifest["kernels"][0]["op-namespace"]
                self.assertRegex(namespace, "^_transformer_ops_cuda_")
                inspected = json.loads(self.run_command(KERNELS, "inspect", "k.pt", "--json").stdout)
                self.assertEqual(inspected["kernel-calls"], {f"{namespace}::rms_norm": 5, f"{namespace}::silu_and_mul": 4})
                self.assertEqual(inspected["manifest"], manifest)
                self.assertIn("\ntarget torch=", self.run_command(KERNELS, "inspect", "k.pt").stdout)
                done = self.run_command(KERNELS, "run", "k.pt", "--input", "input.pt", status=1)
                self.assertRegex(done.stderr, r"^error: k\.pt: it is kernelized for cuda, .* finds no cuda device here\n$")
                found = self.run_python(ON_META, "k.pt", namespace, RUNTIME)
                self.assertEqual(found["calls"], {"rms_norm": 5, "silu_and_mul": 4})
                self.assertEqual(found["shape"][:2], [2, 5])
                self.assertIn("finds no cuda device here", found["refused"])
                (self.folder / "again.pt").unlink(missing_ok=True)
                self.kernelize(f"{model}.pt", "-o", "again.pt", "--target", CUDA + ",capability=90")
                self.assertEqual((self.folder / "k.pt").read_bytes(), (self.folder / "again.pt").read_bytes())

    def test_the_library_of_the_device_is_not_loaded(self):
        variant = next((self.folder / "hf").glob("**/build/*cu128*"))
        local = self.folder / "local" / "build" / variant.name
        shutil.copytree(variant, local)
        library = next(local.glob("*.so"))
        data = bytearray(library.read_bytes())
        # Without its program headers no loader takes it; the sections stay.
        data[32:40] = b"\xff" * 8
        library.unlink()
        library.write_bytes(data)
        done = self.run_command(KERNELS, "kernelize", "scripted.pt", "-o", "k.pt", "--project", self.project, "--target", CUDA,
                                LOCAL_KERNELS=f"kernels-demo/transformer-ops={self.folder / 'local'}")
        self.assertIn("replaced 9 of 9 layers", done.stdout)

    def test_the_device_alone(self):
        version = f"torch={TORCH}"
        for device, backend in (("cuda", "cuda=12.8"), ("rocm", "rocm=6.4"), ("xpu", "xpu=2025.2"), ("npu", "cann=8.3")):
            self.refused("--device", device, status=2, words=f"the device {device}: the torch of this process computes on cpu",
                         hint=f"by a target: {version},{backend},cpu=")
        # So it is where the environment has no torch (but the machine a CUDA runtime, perhaps), or one for another device.
        own = self.environment.pop("KERNELS_TORCH")
        for named in ({}, {"KERNELS_TORCH": "2.12+cu128"}):
            self.environment.update(named)
            self.refused("--device", "cuda", status=2, words="the device cuda: the torch of this process computes on cpu, so the "
                         "version of cuda is not known", hint=f"by a target: {version},cuda=12.8,cpu=")
        self.environment["KERNELS_TORCH"] = own
        # Metal has no version, so that its builds can be named.
        self.refused("--device", "mps", status=7, words=f"no build fits {version},metal,cpu=aarch64,os=darwin,macos=26.0")
        done = self.kernelize("scripted.pt", "-o", "k.pt", "--device", "cuda", "--torch", TORCH + "+cu128")
        self.assertIn("-cu128-", done.stdout)

    def test_a_torch_of_unknown_backend_in_the_environment_is_no_matter(self):
        """The torch of the process decides, and a model on the CPU needs no other backend."""
        libtorch = self.folder / "libtorch"
        (libtorch / "lib").mkdir(parents=True)
        (libtorch / "lib" / "libtorch_xpu.so").write_bytes(b"")
        (libtorch / "build-version").write_text(f"{TORCH}.0\n")
        done = self.run_command(KERNELS, "kernelize", "scripted.pt", "-o", "k.pt", "--project", self.project, "--offline",
                                KERNELS_TORCH=str(libtorch))
        self.assertIn("replaced", done.stdout)

    def test_targets_that_cannot_be(self):
        self.refused("--target", CUDA, "--target", "cpu", status=2, words="a model is made for one target, not for 2")
        self.refused("--target", CUDA, "--device", "cpu", status=2, words="is for cuda")
        self.refused("--target", "cdua=12.8", status=2, words="there is no key `cdua`", hint="did you mean `cuda`?")
        self.refused("--target", "cuda=12.8,os=darwin", status=2, words="cuda does not exist on darwin", hint="metal on darwin")
        self.refused("--target", CUDA + ",capability=120", status=7, words="no device code for this device", hint="--no-device-check")
        self.refused("--target", f"torch={TORCH},cuda=12.6", status=7, words="no build fits")
        self.kernelize("scripted.pt", "--dry-run", "--target", "cpu")
        self.kernelize("scripted.pt", "-o", "k.pt", "--target", CUDA + ",capability=120", "--no-device-check")

    def test_verify_says_why_it_cannot(self):
        self.refused("--target", CUDA, "--verify", status=2, words="--verify: the kernels cannot run here: ",
                     hint="kernels run RESULT --reference MODEL")

    def test_a_target_that_this_machine_is_can_be_verified_and_run(self):
        self.kernelize("scripted.pt", "-o", "k.pt", "--target", f"torch={TORCH},cpu", "--verify")
        self.run_command(KERNELS, "run", "k.pt", "--input", "input.pt", "--reference", "scripted.pt")

    def test_python_alone_and_tvm_ffi_are_no_kernels_for_torchscript(self):
        file = self.project / "kernels.toml"
        mapping = file.read_text()
        file.write_text(mapping + LAYER.format(name="Linear", device="cpu", repo="gated-mlp"))
        self.refused("--device", "cpu", status=8, words="kernels-demo/gated-mlp: its build torch-cpu has no compiled library; Triton and "
                     "other Python-only kernels cannot be called from TorchScript")
        rows = json.loads(self.kernelize("scripted.pt", "-o", "k.pt", "--device", "cpu", "--use-fallback", "all", "--json")
                          .stdout)["manifest"]["layers"]
        self.assertEqual({row["status"] for row in rows if row["layer"] == "Linear"}, {"kept"})
        for row in rows:
            if row["layer"] == "Linear":
                self.assertIn("Python-only kernels cannot be called from TorchScript", row["reason"])
        self.assertEqual({row["status"] for row in rows if row["layer"] != "Linear"}, {"replaced"})
        file.write_text(mapping)
        variant = next((self.folder / "hf").glob("**/build/*-cpu-*"))
        local = self.folder / "local" / "build" / re.sub("^torch[^-]*-cxx11", "tvm-ffi01", variant.name)
        shutil.copytree(variant, local)
        done = self.run_command(KERNELS, "kernelize", "scripted.pt", "-o", "t.pt", "--project", self.project, "--target",
                                f"torch={TORCH},cpu,tvm-ffi=0.1", status=8,
                                LOCAL_KERNELS=f"kernels-demo/transformer-ops={self.folder / 'local'}")
        self.assertIn("is for tvm-ffi", done.stderr)
        self.assertIn("TorchScript calls torch operators", done.stderr)


if __name__ == "__main__":
    unittest.main()
