"""kernels.sum, from the command line: written, checked, refused, left out."""

import hashlib
import unittest

import harness
from harness import TARGET, VARIANT
from loopback_hub import build, git_oid

import preload


class Sums(harness.CliTest):
    @property
    def sums(self):
        return self.project / "kernels.sum"

    def locked(self):
        self.publish_demo()
        self.write_project('"demo/two" = 1')
        self.expect(0, "lock")

    def test_lock_writes_the_sum_of_every_build(self):
        self.locked()
        lines = [line.split() for line in self.sums.read_text().splitlines()]
        cuda = "torch213-cxx11-cu128-x86_64-linux"
        self.assertEqual([(line[0], line[2]) for line in lines], [("demo/one", VARIANT), ("demo/one", cuda), ("demo/two", VARIANT)])
        files = build(VARIANT, name="two", depends=[("demo/one", 1)])
        text = ""
        for path in sorted(files):
            data, name = files[path], path.removeprefix(f"build/{VARIANT}/")
            large = path.endswith(".so")
            text += f"{'sha256' if large else 'git'}:{hashlib.sha256(data).hexdigest() if large else git_oid(data)} {len(data)} {name}\n"
        self.assertEqual(lines[2][3], "sha256:" + hashlib.sha256(text.encode()).hexdigest())
        # The builds themselves were not fetched for it.
        self.assertFalse([path for path in self.hub.requests if path.endswith(".so")])

    def test_a_damaged_file_is_no_reason_to_go_on(self):
        self.locked()
        self.expect(0, "download", *TARGET)
        self.sums.write_text(self.sums.read_text().replace("sha256:", "sha256:0", 1))
        self.expect_error(1, "kernels.sum:1: ", "download", *TARGET)
        self.expect(0, "download", "--no-sum", *TARGET)

    def test_what_does_not_match_is_refused_by_name_before_it_is_fetched(self):
        self.locked()
        lines = self.sums.read_text().splitlines()
        line = lines[2].split(" ")
        line[3] = "sha256:" + "0" * 64
        line[-1] = line[-1][:-8] + "00000000"
        lines[2] = " ".join(line)
        self.sums.write_text("\n".join(lines) + "\n")
        before = self.blobs()
        result = self.expect_error(6, "its files are not the ones that kernels.sum names", "download", *TARGET)
        self.assertIn(line[-1].split("=")[0] + ": differs from kernels.sum", result.err)
        self.assertIn("demo/two", result.err)
        fetched = set(self.blobs()) - set(before)
        two = build(VARIANT, name="two", depends=[("demo/one", 1)])
        self.assertFalse(fetched & {hashlib.sha256(data).hexdigest() for data in two.values()})
        # The lock does not paper over it: the same commit cannot have other files.
        kept = self.sums.read_bytes()
        self.expect_error(6, "other files than before for the same commit", "lock")
        self.assertEqual(self.sums.read_bytes(), kept)
        self.sums.unlink()
        self.expect(0, "lock")
        self.expect(0, "download", *TARGET)

    @unittest.skipUnless(preload.supported(), "no compiler to make a rename fail")
    def test_where_writing_ends_in_the_middle_lock_and_sums_fit(self):
        self.locked()
        before = (self.project / "kernels.lock").read_bytes()
        sums = self.sums.read_bytes()
        self.hub.publish("demo/two", "v1", build(VARIANT, name="two", size=77))
        self.expect_error(1, "kernels.lock: cannot be written: No space left", "lock", "--upgrade",
                          **preload.at_rename(self.folder, "/kernels.lock", "errno = ENOSPC; return -1;"))
        self.assertEqual((self.project / "kernels.lock").read_bytes(), before)
        self.assertTrue(set(sums.splitlines()) < set(self.sums.read_bytes().splitlines()))
        self.expect(0, "download", *TARGET)
        self.expect(0, "lock", "--upgrade")
        self.assertFalse(set(sums.splitlines()) <= set(self.sums.read_bytes().splitlines()))
        self.expect(0, "download", *TARGET)
        self.expect(0, "lock", "--check")

    def test_what_is_written_is_said(self):
        self.locked()
        self.assertNotIn("kernels.sum", self.expect(0, "lock").out)
        self.sums.unlink()
        self.assertIn("kernels.sum: written\n", self.expect(0, "lock").out)
        self.sums.unlink()
        document = self.expect(0, "lock", "--json").json
        self.assertEqual((document["written"], document["sums_written"]), (False, True))
        self.assertIn("kernels.sum: removed\n", self.expect(0, "lock", "--no-sum").out)

    def test_line_ends_that_git_changed_are_no_difference(self):
        self.locked()
        files = [self.sums, self.project / "kernels.lock"]
        before = [file.read_bytes() for file in files]
        for changed in (lambda text: text.replace(b"\n", b"\r\n"), lambda text: text.rstrip(b"\n") + b"\n"):
            for file, text in zip(files, before):
                file.write_bytes(changed(text))
            self.assertNotEqual([file.read_bytes() for file in files], before)
            self.expect(0, "lock", "--check")
            self.expect(0, "download", "--locked", *TARGET)
            self.expect(0, "lock")
            self.assertEqual([file.read_bytes() for file in files], before)

    def test_a_lock_by_the_python_client_needs_new_sums(self):
        self.locked()
        self.hub.publish("demo/two", "v1", build(VARIANT, name="two", size=77))
        self.expect(0, "lock", "--upgrade", "--no-sum")
        self.assertFalse(self.sums.exists())
        self.hub.publish("demo/two", "v1", build(VARIANT, name="two", size=78))
        self.expect(0, "lock")
        old = self.sums.read_bytes()
        self.expect(0, "lock", "--upgrade")
        self.assertNotEqual(self.sums.read_bytes(), old)
        self.sums.write_bytes(old)
        self.expect_error(3, "kernels.sum has no line for it", "download", *TARGET, hint="kernels lock")
        result = self.expect_error(3, "kernels.sum: out of date", "lock", "--check", hint="kernels lock")
        self.assertRegex(result.err, rf"demo/two@[0-9a-f]{{12}}: {VARIANT}: it has no line\n")
        self.assertRegex(result.err, rf"demo/two@[0-9a-f]{{12}}: {VARIANT}: its line is of no locked build\n")
        self.expect(0, "lock")
        self.expect(0, "lock", "--check")

    def test_a_project_without_the_file_needs_none(self):
        self.publish_demo()
        self.write_project()
        self.expect(0, "lock", "--no-sum")
        self.expect(0, "lock", "--check")
        self.expect(0, "download", *TARGET)
        self.assertFalse(self.sums.exists())


if __name__ == "__main__":
    harness.main()
