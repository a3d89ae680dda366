"""--verify on trial: every wrong kernel is caught, for the right reason, and every right one passes; scripted, traced, frozen."""

import concurrent.futures
import json
import pathlib
import subprocess
import unittest

import harness
import trial_layers
from trial_world import TrialTest

PROBE = harness.need("KERNELS_VERIFY_PROBE")
SEEDS_OF_RIGHT = (0, 1, 2, 3, 4)  # chance must not make a fault of roundings
SEEDS_OF_WRONG = (0, 1)  # in other forms one of them
SEEDS_OF_OTHER_FORMS = (0, 1)  # of right ones
# Thousands of short-lived tensors: memory that is given back to the system each time costs a third of the time.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**31)}


class WrongKernelsTest(TrialTest):
    def test_each(self):
        right, wrong = self.ask("scripted", "traced")
        self.assertGreaterEqual(len(wrong), 50)
        self.assertGreaterEqual(len(right), 10)

    def test_each_in_frozen_models(self):
        for form in trial_layers.FROZEN:
            right, wrong = self.ask(form)
            self.assertGreaterEqual(len(wrong), 50)
            self.assertGreaterEqual(len(right), 10)

    def questions(self, form):
        for number, trial in enumerate(trial_layers.trials):
            if trial.fault == "crashed" or form not in trial.forms:
                continue
            # What tracing fixed to another dtype cannot be asked of it.
            seeds = SEEDS_OF_RIGHT if form == "scripted" else SEEDS_OF_OTHER_FORMS
            if trial.fault:
                seeds = SEEDS_OF_WRONG if form == "scripted" else (number % 2,)
            for seed in seeds:
                dtype = trial.dtypes[seed % len(trial.dtypes)]
                question = {"model": str(self.models / f"{trial.original}-{dtype}-{form}.pt"), "seed": seed,
                            "layer": trial.original, "hub-layer": trial.name, "fault": trial.fault, "place": "layer",
                            "mode": trial.mode}
                # Tracing keeps the arguments and results, and not their order: it is given.
                order = {"AddRMSNorm": ["x", "residual"], "AddFirst": ["x", "residual"], "Scores": ["k", "q"]}
                if form == "traced" and trial.original in order:
                    question["arguments"] = order[trial.original]
                if form == "traced" and trial.original in ("AddRMSNorm", "AddFirst"):
                    question["results"] = [0, 1]
                if form in trial_layers.FROZEN:
                    question["place"] = "forward[0]"
                    question["pattern"] = str(self.models / f"{trial.original}-{dtype}-scripted.pt")
                yield question

    def answers(self, questions):
        done = subprocess.run([PROBE, self.repository], capture_output=True, text=True, timeout=280,
                              env={**self.environment, **KEEP_MEMORY}, input="".join(json.dumps(question) + "\n" for question in questions))
        self.assertEqual(done.returncode, 0, done.stderr)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(len(answers), len(questions))
        return answers

    def ask(self, *forms):
        """Verifies every trial; the names of the right ones that passed, and of the wrong ones that were caught."""
        questions = [question for form in forms for question in self.questions(form)]
        parts = [questions[::2], questions[1::2]]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            answers = list(pool.map(self.answers, parts))
        questions, answers = sum(parts, []), sum(answers, [])
        right, wrong = set(), set()
        for question, answer in zip(questions, answers):
            fault = question["fault"]
            with self.subTest(layer=question["hub-layer"], model=pathlib.Path(question["model"]).name, seed=question["seed"]):
                self.assertNotIn("error", answer)
                self.assertNotIn("kept", answer)
                (verdict,) = answer["layers"]
                self.assertEqual(verdict["module"], question["place"])
                if fault is None:
                    self.assertTrue(answer["passed"], answer)
                    self.assertGreaterEqual(verdict["cases"], 10)
                    self.assertEqual(verdict["gradients"] >= 5, question["mode"] == "training", verdict)
                    right.add(question["hub-layer"])
                else:
                    self.assertFalse(answer["passed"], answer)
                    self.assertRegex(verdict["problem"] or answer["model"]["problem"], fault)
                    wrong.add(question["hub-layer"])
        return right, wrong


if __name__ == "__main__":
    unittest.main()
