"""Our client on a hub that misbehaves: it ends well after trying again, or with one clear line and the documented status;
and the cache never holds a name whose bytes do not match."""

import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
import unittest

import harness

KERNELS = harness.need("KERNELS_BIN")
harness.need("KERNELS_HUB_BIN")
VARIANT = "torch213-cxx11-cpu-x86_64-linux"
TARGET = ["--target", "torch=2.13,cpu=x86_64,os=linux"]
LIBRARY = bytes(range(251)) * 4000
REPO = "demo/one"
NETWORK, VERIFICATION = 5, 6


def files(name="one"):
    metadata = {"id": f"_{name}_cpu_abc1234", "name": name, "version": 1, "license": "Apache-2.0", "python-depends": [],
                "backend": {"type": "cpu"}}
    return {f"build/{VARIANT}/metadata.json": json.dumps(metadata).encode(),
            f"build/{VARIANT}/__init__.py": b"from . import layers\n",
            f"build/{VARIANT}/layers.py": b"import torch\n" * 50,
            f"build/{VARIANT}/_{name}.abi3.so": LIBRARY}


class FaultTest(harness.WorldTest):
    def setUp(self):
        super().setUp()
        self.project = self.folder / "project"
        self.project.mkdir()
        (self.project / "kernels.toml").write_text(f'[dependencies]\n"{REPO}" = 1\n')
        self.publish(REPO, "v1", files())
        self.start_hub(self.data)
        self.kernels("lock")

    def kernels(self, command, *more, status=0, **environment):
        """Runs it: any of `status`, one error line exactly when it failed, and a sound cache in every case."""
        done = subprocess.run([KERNELS, command, str(self.project), *(TARGET if command == "download" else []), *more],
                              capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL,
                              env={**self.environment, **environment})
        said = f"{command}: status {done.returncode}\n{done.stdout}\n{done.stderr}"
        expected = status if isinstance(status, tuple) else (status,)
        self.assertIn(done.returncode, expected, said)
        self.assertEqual(done.stderr.count("error: "), 0 if done.returncode == 0 else 1, said)
        self.assert_sound()
        return done

    @property
    def cache(self):
        return self.folder / "hf" / "hub"

    def assert_sound(self):
        """Every blob has the bytes that its name says, and nothing is outside the cache."""
        for blob in self.cache.glob("*/blobs/*"):
            if blob.name.endswith(".incomplete"):
                continue
            data = blob.read_bytes()
            name = hashlib.sha256(data).hexdigest() if len(blob.name) == 64 else harness.git_oid(data)
            self.assertEqual(blob.name, name)
        for link in self.cache.glob("*/snapshots/**/*"):
            if link.is_symlink():
                self.assertTrue(link.resolve().is_relative_to(self.cache.resolve()), link)
                self.assertTrue(link.exists(), f"{link} points nowhere")
        self.assertEqual([str(p) for p in self.folder.rglob("outside*")], [])
        self.assertFalse(pathlib.Path("/tmp/outside.txt").exists())

    def assert_complete(self):
        found = {p.relative_to(p.parents[2]).as_posix(): p.read_bytes() for p in self.cache.glob(f"*/snapshots/*/build/{VARIANT}/*")}
        self.assertEqual({name.removeprefix("build/"): data for name, data in files().items()},
                         {name.removeprefix("build/"): data for name, data in found.items()})

    def forget(self):
        """Empties the cache: also of the listings that `lock` left there."""
        shutil.rmtree(self.folder / "hf", ignore_errors=True)

    def with_faults(self, *faults, options=()):
        return self.start_hub(self.data, *options, *[word for fault in faults for word in ("--fault", fault)])

    def test_once_wrong_then_right(self):
        """A single disturbance costs a retry, no failure."""
        for fault in ("cut:/_cdn/*:1", "cut=0:/_cdn/*:1", "status:/_cdn/*:1", "status=500:*resolve*:1", "status=408:*/tree/*:1",
                      "retry-after=1:/_cdn/*:1", "retry-after=1:*/tree/*:1", "cut:*/tree/*:1", "cut:*/metadata.json:1",
                      "stall=1:/_cdn/*:1", "overrun=7:/_cdn/*:1"):
            with self.subTest(fault=fault):
                self.forget()
                hub = self.with_faults(fault)
                self.kernels("download")
                self.assert_complete()
                self.assertGreater(len(hub.requests()), 3)

    def test_wrong_content_never_gets_its_name(self):
        for fault in ("flip:/_cdn/*", "truncated=9:/_cdn/*", "padded=9:/_cdn/*", "flip:*/layers.py", "truncated:*/layers.py",
                      "padded=400:*/layers.py"):
            with self.subTest(fault=fault):
                self.forget()
                self.with_faults(fault)
                done = self.kernels("download", status=(NETWORK, VERIFICATION))
                self.assertIn("abi3.so" if "_cdn" in fault else "layers.py", done.stderr)
                self.start_hub(self.data)
                self.kernels("download")
                self.assert_complete()

    def test_what_stays_broken_ends_with_the_network_status(self):
        for fault in ("status:*", "redirect-loop:*", "cut:/_cdn/*", "malformed:*/tree/*", "status=502:/_cdn/*"):
            with self.subTest(fault=fault):
                self.forget()
                self.with_faults(fault)
                begin = time.monotonic()
                self.kernels("download", status=NETWORK)
                self.assertLess(time.monotonic() - begin, 60)

    def test_listings_that_name_places_outside(self):
        for kind in ("tree-dotdot", "tree-absolute", "tree-nul", "tree-long", "tree-symlink"):
            with self.subTest(kind=kind):
                self.forget()
                self.with_faults(f"{kind}:*/tree/*")
                done = self.kernels("download", status=(0, NETWORK, VERIFICATION))
                if done.returncode == 0:
                    self.assert_complete()

    def test_a_resumed_file_is_whole_even_where_ranges_are_ignored(self):
        for second in ([], ["ignore-range:/_cdn/*:1"]):
            self.forget()
            hub = self.with_faults("cut=600000:/_cdn/*:1", *second)
            self.kernels("download")
            self.assert_complete()
            ranges = [r["range"] for r in hub.requests() if r["path"].startswith("/_cdn/")]
            self.assertEqual(ranges[0], "")
            self.assertRegex(ranges[1], r"^bytes=[1-9]\d*-")

    def test_the_token_stays_on_its_host(self):
        self.forget()
        hub = self.with_faults("redirect-away:*resolve*.py", "redirect-away:*/tree/*")
        self.kernels("download", HF_TOKEN="hf_for-the-endpoint-alone")
        origin = hub.url.removeprefix("http://")
        elsewhere = [r for r in hub.requests() if r["host"] != origin]
        self.assertTrue(any("/tree/" in r["path"] or "resolve" in r["path"] for r in elsewhere))
        self.assertFalse(any(r["authorization"] for r in elsewhere))
        self.assertTrue(all(r["authorization"] for r in hub.requests() if r["host"] == origin and "_cdn" not in r["path"]))

    def test_retry_after_is_obeyed(self):
        self.forget()
        self.with_faults("retry-after=2:*/tree/*:1")
        begin = time.monotonic()
        self.kernels("download")
        self.assertGreater(time.monotonic() - begin, 1.9)

    def test_killed_in_the_middle_then_again(self):
        self.with_faults("slow=200000:/_cdn/*:1")
        process = subprocess.Popen([KERNELS, "download", str(self.project), *TARGET], env=self.environment,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.wait_for(lambda: any(p.stat().st_size > 100_000 for p in self.cache.glob("*/blobs/*.incomplete*")),
                      "a partial download")
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.assert_sound()
        self.kernels("download")
        self.assert_complete()

    def test_two_processes_at_once_fetch_once(self):
        hub = self.with_faults("slow=400000:/_cdn/*:1")
        command = [KERNELS, "download", str(self.project), *TARGET]
        both = [subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                for _ in range(2)]
        for process in both:
            out, err = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 0, out + err)
        self.assert_sound()
        self.assert_complete()
        self.assertEqual(len([r for r in hub.requests() if r["path"].startswith("/_cdn/")]), 1)

    def test_a_read_only_cache_is_used(self):
        self.kernels("download")
        for folder, _, _ in os.walk(self.cache):
            os.chmod(folder, 0o555)
        try:
            self.kernels("download", "--offline")
        finally:
            for folder, _, _ in os.walk(self.cache):
                os.chmod(folder, 0o755)


if __name__ == "__main__":
    unittest.main()
