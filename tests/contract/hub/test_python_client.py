"""The Python clients lock, download and load the demo's kernels from kernels-hub: it is a Hub, not only our idea of one."""

import json
import pathlib
import unittest

import harness

harness.need("KERNELS_HUB_BIN")
DEMO = pathlib.Path(harness.need("KERNELS_DEMO_HUB"))
harness.need_modules("kernels", "huggingface_hub", "torch")
REPO = "kernels-demo/transformer-ops"

CLIENT = "import sys\nfrom kernels.cli import main\nsys.argv[0] = 'kernels'\nsys.exit(main())"

LOAD = """
import json, torch, kernels
kernel = kernels.get_kernel("kernels-demo/transformer-ops", version=1)
x = torch.randn(2, 3, 16)
before = kernel.call_count()
difference = (kernel.silu_and_mul(x) - torch.nn.functional.silu(x[..., :8]) * x[..., 8:]).abs().max().item()
print(json.dumps({"difference": difference, "calls": kernel.call_count() - before, "file": kernel.__file__}))
"""

DEPENDENT = """
import json, torch, kernels
kernel = kernels.get_kernel("kernels-demo/gated-mlp", version=1)
x, up, down = torch.randn(3, 8), torch.randn(12, 8), torch.randn(8, 6)
gate, value = (x @ up.t()).chunk(2, -1)
difference = (kernel.gated_mlp(x, up, down) - (torch.nn.functional.silu(gate) * value) @ down.t()).abs().max().item()
x = torch.randn(5)
silu = (kernel.ops.silu(x) - torch.nn.functional.silu(x)).abs().max().item()
print(json.dumps({"difference": max(difference, silu), "calls": kernel.ops.call_count()}))
"""

SCHEMAS_ONLY = """
import json, sys, torch
torch.ops.load_library(sys.argv[1])
ops = getattr(torch.ops, sys.argv[2])
try:
    ops.relu(torch.empty(2), torch.ones(2))
except NotImplementedError as error:
    print(json.dumps([[a.name for a in ops.relu.default._schema.arguments], str(error)]))
"""

SCAN = """
import json
from huggingface_hub import scan_cache_dir
found = scan_cache_dir()
print(json.dumps({"warnings": [str(w) for w in found.warnings],
                  "repos": [[repo.repo_type, repo.repo_id] for repo in found.repos]}))
"""

FILE = """
import hashlib, json, sys
from huggingface_hub import HfApi

path = HfApi().hf_hub_download(sys.argv[1], sys.argv[2], repo_type="kernel", revision="v1")
print(json.dumps({"sha256": hashlib.sha256(open(path, "rb").read()).hexdigest(), "path": path}))
"""

LIST = """
import json
from huggingface_hub import HfApi
api = HfApi()
tree = list(api.list_repo_tree("kernels-demo/transformer-ops", repo_type="kernel", revision="v1", recursive=True))
refs = api.list_repo_refs("kernels-demo/transformer-ops", repo_type="kernel")
print(json.dumps({"files": sorted(e.path for e in tree if hasattr(e, "blob_id")),
                  "folders": sorted(e.path for e in tree if not hasattr(e, "blob_id")),
                  "lfs": {e.path: e.lfs.sha256 for e in tree if getattr(e, "lfs", None)},
                  "branches": {b.name: b.target_commit for b in refs.branches}}))
"""


