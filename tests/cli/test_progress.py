"""What a download says while it works."""

import hashlib
import re

import harness
from fault_world import LIBRARY, REPO, FaultTest
from harness import BINARY, TARGET

import terminal


class Progress(FaultTest):
    def test_what_an_earlier_run_left_is_no_part_of_the_rate(self):
        self.forget()
        left = 900_000
        part = self.cache / f"kernels--{REPO.replace('/', '--')}" / "blobs" / f"{hashlib.sha256(LIBRARY).hexdigest()}.incomplete"
        part.parent.mkdir(parents=True)
        part.write_bytes(LIBRARY[:left])
        self.serve("slow=40000:/_cdn/*")
        status, shown = terminal.run([BINARY, "download", self.project, *TARGET], env={**self.environment, "TERM": "xterm"})
        self.assertEqual(status, 0, shown)
        self.assert_complete()
        for row in (r"_one\.abi3\.so", r"\d/4 files"):
            found = re.findall(row + r"  ([\d.]+) KiB of ([\d.]+) KiB  ([\d.]+) (K?i?B)/s(?:  (\d+) s left)?", shown)
            self.assertTrue(found, shown)
            for done, of, speed, unit, seconds in found:
                self.assertGreaterEqual(float(done), left // 1024 if "abi3" in row else 0)
                # 39 KiB/s; what is not the library comes at once, and is a KiB.
                self.assertLess(float(speed) / (1 if unit == "KiB" else 1024), 100, shown)
                if seconds:
                    expected = (float(of) - float(done)) / 39
                    self.assertLess(abs(int(seconds) - expected), 2.5, (done, of, speed, seconds))
            self.assertTrue(any(seconds for *_, seconds in found), found)

    def test_what_is_copied_is_not_said_to_be_downloaded(self):
        self.kernels("download")
        done = self.kernels("download", "--output", str(self.folder / "image"))
        self.assertEqual(done.stderr.count("copied demo/one: "), 4, done.stderr)
        self.assertNotIn("downloaded", done.stderr)
        self.forget()
        done = self.kernels("download", "--output", str(self.folder / "other"))
        self.assertEqual(done.stderr.count("downloaded demo/one: "), 4, done.stderr)
        self.assertNotIn("copied", done.stderr)


if __name__ == "__main__":
    harness.main()
