"""The demo's kernels against plain PyTorch: element types, layouts, shapes, and what they refuse."""

import base64
import hashlib
import json
import pathlib
import subprocess
import unittest

import harness

DEMO = pathlib.Path(harness.need("KERNELS_DEMO_HUB"))
harness.need_modules("torch")

import torch  # noqa: E402  (only after the check above)

BUILD = next((DEMO / "kernels-demo/transformer-ops/v1/build").glob("torch*-cpu-*"))
LIBRARY = next(BUILD.glob("*.abi3.so"))
torch.ops.load_library(str(LIBRARY))
OPS = getattr(torch.ops, json.loads((BUILD / "metadata.json").read_text())["id"])

SHAPES = [(8,), (1, 8), (3, 16), (2, 5, 64), (2, 3, 4, 10), (0, 8), (3, 0, 8), (4097, 6), (2, 3000)]
TYPES = {torch.float32: 1e-6, torch.bfloat16: 1e-2, torch.float16: 1e-3, torch.float64: 1e-12}


def silu_and_mul(x):
    d = x.shape[-1] // 2
    return torch.nn.functional.silu(x[..., :d]) * x[..., d:]


def rms_norm(x, weight, epsilon):
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    normed = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)
    return weight * normed.to(x.dtype)


def gemma_rms_norm(x, weight, epsilon):
    wide = x.float()
    normed = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)
    return (normed * (1.0 + weight.float())).type_as(x)


def layouts(shape, dtype):
    """The same shape in four layouts; only the first is contiguous (where the shape allows another at all)."""
    yield torch.randn(shape, dtype=torch.float64).to(dtype)
    yield torch.randn(tuple(reversed(shape)), dtype=torch.float64).to(dtype).permute(*reversed(range(len(shape))))
    yield torch.randn((*shape[:-1], 2 * shape[-1]), dtype=torch.float64).to(dtype)[..., ::2]
    yield torch.randn((*shape[:-1], shape[-1] + 3), dtype=torch.float64).to(dtype)[..., 1:-2]


