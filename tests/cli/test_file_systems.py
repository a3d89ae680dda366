"""Caches on file systems that lack something, and names that are as long as names can be."""

import errno
import os
import pathlib
import shutil
import socket
import subprocess

import harness
from harness import BINARY, TARGET, VARIANT
from loopback_hub import build

import syscalls
from fault_world import REPO, VERIFICATION, FaultTest


class FileSystems(harness.CliTest):
    def setUp(self):
        super().setUp()
        if not syscalls.supported():
            self.skipTest("no seccomp filter for this machine")
        self.publish_demo()
        self.write_project()

    def start(self, *arguments, preexec_fn=None):
        return subprocess.Popen([BINARY, *map(str, arguments)], cwd=self.project, env=self.environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=preexec_fn)

    def under(self, preexec_fn, *arguments, status=0):
        process = self.start(*arguments, preexec_fn=preexec_fn)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, status, out + err)
        return err

    def anew(self):
        shutil.rmtree(self.cache, ignore_errors=True)
        for path in self.project.glob("kernels.*"):
            if path.suffix != ".toml":
                path.unlink()

    def locks(self):
        return [path for path in (self.cache / ".locks").rglob("*") if path.is_file()]

    def test_without_flock_the_files_are_the_locks(self):
        for error in (errno.ENOSYS, errno.EOPNOTSUPP):
            with self.subTest(errno.errorcode[error]):
                self.anew()
                self.under(syscalls.without_flock(error), "lock")
                self.under(syscalls.without_flock(error), "download", *TARGET)
                self.assertEqual(self.locks(), [])
                self.expect(0, "download", *TARGET, "--offline")

    def library_lock(self):
        [link] = [path for path in self.cache.glob(f"*/snapshots/*/build/{VARIANT}/*.so")]
        name = link.resolve().name
        for path in (link.resolve(), link):
            path.unlink()
        return self.cache / ".locks" / "kernels--demo--one" / (name + ".lock")

    def test_a_lock_file_of_another_process_is_waited_for_or_taken_over(self):
        self.under(syscalls.without_flock(), "lock")
        self.under(syscalls.without_flock(), "download", *TARGET)
        lock = self.library_lock()
        lock.write_text(f"{os.getpid()}\n{socket.gethostname()}\n")
        err = self.under(syscalls.without_flock(), "download", *TARGET, "--lock-timeout", 1, status=1)
        self.assertIn(f"waiting for process {os.getpid()}", err)
        self.assertIn(f"still locked by process {os.getpid()} after 1 s", err)
        self.assertTrue(lock.exists())
        # Of another host nothing is known.
        lock.write_text(f"{os.getpid()}\nelsewhere\n")
        err = self.under(syscalls.without_flock(), "download", *TARGET, "--lock-timeout", 1, status=1)
        self.assertIn("if it is gone, remove the file", err)
        gone = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True, check=True).stdout.strip()
        lock.write_text(f"{gone}\n{socket.gethostname()}\n")
        self.under(syscalls.without_flock(), "download", *TARGET, "--lock-timeout", 1)
        self.assertEqual(self.locks(), [])

    def test_several_at_once_without_flock(self):
        self.under(syscalls.without_flock(), "lock")
        self.hub.slow = 0.1
        self.hub.requests.clear()
        processes = [self.start("download", *TARGET, preexec_fn=syscalls.without_flock()) for _ in range(3)]
        ends = [(*process.communicate(timeout=60), process.returncode) for process in processes]
        self.assertEqual([status for _, _, status in ends], [0, 0, 0], ends)
        self.assertEqual(len([path for path in self.hub.requests if path.startswith("/cdn/")]), 1)
        self.assertEqual(self.locks(), [])

    def test_without_hard_links(self):
        self.under(syscalls.without_links(), "lock")
        self.under(syscalls.without_links(), "download", *TARGET)
        self.expect(0, "lock", "--check")
        left = [path for folder in (self.project, self.cache) for path in folder.rglob(".kernels-*")]
        self.assertEqual(left, [])
        file = self.project / "kernels.toml"
        file.chmod(0o640)
        self.under(syscalls.without_links(), "add", "demo/two")
        self.assertEqual(file.stat().st_mode & 0o777, 0o640)
        self.assertIn("demo/two", file.read_text())

    def test_without_proc(self):
        wrapper = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"]
        probe = subprocess.run([*wrapper, "true"], capture_output=True)
        if probe.returncode != 0:
            self.skipTest("no mount namespaces here")
        if b"__asan_init" in pathlib.Path(BINARY).read_bytes():
            self.skipTest("AddressSanitizer needs /proc itself")
        for command in (["lock"], ["download", *TARGET]):
            done = subprocess.run([*wrapper, BINARY, *command], cwd=self.project, env=self.environment, capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
        self.expect(0, "lock", "--check")

    def test_the_longest_names(self):
        files = build(VARIANT)
        for length in (200, 240, 255):
            files[f"build/{VARIANT}/" + "n" * (length - 3) + ".py"] = b"x = %d\n" % length
        self.hub.publish("demo/one", "v1", files)
        self.expect(0, "lock")
        self.expect(0, "download", *TARGET)
        self.expect(0, "download", *TARGET, "--output", self.folder / "out")
        for path, data in files.items():
            if VARIANT in path:
                self.assertEqual((self.folder / "out" / "demo/one" / path).read_bytes(), data)
                [link] = self.cache.glob(f"kernels--demo--one/snapshots/*/{path}")
                self.assertEqual(link.read_bytes(), data)


class ReadOnly(harness.CliTest):
    """A cache that holds nothing and cannot be written."""

    def setUp(self):
        super().setUp()
        self.publish_demo()
        self.write_project()
        self.expect(0, "lock", "--cache", self.folder / "other")
        self.folder.chmod(0o755)
        self.project.chmod(0o777)
        self.cache.mkdir(mode=0o555)
        probe = subprocess.run(["touch", self.cache / "probe"], capture_output=True, preexec_fn=syscalls.as_nobody())
        self.assertNotEqual(probe.returncode, 0)
        self.room = self.folder / "tmp"
        self.room.mkdir()
        self.room.chmod(0o777)

    def as_nobody(self, *arguments):
        return subprocess.run([BINARY, *map(str, arguments)], cwd=self.project, env={**self.environment, "TMPDIR": str(self.room)},
                              capture_output=True, text=True, preexec_fn=syscalls.as_nobody())

    def test_who_only_asks_needs_no_room(self):
        for command in (["versions", "demo/one"], ["info", "demo/one"], ["outdated"], ["tree"], ["lock", "--check"], ["lock", "--upgrade"],
                        ["download", *TARGET, "--output", "out"]):
            with self.subTest(command):
                done = self.as_nobody(*command)
                self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(list(self.cache.iterdir()) + list(self.room.iterdir()), [])

    def test_who_fills_it_is_told_why_that_cannot_be(self):
        done = self.as_nobody("download", *TARGET)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, f"error: .*{self.cache}.*: Permission denied")
        self.assertIn("hint: choose a cache that can be written", done.stderr)


