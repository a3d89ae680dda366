"""Models of the transformers package, traced, kernelized, and run beside the originals."""

import json
import pathlib
import shutil
import sys
import unittest
import unittest.mock

import harness

KERNELS = harness.need("KERNELS_BIN")
harness.need("KERNELS_TORCH_BIN")
harness.need("KERNELS_HUB_BIN")
RUNTIME = harness.need("KERNELS_RUNTIME_LIB")
DEMO = pathlib.Path(harness.need("KERNELS_DEMO_HUB"))
harness.need_modules("torch", "transformers")

import torch  # noqa: E402  (only after the check above)

ROOT = pathlib.Path(__file__).resolve().parents[3]
DTYPES = {"float32": (torch.float32, 1e-5), "bfloat16": (torch.bfloat16, 3e-2)}
# The norms and activations of a model with two layers, by the layer of the kernel that takes their place.
EXPECTED = {
    "llama": {"RMSNorm": 5, "SiLU": 2},
    "qwen2": {"RMSNorm": 5, "SiLU": 2},
    "qwen3": {"RMSNorm": 9, "SiLU": 2},
    "mistral": {"RMSNorm": 5, "SiLU": 2},
    "gemma": {"GemmaRMSNorm": 5, "GELUTanh": 2},
    "gemma2": {"GemmaRMSNorm": 9, "GELUTanh": 2},
    "gemma3": {"GemmaRMSNorm": 13, "GELUTanh": 2},
    "phi": {"LayerNorm": 3, "GELUTanh": 2},
    "phi3": {"RMSNorm": 5, "SiLU": 2},
    "gpt_neox": {"LayerNorm": 5, "GELU": 2},
    "bert": {"LayerNorm": 5, "GELU": 2},
}
OPS = {"RMSNorm": "rms_norm", "GemmaRMSNorm": "gemma_rms_norm", "LayerNorm": "layer_norm", "SiLU": "silu",
       "GELU": "gelu", "GELUTanh": "gelu_tanh"}


class ModelFamiliesTest(harness.WorldTest):
    def setUp(self):
        super().setUp()
        self.project = self.folder / "project"
        shutil.copytree(ROOT / "examples" / "project-transformers", self.project)
        self.environment["KERNELS_TORCH"] = str(pathlib.Path(torch.__file__).parent)
        self.start_hub(DEMO)
        self.run_command(KERNELS, "lock", self.project)
        self.run_command(KERNELS, "download", self.project)

    def make(self, *families):
        self.run_command(sys.executable, ROOT / "examples/models/make_transformers_models.py", self.folder, *families)

    def kernelize(self, model, *options):
        done = self.run_command(KERNELS, "kernelize", f"{model}.pt", "-o", f"{model}.k.pt", "--project", self.project,
                                "--device", "cpu", "--json", *options)
        return json.loads(done.stdout)

    def check_report(self, family, rows):
        kept = [(row["module"], row["reason"]) for row in rows if row["status"] != "replaced"]
        self.assertEqual(kept, [])
        counts = {}
        for row in rows:
            counts[row["hub-layer"]] = counts.get(row["hub-layer"], 0) + 1
        self.assertEqual(counts, EXPECTED[family])

    def test_families(self):
        self.make(*EXPECTED)
        torch.ops.load_library(RUNTIME)
        tokens = torch.load(self.folder / "tokens.pt")
        for family, layers in EXPECTED.items():
            for name, (dtype, tolerance) in DTYPES.items():
                with self.subTest(family, dtype=name), torch.no_grad():
                    model = f"{family}-{name}"
                    self.check_report(family, self.kernelize(model)["manifest"]["layers"])
                    expected = torch.jit.load(self.folder / f"{model}.pt")(tokens)
                    # What the manifest names is looked for in the cache of this test.
                    with unittest.mock.patch.dict("os.environ", self.environment):
                        namespaces = torch.ops.kernels.load(str(self.folder / f"{model}.k.pt"))
                    kernelized = torch.jit.load(self.folder / f"{model}.k.pt")
                    counter = getattr(torch.ops, namespaces[0]).call_count
                    before = counter()
                    actual = kernelized(tokens)
                    self.assertEqual(counter() - before, sum(layers.values()))
                    self.assertEqual(actual.dtype, dtype)
                    scale = expected.abs().max().item()
                    self.assertLess((actual - expected).abs().max().item() / scale, tolerance)
                    text = str(kernelized.inlined_graph)
                    for layer, count in layers.items():
                        self.assertEqual(text.count(f"{namespaces[0]}::{OPS[layer]}("), count, layer)

    def test_frozen(self):
        """Without its classes each model has the same layers, found by the forms of those of the unfrozen model."""
        # The kernel's epsilon is an attribute of the layer, and in traced code a constant: by the binding's attributes.
        patterns = {"llama": {"RMSNorm": "*RMSNorm", "SiLU": "*SiLUActivation"},
                    "gemma": {"GemmaRMSNorm": "*RMSNorm", "GELUTanh": "*GELUTanh"},
                    "bert": {"LayerNorm": "*.LayerNorm", "GELU": "*GELUActivation"}}
        self.make(*patterns)
        torch.ops.load_library(RUNTIME)
        tokens = torch.load(self.folder / "tokens.pt")
        for family, layers in patterns.items():
            for name, (_, tolerance) in DTYPES.items():
                with self.subTest(family, dtype=name), torch.no_grad():
                    model = f"{family}-{name}"
                    torch.jit.freeze(torch.jit.load(self.folder / f"{model}.pt").eval()).save(self.folder / f"frozen-{model}.pt")
                    options = [f"--pattern={layer}={self.folder / model}.pt:{glob}" for layer, glob in layers.items()]
                    report = self.kernelize(f"frozen-{model}", *options, "--input", "tokens.pt")
                    self.check_report(family, report["manifest"]["layers"])
                    places = [row["module"] for row in report["manifest"]["layers"]]
                    self.assertEqual(len(places), len(set(places)))
                    self.assertEqual([row["module"] for row in report["verify"]["layers"]], places)
                    for row in report["verify"]["layers"]:
                        self.assertGreater(row["cases"], 0, row)
                    with unittest.mock.patch.dict("os.environ", self.environment):
                        torch.ops.kernels.load(str(self.folder / f"frozen-{model}.k.pt"))
                    expected = torch.jit.load(self.folder / f"{model}.pt")(tokens)
                    actual = torch.jit.load(self.folder / f"frozen-{model}.k.pt")(tokens)
                    self.assertLess((actual - expected).abs().max().item() / expected.abs().max().item(), tolerance)

    def test_verified(self):
        self.make("phi", "bert")
        for model in ("phi-float32", "bert-bfloat16"):
            with self.subTest(model):
                report = self.kernelize(model, "--verify", "--input", "tokens.pt")
                self.check_report(model.split("-")[0], report["manifest"]["layers"])
                layers = report["verify"]["layers"]
                self.assertEqual(len(layers), len(report["manifest"]["layers"]))
                for layer in layers:
                    self.assertGreater(layer["cases"], 0, layer)


if __name__ == "__main__":
    unittest.main()