class KernelTest(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(0)

    def each_input(self):
        for dtype, tolerance in TYPES.items():
            for shape in SHAPES:
                for x in layouts(shape, dtype):
                    self.assertEqual(x.shape, shape)
                    yield x, tolerance

    def check(self, out, expected, tolerance):
        torch.testing.assert_close(out, expected, rtol=tolerance, atol=tolerance,
                                   msg=lambda text: f"{text}\n{out.dtype} {tuple(out.shape)}")

    def test_relu(self):
        for x, _ in self.each_input():
            out = torch.full_like(x, 7)
            OPS.relu(out, x)
            self.assertTrue(torch.equal(out, torch.relu(x)))

    def test_silu_and_mul(self):
        for x, tolerance in self.each_input():
            expected = silu_and_mul(x)
            out = torch.full_like(expected, 7)
            OPS.silu_and_mul(out, x)
            self.check(out, expected, tolerance)

    def test_rms_norm(self):
        for x, tolerance in self.each_input():
            weight = torch.randn(x.shape[-1], dtype=torch.float64).to(x.dtype)
            out = torch.full_like(x, 7)
            OPS.rms_norm(out, x, weight, 1e-5)
            self.check(out, rms_norm(x, weight, 1e-5), tolerance)

    def test_gelu(self):
        for op, approximate in ((OPS.gelu, "none"), (OPS.gelu_tanh, "tanh")):
            for x, tolerance in self.each_input():
                out = torch.full_like(x, 7)
                op(out, x)
                self.check(out, torch.nn.functional.gelu(x, approximate=approximate), tolerance)

    def test_gemma_rms_norm(self):
        for x, tolerance in self.each_input():
            weight = torch.randn(x.shape[-1], dtype=torch.float64).to(x.dtype)
            out = torch.full_like(x, 7)
            OPS.gemma_rms_norm(out, x, weight, 1e-6)
            self.check(out, gemma_rms_norm(x, weight, 1e-6), max(tolerance, 2e-5))

    def test_layer_norm(self):
        for x, tolerance in self.each_input():
            for dimensions in range(1, x.dim() + 1):
                shape = x.shape[-dimensions:]
                if 0 in shape:
                    continue
                weight, bias = torch.randn(2, *shape, dtype=torch.float64).to(x.dtype)
                for shift in (bias, None):
                    out = torch.full_like(x, 7)
                    OPS.layer_norm(out, x, weight, shift, 1e-5)
                    expected = torch.nn.functional.layer_norm(x, shape, weight, shift, 1e-5)
                    self.check(out, expected, max(tolerance, 2e-5 if x.dtype == torch.float32 else 0))

    def test_epsilon_counts(self):
        x = torch.full((1, 4), 1e-3)
        weight = torch.ones(4)
        out = torch.empty_like(x)
        for epsilon in (1e-6, 1e-2):
            OPS.rms_norm(out, x, weight, epsilon)
            self.check(out, rms_norm(x, weight, epsilon), 1e-6)
            OPS.gemma_rms_norm(out, x, weight, epsilon)
            self.check(out, gemma_rms_norm(x, weight, epsilon), 1e-6)
            OPS.layer_norm(out, x + x.cumsum(-1), weight, None, epsilon)
            self.check(out, torch.nn.functional.layer_norm(x + x.cumsum(-1), (4,), weight, None, epsilon), 1e-6)

    def test_results_into_a_strided_output_and_in_place(self):
        x = torch.randn(6, 10)
        whole = torch.full((10, 6), 7.0)
        OPS.relu(whole.t(), x)
        self.assertTrue(torch.equal(whole.t(), torch.relu(x)))
        expected = torch.relu(x)
        OPS.relu(x, x)
        self.assertTrue(torch.equal(x, expected))

    def test_nan_and_infinity(self):
        x = torch.tensor([float("nan"), float("inf"), -float("inf"), -0.0])
        out = torch.empty_like(x)
        OPS.relu(out, x)
        torch.testing.assert_close(out, torch.relu(x), equal_nan=True, rtol=0, atol=0)
        gate = torch.tensor([[float("nan"), 1000.0, -1000.0, 0.0, 1.0, 2.0, 3.0, 4.0]])
        out = torch.empty(1, 4)
        OPS.silu_and_mul(out, gate)
        torch.testing.assert_close(out, silu_and_mul(gate), equal_nan=True)

    def test_what_is_refused(self):
        x = torch.randn(2, 8)
        for words, call in (
                ("out has the shape", lambda: OPS.relu(torch.empty(2, 7), x)),
                ("out is", lambda: OPS.relu(torch.empty(2, 8, dtype=torch.float64), x)),
                ("odd", lambda: OPS.silu_and_mul(torch.empty(2, 3), torch.randn(2, 7))),
                ("weight has the shape", lambda: OPS.rms_norm(torch.empty_like(x), x, torch.ones(7), 1e-6)),
                ("weight is", lambda: OPS.rms_norm(torch.empty_like(x), x, torch.ones(8, dtype=torch.float64), 1e-6)),
                ("weight has the shape", lambda: OPS.layer_norm(torch.empty_like(x), x, torch.ones(3, 8), None, 1e-6)),
                ("bias is", lambda: OPS.layer_norm(torch.empty_like(x), x, torch.ones(8),
                                                   torch.ones(8, dtype=torch.float64), 1e-6)),
                ("differ in shape", lambda: OPS.layer_norm(torch.empty_like(x), x, torch.ones(8), torch.ones(2, 8), 1e-6)),
                ("not implemented", lambda: OPS.relu(torch.empty(2, dtype=torch.int64), torch.ones(2, dtype=torch.int64)))):
            with self.assertRaisesRegex(RuntimeError, words):
                call()

    def test_calls_are_counted(self):
        x = torch.randn(2, 8)
        before = OPS.call_count()
        OPS.relu(torch.empty_like(x), x)
        OPS.silu_and_mul(torch.empty(2, 4), x)
        OPS.rms_norm(torch.empty_like(x), x, torch.ones(8), 1e-6)
        OPS.gelu(torch.empty_like(x), x)
        self.assertEqual(OPS.call_count(), before + 4)


class BuildTest(unittest.TestCase):
    """The folder is laid out as the builds on the Hub are."""

    def test_the_library_needs_no_python(self):
        dynamic = subprocess.run(["readelf", "-d", LIBRARY], capture_output=True, text=True, check=True).stdout
        needed = [line for line in dynamic.splitlines() if "NEEDED" in line]
        self.assertTrue(any("libc10" in line for line in needed))
        self.assertFalse(any("python" in line for line in needed), needed)

    def test_every_digest_is_right(self):
        files = {}
        for path in sorted(BUILD.rglob("*")):
            if path.is_file() and path.name != "metadata.json":
                digest = base64.b64encode(hashlib.sha256(path.read_bytes()).digest()).decode()
                files[path.relative_to(BUILD).as_posix()] = digest
        metadata = json.loads((BUILD / "metadata.json").read_text())
        self.assertEqual(metadata["digest"], {"algorithm": "sha256", "files": files})
        self.assertIn(metadata["id"], LIBRARY.name)

    def test_the_client_reads_the_metadata_and_agrees_with_the_digest(self):
        if harness.importlib.util.find_spec("kernels") is None:
            self.skipTest("the Python client is not installed")
        from kernels._rust import Digest, Metadata

        for path in DEMO.glob("*/*/*/build/*/metadata.json"):
            metadata = Metadata.read_from_file(path)
            metadata.digest.validate(Digest.hash_variant(metadata.digest.algorithm, path.parent))


if __name__ == "__main__":
    unittest.main()
