"""The main job on models that PyTorch saved: lock, download, kernelize, run in fresh processes of ours and of Python."""

import json
import pathlib
import shutil
import sys
import unittest
import zipfile

import harness

KERNELS = harness.need("KERNELS_BIN")
harness.need("KERNELS_TORCH_BIN")
harness.need("KERNELS_HUB_BIN")
RUNTIME = harness.need("KERNELS_RUNTIME_LIB")
DEMO = pathlib.Path(harness.need("KERNELS_DEMO_HUB"))
harness.need_modules("torch")
ROOT = pathlib.Path(__file__).resolve().parents[3]
LAYERS = ([f"blocks.{i}.{name}" for i in range(4) for name in ("norm", "activation")] + ["norm"])

PYTHON_LOADS = """
import json, sys, torch
runtime, kernelized, original, example = sys.argv[1:]
torch.ops.load_library(runtime)
namespaces = torch.ops.kernels.load(kernelized)
x = torch.load(example)
with torch.no_grad():
    difference = (torch.jit.load(kernelized)(x) - torch.jit.load(original)(x)).abs().max().item()
print(json.dumps({"difference": difference, "calls": getattr(torch.ops, namespaces[0]).call_count()}))
"""

WITHOUT_RUNTIME = """
import json, sys, torch
try:
    torch.jit.load(sys.argv[1])
    print(json.dumps("loaded"))
except RuntimeError as error:
    print(json.dumps(str(error)))
"""

OTHER_MODELS = """
import json, sys, torch
import torch.nn as nn

class RMSNorm(nn.Module):
    def __init__(self, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8))
        if eps is not None:
            self.variance_epsilon = eps
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))

class TwoArguments(nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x + y

class SiluAndMul(nn.Module):
    def forward(self, x: torch.Tensor, scale: float) -> torch.Tensor:
        d = x.shape[-1] // 2
        return torch.nn.functional.silu(x[..., :d]) * x[..., d:] * scale

class Wrong(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = SiluAndMul()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(x, 2.0)

torch.jit.script(nn.Sequential(RMSNorm(1e-2))).save("wrong-eps.pt")
torch.jit.script(Wrong()).save("other-signature.pt")
torch.jit.script(nn.Sequential(nn.Linear(8, 8))).save("no-layer.pt")
torch.save({"weight": torch.ones(2)}, "checkpoint.pt")
torch.jit.script(nn.Sequential(RMSNorm(1e-6))).save("extra.pt", _extra_files={"labels.txt": "a b"})
print(json.dumps(True))
"""


