"""For tests that run the real programs: a folder a test, a hub on port 0, an environment with nothing of the user's.

The programs are named by the environment: KERNELS_BIN, KERNELS_HUB_BIN, KERNELS_TORCH_BIN, KERNELS_RUNTIME_LIB,
KERNELS_DEMO_HUB. A test that lacks one of them skips itself (status 77) and says which.
"""

import hashlib
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

from kernels_hub import Hub, need, skip  # noqa: F401 (the tests take them from here)


def need_modules(*names):
    for name in names:
        if importlib.util.find_spec(name) is None:
            skip(f"{sys.executable} has no module {name} (configure with -DKERNELS_PEER_PYTHON=…)")


def git_oid(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class WorldTest(unittest.TestCase):
    """A folder a test, removed when it passes and kept when it fails."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kernels-test-"))
        self.home = self.folder / "home"
        self.home.mkdir()
        self.hubs = []
        self.environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.home), "LANG": "C.UTF-8",
                            "HF_HOME": str(self.folder / "hf"), "PYTHONDONTWRITEBYTECODE": "1",
                            "HF_HUB_DISABLE_PROGRESS_BARS": "1"}

    def tearDown(self):
        for hub in self.hubs:
            hub.stop()
        outcome = self._outcome.result
        if any(test is self for test, _ in outcome.failures + outcome.errors):
            print(f"kept: {self.folder}", file=sys.stderr)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def start_hub(self, folder, *options):
        work = self.folder / f"hub-{len(self.hubs)}"
        work.mkdir()
        hub = Hub(folder, *options, work=work)
        self.hubs.append(hub)
        self.environment["HF_ENDPOINT"] = hub.url
        return hub

    def publish(self, repo, branch, files):
        """Writes files (name → bytes) into the folder that `start_hub(self.data)` serves."""
        for name, data in files.items():
            path = self.data / repo / branch / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    @property
    def data(self):
        path = self.folder / "data"
        path.mkdir(exist_ok=True)
        return path

    def run_command(self, *command, status=0, **environment):
        """Runs it and checks its exit status; gives what subprocess.run gives."""
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=240,
                              stdin=subprocess.DEVNULL, cwd=self.folder, env={**self.environment, **environment})
        self.assertEqual(done.returncode, status, f"{command}\nstdout: {done.stdout}\nstderr: {done.stderr}")
        return done

    def run_python(self, script, *arguments, **environment):
        """Runs a script in a fresh process of this Python and gives its last line of output as JSON."""
        done = self.run_command(sys.executable, "-c", script, *arguments, **environment)
        return json.loads(done.stdout.splitlines()[-1])

    def wait_for(self, condition, what, seconds=10):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                self.fail(f"timed out: {what}")
            time.sleep(0.02)
