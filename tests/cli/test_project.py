"""The happy path: lock, check, upgrade, download, offline."""

import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time

import harness
from harness import TARGET, VARIANT
from loopback_hub import build, git_oid

import terminal


def screens(seen):
    """What a terminal shows after each whole drawing, and at the end: its lines, as our control sequences leave them."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\033\[[\d;]*[A-Za-z]|[\r\n]|[^\033\r\n]+", seen):
        if part == "\r":
            column = 0
        elif part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part.endswith("A") and part.startswith("\033"):
            row -= int(part[2:-1])
        elif part == "\033[K":
            lines[row] = lines[row][:column]
        elif part == "\033[J":
            lines[row:] = [lines[row][:column]]
            yield list(lines)
        elif part.endswith("m") and part.startswith("\033"):
            pass  # a colour
        elif part.startswith("\033"):
            raise ValueError(f"not a sequence that the bars use: {part!r}")
        else:
            lines[row] = lines[row][:column].ljust(column) + part + lines[row][column + len(part):]
            column += len(part)
    yield list(lines)


class Lock(harness.CliTest):
    def lock_file(self):
        return self.project / "kernels.lock"

    def test_writes_commits_of_the_whole_tree(self):
        self.publish_demo()
        self.write_project('"demo/two" = 1')
        result = self.expect(0, "lock", "--json")
        one, two = (self.hub.commit_of(f"demo/{name}", "v1") for name in ("one", "two"))
        self.assertEqual(result.json["kernels"], [{"repo": "demo/one", "version": 1, "commit": one},
                                                  {"repo": "demo/two", "version": 1, "commit": two}])
        self.assertTrue(result.json["written"])
        expected = [{"dependency": {"repo-id": repo, "version": 1}, "lock": {"commit": commit}}
                    for repo, commit in (("demo/one", one), ("demo/two", two))]
        self.assertEqual(self.lock_file().read_text(), json.dumps(expected, indent=2))

    def test_the_folder_as_argument_as_option_and_from_below(self):
        self.publish_demo()
        self.write_project()
        below = self.project / "a" / "b"
        below.mkdir(parents=True)
        for arguments in (["lock", self.project], ["lock", "--project", self.project], ["--project", below, "lock"]):
            self.expect(0, *arguments)
            self.lock_file().unlink()
        self.expect_error(2, "twice", "lock", self.project, "--project", self.project)

    def test_check_writes_nothing_and_says_what_differs(self):
        self.publish_demo()
        self.write_project()
        self.expect(0, "lock")
        before = self.lock_file().read_bytes()
        self.expect(0, "lock", "--check")
        self.write_project('"demo/one" = 1\n"demo/two" = 1')
        result = self.expect_error(3, "kernels.lock: out of date", "lock", "--check", hint="kernels lock")
        self.assertIn("demo/two@v1", result.err)
        self.assertEqual(self.lock_file().read_bytes(), before)
        self.expect_error(3, "does not cover", "download", "--locked", *TARGET)
        self.expect(0, "lock")
        self.expect(0, "download", "--locked", *TARGET)

    def test_entries_stay_until_they_are_upgraded(self):
        self.publish_demo()
        self.write_project('"demo/one" = 1\n"demo/two" = 1')
        self.expect(0, "lock")
        old = self.lock_file().read_text()
        new_one = self.hub.publish("demo/one", "v1", build(VARIANT, size=99))
        new_two = self.hub.publish("demo/two", "v1", build(VARIANT, name="two", size=99))
        self.expect(0, "lock")
        self.assertEqual(self.lock_file().read_text(), old)
        self.expect(0, "lock", "--upgrade", "demo/one")
        self.assertIn(new_one, self.lock_file().read_text())
        self.assertNotIn(new_two, self.lock_file().read_text())
        self.expect_error(3, "out of date", "lock", "--check", "--upgrade", hint="kernels lock --upgrade")
        self.expect(0, "lock", "--upgrade")
        self.assertIn(new_two, self.lock_file().read_text())
        self.expect_error(4, "demo/noe", "lock", "--upgrade=demo/noe", hint="demo/one")

    def test_check_for_targets(self):
        self.publish_demo()
        self.write_project('"demo/two" = 1')
        cuda = ["--target", "torch=2.13,cuda=12.8"]
        self.expect_error(7, "demo/two", "lock", *TARGET, *cuda)  # demo/one has a build for CUDA
        self.assertFalse(self.lock_file().exists())
        self.expect(0, "lock", *TARGET)
        self.expect(0, "lock", "--check", *TARGET)
        self.expect_error(7, "no build fits torch=2.13,cuda=12.8", "lock", "--check", *cuda)
        self.expect_error(7, "2 builds are missing", "lock", "--check", "--target", "torch=2.1", *TARGET)

    def test_revisions(self):
        self.publish_demo()
        commit = self.hub.publish("demo/one", "main", build(VARIANT, size=50))
        self.write_project('"demo/one" = { revision = "main" }')
        self.assertEqual(self.expect(0, "lock", "--json").json["kernels"],
                         [{"repo": "demo/one", "revision": "main", "commit": commit}])


class Download(harness.CliTest):
    def setUp(self):
        super().setUp()
        self.publish_demo()
        self.write_project()
        self.expect(0, "lock")

    def test_one_build_then_no_request_at_all(self):
        result = self.expect(0, "download", "--json", *TARGET)
        [found] = result.json["builds"]
        self.assertEqual((found["repo"], found["version"], found["variant"]), ("demo/one", 1, VARIANT))
        published = build(VARIANT)
        self.assertEqual({f["path"] for f in found["files"]}, set(published))
        for entry in found["files"]:
            self.assertEqual(entry["url"], f"{self.hub.url}/kernels/demo/one/resolve/{found['commit']}/{entry['path']}")
            self.assertEqual(entry["transferred"], 0 if entry["path"].endswith("metadata.json") else entry["size"])
            with open(entry["file"], "rb") as file:
                self.assertEqual(file.read(), published[entry["path"]])
        self.hub.requests.clear()
        again = self.expect(0, "download", *TARGET)
        self.assertEqual(self.hub.requests, [])
        self.assertIn("complete", again.out)
        self.expect(0, "download", "--offline", *TARGET)

    def test_all_variants_and_several_targets(self):
        targets = [*TARGET, "--target", "torch=2.13,cuda=12.8"]
        self.assertEqual(len(self.expect(0, "download", "--json", *targets).json["builds"]), 2)
        self.assertEqual(len(self.expect(0, "download", "--json", "--all-variants").json["builds"]), 2)

    def test_where_output_goes(self):
        result = self.expect(0, "download", *TARGET)
        self.assertIn(VARIANT, result.out)
        self.assertEqual(result.err.count("downloaded demo/one: "), 3, result)  # a line a file (lock has the fourth)
        self.assertNotIn("\033", result.err + result.out)

    def test_quiet_and_no_progress(self):
        for switch in (["--no-progress"], ["--quiet"]):
            result = self.expect(0, "download", "--cache", self.folder / switch[0], *switch, *TARGET)
            self.assertEqual(result.err, "", switch)
        self.assertEqual(result.out, "")
        result = self.expect(0, "download", *TARGET, HF_HUB_DISABLE_PROGRESS_BARS="1")
        self.assertEqual(result.err, "")

    def test_a_folder_with_a_lock_alone(self):
        (self.project / "kernels.toml").unlink()
        self.expect(0, "download", *TARGET)

    def on_a_terminal(self, *arguments, **environment):
        """stderr is a terminal, stdout is not; gives what the terminal saw."""
        return terminal.run([harness.BINARY, *arguments], stdout=subprocess.DEVNULL, cwd=self.project,
                            env={**self.environment, "TERM": "xterm", **environment})

    def test_waiting_for_another_process_is_said_and_ends(self):
        library = build(VARIANT)[f"build/{VARIANT}/_demo.abi3.so"]
        lock = self.cache / ".locks" / "kernels--demo--one" / (hashlib.sha256(library).hexdigest() + ".lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
        with open(lock, "w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            for quiet in ([], ["--quiet"], ["--json"]):
                result = self.run_kernels("download", "--lock-timeout", "1", *quiet, *TARGET)
                self.assertEqual(result.status, 1, result)
                self.assertIn(f"waiting for process {os.getpid()}, which downloads", result.err)
                self.assertIn(f"still locked by process {os.getpid()}", result.err + result.out)
        self.expect(0, "download", *TARGET)

    def test_lock_says_it_too(self):
        data = build(VARIANT)[f"build/{VARIANT}/metadata.json"]
        shutil.rmtree(self.cache)
        (self.project / "kernels.lock").unlink()
        lock = self.cache / ".locks" / "kernels--demo--one" / f"{git_oid(data)}.lock"
        lock.parent.mkdir(parents=True)
        with open(lock, "w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            for quiet in ([], ["--quiet"]):
                result = self.expect_error(1, f"still locked by process {os.getpid()} after 1 s", "lock", "--lock-timeout", "1", *quiet)
                self.assertIn(f"waiting for process {os.getpid()}, which downloads build/{VARIANT}/metadata.json", result.err)
        self.assertFalse((self.project / "kernels.lock").exists())

    def test_contradicting_options(self):
        for arguments in (["download", "--all-variants", *TARGET], ["download", "--all-variants", "--torch", "2.13"],
                          ["info", "demo/one", "--version", "1", "--revision", "main"], ["info", str(self.folder), "--version", "1"],
                          ["cache", "verify", "--dry-run"], ["download", str(self.project), "--project", str(self.project)]):
            with self.subTest(arguments):
                self.expect_error(2, "", *arguments)
        self.assertEqual([path for path in self.cache.rglob("*") if path.name.endswith(".so")], [])

    def test_messages_take_the_place_of_the_bar(self):
        self.hub.publish("demo/one", "v1", build(VARIANT, size=100000))
        self.expect(0, "lock", "--upgrade")
        self.hub.slow = 0.03
        library = build(VARIANT, size=100000)[f"build/{VARIANT}/_demo.abi3.so"]
        lock = self.cache / ".locks" / "kernels--demo--one" / (hashlib.sha256(library).hexdigest() + ".lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
        with open(lock, "w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            threading.Timer(1, lambda: fcntl.flock(held, fcntl.LOCK_UN)).start()
            status, seen = self.on_a_terminal("download", "-vv", *TARGET)
        self.assertEqual(status, 0, seen)
        self.assertIn("3/3 files", seen)
        *_, last = screens(seen)
        self.assertTrue([line for line in last if "waiting for process" in line], last)
        self.assertEqual([line for line in last if line.startswith("[")], [], last)

    def test_bars_on_a_terminal(self):
        """One for each file that is under way and one for all, gone at the end."""
        self.hub.publish("demo/one", "v1", build(VARIANT, size=200000))
        self.hub.publish("demo/three", "v1", build(VARIANT, name="three", size=300000))
        self.write_project('"demo/one" = 1\n"demo/three" = 1')
        self.expect(0, "lock", "--upgrade")
        self.hub.slow = 0.02
        status, seen = self.on_a_terminal("download", *TARGET)
        self.assertEqual(status, 0, seen)
        *all_screens, last = screens(seen)
        self.assertEqual([line for line in last if line], [])
        both = [lines for lines in all_screens if len(lines) == 3 and "files" in lines[2] and "three/" in lines[1] + lines[0]]
        self.assertTrue(both, seen)
        rows = sorted(both[-1][:2], key=lambda line: "three" in line)
        self.assertRegex(rows[0], r"^\[#*\.*\] one/_demo.abi3.so  [\d.]+ \w+ of 195.3 KiB  [\d.]+ \w+/s(  \d+ s left)?$")
        self.assertRegex(rows[1], r"^\[#*\.*\] three/_three.abi3.so  [\d.]+ \w+ of 293.0 KiB  [\d.]+ \w+/s(  \d+ s left)?$")
        self.assertRegex(both[-1][2], r"^\[#*\.*\] \d/\d files  .* of 48\d.\d KiB  .*/s(  \d+ s left)?$")
        self.assertTrue(any("s left" in lines[-1] for lines in all_screens))
        self.assertTrue(any(re.search(r"three.abi3.so  .* s left$", lines[0]) for lines in all_screens), all_screens)
        self.assertRegex(seen, r" (\d)/\1 files")

    def test_colour_only_on_that_very_terminal(self):
        _, seen = self.on_a_terminal("lock", "nowhere")
        self.assertIn("\033[", seen)
        _, seen = self.on_a_terminal("lock", "nowhere", NO_COLOR="1")
        self.assertNotIn("\033[", seen)
        _, seen = self.on_a_terminal("lock", "nowhere", "--color", "never")
        self.assertNotIn("\033[", seen)
        self.assertNotIn("\033[", self.run_kernels("lock", "nowhere").err)
        self.assertIn("\033[", self.run_kernels("lock", "nowhere", "--color", "always").err)

    def test_interrupted_is_130_and_resumes(self):
        self.hub.publish("demo/big", "v1", build(VARIANT, name="big", size=400000))
        self.write_project('"demo/big" = 1')
        self.expect(0, "lock")
        self.hub.slow = 0.05
        process = subprocess.Popen([harness.BINARY, "download", *TARGET], cwd=self.project, env=self.environment,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            partial = [p for p in self.cache.glob("kernels--demo--big/blobs/*.incomplete") if p.stat().st_size > 8192]
            if partial:
                break
            time.sleep(0.02)
        self.assertTrue(partial)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        self.assertLess(time.monotonic() - started, harness.seconds(2))
        self.assertEqual(process.returncode, 130, err)
        self.assertEqual(err.count("error: "), 1, err)
        self.hub.slow = 0
        [partial] = self.cache.glob("kernels--demo--big/blobs/*.incomplete")
        kept = partial.stat().st_size
        self.assertGreater(kept, 0)
        result = self.expect(0, "download", "--json", *TARGET)
        library = [f for f in result.json["builds"][0]["files"] if f["path"].endswith(".so")][0]
        self.assertEqual(library["transferred"], 400000 - kept)


if __name__ == "__main__":
    harness.main()
