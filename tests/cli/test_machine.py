"""The machine is at fault: the disk, the file system, the clock, the user who presses Ctrl-C. The outcome is that of
test_faults.py: success, or one clear line and the documented status, and a sound cache."""

import fcntl
import hashlib
import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import threading
import time
import unittest

import harness
from fault_world import FAILED, LIBRARY, NETWORK, REPO, FaultTest, files
from harness import BINARY, TARGET, VARIANT

import preload
import syscalls


class Machine(FaultTest):
    def protect_cache(self):
        self.folder.chmod(0o755)
        for path in (self.cache, *self.cache.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o555 if path.is_dir() else 0o444)

    @contextlib.contextmanager
    def read_only_cache(self):
        """For syscalls.as_nobody(): root writes all the same."""
        self.protect_cache()
        try:
            yield
        finally:
            for path in (self.cache, *self.cache.rglob("*")):
                if path.is_dir() and not path.is_symlink():
                    path.chmod(0o755)

    def test_a_read_only_cache_is_used(self):
        self.kernels("download")
        for record in self.cache.glob("*/verified"):
            record.unlink()
        before = sorted(map(str, self.cache.rglob("*")))
        with self.read_only_cache():
            probe = subprocess.run(["touch", self.cache / "probe"], capture_output=True, preexec_fn=syscalls.as_nobody())
            self.assertNotEqual(probe.returncode, 0)
            hub = self.serve()
            self.kernels("download", preexec_fn=syscalls.as_nobody())
            self.assertEqual(hub.requests(), [])
            self.kernels("download", "--offline", preexec_fn=syscalls.as_nobody())
            self.assertEqual(sorted(map(str, self.cache.rglob("*"))), before)
            (self.project / "kernels.lock").unlink()
            self.publish(REPO, "v1", {f"build/{VARIANT}/more.py": b"# new\n"})
            self.serve()
            self.kernels("lock")  # as root, for a commit that the cache has not
            self.protect_cache()
            done = self.kernels("download", preexec_fn=syscalls.as_nobody(), status=FAILED)
            self.assertIn("by HF_HUB_CACHE say (--cache DIR)", done.stderr)

    def test_a_read_only_cache_and_a_lock_that_is_compared(self):
        """What kernels need is read in the metadata of all their builds, which a download need not have fetched."""
        other = "torch212-cxx11-cpu-x86_64-linux"
        metadata = json.loads(files()[f"build/{VARIANT}/metadata.json"])
        metadata["kernel-depends"] = [{"repo-id": "demo/needed", "version": 1}]
        self.publish(REPO, "v1", {f"build/{other}/metadata.json": json.dumps(metadata).encode()})
        self.publish("demo/needed", "v1", files("needed"))
        self.serve()
        self.kernels("lock", "--upgrade")
        whole = (self.project / "kernels.lock").read_text()
        self.forget()
        self.kernels("download")
        with self.read_only_cache():
            self.kernels("download", "--locked", preexec_fn=syscalls.as_nobody())
            entries = [entry for entry in json.loads(whole) if entry["dependency"]["repo-id"] == REPO]
            (self.project / "kernels.lock").write_text(json.dumps(entries, indent=2))
            done = self.kernels("download", "--locked", preexec_fn=syscalls.as_nobody(), status=3)
            (self.project / "kernels.lock").write_text(whole)
            done_without_room = self.kernels("download", "--locked", preexec_fn=syscalls.as_nobody(), TMPDIR="/proc")
        self.assertIn("demo/needed@v1", done.stderr)
        self.assertIn("was not compared with the lock", done_without_room.stderr)

    def full_disk(self, place):
        """Something that makes the disk full behind the library's first half: (name, keyword arguments of `kernels`)."""
        def limited():
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))

        yield "a file size limit", "File too large", {"preexec_fn": limited}
        mounts = ["unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o size=700k none {place} && exec "$@"', "sh"]
        if subprocess.run([*mounts, "true"], capture_output=True).returncode == 0:
            yield "a small file system", "No space left on device", {"wrapper": mounts}
        else:
            print("no mount namespaces: a small file system is left out")
        if syscalls.supported():
            import errno

            yield "a disk that is full at fsync", "No space left on device", {"preexec_fn": syscalls.without_sync(errno.ENOSPC)}

    def test_a_full_disk(self):
        for name, reason, how in self.full_disk(self.cache):
            with self.subTest(name):
                self.forget()
                self.cache.mkdir()
                done = self.kernels("download", status=FAILED, **how)
                self.assertIn(reason, done.stderr)
                self.assertIn("hint: raise the limit on the size of files" if reason == "File too large" else "hint: free some room", done.stderr)
                self.assertEqual([*self.cache.glob(f"*/snapshots/*/build/{VARIANT}/*.so")], [])
                self.kernels("download")
                self.assert_complete()

    def test_a_folder_that_is_full(self):
        """What to do is about the folder then, and not about the cache."""
        self.forget()
        folder = self.folder / "image"
        for name, reason, how in self.full_disk(folder):
            with self.subTest(name):
                folder.mkdir(exist_ok=True)
                done = self.kernels("download", "-o", folder, status=FAILED, **how)
                self.assertIn(reason, done.stderr)
                self.assertIn("hint: raise the limit on the size of files (ulimit -f)\n" if reason == "File too large" else
                              "choose another folder (--output DIR)", done.stderr)
                self.assertNotIn("HF_HUB_CACHE", done.stderr)

    @unittest.skipUnless(syscalls.supported(), "no seccomp filter for this machine")
    def test_a_file_system_without_symlinks(self):
        self.forget()
        probe = subprocess.run(["ln", "-s", "x", self.folder / "link"], capture_output=True, preexec_fn=syscalls.without_symlinks())
        self.assertNotEqual(probe.returncode, 0)
        self.kernels("download", preexec_fn=syscalls.without_symlinks())
        self.assertEqual([p for p in self.cache.rglob("*") if p.is_symlink()], [])
        self.assert_complete()
        hub = self.serve()
        self.kernels("download", preexec_fn=syscalls.without_symlinks())
        self.kernels("download")
        self.assertEqual(hub.requests(), [])
        self.kernels("download", "--offline")
        self.expect(0, "cache", "verify")
        [copy] = self.cache.glob(f"*/snapshots/*/build/{VARIANT}/layers.py")
        copy.write_bytes(copy.read_bytes()[::-1])
        self.assertIn(str(copy), self.expect(6, "cache", "verify").err)
        os.utime(copy, (1, 1))
        self.kernels("download", preexec_fn=syscalls.without_symlinks())
        self.assert_complete()

    @unittest.skipUnless(syscalls.supported(), "no seccomp filter for this machine")
    def test_offline_opens_no_socket(self):
        self.kernels("download")
        closed = {"preexec_fn": syscalls.without_sockets()}
        # The filter bites: with a network to ask, the process dies of it.
        shutil.copytree(self.cache, self.folder / "kept")
        self.forget()
        self.kernels("download", status=syscalls.KILLED, **closed)
        self.forget()
        (self.folder / "kept").rename(self.cache)
        for more, environment in ((["--offline"], {}), ([], {"HF_HUB_OFFLINE": "1"})):
            self.kernels("download", *more, **closed, **environment)
            self.kernels("lock", *more, **closed, **environment)
            self.kernels("lock", "--check", *more, **closed, **environment)
        # What is complete asks nobody either.
        self.kernels("download", **closed)
        for arguments in (["info", REPO, "--offline"], ["versions", REPO, "--offline"], ["tree", "--offline"], ["cache", "verify"],
                          ["cache", "ls"], ["env"], ["outdated", "--offline"]):
            done = subprocess.run([BINARY, *arguments], capture_output=True, text=True, cwd=self.project, env=self.environment, **closed)
            self.assertEqual(done.returncode, 0, f"{arguments}: {done.stderr}")
        # A cold cache says what is missing and how to get it.
        self.forget()
        done = self.kernels("download", "--offline", status=NETWORK, **closed)
        self.assertIn("is not in the cache, and this is offline", done.stderr)
        self.assertIn("kernels download", done.stderr)

    def far_off(self):
        """(what the clock is called, its year, what to add to the environment), before all that is here and behind it."""
        for name, years in (("years behind", -40), ("years ahead", 60)):
            clock = preload.other_clock(self.folder, years * 31_557_600)
            shown = subprocess.run(["date", "+%Y"], env={**self.environment, **clock}, capture_output=True, text=True).stdout.strip()
            self.assertLess(abs(int(shown) - time.gmtime().tm_year - years), 2)  # the program is shown that clock
            yield name, shown, clock

    @unittest.skipUnless(preload.supported(), "no compiler for another clock")
    def test_a_clock_that_is_far_off(self):
        """This machine's clock, and the times of files and dates of servers, are years apart, in both directions."""
        for name, _, clock in self.far_off():
            with self.subTest(name):
                self.forget()
                hub = self.serve("retry-after-date=1:*/tree/*:1")
                begin = time.monotonic()
                self.kernels("download", **clock)
                self.assertEqual([r["status"] for r in hub.requests() if "/tree/" in r["path"]], [429, 200])
                self.assertLess(time.monotonic() - begin, harness.seconds(20))  # the date counts by the server's clock
                self.assert_complete()
                hub = self.serve()
                self.kernels("download", **clock)
                self.kernels("download")
                for seconds in (0, 7_000_000_000):
                    for path in self.cache.rglob("*"):
                        if path.is_file() and not path.is_symlink():
                            os.utime(path, (seconds, seconds))
                    self.kernels("download", **clock)
                self.assertEqual(hub.requests(), [])
                self.kernels("lock", "--upgrade", **clock)
                self.kernels("download", "--offline", **clock)
                done = subprocess.run([BINARY, "cache", "verify"], env={**self.environment, **clock}, capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, done.stderr)

    @unittest.skipUnless(preload.supported(), "no compiler for another clock")
    def test_a_clock_that_is_far_off_and_certificates(self):
        """A certificate that is not valid yet, or no longer, by this machine's clock: the message shows its date."""
        if not shutil.which("openssl"):
            self.skipTest("no openssl to make certificates")
        import http.server
        import ssl

        certificate, key = self.folder / "certificate.pem", self.folder / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-subj",
                        "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"], capture_output=True, check=True)
        server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None
        threading.Thread(target=server.serve_forever, daemon=True).start()
        connections = []
        accept = server.socket.accept
        server.get_request = lambda: (connections.append(1), accept())[1]
        try:
            for name, year, clock in self.far_off():
                with self.subTest(name):
                    self.forget()
                    connections.clear()
                    done = self.kernels("download", "--endpoint", f"https://localhost:{server.server_port}", status=NETWORK,
                                        CURL_CA_BUNDLE=str(certificate), **clock)
                    self.assertEqual(len(connections), 1)  # trying again cannot help
                    self.assertIn("certificate", done.stderr)
                    self.assertIn(f"this machine's clock ({year}-", done.stderr)
                    self.assertIn(str(certificate), done.stderr)
        finally:
            server.shutdown()
            server.server_close()

    @unittest.skipUnless(preload.supported(), "no compiler to watch what is synced")
    def test_copies_are_synced_before_they_get_their_names(self):
        self.forget()
        log = self.folder / "synced"
        self.kernels("download", **preload.copying(self.folder, log))
        self.assertEqual([p for p in self.cache.rglob("*") if p.is_symlink()], [])
        self.assert_complete()
        synced = [line.rsplit("/", 1)[-1] for line in log.read_text().splitlines() if "/unfinished/.kernels-" in line]
        # Each copy under a temporary name of its own.
        self.assertEqual(len(set(synced)), len(files()), synced)
        self.assertTrue(all(name.endswith(".incomplete") for name in synced), synced)

    @unittest.skipUnless(preload.supported(), "no compiler to run out of threads")
    def test_where_the_system_gives_few_threads(self):
        self.forget()
        done = self.kernels("download", status=FAILED, **preload.few_threads(self.folder, 0))
        self.assertIn("no thread can be started: ", done.stderr)
        self.assertIn("ulimit -u", done.stderr)
        for most in (1, 2, 3):
            self.forget()
            few = preload.few_threads(self.folder, most)
            self.kernels("download", **few)
            self.assert_complete()
            subprocess.run([BINARY, "cache", "verify"], check=True, capture_output=True, env={**self.environment, **few})

    def interrupt(self, process):
        """Presses Ctrl-C: the end comes within a second, with its status and one line. Gives what was said."""
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        self.assertLess(time.monotonic() - begin, harness.seconds(1))
        self.assertEqual((process.returncode, err.count("error: ")), (130, 1), err)
        return err

    def test_without_standard_streams(self):
        """What is written to them goes nowhere, and never into a file that got their number."""
        self.forget()
        for closed in ("<&- >&- 2>&-", ">&- 2>&-", "2>&-"):
            for more in ("", "--output out"):
                with self.subTest(closed=closed, more=more):
                    shutil.rmtree(self.project / "out", ignore_errors=True)
                    if not more:
                        self.forget()
                    done = subprocess.run(["sh", "-c", f'exec "$0" download -vv "$@" {more} {closed}', BINARY, *TARGET],
                                          cwd=self.project, env=self.environment, stdout=subprocess.DEVNULL, timeout=60)
                    # Who closes stdout is told that nothing could be written there, where something is.
                    self.assertIn(done.returncode, (0, 1) if ">&- " in closed else (0,))
                    self.assert_complete()
                    for path, data in files().items():
                        if more:
                            self.assertEqual((self.project / "out" / REPO / path).read_bytes(), data)

    def test_an_interrupt_that_the_caller_ignores_is_ignored(self):
        self.forget()
        self.serve("slow=500000:/_cdn/*")
        process = self.start("download", *TARGET, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
        self.wait_for(lambda: any(p.stat().st_size > 100_000 for p in self.cache.glob("*/blobs/*.incomplete")), "a part")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 0, err)
        self.assert_complete()

    def start(self, command, *more, preexec_fn=None, **environment):
        return subprocess.Popen([BINARY, command, str(self.project), *more], env={**self.environment, **environment}, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=preexec_fn)

    @unittest.skipUnless(preload.supported(), "no C compiler")
    def test_interrupted_while_the_disk_takes_its_time(self):
        self.forget()
        slow = preload.library(self.folder, "slow_fsync", f"""
#include <fcntl.h>
#include <unistd.h>
int fsync(int file) {{ close(open("{self.folder}/fsync-begun", O_CREAT | O_WRONLY, 0600)); for (;;) pause(); }}
""")
        process = self.start("download", *TARGET, **slow)
        self.wait_for(lambda: (self.folder / "fsync-begun").exists(), "the sync of a file")
        process.send_signal(signal.SIGINT)
        begin = time.monotonic()
        _, err = process.communicate(timeout=30)
        self.assertLess(time.monotonic() - begin, harness.seconds(2))
        self.assertEqual((process.returncode, err.splitlines()[-1]), (130, "error: interrupted"))
        self.assert_sound()
        self.kernels("download")
        self.assert_complete()

    def test_interrupted_within_a_second_and_resumed(self):
        """Whatever the network does: a body, an answer that does not come, a pause before a retry."""
        for fault in ("slow=200000:/_cdn/*", "stall=30:*/tree/*", "retry-after=50:*/tree/*"):
            with self.subTest(fault):
                self.forget()
                hub = self.serve(fault)
                process = self.start("download", *TARGET)
                if fault.startswith("slow"):
                    self.wait_for(lambda: any(p.stat().st_size > 100_000 for p in self.cache.glob("*/blobs/*.incomplete")), "a part")
                elif fault.startswith("stall"):
                    time.sleep(1)  # the request is out, the answer is not
                else:
                    self.wait_for(lambda: hub.requests(), "an answer")
                self.interrupt(process)
                self.assert_sound()
                kept = sum(p.stat().st_size for p in self.cache.glob("*/blobs/*.incomplete"))
                hub = self.serve()
                self.kernels("download")
                self.assert_complete()
                if fault.startswith("slow"):
                    self.assertIn(f"bytes={kept}-", [r["range"] for r in hub.requests()])

    def test_a_long_wait_is_said(self):
        for fault, option, said in (("stall=30:*/tree/*", "--quiet", "waiting for {url}, which has been silent for 5 s"),
                                    ("retry-after=50:*/tree/*", "--quiet", "{url} answered 429; trying again in 50 s")):
            with self.subTest(fault):
                self.forget()
                url = self.serve(fault).url
                process = self.start("download", *TARGET, option)
                self.assertEqual(next(process.stderr, "").rstrip(), said.format(url=url))
                self.interrupt(process)

    def test_interrupted_while_it_waits_for_a_lock(self):
        self.forget()
        sha256 = hashlib.sha256(LIBRARY).hexdigest()
        held = self.cache / ".locks" / f"kernels--{REPO.replace('/', '--')}" / f"{sha256}.lock"
        held.parent.mkdir(parents=True)
        with held.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            process = self.start("download", *TARGET)
            self.assertTrue(any(f"waiting for process {os.getpid()}" in line for line in process.stderr))
            self.interrupt(process)
        self.kernels("download")
        self.assert_complete()

    @unittest.skipUnless(preload.supported(), "no compiler for a slow look-up of names")
    def test_interrupted_while_a_name_is_looked_up(self):
        slow = preload.slow_lookup(self.folder, 8)
        for more in ([], ["--jobs", "1"]):
            process = self.start("lock", "--endpoint", "http://slow.invalid:1", "--cache", str(self.folder / "new"), "-vv", *more, **slow)
            for line in process.stderr:
                if "GET " in line:
                    break
            time.sleep(0.5)
            self.assertIsNone(process.poll())  # the look-up is slow indeed
            self.interrupt(process)


if __name__ == "__main__":
    harness.main()