class Places(harness.CliTest):
    """Where things are, by the variables that huggingface_hub reads, in the forms that it takes."""

    def setUp(self):
        super().setUp()
        self.publish_demo()
        self.write_project()
        del self.environment["HF_HUB_CACHE"]

    def cache_for(self, **environment):
        return pathlib.Path(self.expect(0, "cache", "ls", "--json", ROOM=str(self.folder / "room"), **environment).json["cache"])

    def test_variables_in_them(self):
        room = self.folder / "room"
        for text, place in (("$ROOM/hf", room / "hf"), ("${ROOM}/hf", room / "hf"), ("~/hf", self.home / "hf"),
                            ("~/$ROOMS/x", self.home / "$ROOMS/x"), ("/a/${ROOM", pathlib.Path("/a/${ROOM")), ("/a/$", pathlib.Path("/a/$"))):
            with self.subTest(text):
                self.assertEqual(self.cache_for(HF_HUB_CACHE=text), place)
                self.assertEqual(self.cache_for(HUGGINGFACE_HUB_CACHE=text), place)
                self.assertEqual(self.cache_for(HF_HOME=text), place / "hub")
                self.assertEqual(self.cache_for(XDG_CACHE_HOME=text), place / "huggingface" / "hub")
        self.assertEqual(self.cache_for(KERNELS_CACHE="/a/$ROOM"), pathlib.Path("/a/$ROOM"))

    def test_the_token_by_either_name_and_a_path_with_variables(self):
        file = self.folder / "token"
        file.write_text("hf_one")
        for environment, origin in (({"HF_TOKEN": "hf_x", "HUGGING_FACE_HUB_TOKEN": "hf_y"}, "HF_TOKEN"),
                                    ({"HUGGING_FACE_HUB_TOKEN": "hf_y"}, "HUGGING_FACE_HUB_TOKEN"),
                                    ({"HF_TOKEN_PATH": "$ROOM/../token"}, "token")):
            with self.subTest(environment):
                (self.folder / "room").mkdir(exist_ok=True)
                text = self.expect(0, "env", ROOM=str(self.folder / "room"), **environment).out
                self.assertRegex(text, rf"(?m)oken.*{origin}")
                self.assertNotIn("hf_", text)

    def test_an_empty_option_is_refused(self):
        for option, value in (("--cache", "DIR"), ("--output", "DIR"), ("--endpoint", "URL"), ("--target", "SPEC")):
            with self.subTest(option):
                self.expect_error(2, f"{option}: its {value} is missing", "download", *TARGET, option, "")
                self.expect_error(2, f"{option}: its {value} is missing", "download", *TARGET, option + "=")
        self.assertEqual([path.name for path in self.project.iterdir()], ["kernels.toml"])


