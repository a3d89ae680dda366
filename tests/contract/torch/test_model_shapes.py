"""How models hold and call their layers: containers, shared modules, several methods, interfaces, attributes, functions."""

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
harness.need_modules("torch")

import torch  # noqa: E402  (only after the check above)

ROOT = pathlib.Path(__file__).resolve().parents[3]
# One model a function, with its input; the name says how it is saved. TorchScript reads classes from a file.
MODELS = ROOT / "tests/contract/torch/shaped_models.py"
BINDINGS = """
[[bindings]]
layer = "RMSNorm"
class = "*Norm"
"""


class ModelShapesTest(harness.WorldTest):
    @classmethod
    def setUpClass(cls):
        torch.ops.load_library(RUNTIME)

    def setUp(self):
        super().setUp()
        self.project = self.folder / "project"
        self.project.mkdir()
        self.environment["KERNELS_TORCH"] = str(pathlib.Path(torch.__file__).parent)
        text = (ROOT / "examples/project-transformers/kernels.toml").read_text()
        self.mapping = text[:text.index("# The first binding")]
        self.bind(BINDINGS)
        self.start_hub(DEMO)
        self.run_command(KERNELS, "lock", self.project)
        self.run_command(KERNELS, "download", self.project)

    def bind(self, bindings):
        (self.project / "kernels.toml").write_text(self.mapping + bindings)

    def make(self, *names):
        self.run_command(sys.executable, MODELS, *names)

    def kernelize(self, name, *options, status=0):
        done = self.run_command(KERNELS, "kernelize", f"{name}.pt", "-o", f"{name}.k.pt", "--project", self.project,
                                "--device", "cpu", "--json", *options, status=status)
        document = json.loads(done.stdout)
        return {row["module"]: row["reason"] or row["status"] for row in document["manifest"]["layers"]} \
            if status == 0 else document["error"]["message"]

    def check(self, name, rows, calls, *options):
        """The report says `rows`, and the result computes the same with so many calls of kernels."""
        with self.subTest(name), torch.no_grad():
            self.assertEqual(self.kernelize(name, *options), rows)
            self.run_both(name, calls)

    def run_both(self, name, calls, method="forward"):
        with unittest.mock.patch.dict("os.environ", self.environment), torch.no_grad():
            namespaces = torch.ops.kernels.load(str(self.folder / f"{name}.k.pt"))
            kernelized = torch.jit.load(self.folder / f"{name}.k.pt")
            original = torch.jit.load(self.folder / f"{name}.pt")
            x = torch.load(self.folder / f"{name}.input")
            expected = getattr(original, method)(x)
            counter = getattr(torch.ops, namespaces[0]).call_count
            before = counter()
            torch.testing.assert_close(getattr(kernelized, method)(x), expected, rtol=1e-5, atol=1e-5)
            self.assertEqual(counter() - before, calls)

    def test_containers(self):
        self.make("containers", "root", "shared_scripted", "twice_traced", "interface", "methods", "loop", "keyword")
        norms = {"blocks.0.norm": "replaced", "blocks.1.norm": "replaced"}
        self.check("containers", {**norms, "named.a": "replaced", "named.b": "replaced"}, 4)
        self.check("root", {"": "replaced"}, 1)
        self.check("shared_scripted", {"a": "replaced", "b.norm": "replaced"}, 3)
        self.check("twice_traced", {"norm": "replaced"}, 2)
        self.check("interface", {"norm": "replaced"}, 1, "--verify")
        self.check("methods", {"norm": "replaced"}, 1)
        self.run_both("methods", 2, "twice")
        self.check("loop", {"norm": "replaced"}, 5)
        self.check("keyword", {"norm": "replaced"}, 1)

    def test_shared_in_traced_models(self):
        """A traced module gets as an argument the weight of the path where tracing saw it first: it is its own."""
        self.make("shared_traced", "shared_nested", "shared_weight", "own_given", "other_given")
        self.check("shared_traced", {"b.norm": "replaced"}, 3, "--verify")
        self.check("shared_nested", {"last": "replaced"}, 5, "--verify")
        self.check("shared_weight", {"a": "replaced", "b": "replaced"}, 2, "--verify")
        self.check("own_given", {"norm": "replaced"}, 2, "--verify")
        self.assertEqual(self.kernelize("other_given"), {"norm": "the kernel's layer takes 1 argument, this one 2; tracing makes arguments of "
                         "what other modules hold: hold it in the layer, or script the model"})

    def test_shared_buffers_that_come_apart(self):
        """The kernel computes with what the layer is given, also where that is its own no longer."""
        self.make("shared_buffer")
        self.check("shared_buffer", {"a": "replaced", "b": "replaced"}, 2, "--verify")
        with unittest.mock.patch.dict("os.environ", self.environment), torch.no_grad():
            models = [torch.jit.load(self.folder / f"shared_buffer{name}.pt").double().float() for name in ("", ".k")]
            for model in models:
                model.a.weight.mul_(3)
            x = torch.load(self.folder / "shared_buffer.input")
            expected, result = (model(x) for model in models)
            self.assertGreater((models[0].a.weight - models[0].b.weight).abs().max(), 0.1)
            torch.testing.assert_close(result, expected)

    def test_exported_methods_of_traced_models(self):
        """What they call is scripted, beside what tracing made of it."""
        self.make("hybrid", "hybrid_branches", "hybrid_other", "hybrid_growing")
        self.bind('[[bindings]]\nlayer = "LayerNorm"\nclass = "torch.nn.*LayerNorm"\n' + BINDINGS)
        norms = ("norm", "list.0", "list.1", "layer_norm")
        self.check("hybrid", dict.fromkeys(norms, "replaced"), 5, "--verify")
        self.run_both("hybrid", 4, "twice")
        kept = ("its forward, which the model's twice calls, cannot be shown to compute the same as its forward1, "
                "which the model's forward calls")
        self.assertEqual(self.kernelize("hybrid_branches"), {"norm": kept})
        self.assertEqual(self.kernelize("hybrid_other"), {"norm": kept})
        self.assertEqual(self.kernelize("hybrid_growing"), {"norm": kept})

    def test_attributes_that_the_model_writes(self):
        """The traced code keeps the number that it had, and a kernel would read the new one."""
        self.make("hybrid_writes", "setter", "setter_scripted", "list_setter")
        kept = "its {} is written by the model's {}, and its code, which may be traced, may have another value written in"
        self.assertEqual(self.kernelize("hybrid_writes"), {"norm": kept.format("variance_epsilon", "twice")})
        self.assertEqual(self.kernelize("setter"), {"norm": kept.format("variance_epsilon", "set_epsilon")})
        self.assertEqual(self.kernelize("list_setter"), {"block.norm": kept.format("epsilons", "set_epsilon")})
        # Scripted code reads it anew, as the kernel does.
        self.check("setter_scripted", {"norm": "replaced"}, 2)

    def test_one_class_with_different_attributes(self):
        self.make("epsilons_scripted", "epsilons_traced", "other_name")
        self.check("epsilons_scripted", {"a": "replaced", "b": "replaced"}, 2)
        self.check("epsilons_traced", {"a": "replaced", "b": "replaced"}, 2)
        self.check("other_name", {"a": "replaced", "b": "replaced"}, 2)

    def test_constants_of_classes(self):
        """What is declared Final, or stands in __constants__ as in torch.nn's own norms."""
        self.make("final", "layer_norms", "no_bias")
        self.check("final", {"a": "replaced", "b": "replaced"}, 2)
        self.bind('[[bindings]]\nlayer = "LayerNorm"\nclass = "*LayerNorm"\n')
        self.check("layer_norms", {"a": "replaced", "b": "replaced"}, 2)
        # Tracing leaves out what is None; that it was shows in the code.
        self.check("no_bias", {"a": "replaced", "b": "replaced"}, 2)

    def test_bindings_by_path(self):
        self.make("bare", "containers")
        # A scripted class whose epsilon stands in its code in a way that is not recognized.
        rows = self.kernelize("bare")
        self.assertIn("give it as attributes = { variance_epsilon", rows["a"])
        self.bind("""
            [[bindings]]
            layer = "RMSNorm"
            module = "a"
            attributes = { variance_epsilon = 1e-2 }
            [[bindings]]
            layer = "RMSNorm"
            module = "held.b"
            attributes = { variance_epsilon = 1e-3 }""")
        self.check("bare", {"a": "replaced", "held.b": "replaced"}, 2)
        # Only one of the modules of a class.
        self.bind("""
            [[bindings]]
            layer = "RMSNorm"
            module = "blocks.1.norm" """)
        self.check("containers", {"blocks.1.norm": "replaced"}, 1)

    def test_epsilons_that_are_not_guessed(self):
        self.make("two_epsilons", "summed_epsilons", "epsilons_traced")
        self.assertIn("which of its numbers it is cannot be told", self.kernelize("summed_epsilons")["0"])
        self.assertIn("which of its numbers it is cannot be told", self.kernelize("two_epsilons")["0"])
        self.bind(BINDINGS + "attributes = { variance_epsilon = 1e-6 }")
        rows = self.kernelize("epsilons_traced")
        self.assertIn("the binding gives variance_epsilon = 1e-06, and this layer computes with 0.01", rows["a"])

    def test_frozen_and_inlined(self):
        self.make("root", "epsilons_traced", "frozen_containers", "inlined_containers", "frozen_epsilons_scripted",
                  "frozen_epsilons_traced", "frozen_near_misses")

        def matched(count):
            return {f"forward[{i}]": "matched by pattern" for i in range(count)}

        example = ("--input", "f32[3,4,8]")  # what is matched by pattern is verified
        pattern = '\npattern = "../{}"'
        self.bind(BINDINGS + pattern.format("root.pt"))
        self.check("frozen_containers", matched(4), 4, *example)
        # The class is still there, and nothing calls it: it is left as it is.
        self.check("inlined_containers", matched(4), 4, *example)
        self.check("frozen_epsilons_scripted", matched(2), 2, *example)
        missing = list(self.kernelize("frozen_near_misses", *example).values())
        self.assertEqual(len(missing), 1)
        self.assertIn("nothing in the model has the form", missing[0])
        # In traced code the epsilon is a constant: the model before it was frozen has both.
        self.bind(BINDINGS + pattern.format("epsilons_traced.pt"))
        with self.subTest("frozen_epsilons_traced"):
            self.kernelize("frozen_epsilons_traced", *example)
            self.run_both("frozen_epsilons_traced", 2)
        # The same on the command line; without an input nothing can be verified, so nothing is written.
        self.bind("")
        (self.folder / "frozen_containers.k.pt").unlink()
        option = ("--pattern", "RMSNorm=root.pt:*Norm")
        self.check("frozen_containers", matched(4), 4, *option, *example)
        self.bind(BINDINGS + pattern.format("none.pt"))
        self.assertIn("no such file", self.kernelize("frozen_containers", status=4))

    def test_functions_for_classes(self):
        """Their defaults are not the layer's values; the binding's are taken."""
        (self.project / "kernels.toml").write_text("""
[dependencies]
"kernels-demo/transformer-ops" = 2
[[layers]]
name = "GELU"
device = "cpu"
repo = "kernels-demo/transformer-ops"
func = "gelu"
[[bindings]]
layer = "GELU"
class = "*GELU"
module = "0"
attributes = { approximate = "none" }
[[bindings]]
layer = "GELU"
class = "*GELU"
attributes = { approximate = "tanh" }
""")
        self.make("gelus_scripted", "gelus_traced")
        for name in ("gelus_scripted", "gelus_traced"):
            self.check(name, {"0": "replaced", "1": "replaced"}, 2, "--verify", "--input", "f32[3,4,8]")

    def test_what_is_not_called(self):
        """The report says that the kernel does not run, which its rows would hide."""
        self.make("inlined_containers")
        rows = self.kernelize("inlined_containers", "--verify", "--input", "f32[3,4,8]")
        self.assertEqual(set(rows), {"blocks.0.norm", "blocks.1.norm", "named.a", "named.b"})
        for said in rows.values():
            self.assertTrue(said.startswith("no method of the model calls it"), said)
        self.run_both("inlined_containers", 0)

    def test_functions(self):
        harness.need_modules("kernels")
        self.make("functions")
        self.mapping += """
            [[layers]]
            name = "silu_and_mul"
            device = "cpu"
            repo = "kernels-demo/transformer-ops"
            func = "silu_and_mul"
            [[layers]]
            name = "rms_norm"
            device = "cpu"
            repo = "kernels-demo/transformer-ops"
            func = "rms_norm"
            [[layers]]
            name = "missing"
            device = "cpu"
            repo = "kernels-demo/transformer-ops"
            func = "gelu_and_mul"
            """
        bindings = """
            [[bindings]]
            layer = "silu_and_mul"
            class = "kernels.layer.layer.Func"
            module = "*.activation"
            [[bindings]]
            layer = "rms_norm"
            module = "*.norm"
            """
        order = 'arguments = ["weight", "x"]'
        self.bind(bindings.replace('"silu_and_mul"', '"missing"'))
        self.assertIn("gelu_and_mul", self.kernelize("functions", status=4))
        # A function with a parameter that the layer does not have would compute with its default.
        self.bind('[[bindings]]\nlayer = "rms_norm"\nmodule = "*.activation"\n')
        rows = self.kernelize("functions", "--use-fallback", "all")
        self.assertEqual({reason.split(";")[0] for reason in rows.values()}, {"the kernel's layer takes 3 arguments, this one 1"})
        # The decorated functions are modules, each of which is held by both blocks.
        self.bind(bindings)
        self.assertIn("does not keep the order of its 2 arguments", self.kernelize("functions")["blocks.1.norm"])
        self.bind(bindings + order)
        self.check("functions", {"blocks.1.norm": "replaced", "blocks.1.activation": "replaced"}, 4)


if __name__ == "__main__":
    unittest.main()
