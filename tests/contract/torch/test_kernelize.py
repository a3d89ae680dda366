"""kernelize from the command line: what may be downloaded, whose kernels, which fallbacks, and a model that is kernelized already."""

import json
import pathlib
import re
import shutil
import sys
import unittest

import harness

KERNELS = harness.need("KERNELS_BIN")
harness.need("KERNELS_TORCH_BIN")
harness.need("KERNELS_HUB_BIN")
DEMO = pathlib.Path(harness.need("KERNELS_DEMO_HUB"))
harness.need_modules("torch")
REPO = "kernels-demo/transformer-ops"

MODEL = """
import torch
import torch.nn as nn

class SiluAndMul(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        d = x.shape[-1] // 2
        return torch.nn.functional.silu(x[..., :d]) * x[..., d:]

torch.manual_seed(0)
torch.jit.script(nn.Sequential(nn.Linear(8, 16), SiluAndMul())).save("model.pt")
"""


class KernelizeTest(harness.WorldTest):
    def setUp(self):
        super().setUp()
        import torch
        self.environment["KERNELS_TORCH"] = str(pathlib.Path(torch.__file__).parent)
        script = self.folder / "make_model.py"
        script.write_text(MODEL)
        self.run_command(sys.executable, script)

    def kernelize(self, *options, model="model.pt", repo=f"{REPO}@v1", status=0, **environment):
        return self.run_command(KERNELS, "kernelize", model, "--layer", f"SiluAndMul={repo}:SiluAndMul", *options, status=status,
                                **environment)

    def rows(self, *options, **arguments):
        return json.loads(self.kernelize(*options, "--json", **arguments).stdout)["manifest"]["layers"]

    def test_download(self):
        self.start_hub(DEMO)
        done = self.kernelize("-o", "out.pt", status=4)
        self.assertIn("1 (SiluAndMul): ", done.stderr)
        self.assertIn("--download", done.stderr)
        self.assertEqual(self.hubs[0].requests(), [])
        done = self.kernelize("-o", "out.pt", "--download", "--offline", status=4)
        self.assertEqual(self.hubs[0].requests(), [])
        row = self.rows("-o", "out.pt", "--download")[0]
        self.assertEqual((row["status"], row["repo"], row["mode"]), ("replaced", REPO, "fallback"))
        # Now it is in the cache, and of a hub only the publisher is asked.
        before = len(self.hubs[0].requests())
        self.assertEqual(self.rows("-o", "again.pt")[0], row)
        self.assertEqual(len(self.hubs[0].requests()), before + 1)
        self.hubs[0].stop()
        self.assertEqual(self.rows("-o", "again.pt", "--offline")[0], row)
        self.assertEqual((self.folder / "out.pt").read_bytes(), (self.folder / "again.pt").read_bytes())

    def test_publishers_that_are_not_trusted(self):
        self.start_hub(DEMO, "--trusted", "somebody-else")
        done = self.kernelize("-o", "out.pt", "--download", status=6)
        self.assertIn("kernels-demo is not a trusted kernel publisher", done.stderr)
        self.assertFalse((self.folder / "out.pt").exists())
        (self.folder / "kernels.toml").write_text(f'trust-remote-code = ["{REPO}"]\n[dependencies]\n"{REPO}" = 1\n')
        self.assertEqual(self.rows("-o", "out.pt", "--download")[0]["status"], "replaced")
        self.assertEqual(self.rows("-o", "out.pt")[0]["status"], "replaced")
        # It is in the cache now, and nobody trusts it any more.
        (self.folder / "kernels.toml").write_text(f'[dependencies]\n"{REPO}" = 1\n')
        done = self.kernelize("-o", "cached.pt", status=6)
        self.assertIn("kernels-demo is not a trusted kernel publisher", done.stderr)
        self.assertIn("trust-remote-code", done.stderr)
        self.assertFalse((self.folder / "cached.pt").exists())
        done = self.kernelize("-o", "cached.pt", "--offline")
        self.assertEqual(done.stderr.count(f"{REPO}: offline, so whether its publisher is trusted was not checked"), 1)
        self.hubs[0].stop()
        done = self.kernelize("-o", "cached.pt", status=5)
        self.assertIn(f"{REPO}: whether its publisher is trusted cannot be checked", done.stderr)
        self.assertIn("offline", done.stderr.split("hint: ")[1])

    def test_fallbacks(self):
        local = DEMO / REPO / "v1"
        environment = {"LOCAL_KERNELS": f"{REPO}={local}"}
        training = ("--mode", "training", "-o", "out.pt")
        row = self.rows(*training, **environment)[0]
        self.assertEqual(row["status"], "kept")
        self.assertIn("silu_and_mul has no gradient", row["reason"])
        done = self.kernelize(*training, "--use-fallback", "none", status=8, **environment)
        self.assertIn("1 (SiluAndMul): ", done.stderr)
        self.assertIn("silu_and_mul has no gradient", done.stderr)
        missing = {"LOCAL_KERNELS": f"{REPO}={self.folder / 'nowhere'}"}
        self.assertIn("nowhere", self.kernelize("-o", "out.pt", status=4, **missing).stderr)
        self.assertIn("nowhere", self.rows("-o", "out.pt", "--use-fallback", "all", **missing)[0]["reason"])
        broken = shutil.copytree(local, self.folder / "broken")
        for file in broken.rglob("metadata.json"):
            file.write_text('{"name":')
        unreadable = {"LOCAL_KERNELS": f"{REPO}={broken}"}
        done = self.kernelize("-o", "broken.pt", status=6, **unreadable)
        self.assertRegex(done.stderr, r"error: 1 \(SiluAndMul\): .*/metadata\.json: not JSON: wrong at byte 9\n")
        self.assertIn("(--use-fallback=all)\n", done.stderr)
        self.assertFalse((self.folder / "broken.pt").exists())
        self.assertIn("metadata.json", self.rows("-o", "out.pt", "--use-fallback", "all", **unreadable)[0]["reason"])
        disabled = {**environment, "DISABLE_KERNEL_MAPPING": "1"}
        self.assertIn("DISABLE_KERNEL_MAPPING", self.rows("-o", "out.pt", "--use-fallback", "none", **disabled)[0]["reason"])

    def test_a_local_kernel_by_a_path_that_leads_upwards(self):
        shutil.copytree(DEMO / REPO / "v1", self.folder / "kernel")
        project = self.folder / "project"
        project.mkdir()
        (project / "kernels.toml").write_text('[[layers]]\nname = "SiluAndMul"\ndevice = "cpu"\n'
                                              'layer = "SiluAndMul"\npath = "../kernel"\n')
        self.run_command(KERNELS, "kernelize", "model.pt", "-o", "out.pt", "--project", project)
        self.run_command(KERNELS, "inspect", "out.pt")
        refused = self.run_command(KERNELS, "run", "out.pt", "--input", "f32[2,8]", status=1)
        named = re.search("local kernel (.*) is loaded only from a folder that you name", refused.stderr)[1]
        self.assertNotIn("..", named)
        folder = str(pathlib.Path(named).parent)
        self.run_command(KERNELS, "run", "out.pt", "--input", "f32[2,8]", "--reference", "model.pt", KERNELS_LIBRARY_PATH=folder)

    def test_what_a_builds_metadata_has_to_tell_is_told_once(self):
        kernel = shutil.copytree(DEMO / REPO / "v1", self.folder / "kernel")
        for file in kernel.rglob("metadata.json"):
            builder = {"version": "0.1.0", "sha": "0" * 40, "dirty": True}
            file.write_text(json.dumps(json.loads(file.read_text()) | {"kernels-minver": "99.0.0", "python-depends": ["einops"],
                                                                       "provenance": {"kernel-builder": builder}}))
        script = self.folder / "make_model.py"
        script.write_text(MODEL.replace("nn.Linear(8, 16), SiluAndMul()", "nn.Linear(8, 16), SiluAndMul(), nn.Linear(8, 16), SiluAndMul()"))
        self.run_command(sys.executable, script)
        environment = {"LOCAL_KERNELS": f"{REPO}={kernel}"}
        told = {"made for kernels 99.0.0 or newer": 1, "uncommitted changes": 1, "its Python code imports einops": 0}
        for options, depends in (((), 0), (("-v",), 1)):
            error = self.kernelize("-o", "out.pt", *options, **environment).stderr
            self.assertEqual({words: error.count(words) for words in told}, {**told, "its Python code imports einops": depends}, error)

    def test_a_layer_with_names_beyond_ascii_is_kept(self):
        kernel = shutil.copytree(DEMO / REPO / "v1", self.folder / "kernel")
        for file in kernel.rglob("metadata.json"):
            file.write_text(json.dumps({key: value for key, value in json.loads(file.read_text()).items() if key != "digest"}))
        for file in kernel.rglob("layers.py"):
            file.write_text(re.sub(r"\bout\b", "größe", file.read_text()))
        row = self.rows("-o", "out.pt", "--use-fallback", "all", LOCAL_KERNELS=f"{REPO}={kernel}")[0]
        self.assertEqual(row["status"], "kept")
        self.assertRegex(row["reason"], r"layers\.py:\d+: .*the name `größe` is not ASCII")

    def test_a_kernelized_model_begins_with_its_original_forwards(self):
        environment = {"LOCAL_KERNELS": f"{REPO}={DEMO / REPO / 'v1'}"}
        self.kernelize("-o", "k.pt", **environment)
        calls = lambda model: json.loads(self.run_command(KERNELS, "inspect", model, "--json").stdout)["kernel-calls"]
        self.assertEqual(list(calls("k.pt").values()), [1])
        self.assertEqual(self.rows("-o", "training.pt", "--mode", "training", model="k.pt", **environment)[0]["status"], "kept")
        self.assertEqual(calls("training.pt"), {})
        self.kernelize("-o", "again.pt", "--verify", "--input", "f32[2,8]", model="k.pt", **environment)
        self.assertEqual(list(calls("again.pt").values()), [1])
        report = json.loads(self.run_command(KERNELS, "run", "training.pt", "--input", "f32[2,8]", "--reference", "model.pt",
                                             "--json").stdout)
        self.assertEqual(report["largest-difference"], 0)


if __name__ == "__main__":
    unittest.main()
