"""Hostile archives: one clear line, no crash that is not told, bounded memory, nothing left behind."""

import io
import pickle
import random
import struct
import unittest
import zipfile
import zlib

from hostile_world import KERNELS, HostileWorldTest, archive, deflated, raw_archive, records


class HostileArchivesTest(HostileWorldTest):
    def test_flipped_bits(self):
        # Whatever is not refused must not have changed what is read.
        chance = random.Random(0)
        files, places = {}, {}
        for i in range(300):
            data = bytearray(self.good)
            places[f"flip-{i}.pt"] = place = chance.randrange(len(data))
            data[place] ^= 1 << chance.randrange(8)
            files[f"flip-{i}.pt"] = bytes(data)
        answers = self.load_all(files)
        harmless = [name for name, answer in answers.items() if "loaded" in answer]
        with zipfile.ZipFile(io.BytesIO(self.good)) as file:
            for info in file.infolist():
                at = info.header_offset
                begin = at + 30 + sum(struct.unpack("<HH", self.good[at + 26:at + 30]))
                for name in harmless:
                    # Packed bytes may differ and mean the same.
                    if begin <= places[name] < begin + info.compress_size:
                        self.assertEqual(records(files[name]), records(self.good), f"{name}: {info.filename}")
        self.assertEqual([name for name, answer in answers.items() if not answer.keys() & {"error", "loaded"}], [])
        self.assertGreater(len(answers) - len(harmless), 100)

    def test_truncated(self):
        lengths = sorted({0, 1, 3, 4, 21, 22, *range(0, len(self.good), len(self.good) // 60)})
        answers = self.load_all({f"cut-{length}.pt": self.good[:length] for length in lengths})
        for name, answer in answers.items():
            self.assertIn("not a TorchScript archive", answer.get("error", ""), name)

    def test_flips_that_checksums_do_not_show(self):
        # Such files reach libtorch; where it crashes the command line says so.
        chance = random.Random(1)
        files = {}
        for record, data in records(self.good).items():
            for i in range(12 if data else 0):
                other = bytearray(data)
                other[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
                kind = record.split("/", 1)[1].replace("/", "+")
                files[f"{kind}-{i}.pt"] = archive({**records(self.good), record: bytes(other)})
        answers = self.load_all(files)
        self.assertGreater(len(answers), 100)
        crashes = [name for name, answer in answers.items() if "signal" in answer]
        for name in crashes[:2]:
            done = self.run_command(KERNELS, "inspect", name, status=1)
            self.assertIn("libtorch crashed while it read the model", done.stderr)
        print(f"{len(answers)} files, {len(crashes)} crash libtorch: {crashes}")

    def test_names_and_structure(self):
        contents = records(self.good)
        listed = [(name, data, len(data), zlib.crc32(data), 0) for name, data in contents.items()]
        first = listed[0]
        million = 1 << 20
        cases = {
            "parent.pt": (archive({**contents, f"{self.top}/../../evil": b"x"}), "leaves the archive"),
            "absolute.pt": (archive({"/etc/evil": b"x", **contents}), "absolute"),
            "backslash.pt": (archive({**contents, f"{self.top}/..\\evil": b"x"}), "backslash"),
            "control.pt": (archive({**contents, f"{self.top}/a\nb": b"x"}), "control character"),
            "folders.pt": (archive({**contents, "other/data.pkl": b"x"}), "not all in the folder"),
            "twice.pt": (raw_archive([*listed, first]), "occurs twice"),
            "two-sizes.pt": (raw_archive([(first[0], first[1], 1 << 31, first[3], 0), *listed[1:]]), "two sizes"),
            "unknown-method.pt": (raw_archive([(*first[:4], 12), *listed[1:]]), "unknown way"),
            "bomb.pt": (raw_archive([*listed, (f"{self.top}/extra/zeros", deflated(bytes(512 * million)), 512 * million, 1,
                                               8)]), "unpacks to more than 268435456 bytes"),
            "says-less.pt": (raw_archive([*listed, (f"{self.top}/extra/zeros", deflated(bytes(64 * million)), 100, 1, 8)]),
                             "larger than it says"),
            "says-more.pt": (raw_archive([*listed, (f"{self.top}/extra/zeros", deflated(bytes(100)), 200 * million, 1, 8)]),
                             "damaged"),
            "many-bombs.pt": (raw_archive([*listed, *((f"{self.top}/extra/{i}", deflated(bytes(million)), million, 1, 8)
                                                      for i in range(300))]), "unpacks to more than"),
            "behind.pt": (self.good + bytes(3), "something follows"),
            "magic.pt": (b"PX" + self.good[2:], "no zip archive"),
            "text.pt": (b"hello\n", "no zip archive"),
            "no-records.pt": (raw_archive([]), "it has no records"),
        }
        answers = self.load_all({name: data for name, (data, _) in cases.items()})
        for name, (_, words) in cases.items():
            self.assertIn(words, answers[name].get("error", str(answers[name])), name)
        overlapping = bytearray(raw_archive(listed))
        at = overlapping.rindex(b"PK\1\2")  # the last record's place becomes the first one's
        overlapping[at + 42:at + 46] = bytes(4)
        answers = self.load_all({"overlap.pt": bytes(overlapping)})
        self.assertIn("differs from what its directory says", answers["overlap.pt"]["error"])
        self.refused("bomb.pt", cases["bomb.pt"][0], "unpacks to more than")
        thousands = raw_archive([*listed, *((f"{self.top}/extra/{i}", b"", 0, 0, 0) for i in range(60000))])
        self.assertEqual(self.load_all({"thousands.pt": thousands}), {"thousands.pt": {"loaded": True}})
        self.assertIn("is no number", self.load_limited("12x"))
        self.assertIn("more than 10 bytes", self.load_limited("10"))

    def load_limited(self, limit):
        (self.folder / "packed.pt").write_bytes(archive(records(self.good), zipfile.ZIP_DEFLATED))
        return self.run_command(KERNELS, "inspect", "packed.pt", status=1, KERNELS_UNPACK_LIMIT=limit).stderr

    def test_code_and_pickles(self):
        deep = 400000
        code = next(name for name, data in records(self.good).items() if name.endswith(".py") and b"class Model" in data)
        code = code.split("/", 1)[1]
        nested = "class Model(Module):\n  def forward(self: Model, x: Tensor) -> Tensor:\n    return " + "(" * deep + "x"
        files = {
            "deep-code.pt": self.changed({code: nested + ")" * deep}),
            "odd-code.pt": self.changed({code: "import os\nos.system('touch evil')\n"}),
            "system.pt": self.changed({"data.pkl": b"cos\nsystem\n(S'touch evil'\ntR."}),
            "exec.pt": self.changed({"data.pkl": pickle.dumps(print, protocol=2)}),
            "deep-pickle.pt": self.changed({"data.pkl": b"\x80\x02" + b"(" * 200000 + b"t" * 200000 + b"."}),
            "deep-lists.pt": self.changed({"data.pkl": b"\x80\x02" + b"]" * 200000 + b"a" * 199999 + b"."}),
            "long-string.pt": self.changed({"data.pkl": b"\x80\x02X\xff\xff\xff\x7fabc."}),
            "no-stop.pt": self.changed({"data.pkl": b"\x80\x02" + b"N" * 1000}),
            "empty-stack.pt": self.changed({"data.pkl": b"\x80\x02R."}),
            "bad-memo.pt": self.changed({"data.pkl": b"\x80\x02j\xff\xff\xff\x7f."}),
            "constants.pt": self.changed({"constants.pkl": b"\x80\x02X\xff\xff\xff\x7fabc."}),
            "version.pt": self.changed({"version": b"999999\n"}),
            "no-version.pt": self.changed({"version": b"x" * 1000}),
            "short-data.pt": self.changed({"data/0": b"ab"}),
        }
        answers = self.load_all(files)
        for name, answer in answers.items():
            self.assertNotIn("loaded", answer, name)
        crashes = [name for name, answer in answers.items() if "signal" in answer]
        # Nothing refuses these before libtorch recurses over them.
        self.assertLessEqual({"deep-code.pt", "deep-pickle.pt", "deep-lists.pt"}, set(crashes), answers)
        for name in crashes[:1]:
            self.refused(name, files[name], "libtorch crashed while it read the model")
        for name in crashes[1:]:
            done = self.run_command(KERNELS, "inspect", name, status=1)
            self.assertIn("libtorch crashed while it read the model", done.stderr)
        self.assertFalse((self.folder / "evil").exists())


if __name__ == "__main__":
    unittest.main()
