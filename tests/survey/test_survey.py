"""survey.py over a directory shaped like a checkout of public kernels: the rows of its table."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.environ["KERNELS_SURVEY"]
HERE = pathlib.Path(__file__).resolve().parent
EXAMPLE = HERE.parents[1] / "examples" / "kernels" / "transformer-ops"
REFUSED = '''import torch
import torch.nn as nn
import triton


@triton.jit
def _kernel(x):
    pass


class Tuned(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.empty_like(x)
        _kernel[(1,)](x)
        return y


class Built(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x)
'''


class SurveyTest(unittest.TestCase):
    def setUp(self):
        self.checkout = pathlib.Path(tempfile.mkdtemp(prefix="kernels-survey-"))
        self.addCleanup(shutil.rmtree, self.checkout)
        kernel = self.checkout / "transformer-ops"
        shutil.copytree(EXAMPLE / "transformer_ops", kernel / "torch-ext" / "transformer_ops")
        shutil.copy(EXAMPLE / "cuda_schemas.cpp", kernel / "binding.cpp")
        package = self.checkout / "tuned" / "torch-ext" / "tuned"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("from . import layers\n")
        (package / "layers.py").write_text(REFUSED)
        (self.checkout / "no-kernel").mkdir()

    def table(self, status=0):
        done = subprocess.run([sys.executable, HERE / "survey.py", PROGRAM, self.checkout, "--commit", "1234567", "--date", "2026-08-21"],
                              capture_output=True, text=True, timeout=280)
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stdout

    def test_rows(self):
        text = self.table()
        self.assertIn("Commit 1234567 (2026-08-21), 2 packages", text)
        rows = [[cell.strip() for cell in line.split(" | ")] for line in text.replace("\n| ", "\n").splitlines() if " | " in line]
        found = {(row[0], row[2]): (row[1], row[3].removesuffix(" |")) for row in rows}
        ops = found["transformer-ops", "ReLU"][0]
        self.assertEqual(int(ops), (EXAMPLE / "cuda_schemas.cpp").read_text().count('ops.def("'))
        for layer in ("ReLU", "GELU", "GELUTanh", "SiluAndMul", "RMSNorm", "GemmaRMSNorm", "LayerNorm"):
            self.assertEqual(found["transformer-ops", layer], (ops, "compiled"), layer)
        for function in ("relu", "gelu", "rms_norm"):
            self.assertEqual(found["transformer-ops", function], (ops, "compiled"), function)
        # What cannot be compiled is named with its line, and what would be refused afterwards as well.
        self.assertRegex(found["tuned", "Tuned"][1], r"^layers\.py:14: .*Triton kernel _kernel \(layers\.py:7\)")
        self.assertEqual(found["tuned", "Built"], ("0", "compiled; then kept by the rules for hub layers: it has a constructor"))
        layers = sum(kind in text for kind in ("| ReLU |", "| GELU |", "| GELUTanh |", "| SiluAndMul |", "| RMSNorm |", "| GemmaRMSNorm |",
                                               "| LayerNorm |", "| Built |"))
        self.assertIn(f"Compiled: {layers} of {layers + 1} layers", text)

    def test_a_package_that_cannot_be_read(self):
        (self.checkout / "tuned" / "torch-ext" / "tuned" / "layers.py").write_bytes(b"class L(nn.Module:\n\xff")
        self.assertRegex(self.table(), r"\| tuned \| 0 \| .* \| layers\.py:\d: ")


if __name__ == "__main__":
    unittest.main()
