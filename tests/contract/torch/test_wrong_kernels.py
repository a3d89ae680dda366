"""--verify on trial: every wrong kernel is caught, for the right reason, and every right one passes; scripted and traced."""

import importlib.util
import json
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

import harness

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import trial_layers  # noqa: E402

KERNELS = harness.need("KERNELS_BIN")
harness.need("KERNELS_TORCH_BIN")
PROBE = harness.need("KERNELS_VERIFY_PROBE")
LIBRARY = pathlib.Path(harness.need("KERNELS_TRIAL_LIBRARY"))
harness.need_modules("torch")
HERE = pathlib.Path(__file__).resolve().parent
LAY_OUT = HERE.parents[2] / "examples" / "kernels" / "lay_out.py"
NAMESPACE = LIBRARY.name.split(".")[0]
SEEDS = (0, 1, 2)


def variant():
    version = importlib.util.find_spec("torch").origin
    text = (pathlib.Path(version).parent / "version.py").read_text()
    major, minor = re.search(r"__version__ = '(\d+)\.(\d+)", text).groups()
    return f"torch{major}{minor}-cxx11-cpu-x86_64-linux"


class WrongKernelsTest(harness.WorldTest):
    def setUp(self):
        super().setUp()
        package = self.folder / "source" / "trial_kernels"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("from . import layers\n")
        (package / "layers.py").write_text(trial_layers.source())
        self.repository = self.folder / "trial-kernels"
        self.run_command(sys.executable, LAY_OUT, package.parent, self.repository, "--id", NAMESPACE, "--variant", variant(),
                         "--library", LIBRARY)
        self.models = self.folder / "models"
        self.models.mkdir()
        self.run_command(sys.executable, HERE / "trial_models.py", self.models)

    def test_each(self):
        questions = []
        for trial in trial_layers.trials:
            if trial.fault == "crashed":
                continue
            for form in ("scripted", "traced"):
                # What tracing fixed to another dtype cannot be asked of it.
                for seed in SEEDS:
                    dtype = trial.dtypes[seed % len(trial.dtypes)]
                    questions.append({"model": str(self.models / f"{trial.original}-{dtype}-{form}.pt"), "seed": seed,
                                      "layer": trial.original, "hub-layer": trial.name, "fault": trial.fault})
        folder = self.repository / "build" / variant()
        done = subprocess.run([PROBE, folder, NAMESPACE], capture_output=True, text=True, env=self.environment, timeout=280,
                              input="".join(json.dumps(question) + "\n" for question in questions))
        self.assertEqual(done.returncode, 0, done.stderr)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(len(answers), len(questions))
        right, wrong = set(), set()
        for question, answer in zip(questions, answers):
            fault = question["fault"]
            with self.subTest(layer=question["hub-layer"], model=pathlib.Path(question["model"]).name, seed=question["seed"]):
                self.assertNotIn("error", answer)
                self.assertNotIn("kept", answer)
                (verdict,) = answer["layers"]
                if fault is None:
                    self.assertTrue(answer["passed"], answer)
                    self.assertGreaterEqual(verdict["cases"], 10)
                    right.add(question["hub-layer"])
                else:
                    self.assertFalse(answer["passed"], answer)
                    self.assertEqual(verdict["module"], "layer")
                    self.assertRegex(verdict["problem"], fault)
                    wrong.add(question["hub-layer"])
        self.assertGreaterEqual(len(wrong), 50)
        self.assertGreaterEqual(len(right), 10)

    def kernelize(self, trial, *options, status):
        model = self.models / f"{trial.original}-float32-traced.pt"
        return self.run_command(KERNELS, "kernelize", model, "-o", "out.pt", "--device", "cpu", "--verify", *options,
                                "--layer", f"{trial.original}=test/trial-kernels:{trial.name}", status=status,
                                LOCAL_KERNELS=f"test/trial-kernels={self.repository}")

    def test_command_line(self):
        for name, words in (("RMSNormWrongEps", "layer (RMSNorm): what the model gives it: its result differs"), ("GeluByTanh", "what the model gives it"),
                            ("GeluCrashes", "0 rows in the place of 2: a kernel crashed")):
            with self.subTest(name):
                done = self.kernelize(trial_layers.by_name(name), status=8)
                self.assertRegex(done.stderr.splitlines()[0], r"^error: .*\blayer\b")
                self.assertIn(words, done.stderr)
                self.assertIn("hint: ", done.stderr)
                self.assertEqual(done.stdout, "")
                self.assertEqual([path.name for path in self.folder.glob("*out.pt*")], [])
                document = json.loads(self.kernelize(trial_layers.by_name(name), "--json", status=8).stdout)
                self.assertEqual(document["error"]["code"], "kernelize")
        done = self.kernelize(trial_layers.by_name("RMSNormRoundedOnce"), status=0)
        self.assertIn("largest difference", done.stdout)
        self.assertTrue((self.folder / "out.pt").exists())


if __name__ == "__main__":
    unittest.main()
