"""Several programs in one project at the same time: no change is lost."""

import fcntl
import json
import os
import pathlib
import subprocess
import time

import harness
from harness import BINARY, VARIANT
from loopback_hub import build


class Processes(harness.CliTest):
    def setUp(self):
        super().setUp()
        for name in ("one", "two", "three", "four"):
            self.hub.publish(f"demo/{name}", "v1", build(VARIANT, name=name))
        self.write_project()
        self.expect(0, "lock")
        plain = self.hub.answer

        def slowly(handler):
            time.sleep(0.2)
            plain(handler)

        self.hub.answer = slowly

    def start(self, *arguments):
        return subprocess.Popen([BINARY, *arguments], cwd=self.project, env=self.environment, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)

    def locked(self):
        return {entry["dependency"]["repo-id"] for entry in json.loads((self.project / "kernels.lock").read_text())}

    def test_all_that_is_added_is_there(self):
        processes = [self.start("add", f"demo/{name}") for name in ("two", "three", "four")] + [self.start("lock")]
        ends = [(*process.communicate(timeout=60), process.returncode) for process in processes]
        self.assertEqual([status for _, _, status in ends], [0] * 4, ends)
        project = (self.project / "kernels.toml").read_text()
        for name in ("one", "two", "three", "four"):
            self.assertIn(f'"demo/{name}" = 1', project)
        self.assertEqual(self.locked(), {"demo/one", "demo/two", "demo/three", "demo/four"})
        self.expect(0, "lock", "--check")
        said = "".join(err for _, err, _ in ends)
        pids = "|".join(str(process.pid) for process in processes)
        self.assertRegex(said, rf"waiting for process ({pids}), which changes the project in ")
        self.assertEqual(sorted(os.listdir(self.project)), ["kernels.lock", "kernels.sum", "kernels.toml"])

    def test_one_adds_and_one_removes_from_a_folder_below(self):
        below = self.project / "src"
        below.mkdir()
        self.expect(0, "add", "demo/two")
        adding = self.start("add", "demo/three")
        removing = subprocess.Popen([BINARY, "remove", "demo/two"], cwd=below, env=self.environment, stderr=subprocess.PIPE,
                                    stdout=subprocess.DEVNULL)
        self.assertEqual((adding.wait(60), removing.wait(60)), (0, 0))
        adding.communicate()
        removing.communicate()
        self.assertEqual(self.locked(), {"demo/one", "demo/three"})
        self.expect(0, "lock", "--check")

    def test_the_wait_ends(self):
        folder = os.open(self.project, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            for command in (["lock"], ["add", "demo/two"], ["remove", "demo/one"]):
                self.expect_error(1, f"still locked by process {os.getpid()} after 1 s", *command, "--lock-timeout", "1")
            self.expect(0, "lock", "--check")  # which writes nothing
        finally:
            os.close(folder)

    def test_an_editor_is_not_overwritten(self):
        file = pathlib.Path(self.project / "kernels.toml")
        edited = file.read_text() + "# by hand\n"
        lock = (self.project / "kernels.lock").read_bytes()
        answer = self.hub.answer

        def saved_meanwhile(handler):  # a request is sent when the file was read
            file.write_text(edited)
            answer(handler)

        self.hub.answer = saved_meanwhile
        self.expect_error(1, "changed by another program", "add", "demo/two", hint="run it again")
        self.assertEqual(file.read_text(), edited)
        self.assertEqual((self.project / "kernels.lock").read_bytes(), lock)
        self.hub.answer = answer
        self.expect(0, "add", "demo/two")
        self.assertIn("# by hand", file.read_text())


if __name__ == "__main__":
    harness.main()
