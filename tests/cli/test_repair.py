"""A kernels.lock or kernels.sum that cannot be used: what is said of it, and that the way out which is named leads out."""

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


class Gone(harness.CliTest):
    """A branch was rewritten, and the Hub has forgotten the commit that is locked."""

    def rewrite(self, repo, branch="v1"):
        old = self.hub.commit_of(repo, branch)
        new = self.hub.publish(repo, branch, build(VARIANT, name="new"))
        del self.hub.repos[repo]["commits"][old]
        return old, new

    def expect_gone(self, commit, *arguments, hint):
        result = self.expect_error(4, f"the Hub no longer has the locked commit {commit}", *arguments, hint=hint)
        self.assertEqual(result.err.count("no longer has"), 1, result)
        return result

    def test_the_way_out_is_named_and_leads_out(self):
        self.publish_demo()
        self.write_project('"demo/two" = 1')
        self.expect(0, "lock")
        old, new = self.rewrite("demo/one")
        elsewhere = ["--cache", self.folder / "other"]
        way = "`kernels lock --upgrade demo/one`"
        self.expect(0, "lock")  # the cache knows all that a lock is made of
        self.expect_gone(old, "download", *TARGET, hint=way)  # a listing, and not the files
        for command in (["download", *TARGET], ["download", "--locked", *TARGET], ["tree"]):
            self.expect_gone(old, *command, *elsewhere, hint=way)
        for command in (["lock"], ["lock", "--check"], ["lock", "--upgrade", "demo/two"]):
            result = self.expect_gone(old, *command, *elsewhere, hint=way)
            self.assertIn("(needed by demo/two@v1 -> demo/one@v1)", result.err)
        self.expect(0, "lock", "--upgrade", "demo/one", *elsewhere)
        self.assertIn(new, (self.project / "kernels.lock").read_text())
        self.expect(0, "download", "--locked", *TARGET, *elsewhere)

    def test_a_commit_that_was_asked_for_by_itself(self):
        commit = self.hub.publish("demo/one", "main", build(VARIANT))
        self.write_project(f'"demo/one" = {{ revision = "{commit}" }}')
        self.expect(0, "lock")
        self.rewrite("demo/one", "main")
        shutil.rmtree(self.cache)
        self.expect_gone(commit, "download", *TARGET, hint="name another revision")

    def test_a_repository_that_is_gone_is_no_rewritten_branch(self):
        self.publish_demo()
        self.write_project()
        self.expect(0, "lock")
        shutil.rmtree(self.cache)
        del self.hub.repos["demo/one"]
        self.expect_error(4, "no such kernel repository", "download", *TARGET)
        self.hub.publish("demo/one", "v1", {f"build/{VARIANT}/__init__.py": b""})
        self.write_project('"demo/one" = 1')
        (self.project / "kernels.lock").unlink()
        (self.project / "kernels.sum").unlink()
        self.expect_error(4, "there is no build/", "lock")


if __name__ == "__main__":
    harness.main()
