"""A project with one locked kernel on a hub that misbehaves; and what has to hold of the cache whatever happens."""

import hashlib
import json
import pathlib
import shutil
import subprocess

import harness
from harness import BINARY, TARGET, VARIANT
from loopback_hub import git_oid

import kernels_hub

kernels_hub.need("KERNELS_HUB_BIN")
LIBRARY = bytes(range(251)) * 4000
REPO = "demo/one"
FAILED, NETWORK, VERIFICATION = 1, 5, 6


def files(name="one"):
    metadata = {"id": f"_{name}_cpu_abc1234", "name": name, "version": 1, "license": "Apache-2.0", "python-depends": [],
                "backend": {"type": "cpu"}}
    return {f"build/{VARIANT}/metadata.json": json.dumps(metadata).encode(),
            f"build/{VARIANT}/__init__.py": b"from . import layers\n",
            f"build/{VARIANT}/layers.py": b"import torch\n" * 50,
            f"build/{VARIANT}/_{name}.abi3.so": LIBRARY}


class FaultTest(harness.ServedTest):
    def setUp(self):
        super().setUp()
        self.write_project(f'"{REPO}" = 1')
        self.publish(REPO, "v1", files())
        self.serve()
        self.kernels("lock")

    def kernels(self, command, *more, status=0, preexec_fn=None, wrapper=(), **environment):
        """Runs it: any of `status`, one error line exactly when it failed, and a sound cache in every case."""
        done = subprocess.run([*wrapper, BINARY, command, str(self.project), *(TARGET if command == "download" else []), *more],
                              capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, preexec_fn=preexec_fn,
                              env={**self.environment, **environment})
        said = f"{command}: status {done.returncode}\n{done.stdout}\n{done.stderr}"
        expected = status if isinstance(status, tuple) else (status,)
        self.assertIn(done.returncode, expected, said)
        self.assertEqual(done.stderr.count("error: "), 0 if done.returncode <= 0 else 1, said)
        self.assert_sound()
        return done

    def assert_sound(self):
        """Every blob has the bytes that its name says, and nothing is outside the cache."""
        for blob in self.cache.glob("*/blobs/*"):
            if blob.name.endswith(".incomplete"):
                continue
            data = blob.read_bytes()
            name = hashlib.sha256(data).hexdigest() if len(blob.name) == 64 else git_oid(data)
            self.assertEqual(blob.name, name)
        wanted = files()
        for file in self.cache.glob("*/snapshots/*/**/*"):
            if file.is_symlink():
                self.assertTrue(file.resolve().is_relative_to(self.cache.resolve()), file)
                self.assertTrue(file.exists(), f"{file} points nowhere")
            elif file.is_file() and not file.name.endswith(".incomplete"):
                self.assertEqual(file.read_bytes(), wanted[f"build/{VARIANT}/{file.name}"], file)
        self.assertEqual([str(p) for p in self.folder.rglob("outside*")], [])
        self.assertFalse(pathlib.Path("/tmp/outside.txt").exists())

    def assert_complete(self):
        found = {p.relative_to(p.parents[2]).as_posix(): p.read_bytes() for p in self.cache.glob(f"*/snapshots/*/build/{VARIANT}/*")}
        self.assertEqual(files(), found)

    def forget(self):
        """Empties the cache: also of the listings that `lock` left there."""
        shutil.rmtree(self.cache, ignore_errors=True)