class PythonClientTest(harness.WorldTest):
    def setUp(self):
        super().setUp()
        self.project = self.folder / "project"
        self.project.mkdir()
        (self.project / "pyproject.toml").write_text(
            f'[project]\nname = "demo"\nversion = "1"\n\n[tool.kernels.dependencies]\n"{REPO}" = 1\n')

    def client(self, *arguments, **more):
        return self.run_command(harness.sys.executable, "-c", CLIENT, *arguments, **more)

    def library(self):
        found = sorted((DEMO / REPO / "v1").glob("build/*-cpu-*/*.so"))
        self.assertEqual(len(found), 1)
        return found[0]

    def test_listing_in_small_pages(self):
        hub = self.start_hub(DEMO, "--page-size", 2)
        listed = self.run_python(LIST)
        root = DEMO / REPO / "v1"
        self.assertEqual(listed["files"], sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()))
        self.assertEqual(listed["folders"], sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_dir()))
        library = self.library()
        self.assertEqual(listed["lfs"][library.relative_to(root).as_posix()],
                         harness.hashlib.sha256(library.read_bytes()).hexdigest())
        pages = [r for r in hub.requests() if "/tree/" in r["path"]]
        entries = len(listed["files"]) + len(listed["folders"])
        self.assertEqual(len(pages), (entries + 1) // 2)

    def test_lock_download_and_load(self):
        hub = self.start_hub(DEMO, "--page-size", 3)
        self.client("lock", self.project)
        lock = json.loads((self.project / "kernels.lock").read_text())
        branches = hub.ask(f"/api/kernels/{REPO}/refs").json["branches"]
        commit = next(b["targetCommit"] for b in branches if b["name"] == "v1")
        self.assertEqual([entry["lock"]["commit"] for entry in lock if entry["dependency"]["repo-id"] == REPO], [commit])
        self.client("download", self.project, HF_TOKEN="hf_for-the-endpoint-alone")
        loaded = self.run_python(LOAD, HF_TOKEN="hf_for-the-endpoint-alone")
        self.assertLess(loaded["difference"], 1e-6)
        self.assertEqual(loaded["calls"], 1)
        self.assertTrue(loaded["file"].startswith(str(self.folder / "hf")), loaded["file"])
        scan = self.run_python(SCAN)
        self.assertEqual(scan["warnings"], [])
        self.assertIn(["kernel", REPO], scan["repos"])
        content = [r for r in hub.requests() if r["path"].startswith("/_cdn/")]
        self.assertEqual(len(content), 1)
        self.assertFalse(content[0]["authorization"])
        self.assertNotEqual(content[0]["host"], hub.url.removeprefix("http://"))
        self.assertTrue(any(r["authorization"] for r in hub.requests()))
        self.assertNotIn("hf_for-the-endpoint-alone", hub.log_path.read_text())

    def test_a_cut_download_is_resumed(self):
        data = bytes(range(251)) * 100_000  # more than the 10 MB that huggingface_hub writes at a time
        self.publish("demo/large", "v1", {"large.bin": data})
        hub = self.start_hub(self.data, "--fault", "cut=15000000:/_cdn/*:1")
        done = self.run_python(FILE, "demo/large", "large.bin")
        self.assertEqual(done["sha256"], harness.hashlib.sha256(data).hexdigest())
        ranges = [r["range"] for r in hub.requests() if r["path"].startswith("/_cdn/")]
        self.assertEqual(len(ranges), 2)
        self.assertRegex(ranges[1], r"^bytes=[1-9]\d*-")

    def test_a_kernel_that_stands_on_another(self):
        hub = self.start_hub(DEMO)
        (self.project / "pyproject.toml").write_text(
            '[project]\nname = "demo"\nversion = "1"\n\n[tool.kernels.dependencies]\n"kernels-demo/gated-mlp" = 1\n')
        self.client("lock", self.project)
        lock = json.loads((self.project / "kernels.lock").read_text())
        self.assertEqual([(entry["dependency"]["repo-id"], entry["dependency"]["version"]) for entry in lock],
                         [("kernels-demo/gated-mlp", 1), (REPO, 2)])
        loaded = self.run_python(DEPENDENT)
        self.assertLess(loaded["difference"], 1e-5)
        self.assertEqual(loaded["calls"], 2)
        self.assertEqual(self.run_python(SCAN)["warnings"], [])
        # Of the builds of version 2 only the one for this machine was fetched.
        content = [r["path"] for r in hub.requests() if r["path"].startswith("/_cdn/")]
        self.assertEqual(len(content), 1)
        self.assertIn("_cpu_", content[0])

    def test_the_cuda_build_says_what_it_is(self):
        build = next((DEMO / REPO / "v2" / "build").glob("*-cu128-*"))
        name = json.loads((build / "metadata.json").read_text())["id"]
        arguments, error = self.run_python(SCHEMAS_ONLY, build / f"{name}.abi3.so", name)
        self.assertEqual(arguments, ["out", "input"])
        self.assertIn("CUDA", error)

    def test_an_untrusted_publisher_is_refused(self):
        self.start_hub(DEMO, "--trusted", "somebody-else")
        done = self.client("lock", self.project, status=1)
        self.assertIn("not from a trusted publisher", done.stderr)
        self.assertFalse((self.project / "kernels.lock").exists())


if __name__ == "__main__":
    unittest.main()