class LocksThatExcludeNobody(FaultTest):
    """As some network file systems grant them: each process writes to a file of its own."""

    def setUp(self):
        super().setUp()
        if not syscalls.supported():
            self.skipTest("no seccomp filter for this machine")

    def parts(self):
        return [*self.cache.glob("*/blobs/*.incomplete")]

    def start(self):
        process = subprocess.Popen([BINARY, "download", str(self.project), *TARGET], env=self.environment, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=syscalls.without_flock(0))
        self.addCleanup(process.kill)
        return process

    def test_wrong_bytes_of_one_leave_the_right_ones_of_the_other(self):
        self.serve("slow=300000:/_cdn/*")
        wrong = self.start()
        self.wait_for(lambda: any(p.stat().st_size > 100_000 for p in self.parts()), "a part")
        self.serve()
        right = self.start()
        out, err = right.communicate(timeout=60)
        self.assertEqual(right.returncode, 0, out + err)
        self.assert_complete()
        self.assertIsNone(wrong.poll())
        with open(self.data / REPO / "v1" / "build" / VARIANT / "_one.abi3.so", "r+b") as served:
            served.seek(900_000)
            served.write(b"wrong")
        out, err = wrong.communicate(timeout=60)
        self.assertEqual(wrong.returncode, VERIFICATION, out + err)
        self.assert_complete()
        self.assertEqual(self.parts(), [])

    def test_a_part_is_continued_by_one(self):
        hub = self.serve("slow=300000:/_cdn/*")
        first = self.start()
        self.wait_for(lambda: any(p.stat().st_size > 100_000 for p in self.parts()), "a part")
        second = self.start()
        self.wait_for(lambda: len(self.parts()) == 2, "a part of each")
        for process in (first, second):
            out, err = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 0, out + err)
        self.assert_complete()
        self.assertEqual(self.parts(), [])
        # What a killed one left is gone on with.
        self.forget()
        first = self.start()
        self.wait_for(lambda: any(p.stat().st_size > 100_000 for p in self.parts()), "a part")
        first.kill()
        first.communicate()
        [part] = self.parts()
        hub = self.serve()
        self.kernels("download")
        [request] = [r for r in hub.requests() if r["path"].startswith("/_cdn/")]
        self.assertEqual(request["status"], 206)
        self.assert_complete()
        self.assertEqual(self.parts(), [])


if __name__ == "__main__":
    harness.main()
