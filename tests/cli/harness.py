"""Runs the real binary in a world of its own: HOME, caches and every HF_* variable redirected, the Hub on loopback."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

from loopback_hub import Hub, build

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(SOURCE / "tests" / "support"))
from pace import seconds  # noqa: E402 (the tests take it from here)
BINARY = os.environ.get("KERNELS_BIN")
TARGET = ["--target", "torch=2.13,cpu=x86_64,os=linux"]
VARIANT = "torch213-cxx11-cpu-x86_64-linux"


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    @property
    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"status {self.status}\nstdout: {self.out}\nstderr: {self.err}"


class CliTest(unittest.TestCase):
    """A folder a test, kept when the test fails."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kernels-cli-"))
        self.home = self.folder / "home"
        self.home.mkdir()
        self.project = self.folder / "project"
        self.project.mkdir()
        self.cache = self.folder / "cache"
        self.hub = Hub()
        self.environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.home), "HF_HUB_CACHE": str(self.cache),
                            "HF_ENDPOINT": self.hub.url, "LANG": "C.UTF-8"}

    def tearDown(self):
        self.hub.server.shutdown()
        self.hub.server.server_close()
        outcome = self._outcome.result
        failed = any(test is self for test, _ in outcome.failures + outcome.errors)
        if failed:
            print(f"kept: {self.folder}", file=sys.stderr)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def run_kernels(self, *arguments, **environment):
        done = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=seconds(60),
                              stdin=subprocess.DEVNULL, cwd=self.project, env={**self.environment, **environment})
        return Result(done.returncode, done.stdout, done.stderr)

    def expect(self, status, *arguments, **environment):
        result = self.run_kernels(*arguments, **environment)
        self.assertEqual(result.status, status, result)
        if status == 0:
            self.assertNotIn("error:", result.err)
        else:
            self.assertEqual(result.err.count("error:"), 0 if "--json" in arguments else 1, result)
        return result

    def expect_error(self, status, message, *arguments, hint=None, **environment):
        """One `error: …` line on stderr that holds `message`, nothing on stdout."""
        result = self.expect(status, *arguments, **environment)
        first = result.err.splitlines()[[line.startswith("error: ") for line in result.err.splitlines()].index(True)]
        self.assertIn(message, first)
        if hint is not None:
            self.assertIn("hint: ", result.err)
            self.assertIn(hint, result.err.split("hint: ", 1)[1])
        return result

    def write_project(self, dependencies='"demo/one" = 1', more=""):
        (self.project / "kernels.toml").write_text(f"{more}\n[dependencies]\n{dependencies}\n")

    def lock(self):
        return json.loads((self.project / "kernels.lock").read_text())

    def locked(self):
        return [(e["dependency"]["repo-id"], e["dependency"].get("version", e["dependency"].get("revision"))) for e in self.lock()]

    def publish_demo(self):
        """demo/one with two versions for two backends, and demo/two, which needs it."""
        self.hub.publish("demo/one", "v1", {**build(VARIANT), **build("torch213-cxx11-cu128-x86_64-linux")})
        self.hub.publish("demo/two", "v1", build(VARIANT, name="two", depends=[("demo/one", 1)]))

    def blobs(self):
        return sorted(p.name for p in self.cache.glob("kernels--*/blobs/*"))


class ServedTest(CliTest):
    """The same with kernels-hub, which serves what `publish` wrote and misbehaves as `--fault` says."""

    def setUp(self):
        super().setUp()
        self.data = self.folder / "data"
        self.served = []

    def tearDown(self):
        for hub in self.served:
            hub.stop()
        super().tearDown()

    def publish(self, repo, branch, files):
        for name, data in files.items():
            path = self.data / repo / branch / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def serve(self, *faults, options=()):
        from kernels_hub import Hub as KernelsHub

        work = self.folder / f"hub-{len(self.served)}"
        work.mkdir()
        hub = KernelsHub(self.data, *options, *[word for fault in faults for word in ("--fault", fault)], work=work)
        self.served.append(hub)
        self.environment["HF_ENDPOINT"] = hub.url
        return hub

    def wait_for(self, condition, what, seconds=30):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                self.fail(f"timed out: {what}")
            time.sleep(0.02)


def main():
    if not BINARY:
        print("skipped: KERNELS_BIN does not name the program")
        sys.exit(77)
    unittest.main()
