"""kernelize --verify at the command line: what it runs on, what it says, and what it leaves."""

import json
import os
import subprocess
import sys
import unittest

import harness
from trial_world import HERE, TrialTest

KERNELS = harness.need("KERNELS_BIN")
MODEL = """
import sys, warnings, torch
sys.path.insert(0, sys.argv[1])
from trial_originals import RMSNorm
warnings.simplefilter("ignore")
with torch.no_grad():
    if sys.argv[2] == "chain":
        model = torch.nn.Sequential(*[RMSNorm() for _ in range(400)])
    else:  # 96 MiB
        model = torch.nn.Sequential(RMSNorm(), torch.nn.Linear(32, 4096), torch.nn.Linear(4096, 6144))
    torch.jit.trace(model, torch.randn(3, 32), check_trace=False).save("model.pt")
"""


class VerifyTest(TrialTest):
    def test_command_line(self):
        for name, words in (("RMSNormWrongEps", "layer (RMSNorm): what the model gives it: its result differs"), ("GeluByTanh", "what the model gives it"),
                            ("GeluCrashes", "0 rows in the place of 2: a kernel crashed")):
            with self.subTest(name):
                done = self.kernelize(name, "--verify", status=8)
                self.assertRegex(done.stderr.splitlines()[0], r"^error: .*\blayer\b")
                self.assertIn(words, done.stderr)
                self.assertIn("hint: ", done.stderr)
                self.assertEqual(done.stdout, "")
                self.assertEqual([path.name for path in self.folder.glob("*out.pt*")], [])
                document = json.loads(self.kernelize(name, "--verify", "--json", status=8).stdout)
                self.assertEqual(document["error"]["code"], "kernelize")
        done = self.kernelize("RMSNormRoundedOnce", "--verify", status=0)
        self.assertIn("largest difference", done.stdout)
        self.assertTrue((self.folder / "out.pt").exists())

    def peaks(self, kind):
        """The memory without and with --verify in MiB."""
        subprocess.run([sys.executable, "-c", MODEL, HERE, kind], cwd=self.folder, check=True)
        command = [KERNELS, "kernelize", "model.pt", "--device", "cpu", "-o", "out.pt", "--layer=RMSNorm=test/trial-kernels:RMSNorm"]
        for more in ([], ["--verify"]):
            process = subprocess.Popen([*command, *more], cwd=self.folder, env=self.environment, stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            self.assertEqual(status, 0)
            yield usage.ru_maxrss / 1024

    def test_code_that_ran_is_not_kept(self):
        """libtorch keeps five copies of the code of whatever it has run: here of 400 classes, in three dtypes."""
        without, verified = self.peaks("chain")
        self.assertLess(verified, without + 80)

    def test_weights_are_not_copied(self):
        """In float64 they would take twice their size."""
        without, verified = self.peaks("large")
        self.assertLess(verified, without + 90)

    def test_given_inputs_are_varied(self):
        options = ["--verify", "--json", "--input", "f32[2,16,32]"]
        verify = json.loads(self.kernelize("HeadGelu", *options, status=0).stdout)["verify"]
        self.assertGreaterEqual(verify["cases"], 7)  # the whole model as well
        done = self.kernelize("HeadGeluOneLength", *options, status=8)
        self.assertIn("19 inner rows in the place of 16", json.loads(done.stdout)["error"]["message"])

    def test_inputs_that_show_nothing(self):
        for given in ("f32[0,16,32]", "f32[2,0,32]"):
            done = self.kernelize("RMSNorm", "--verify", "--input", given, status=8)
            self.assertIn("nothing can be compared", done.stderr)
            self.assertFalse((self.folder / "out.pt").exists())

    def test_gradients(self):
        done = self.kernelize("RMSNormNoMean", "--verify", "--mode", "training", status=8)
        self.assertIn("layer (RMSNorm): what the model gives it: its gradient of argument 1 differs", done.stderr)
        self.assertIn("the whole model: its inputs: its gradient of ", done.stderr)
        self.kernelize("RMSNormNoMean", "--verify", status=0)
        done = self.kernelize("RMSNormTrained", "--verify", "--mode", "training", status=0)
        self.assertRegex(done.stdout, r"layer  .*; gradients: .*, on \d+;? ?.*\nthe whole model .*; gradients: .*, on 1\n")
        expected = (self.folder / "out.pt").read_bytes()
        self.kernelize("RMSNormTrained", "--mode", "training", status=0)
        self.assertEqual((self.folder / "out.pt").read_bytes(), expected)

    def test_arguments_that_are_not_varied(self):
        command = [KERNELS, "kernelize", self.models / "RMSNorm-float32-scripted.pt", "--device", "cpu", "--verify", "-o", "out.pt",
                   "--layer=RMSNorm=test/trial-kernels:RMSNorm"]
        verify = json.loads(self.run_command(*command, "--json", status=0).stdout)["verify"]
        self.assertIn("not varied: variance_epsilon", verify["layers"][0]["notes"])
        self.assertIn("; not varied: variance_epsilon\n", self.run_command(*command, status=0).stdout)

    def test_what_is_not_varied_is_said_once(self):
        command = [KERNELS, "kernelize", self.models / "ranks.pt", "--device", "cpu", "--verify", "--json", "-o", "out.pt",
                   "--input", "f32[2,32]", "--layer=RMSNorm=test/trial-kernels:RMSNorm"]
        verify = json.loads(self.run_command(*command, status=0).stdout)["verify"]
        self.assertEqual(verify["layers"][0]["notes"].count("not varied: variance_epsilon"), 1)

    def test_weightless_models_get_floats(self):
        command = [KERNELS, "kernelize", self.models / "weightless.pt", "--device", "cpu", "--verify", "-o", "out.pt",
                   "--layer=ReLU=test/trial-kernels:ReLU"]
        self.run_command(*command, status=0)
        self.assertIn('not implemented for', self.run_command(*command, "--input", "int64[2,16]", status=8).stderr)

    def test_arguments_of_many_kinds(self):
        given = ["--input", self.models / "pair.pt", "--input", self.models / "more.pt", "--input", "0.5"]
        command = [KERNELS, "kernelize", self.models / "many-arguments.pt", "--device", "cpu", "--verify", "--json", "-o", "out.pt"]
        for name, more, status in (("RMSNorm", ["--input", "f32[2,1]"], 0), ("RMSNorm", ["--input", "none"], 0),
                                   ("RMSNorm", [], 0), ("RMSNormWrongEps", [], 8)):
            layer = f"--layer=RMSNorm=test/trial-kernels:{name}"
            document = json.loads(self.run_command(*command, layer, *given, *more, status=status).stdout)
            if status == 0:
                self.assertTrue(document["verify"]["passed"])
                self.assertGreater(document["verify"]["layers"][0]["cases"], 10)
        done = self.run_command(*command, "--layer=RMSNorm=test/trial-kernels:RMSNorm", *given[:2], "--input", "f32[2,32]",
                                "--input", "1.0", status=1)
        self.assertIn("Expected a value of type", json.loads(done.stdout)["error"]["message"])

    def test_models_that_remember(self):
        command = [KERNELS, "kernelize", self.models / "remembers.pt", "--device", "cpu", "--json"]
        right, wrong = (f"--layer=RMSNorm=test/trial-kernels:RMSNorm{name}" for name in ("", "WrongEps"))
        self.run_command(*command, right, "-o", "plain.pt")
        self.run_command(*command, wrong, "-o", "wrong.pt")
        # A tolerance that lets everything pass, with other results in the model's memory: none of them is written.
        for layer, expected, more in ((right, "plain.pt", []), (right, "plain.pt", ["--input", "f32[4,32]"]),
                                      (wrong, "wrong.pt", ["--atol", "1e9"])):
            with self.subTest(layer, more=more):
                done = self.run_command(*command, layer, "-o", "verified.pt", "--verify", *more)
                self.assertTrue(json.loads(done.stdout)["verify"]["passed"])
                self.assertEqual((self.folder / "verified.pt").read_bytes(), (self.folder / expected).read_bytes())
        done = self.run_command(*command, wrong, "-o", "none.pt", "--verify", status=8)
        self.assertIn("layer (RMSNorm): what the model gives it: its result differs", json.loads(done.stdout)["error"]["message"])

    def test_layers_that_the_model_does_not_call(self):
        command = [KERNELS, "kernelize", self.models / "unreached.pt", "--device", "cpu", "--verify", "--json", "-o", "out.pt"]
        for more in ([], ["--input", "f32[2,32]"]):
            done = self.run_command(*command, "--layer=RMSNorm=test/trial-kernels:RMSNormWrongEps", *more, status=8)
            message = json.loads(done.stdout)["error"]["message"]
            self.assertIn("layer (RMSNorm): inputs made for it, as the model does not call it: its result differs", message)
            self.assertFalse((self.folder / "out.pt").exists())
        done = self.run_command(*command, "--layer=RMSNorm=test/trial-kernels:RMSNorm", status=0)
        verify = json.loads(done.stdout)["verify"]
        self.assertTrue(verify["passed"])
        self.assertGreater(verify["layers"][0]["cases"], 10)
        (self.folder / "out.pt").unlink()
        command[2] = self.models / "unreachable.pt"
        done = self.run_command(*command, "--bind=RMSNorm=*NeedsItsModel", "--layer=RMSNorm=test/trial-kernels:RMSNorm",
                                status=8)
        error = json.loads(done.stdout)["error"]
        self.assertIn("layer (RMSNorm): the model does not call it on these inputs, and none can be made", error["message"])
        self.assertIn("--input that reaches it", error["hint"])
        self.assertFalse((self.folder / "out.pt").exists())

    def by_pattern(self, model, reference, layer, name, *options, status):
        done = self.run_command(KERNELS, "kernelize", self.models / model, "--device", "cpu", "--verify", "--json", "-o", "out.pt",
                                f"--pattern={layer}={self.models / reference}:*{layer}",
                                f"--layer={layer}=test/trial-kernels:{layer}{name}", *options, status=status)
        return json.loads(done.stdout)

    def test_matches_that_are_not_reached(self):
        # Another flag comes to it:
        for more in ([], ["--input", "f32[2,32]"]):
            model = ("branches-frozen.pt", "RMSNorm-float32-scripted.pt", "RMSNorm")
            verify = self.by_pattern(*model, "", *more, status=0)["verify"]
            self.assertGreater(verify["layers"][0]["cases"], 10)
            error = self.by_pattern(*model, "WrongEps", *more, status=8)["error"]
            self.assertIn("forward[0] (RMSNorm): what the model gives it on normed = True in the place of False: its result differs",
                          error["message"])
        # Nothing that could be tried comes to it:
        error = self.by_pattern("never-branches-frozen.pt", "RMSNorm-float32-scripted.pt", "RMSNorm", "", status=8)["error"]
        self.assertIn("forward[0] (RMSNorm): no input that was tried comes to it", error["message"])
        self.assertIn("--input that reaches it", error["hint"])

    def test_matches_for_one_number_of_dimensions(self):
        model = ("Softmax-float32-frozen.pt", "second-softmax.pt", "SecondSoftmax")
        verify = self.by_pattern(*model, "", "--input", "f32[8,32]", status=0)["verify"]
        self.assertIn("found for tensors of 2 dimensions only", verify["layers"][0]["notes"])
        error = self.by_pattern(*model, "Second", "--input", "f32[8,32]", status=8)["error"]
        self.assertIn("the whole model: inputs of 3 dimensions in the place of 2: its result differs", error["message"])

    def test_exported_methods(self):
        command = [KERNELS, "kernelize", self.models / "exported.pt", "--device", "cpu", "--verify", "-o", "out.pt"]
        right, wrong = (f"--layer=RMSNorm=test/trial-kernels:RMSNorm{name}" for name in ("", "WrongEps"))
        for model in ("exported.pt", "exported-traced.pt"):
            with self.subTest(model):
                command[2] = self.models / model
                done = self.run_command(*command, wrong, "--input", "f32[2,32]", status=8)
                self.assertIn("layer (RMSNorm): what the model gives it: its result differs", done.stderr)
                self.assertIn("the method features: inputs made for it: its result differs", done.stderr)
                self.assertFalse((self.folder / "out.pt").exists())
                verify = json.loads(self.run_command(*command, right, "--json").stdout)["verify"]
                self.assertTrue(verify["passed"])
                methods = {row["method"]: row for row in verify["methods"]}
                self.assertGreater(methods.pop("features")["cases"], 3)
                if model == "exported.pt":  # no inputs can be made for it; and the method plain comes to no kernel
                    self.assertEqual(methods.pop("listed")["notes"], ["no inputs can be made for it"])
                self.assertEqual(methods, {})
                done = self.run_command(*command, right)
                self.assertIn("\nthe method features  largest difference", done.stdout)
                (self.folder / "out.pt").unlink()

    def test_nothing_replaced(self):
        # The kernel has no gradient: the layer is kept.
        command = self.command("RMSNorm", "--verify", "--mode", "training", "--use-fallback", "all")
        done = self.run_command(*command)
        self.assertIn("the whole model  not verified: nothing was replaced\n", done.stdout)
        verify = json.loads(self.run_command(*command, "--json").stdout)["verify"]
        self.assertIsNone(verify["passed"])
        self.assertEqual((verify["layers"], verify["cases"], verify["notes"]), ([], 0, ["nothing was replaced"]))

    def test_input_without_verify(self):
        done = self.kernelize("RMSNorm", "--input", "f32[2,32]", status=2)
        self.assertIn("--input: nothing runs on it without --verify", done.stderr)
        self.assertFalse((self.folder / "out.pt").exists())


if __name__ == "__main__":
    unittest.main()