class MainJobTest(harness.WorldTest):
    def setUp(self):
        super().setUp()
        self.project = self.folder / "project"
        shutil.copytree(ROOT / "examples" / "project", self.project)
        # The libtorch that kernels-torch is linked with is the one that builds are chosen for.
        import torch
        self.environment["KERNELS_TORCH"] = str(pathlib.Path(torch.__file__).parent)
        self.start_hub(DEMO)
        self.run_command(KERNELS, "lock", self.project)
        self.run_command(KERNELS, "download", self.project)
        # From here on nothing may need the hub; only whether publishers are still trusted is asked when online.
        self.hubs[0].stop()
        self.environment["HF_HUB_OFFLINE"] = "1"

    def make_models(self):
        self.run_command(sys.executable, ROOT / "examples" / "models" / "make_models.py", self.folder)

    def make_other_models(self):
        # TorchScript's compiler reads the source file.
        script = self.folder / "other_models.py"
        script.write_text(OTHER_MODELS)
        self.run_command(sys.executable, script)

    def kernelize(self, model, *options, status=0):
        return self.run_command(KERNELS, "kernelize", model, "--project", self.project, "--device", "cpu", "--mode",
                                "inference", *options, status=status)

    def test_scripted_and_traced(self):
        self.make_models()
        for model in ("scripted", "traced"):
            with self.subTest(model):
                done = self.kernelize(f"{model}.pt", "-o", f"{model}.k.pt", "--json")
                rows = json.loads(done.stdout)["manifest"]["layers"]
                self.assertEqual([row["module"] for row in rows], LAYERS)
                self.assertEqual({row["status"] for row in rows}, {"replaced"}, rows)
                self.assertEqual({row["repo"] for row in rows}, {"kernels-demo/transformer-ops"})
                report = json.loads(self.run_command(KERNELS, "run", f"{model}.k.pt", "--input", "input.pt", "--reference",
                                                     f"{model}.pt", "--json").stdout)
                self.assertLess(report["largest-difference"], 1e-5)
                calls = {name.split("::")[1]: count for name, count in report["graph-calls"].items()}
                self.assertEqual(calls, {"rms_norm": 5, "silu_and_mul": 4})
                self.assertEqual(list(report["counted-calls"].values()), [9])
                # The manifest is in the archive, and Python's own loader accepts the result through the runtime.
                with zipfile.ZipFile(self.folder / f"{model}.k.pt") as archive:
                    self.assertTrue(any(name.endswith("extra/kernels.json") for name in archive.namelist()))
                python = self.run_python(PYTHON_LOADS, RUNTIME, f"{model}.k.pt", f"{model}.pt", "input.pt")
                self.assertLess(python["difference"], 1e-5)
                self.assertEqual(python["calls"], 9)
                self.assertIn("Unknown builtin op", self.run_python(WITHOUT_RUNTIME, f"{model}.k.pt"))

    def test_same_input_same_bytes_and_the_model_stays(self):
        self.make_models()
        before = (self.folder / "scripted.pt").read_bytes()
        self.kernelize("scripted.pt", "-o", "one.pt")
        self.kernelize("scripted.pt", "-o", "two.pt")
        self.assertEqual((self.folder / "one.pt").read_bytes(), (self.folder / "two.pt").read_bytes())
        self.assertEqual((self.folder / "scripted.pt").read_bytes(), before)
        self.kernelize("scripted.pt", "--dry-run")
        self.assertFalse((self.folder / "scripted.kernelized.pt").exists())
        self.kernelize("scripted.pt")
        self.assertTrue((self.folder / "scripted.kernelized.pt").exists())

    def test_symbols_bound_at_once(self):
        self.make_models()
        self.kernelize("scripted.pt", "-o", "k.pt")
        self.run_command(KERNELS, "run", "k.pt", "--input", "input.pt", LD_BIND_NOW="1")

    def test_a_library_that_is_not_the_manifests(self):
        self.make_models()
        self.kernelize("scripted.pt", "-o", "k.pt")
        library = next((self.folder / "hf").rglob("*.so")).resolve()
        library.chmod(0o644)
        data = bytearray(library.read_bytes())
        data[len(data) // 2] ^= 1
        library.write_bytes(data)
        done = self.run_command(KERNELS, "run", "k.pt", "--input", "input.pt", status=1)
        self.assertIn("is not the library that the model was made with", done.stderr)
        library.unlink()
        done = self.run_command(KERNELS, "run", "k.pt", "--input", "input.pt", status=1)
        self.assertIn("kernels download", done.stderr)

    def test_verify_finds_another_computation(self):
        self.make_other_models()
        # Its forward ignores the attribute that the kernel believes.
        done = self.kernelize("wrong-eps.pt", "-o", "k.pt", "--verify", "--input", "f32[2,8]", status=8)
        self.assertIn("differs", done.stderr)
        self.assertFalse((self.folder / "k.pt").exists())
        self.kernelize("wrong-eps.pt", "-o", "k.pt", "--verify", "--input", "f32[2,8]", "--atol", "10")

    def test_extra_files_stay(self):
        self.make_other_models()
        self.kernelize("extra.pt", "-o", "k.pt")
        with zipfile.ZipFile(self.folder / "k.pt") as archive:
            name = next(name for name in archive.namelist() if name.endswith("extra/labels.txt"))
            self.assertEqual(archive.read(name), b"a b")

    def test_layers_that_do_not_fit_are_kept_with_the_reason(self):
        self.make_other_models()
        row = json.loads(self.kernelize("other-signature.pt", "-o", "k.pt", "--json").stdout)["manifest"]["layers"][0]
        self.assertEqual(row["status"], "kept")
        self.assertIn("takes 1 argument, this one 2", row["reason"])
        done = self.kernelize("other-signature.pt", "-o", "k2.pt", "--use-fallback", "none", status=8)
        self.assertIn("act (SiluAndMul)", done.stderr)
        self.assertFalse((self.folder / "k2.pt").exists())

    def test_bad_input(self):
        self.make_other_models()
        (self.folder / "text.pt").write_text("hello\n")
        (self.folder / "empty.pt").write_text("")
        truncated = (self.folder / "no-layer.pt").read_bytes()[:-200]
        (self.folder / "truncated.pt").write_bytes(truncated)
        for model, status, words in (("no-layer.pt", 8, "none of its classes"), ("checkpoint.pt", 1, "checkpoint"),
                                     ("text.pt", 1, "no zip archive"), ("empty.pt", 1, "empty"),
                                     ("truncated.pt", 1, "not a TorchScript archive"), ("none.pt", 4, "no such file")):
            with self.subTest(model):
                done = self.kernelize(model, "-o", "out.pt", status=status)
                self.assertIn(words, done.stderr)
                # Which bindings found nothing is said before the model as a whole is refused.
                said = done.stderr.splitlines()
                idle = [line for line in said if line.startswith("warning: ") and "matches no module" in line]
                self.assertEqual(len(idle), 2 if model == "no-layer.pt" else 0, done.stderr)
                self.assertTrue(said[len(idle)].startswith("error: "), done.stderr)
                self.assertFalse((self.folder / "out.pt").exists())
        done = self.kernelize("extra.pt", "-o", "/proc/nowhere/out.pt", status=1)
        self.assertIn("cannot be written", done.stderr)
        self.assertEqual([path.name for path in self.folder.glob(".*")], [])

    def test_a_kernel_library_that_cannot_be_loaded(self):
        self.make_other_models()
        variant = next((self.folder / "hf").rglob("metadata.json")).parent
        local = self.folder / "local" / "build" / variant.name
        shutil.copytree(variant, local)
        library = next(local.glob("*.so"))
        library.write_bytes(b"no library")
        done = self.run_command(KERNELS, "kernelize", "extra.pt", "-o", "out.pt", "--project", self.project, status=8,
                                LOCAL_KERNELS=f"kernels-demo/transformer-ops={self.folder / 'local'}")
        self.assertIn("the kernel library cannot be loaded", done.stderr)
        self.assertFalse((self.folder / "out.pt").exists())

    def test_what_is_not_downloaded_names_the_command(self):
        self.make_other_models()
        done = self.run_command(KERNELS, "kernelize", "extra.pt", "--project", self.project, "--cache",
                                self.folder / "empty-cache", status=4)
        self.assertIn("kernels download", done.stderr)


if __name__ == "__main__":
    unittest.main()
