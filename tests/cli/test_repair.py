"""A kernels.lock or kernels.sum that cannot be used: what is said of it, and that the way out which is named leads out."""

import json
import shutil

import harness
from harness import TARGET, VARIANT
from loopback_hub import build

MERGE = '<<<<<<< HEAD\n[]\n=======\n[{}]\n>>>>>>> other\n'


class Unreadable(harness.CliTest):
    def setUp(self):
        super().setUp()
        self.publish_demo()
        self.write_project('"demo/two" = 1')
        self.expect(0, "lock")
        self.lock, self.sums = self.project / "kernels.lock", self.project / "kernels.sum"
        self.good = (self.lock.read_bytes(), self.sums.read_bytes())

    def files(self):
        return (self.lock.read_bytes(), self.sums.read_bytes())

    def test_lock_writes_an_unreadable_lock_anew(self):
        for text, why in ((MERGE, "it holds a merge that is not finished"), ("{", "not JSON"), ("{}", "not a list"),
                          ("[{}]", "lacks the field"), ('[{"dependency": {}, "lock": {}}]', "lacks the field `repo-id`")):
            for arguments in ([], ["--upgrade"]):
                with self.subTest(text=text, arguments=arguments):
                    self.lock.write_text(text)
                    self.expect_error(1, why, "download", *TARGET, hint="`kernels lock`")
                    self.expect_error(1, why, "lock", "--check", hint="`kernels lock`")
                    err = self.expect(0, "lock", *arguments).err
                    self.assertRegex(err, f"warning: .*kernels.lock: .*{why}.*; it is written anew")
                    self.assertEqual(self.files(), self.good)

    def test_where_other_entries_must_stay_it_is_refused(self):
        self.lock.write_text(MERGE)
        for command in (["lock", "--upgrade", "demo/two"], ["add", "demo/one"], ["remove", "demo/two"]):
            self.expect_error(1, "it holds a merge that is not finished", *command, hint="`kernels lock`")
        self.assertEqual(self.lock.read_text(), MERGE)

    def test_lock_writes_unreadable_sums_anew(self):
        lines = self.good[1].decode().splitlines()
        merged = "\n".join([lines[0], "<<<<<<< HEAD", lines[1], "=======", lines[1], ">>>>>>> other", *lines[2:], ""])
        for text in (merged, "nonsense\n", "\0"):
            with self.subTest(text):
                self.sums.write_text(text)
                self.expect_error(1, "kernels.sum:", "download", *TARGET, hint="`kernels lock`")
                self.assertRegex(self.expect(0, "lock").err, "warning: .*kernels.sum:[0-9]+: .*; it is written anew")
                self.assertEqual(self.files(), self.good)

    def test_the_lines_that_can_be_read_still_pin_their_builds(self):
        other = self.good[1].decode().replace("sha256:", "sha256:" + "0" * 8, 1)
        at = other.index("sha256:") + len("sha256:") + 64
        other = other[:at] + other[at + 8:]  # the first line names other files
        self.sums.write_text("<<<<<<< HEAD\n" + other)
        self.expect_error(6, "other files than before for the same commit", "lock")
        self.sums.write_text(self.good[1].decode() + "=======\n" + other.splitlines()[0] + "\n")
        self.expect_error(6, "another line has another digest for demo/one@", "lock", hint="remove the other")

    def test_no_sum_removes_it_unread(self):
        for command in (["lock"], ["add", "demo/one"]):
            self.sums.write_text(MERGE)
            self.expect(0, *command, "--no-sum")
            self.assertFalse(self.sums.exists())


if __name__ == "__main__":
    harness.main()
