"""What the command line names for a model: inputs, tolerances, files that are none. One clear line each."""

import json
import os
import pathlib
import re
import socket
import unittest

import harness
from hostile_world import archive, raw_archive, records
from trial_world import TrialTest

KERNELS = harness.need("KERNELS_BIN")

class ArgumentsTest(TrialTest):
    layers = ("RMSNorm", "Gelu")
    made = None

    def setUp(self):
        super().setUp()
        if ArgumentsTest.made is None:
            self.kernelize("RMSNorm", status=0)
            ArgumentsTest.made = (self.folder / "out.pt").read_bytes()
        (self.folder / "out.pt").write_bytes(self.made)
        os.mkfifo(self.folder / "pipe")
        (self.folder / "folder").mkdir()
        self.socket = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.socket.close)
        here = pathlib.Path.cwd()
        os.chdir(self.folder)  # names of sockets are short
        self.socket.bind("socket")
        os.chdir(here)

    def refused(self, words, *command, status):
        done = self.run_command(KERNELS, *command, status=status)
        lines = done.stderr.splitlines()
        self.assertRegex(lines[0], f"^error: .*{words}", command)
        self.assertTrue(all(re.match("hint: |  ", line) for line in lines[1:]), done.stderr)
        self.assertLessEqual(len(lines), 3)
        self.assertNotRegex(done.stderr, r"sto(ll|d)\b|Exception raised|frame #|std::|c10")
        self.assertEqual(done.stdout, "")

    def test_inputs(self):
        (self.folder / "text").write_text("hello\n")
        (self.folder / "empty").write_bytes(b"")
        with open(self.folder / "sparse", "wb") as file:
            file.truncate(1 << 42)
        (self.folder / "cut.pt").write_bytes(archive({"a/data.pkl": b"\x80\x02", "a/version": b"3\n"}))
        bomb = raw_archive([("a/data.pkl", b"x", 1 << 30, 1, 8)])
        (self.folder / "bomb.pt").write_bytes(bomb)
        cases = {
            "f32[99999999999999999999]": (2, r"f32\[99999999999999999999\]`: it needs more than the \d+ MiB of memory"),
            "f32[1000000,1000000,1000]": (2, "it needs more than"),
            "int64[9223372036854775807,2]": (2, "it needs more than"),
            "f32[0,9223372036854775807,9223372036854775807]": (2, "it needs more than"),
            f"f32[{','.join(['1'] * 60000)}]": (2, "more than 64 dimensions"),
            "f32[-1]": (2, "`-1` is no size"),
            "f32[1,,2]": (2, "`` is no size"),
            "f32[2, 2]": (2, "` 2` is no size"),
            "f33[2]": (2, "f33 is no dtype"),
            "99999999999999999999": (2, "out of range"),
            "1e999": (2, "out of range"),
            "nothing.pt": (2, "neither a file nor a type and shape"),
            "/dev/zero": (1, "/dev/zero: it is a device, no file of tensors"),
            "pipe": (1, "pipe: it is a FIFO"),
            "socket": (1, "socket: it is a socket"),
            "folder": (1, "folder: it is a folder"),
            "text": (1, "text: not a tensor file: it is no zip archive"),
            "empty": (1, "empty: not a tensor file: it is empty"),
            "sparse": (1, "sparse: larger than the allowed"),
            "cut.pt": (1, "cut.pt: not a tensor file"),
            "bomb.pt": (1, "bomb.pt: not a tensor file: it unpacks to more than"),
        }
        for text, (status, words) in cases.items():
            with self.subTest(text[:50]):
                self.refused(words, "run", "out.pt", "--input", text, status=status)
        model = next(self.models.glob("RMSNorm-float32-traced.pt"))
        for text in ("f32[99999999999999999999]", "pipe"):
            status, words = cases[text]
            self.refused(words, "kernelize", model, "-o", "x.pt", "--device", "cpu", "--layer",
                         "RMSNorm=test/trial-kernels:RMSNorm", "--verify", "--input", text, status=status)
            self.assertFalse((self.folder / "x.pt").exists())

    def test_inputs_that_are_taken(self):
        self.run_command(KERNELS, "run", "out.pt", "--input", "f32[3,32]", "--repeat", "1")
        script = "import torch; torch.save(torch.ones(2, 32), 'ones.pt'); print('null')"
        self.run_python(script)
        self.run_command(KERNELS, "run", "out.pt", "--input", "ones.pt", "--repeat", "1")
        # A tensor that says that it is larger than what the file holds.
        contents = records((self.folder / "ones.pt").read_bytes())
        data = next(name for name in contents if name.endswith("/data/0"))
        (self.folder / "short.pt").write_bytes(archive({**contents, data: contents[data][:8]}))
        self.refused("short.pt: not a tensor file: the record of one of its tensors is cut off", "run", "out.pt", "--input",
                     "short.pt", status=1)

    def test_tolerances(self):
        for option in ("--rtol", "--atol"):
            for text in ("inf", "-inf", "nan", "-1", "1e999", "x"):
                with self.subTest(option, text=text):
                    self.refused(f"{option} `{text}`: not a finite number of at least 0", "run", "out.pt", "--input",
                                 "f32[2,32]", f"{option}={text}", status=2)

    def test_models(self):
        for name, words in {"pipe": "it is a FIFO", "socket": "it is a socket", "folder": "it is a folder",
                            "/dev/zero": "it is a device"}.items():
            for command in (("inspect", name), ("run", name, "--input", "f32[2,32]"), ("kernelize", name, "-o", "x.pt")):
                with self.subTest(name, command=command[0]):
                    self.refused(f"{name}: {words}, no file of a model", *command, status=1)
        self.refused("none.pt: no such file", "inspect", "none.pt", status=4)

    def test_outputs(self):
        """What is no regular file stays what it is, for root too."""
        os.symlink("pipe", self.folder / "to-pipe")
        os.symlink("real.pt", self.folder / "to-real.pt")
        (self.folder / "real.pt").write_bytes(b"old")
        names = {"pipe": "a FIFO", "socket": "a socket", "folder": "a folder", "to-pipe": "a FIFO"}
        if os.getuid() == 0:
            # As /dev/full, which is not risked.
            os.mknod(self.folder / "full", 0o20666, os.makedev(1, 7))
            names["full"] = "a device"
        before = {name: os.lstat(self.folder / name) for name in names}
        for name, kind in names.items():
            with self.subTest(name):
                done = self.kernelize("RMSNorm", "-o", name, status=1)
                self.assertEqual(done.stderr, f"error: {name}: cannot be written: it is {kind}, no file\n")
                after = os.lstat(self.folder / name)
                self.assertEqual((after.st_mode, after.st_ino), (before[name].st_mode, before[name].st_ino))
        self.kernelize("RMSNorm", "-o", "to-real.pt", status=0)
        self.assertEqual((self.folder / "to-real.pt").read_bytes(), self.made)

    def test_a_full_disk(self):
        """Wherever it becomes full. (libtorch's writer ends the program when its caller tells it.)"""
        ends = set()
        for blocks in range(0, 2 + len(self.made) // 512, 2):
            limited = f'trap "" XFSZ; ulimit -f {blocks}; exec "$@"'
            done = self.run_command("sh", "-c", limited, "sh", *self.command("RMSNorm", "-o", "full.pt"), status=1)
            ends.add(done.stderr)
            self.assertFalse((self.folder / "full.pt").exists())
        self.assertEqual(ends, {"error: full.pt: cannot be written: File too large\n"})

    def test_a_model_that_crashes(self):
        self.kernelize("GeluCrashes", "-o", "crashes.pt", status=0)
        self.refused("crashes.pt: it crashed while it ran", "run", "crashes.pt", "--input", "f32[0,32]", status=1)
        done = self.run_command(KERNELS, "run", "crashes.pt", "--input", "f32[0,32]", "--json", status=1)
        self.assertIn("it crashed while it ran", json.loads(done.stdout)["error"]["message"])

    def test_damaged_originals(self):
        contents = records(self.made)
        code = next(name for name, data in contents.items() if b"kernels_original_forward" in data)
        contents[code] = contents[code].replace(b"kernels_original_forward", b"kernels_original_forwarx")
        (self.folder / "damaged.pt").write_bytes(archive(contents))
        self.refused("damaged.pt: the class .* keeps the original of a method `forwarx` that it does not have", "kernelize",
                     "damaged.pt", "-o", "x.pt", "--device", "cpu", "--layer", "RMSNorm=test/trial-kernels:RMSNorm", status=1)
        self.assertFalse((self.folder / "x.pt").exists())


if __name__ == "__main__":
    unittest.main()
