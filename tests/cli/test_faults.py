"""Our client on a hub that misbehaves: it ends well after trying again, or with one clear line and the documented status;
and the cache never holds a name whose bytes do not match. test_machine.py has what the machine does wrong."""

import base64
import hashlib
import json
import shutil
import signal
import subprocess
import threading
import time

import harness
from fault_world import LIBRARY, NETWORK, REPO, VERIFICATION, FaultTest, files
from harness import BINARY, TARGET, VARIANT


class Faults(FaultTest):
    def test_once_wrong_then_right(self):
        """A single disturbance costs a retry, no failure."""
        self.forget()
        hub = self.serve()
        self.kernels("download")
        clean = len(hub.requests())
        for fault in ("cut:/_cdn/*:1", "cut=0:/_cdn/*:1", "status:/_cdn/*:1", "status=500:*resolve*:1", "status=408:*/tree/*:1",
                      "retry-after=1:/_cdn/*:1", "retry-after=1:*/tree/*:1", "cut:*/tree/*:1", "cut:*/metadata.json:1",
                      "stall=1:/_cdn/*:1", "overrun=7:/_cdn/*:1"):
            with self.subTest(fault=fault):
                self.forget()
                hub = self.serve(fault)
                self.kernels("download")
                self.assert_complete()
                # A cut file is asked for by its own name again. A late answer, and bytes after the announced end, cost none.
                more = 2 if fault.startswith("cut:/_cdn") else 0 if fault.startswith(("stall", "overrun")) else 1
                self.assertEqual(len(hub.requests()), clean + more)

    def test_wrong_content_never_gets_its_name(self):
        """What is wrong is refused; what is only short may be a broken connection and is asked for again, in vain."""
        for fault, status in (("flip:/_cdn/*", VERIFICATION), ("truncated=9:/_cdn/*", NETWORK), ("padded=9:/_cdn/*", VERIFICATION),
                              ("flip:*/layers.py", VERIFICATION), ("truncated:*/layers.py", NETWORK),
                              ("padded=400:*/layers.py", VERIFICATION)):
            with self.subTest(fault=fault):
                self.forget()
                self.serve(fault)
                done = self.kernels("download", status=status)
                self.assertIn("abi3.so" if "_cdn" in fault else "layers.py", done.stderr)
                self.serve()
                self.kernels("download")
                self.assert_complete()

    def test_what_stays_broken_ends_with_the_network_status(self):
        for fault in ("status:*", "redirect-loop:*", "cut:/_cdn/*", "malformed:*/tree/*", "status=502:/_cdn/*"):
            with self.subTest(fault=fault):
                self.forget()
                self.serve(fault)
                begin = time.monotonic()
                self.kernels("download", status=NETWORK)
                self.assertLess(time.monotonic() - begin, harness.seconds(60))

    def test_many_kernels_on_a_hub_that_is_down_fail_in_the_time_of_one(self):
        names = [f"many{i}" for i in range(10)]
        for name in names:
            self.publish(f"demo/{name}", "v1", files(name))
        self.write_project("\n".join(f'"demo/{name}" = 1' for name in names), "trust-remote-code = true")  # straight to the files
        hub = self.serve()
        self.kernels("lock")
        hub.stop()
        begin = time.monotonic()
        done = self.kernels("download", "--jobs", "2", status=NETWORK)
        # Four pauses: 7.5 s and at most half as much by chance.
        self.assertLess(time.monotonic() - begin, harness.seconds(14))
        # One line for all of them, with their names.
        self.assertEqual(done.stderr.count("cannot reach"), 1, done.stderr)
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        self.assertTrue(errors[0].startswith("error: " + ", ".join(f"demo/{name}@v1" for name in names) + ": cannot reach " + hub.url),
                        done.stderr)
        (self.project / "kernels.lock").unlink()
        done = self.kernels("lock", "--cache", self.folder / "new", status=NETWORK)
        self.assertEqual(done.stderr.count("cannot reach"), 1, done.stderr)
        self.assertIn("error: demo/many0@v1, demo/many1@v1, ", done.stderr)
        self.assertIn("demo/many9@v1: cannot reach", done.stderr)

    def test_a_handshake_that_is_reset_is_tried_again(self):
        if not shutil.which("openssl"):
            self.skipTest("no openssl to make certificates")
        import socket
        import ssl
        import struct

        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "certificate.pem",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
                       capture_output=True, check=True, cwd=self.folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "certificate.pem", self.folder / "key.pem")
        listener = socket.create_server(("127.0.0.1", 0))
        seen, asked = [], []

        def answer():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                seen.append(connection)
                if len(seen) <= 2:
                    connection.recv(4096)  # the client's hello
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", len(seen) % 2, 0))
                    connection.close()  # a reset, then a plain end
                    continue
                with context.wrap_socket(connection, server_side=True) as secured:
                    asked.append(secured.recv(65536).split()[1].decode())
                    secured.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        self.forget()
        # What is asked for first is then the listing, and not who its publisher is.
        self.write_project(f'"{REPO}" = 1', f'trust-remote-code = ["{REPO}"]')
        try:
            done = self.kernels("download", "--endpoint", f"https://localhost:{listener.getsockname()[1]}", status=4,
                                CURL_CA_BUNDLE=str(self.folder / "certificate.pem"))
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.assertIn("not found", done.stderr)
        # Two that were lost, the listing, and whether the repository still has the locked commit.
        self.assertEqual(len(seen), 4)
        self.assertEqual(["/tree/" in path for path in asked], [True, False], asked)

    def test_listings_that_name_places_outside(self):
        for kind in ("tree-dotdot", "tree-absolute", "tree-nul", "tree-long", "tree-symlink"):
            with self.subTest(kind=kind):
                self.forget()
                self.serve(f"{kind}:*/tree/*")
                path = {"tree-dotdot": "build/../../../outside.txt", "tree-absolute": "/tmp/outside.txt",
                        "tree-nul": "build/a\\x00b.txt", "tree-long": "build/xxxxxx", "tree-symlink": "build/link"}[kind]
                done = self.kernels("download", status=VERIFICATION)
                self.assertIn("refused", done.stderr)
                self.assertIn(path, done.stderr)
                self.assertLess(len(done.stderr), 1000)
                self.assertEqual([*self.cache.glob("*/snapshots/*/*")], [])
                self.serve()
                self.kernels("download")
                self.assert_complete()

    def test_a_resumed_file_is_whole_even_where_ranges_are_ignored(self):
        for second in ([], ["ignore-range:/_cdn/*:1"]):
            self.forget()
            hub = self.serve("cut=600000:/_cdn/*:1", *second)
            self.kernels("download")
            self.assert_complete()
            ranges = [r["range"] for r in hub.requests() if r["path"].startswith("/_cdn/")]
            self.assertEqual(ranges[0], "")
            self.assertRegex(ranges[1], r"^bytes=[1-9]\d*-")

    def test_the_token_stays_on_its_host(self):
        self.forget()
        hub = self.serve("redirect-away:*resolve*.py", "redirect-away:*/tree/*")
        self.kernels("download", HF_TOKEN="hf_for-the-endpoint-alone")
        origin = hub.url.removeprefix("http://")
        elsewhere = [r for r in hub.requests() if r["host"] != origin]
        self.assertTrue(any("/tree/" in r["path"] or "resolve" in r["path"] for r in elsewhere))
        self.assertFalse(any(r["authorization"] for r in elsewhere))
        self.assertTrue(all(r["authorization"] for r in hub.requests() if r["host"] == origin and "_cdn" not in r["path"]))

    def test_retry_after_is_obeyed(self):
        self.forget()
        for fault in ("retry-after=2:*/tree/*:1", "retry-after-date=2:*/tree/*:1"):
            self.forget()
            hub = self.serve(fault)
            begin = time.monotonic()
            self.kernels("download")
            self.assertGreater(time.monotonic() - begin, 1.9, fault)
            self.assertLess(time.monotonic() - begin, harness.seconds(20), fault)
            self.assertEqual([r["status"] for r in hub.requests() if "/tree/" in r["path"]], [429, 200])

    def test_a_hub_that_wants_to_be_left_alone_for_long_is(self):
        for fault in ("retry-after=4000:*/tree/*", "retry-after-date=4000:*/tree/*"):
            self.forget()
            hub = self.serve(fault)
            begin = time.monotonic()
            done = self.kernels("download", status=NETWORK)
            self.assertLess(time.monotonic() - begin, harness.seconds(10), fault)
            self.assertIn("try again in 4000 s", done.stderr)
            self.assertIn("HF_TOKEN", done.stderr)
            self.assertEqual(len([r for r in hub.requests() if "/tree/" in r["path"]]), 1)

    def test_killed_in_the_middle_then_again(self):
        self.serve("slow=200000:/_cdn/*:1")
        process = subprocess.Popen([BINARY, "download", str(self.project), *TARGET], env=self.environment,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.wait_for(lambda: any(p.stat().st_size > 100_000 for p in self.cache.glob("*/blobs/*.incomplete*")),
                      "a partial download")
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.assert_sound()
        self.kernels("download")
        self.assert_complete()

    def test_two_processes_at_once_fetch_once(self):
        hub = self.serve("slow=400000:/_cdn/*:1")
        command = [BINARY, "download", str(self.project), *TARGET]
        both = [subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                for _ in range(2)]
        for process in both:
            out, err = process.communicate(timeout=harness.seconds(60))
            self.assertEqual(process.returncode, 0, out + err)
        self.assert_sound()
        self.assert_complete()
        self.assertEqual(len([r for r in hub.requests() if r["path"].startswith("/_cdn/")]), 1)

    def test_the_same_bytes_for_two_repositories_are_fetched_once_by_two_processes(self):
        self.publish("demo/two", "v1", files("two"))
        projects = [self.folder / name for name in ("project-one", "project-two")]
        hub = self.serve("slow=400000:/_cdn/*:1")
        for project, name in zip(projects, ("one", "two")):
            project.mkdir()
            (project / "kernels.toml").write_text(f'[dependencies]\n"demo/{name}" = 1\n')
            subprocess.run([BINARY, "lock", str(project)], env=self.environment, check=True, capture_output=True)
        both = [subprocess.Popen([BINARY, "download", str(project), *TARGET], env=self.environment, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True) for project in projects]
        said = []
        for process in both:
            out, err = process.communicate(timeout=harness.seconds(60))
            self.assertEqual(process.returncode, 0, out + err)
            said.append(out + err)
        self.assertEqual(len([r for r in hub.requests() if r["path"].startswith("/_cdn/")]), 1)
        copies = [*self.cache.glob(f"*/blobs/{hashlib.sha256(LIBRARY).hexdigest()}")]
        self.assertEqual([copy.read_bytes() for copy in copies], [LIBRARY, LIBRARY])
        self.assertIn("waiting for process", "".join(said))

    def test_equal_metadata_of_two_kernels_is_fetched_once(self):
        """The threads of one process do not take each other for another process."""
        self.publish("demo/twin", "v1", files())
        self.write_project(f'"{REPO}" = 1\n"demo/twin" = 1')
        self.forget()
        hub = self.serve("stall=2:*/metadata.json")
        done = self.kernels("lock", "--lock-timeout", "1")
        self.assertNotIn("waiting", done.stderr)
        self.assertEqual(len([r for r in hub.requests() if r["path"].endswith("metadata.json")]), 1)

    def test_what_was_downloaded_is_not_read_again(self):
        """By what the system counts: read() of files, not what comes from sockets."""
        contents = files("one")
        for i in range(8):
            contents[f"build/{VARIANT}/table{i}.txt"] = bytes([65 + i]) * 1_000_000  # git's hash names it
        prefix = f"build/{VARIANT}/"
        metadata = json.loads(contents[prefix + "metadata.json"])
        metadata["digest"] = {"algorithm": "sha256", "files": {
            name.removeprefix(prefix): base64.b64encode(hashlib.sha256(data).digest()).decode()
            for name, data in contents.items() if not name.endswith("metadata.json")}}
        contents[prefix + "metadata.json"] = json.dumps(metadata).encode()
        self.publish("demo/tables", "v1", contents)
        self.write_project('"demo/tables" = 1')
        self.serve()
        self.expect(0, "lock")

        def read_by(*command):
            """Of the program and what it waited for, as its shell's count has it."""
            done = subprocess.run(["sh", "-c", '"$@" >&2; s=$?; cat /proc/$$/io; exit $s', "sh", *map(str, command)], cwd=self.project,
                                  capture_output=True, text=True, env=self.environment)
            self.assertEqual(done.returncode, 0, done.stderr)
            return int(dict(line.split(": ") for line in done.stdout.splitlines())["rchar"])

        size = sum(map(len, contents.values()))
        self.assertLess(read_by(BINARY, "download", "--quiet", *TARGET), size / 4)
        # The count counts: without the record of what was checked every file is read.
        for record in self.cache.glob("*/verified"):
            record.unlink()
        self.assertGreater(read_by(BINARY, "download", "--quiet", *TARGET), size)

    def test_offline_a_damaged_cache_is_named_where_a_folder_is_filled_from_it(self):
        self.kernels("download")
        [blob] = self.cache.glob(f"*/blobs/{hashlib.sha256(LIBRARY).hexdigest()}")
        for damage in (LIBRARY[::-1], LIBRARY[:-9]):
            blob.write_bytes(damage)
            for more in ([], ["--output", str(self.folder / "image")]):
                with self.subTest(more=more, size=len(damage)):
                    done = self.run_kernels("download", "--offline", *TARGET, *more)
                    self.assertEqual(done.status, VERIFICATION, done.err)
                    self.assertIn(blob.name if more else "_one.abi3.so", done.err)
                    self.assertIn("do not match their hash", done.err)
                    self.assertIn("kernels cache verify --repair", done.err)
        blob.unlink()
        done = self.run_kernels("download", "--offline", *TARGET, "--output", str(self.folder / "image"))
        self.assertEqual(done.status, NETWORK, done.err)


if __name__ == "__main__":
    harness.main()
