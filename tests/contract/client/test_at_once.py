"""The same bytes wanted by our client and by huggingface_hub at the same time, through one cache."""

import json
import pathlib
import subprocess
import sys
import unittest

import harness

KERNELS = harness.need("KERNELS_BIN")
harness.need("KERNELS_HUB_BIN")
harness.need_modules("huggingface_hub", "torch")

# Imports first, so that the downloads really meet.
FETCH = """
import hashlib, sys
from huggingface_hub import HfApi
api = HfApi()
print("ready", flush=True)
sys.stdin.readline()
path = api.hf_hub_download(sys.argv[1], "build/torch-cpu/table.bin", repo_type="kernel", revision=sys.argv[2])
print(hashlib.sha256(open(path, "rb").read()).hexdigest(), flush=True)
"""

SCAN = """
import json
from huggingface_hub import scan_cache_dir
print(json.dumps([str(warning) for warning in scan_cache_dir().warnings]))
"""

TABLE = bytes(range(256)) * 2400
SHA = harness.hashlib.sha256(TABLE).hexdigest()


class AtOnceTest(harness.WorldTest):
    def setUp(self):
        super().setUp()
        self.project = self.folder / "project"
        self.project.mkdir()
        for name in ("leaf", "twin"):
            metadata = {"id": f"_{name}_abc1234", "name": name, "version": 1, "license": "Apache-2.0", "python-depends": [],
                        "backend": {"type": "cpu"}}
            self.publish(f"demo/{name}", "v1", {"build/torch-cpu/metadata.json": json.dumps(metadata).encode(),
                                                "build/torch-cpu/__init__.py": b"", "build/torch-cpu/table.bin": TABLE})
        self.hub = self.start_hub(self.data, "--fault", "slow=200000:/_cdn/*")  # three seconds

    def lock(self, repo):
        (self.project / "kernels.toml").write_text(f'[dependencies]\n"{repo}" = 1\n')
        self.run_command(KERNELS, "lock", self.project)

    def start_python(self, repo):
        branches = self.hub.ask(f"/api/kernels/{repo}/refs").json["branches"]
        process = subprocess.Popen([sys.executable, "-c", FETCH, repo, branches[0]["targetCommit"]], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment)
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline(), "ready\n")
        return process

    def start_ours(self):
        import torch

        process = subprocess.Popen([KERNELS, "download", str(self.project), "--torch", str(pathlib.Path(torch.__file__).parent)],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment)
        self.addCleanup(process.kill)
        return process

    def go(self, python):
        python.stdin.write("go\n")
        python.stdin.flush()

    def content(self):
        return [request for request in self.hub.requests() if request["path"].startswith("/_cdn/")]

    def finish(self, python, ours):
        out, err = python.communicate(timeout=60)
        self.assertEqual((python.returncode, out.strip()), (0, SHA), err)
        _, said = ours.communicate(timeout=60)
        self.assertEqual(ours.returncode, 0, said)
        for blob in (self.folder / "hf" / "hub").glob(f"kernels--*/blobs/{SHA}*"):
            self.assertEqual((blob.name, blob.read_bytes()), (SHA, TABLE))
        self.assertEqual(self.run_python(SCAN), [])
        before = len(self.hub.requests())
        again = self.start_ours()
        again.communicate(timeout=60)
        self.assertEqual((again.returncode, len(self.hub.requests())), (0, before))
        return said

    def test_we_wait_for_python(self):
        self.lock("demo/leaf")
        python = self.start_python("demo/leaf")
        self.go(python)
        self.wait_for(self.content, "Python's download")
        said = self.finish(python, self.start_ours())
        self.assertIn(f"waiting for process {python.pid}, which downloads build/torch-cpu/table.bin", said)
        self.assertEqual(len(self.content()), 1)

    def test_python_waits_for_us(self):
        self.lock("demo/leaf")
        python = self.start_python("demo/leaf")
        ours = self.start_ours()
        self.wait_for(self.content, "our download")
        self.go(python)
        self.assertNotIn("waiting", self.finish(python, ours))
        self.assertEqual(len(self.content()), 1)

    def test_the_same_bytes_in_two_repositories(self):
        """huggingface_hub knows no lock on content, so both are fetched: neither waits, and both are right."""
        self.lock("demo/twin")
        python = self.start_python("demo/leaf")
        self.go(python)
        self.wait_for(self.content, "Python's download")
        ours = self.start_ours()
        self.wait_for(lambda: len(self.content()) == 2, "our download")
        self.assertIsNone(python.poll())
        self.assertNotIn("waiting", self.finish(python, ours))
        self.assertEqual(len(list((self.folder / "hf" / "hub").glob(f"kernels--*/blobs/{SHA}"))), 2)


if __name__ == "__main__":
    unittest.main()
