"""kernels.lock of several publishers: the same bytes from our client and the Python one, whatever their names."""

import json
import sys
import unittest

import harness

KERNELS = harness.need("KERNELS_BIN")
harness.need("KERNELS_HUB_BIN")
harness.need_modules("kernels", "huggingface_hub", "torch")
CLIENT = "import sys\nfrom kernels.cli import main\nsys.argv[0] = 'kernels'\nsys.exit(main())"

METADATA = {"id": "_leaf_abc1234", "name": "leaf", "version": 1, "license": "Apache-2.0", "python-depends": [],
            "backend": {"type": "cpu"}}


class BytesTest(harness.WorldTest):
    def test_publishers_whose_names_begin_alike(self):
        # `-` and `.` stand before `/`, digits and letters behind it.
        repositories = ["demo/k", "demo-x/k", "demo.x/k", "demo0/k", "Demo/k", "demo/K", "demo/k-x", "demo/k.x"]
        for repository in repositories:
            self.publish(repository, "v1", {"build/torch-cpu/metadata.json": json.dumps(METADATA).encode(),
                                            "build/torch-cpu/__init__.py": b""})
        self.start_hub(self.data)
        project = self.folder / "project"
        project.mkdir()
        (project / "pyproject.toml").write_text(
            '[project]\nname = "p"\nversion = "1"\n\n[tool.kernels.dependencies]\n' +
            "".join(f'"{repository}" = 1\n' for repository in repositories))
        lock = project / "kernels.lock"
        self.run_command(KERNELS, "lock", project)
        ours = lock.read_bytes()
        lock.unlink()
        self.run_command(sys.executable, "-c", CLIENT, "lock", project)
        self.assertEqual(ours, lock.read_bytes())
        self.assertEqual(len(json.loads(ours)), len(repositories))


if __name__ == "__main__":
    unittest.main()
