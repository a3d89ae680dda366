"""What hostile files are made from, and what is expected of the programs that get them."""

import io
import json
import struct
import subprocess
import zipfile
import zlib

import harness
from trial_world import TrialTest

KERNELS = harness.need("KERNELS_BIN")
PROBE = harness.need("KERNELS_VERIFY_PROBE")


def records(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def archive(contents, compression=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as file:
        for name, data in contents.items():
            file.writestr(zipfile.ZipInfo(name), data, compression)
    return out.getvalue()


def raw_archive(entries):
    """An archive that says what it likes: (name, stored bytes, unpacked size, crc, method) each."""
    out, directory = io.BytesIO(), io.BytesIO()
    for name, data, size, crc, method in entries:
        name = name.encode()
        head = struct.pack("<HHHHHIIIHH", 20, 0, method, 0, 0, crc, len(data), size, len(name), 0)
        directory.write(b"PK\1\2" + struct.pack("<H", 20) + head + struct.pack("<HHHII", 0, 0, 0, 0, out.tell()) + name)
        out.write(b"PK\3\4" + head + name + data)
    start = out.tell()
    out.write(directory.getvalue())
    out.write(b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, len(entries), len(entries), out.tell() - start, start, 0))
    return out.getvalue()


def deflated(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


class HostileWorldTest(TrialTest):
    layers = ("RMSNorm",)
    made = None

    def setUp(self):
        super().setUp()
        if HostileWorldTest.made is None:
            self.kernelize("RMSNorm", status=0)
            HostileWorldTest.made = (self.folder / "out.pt").read_bytes()
        self.good = HostileWorldTest.made
        (self.folder / "out.pt").write_bytes(self.good)
        (self.top,) = {name.split("/")[0] for name in records(self.good)}

    def load_all(self, files):
        """What loading each of {name: bytes} gives, in children of one process."""
        for name, data in files.items():
            (self.folder / name).write_bytes(data)
        done = subprocess.run([PROBE, "--load"], capture_output=True, text=True, env=self.environment, timeout=240,
                              input="".join(f"{self.folder / name}\n" for name in files))
        self.assertEqual(done.returncode, 0, done.stderr)
        answers = dict(zip(files, map(json.loads, done.stdout.splitlines()), strict=True))
        for name, answer in answers.items():
            if "error" in answer:
                self.assertTrue(answer["error"].startswith(f"{self.folder / name}: "), answer)
                self.assertNotIn("\n", answer["error"])
        return answers

    def changed(self, changes):
        """The good model with other records, named without their folder."""
        contents = records(self.good)
        for name, data in changes.items():
            contents[f"{self.top}/{name}"] = data
        return archive(contents)

    def manifest(self, **changes):
        """The archive with another first kernel in its manifest; what is None is left out of it."""
        document = json.loads(records(self.good)[f"{self.top}/extra/kernels.json"])
        document["kernels"][0] = {key: value for key, value in {**document["kernels"][0], **changes}.items() if value is not None}
        return self.changed({"extra/kernels.json": json.dumps(document)})

    def refused(self, name, data, words):
        """By inspect, kernelize and run, in bounded memory."""
        (self.folder / name).write_bytes(data)
        for command in (("inspect", name), ("kernelize", name, "-o", "x.pt", "--device", "cpu", "--layer",
                                            "RMSNorm=test/trial-kernels:RMSNorm"), ("run", name, "--input", "f32[2,32]")):
            with self.subTest(name, command=command[0]):
                done = self.run_command(KERNELS, *command, status=1)
                lines = done.stderr.splitlines()
                self.assertTrue(lines[0].startswith(f"error: {name}: "), done.stderr)
                self.assertIn(words, lines[0])
                self.assertLessEqual(len(lines), 2)
                self.assertEqual(done.stdout, "")
                self.assertFalse((self.folder / "x.pt").exists())
