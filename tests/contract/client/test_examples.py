"""The example projects are what they seem: both lock and download from the demo hub."""

import json
import pathlib
import shutil
import unittest

import harness

KERNELS = harness.need("KERNELS_BIN")
harness.need("KERNELS_HUB_BIN")
DEMO = pathlib.Path(harness.need("KERNELS_DEMO_HUB"))
ROOT = pathlib.Path(__file__).resolve().parents[3]
# The machine that the demo was built for: torch213-cxx11-cpu-x86_64-linux is torch=2.13,cpu=x86_64,os=linux.
FRAMEWORK, _, _, CPU, SYSTEM = next((DEMO / "kernels-demo/transformer-ops/v1/build").glob("torch*")).name.split("-")
TARGET = ["--target", f"torch={FRAMEWORK[5]}.{FRAMEWORK[6:]},cpu={CPU},os={SYSTEM}"]


class ExamplesTest(harness.WorldTest):
    def lock(self, example):
        self.hub = self.start_hub(DEMO)
        project = self.folder / example
        shutil.copytree(ROOT / "examples" / example, project)
        self.run_command(KERNELS, "lock", project)
        self.run_command(KERNELS, "download", project, *TARGET)
        return json.loads((project / "kernels.lock").read_text())

    def commit(self, repo, branch):
        refs = self.hub.ask(f"/api/kernels/{repo}/refs").json["branches"]
        return next(ref["targetCommit"] for ref in refs if ref["name"] == branch)

    def test_pyproject(self):
        lock = self.lock("project")
        repo = "kernels-demo/transformer-ops"
        self.assertEqual([entry["dependency"]["repo-id"] for entry in lock], [repo])
        version = lock[0]["dependency"]["version"]
        self.assertEqual(lock[0]["lock"]["commit"], self.commit(repo, f"v{version}"))

    def test_kernels_toml(self):
        lock = self.lock("project-toml")
        ops, mlp = "kernels-demo/transformer-ops", "kernels-demo/gated-mlp"
        newest = self.commit(ops, "v2")
        self.assertEqual(self.commit(ops, "main"), newest)
        self.assertEqual(lock, [{"dependency": {"repo-id": mlp, "version": 1}, "lock": {"commit": self.commit(mlp, "v1")}},
                                {"dependency": {"repo-id": ops, "version": 2}, "lock": {"commit": newest}},
                                {"dependency": {"repo-id": ops, "revision": "main"}, "lock": {"commit": newest}}])
        snapshots = {path.name for path in (self.folder / "hf/hub").glob("*/snapshots/*")}
        self.assertEqual(snapshots, {newest, self.commit(mlp, "v1")})


if __name__ == "__main__":
    unittest.main()
