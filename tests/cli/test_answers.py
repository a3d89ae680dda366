"""What the Hub says no to, and in which words: tokens, redirects, commits that are gone, texts and sizes of strangers."""

import json
import pathlib
import re
import subprocess
import time

import harness
from harness import TARGET, VARIANT
from loopback_hub import build, unused_port

import terminal


class AnswersTest(harness.CliTest):
    def setUp(self):
        super().setUp()
        self.hub.publish("demo/one", "v1", build(VARIANT))
        self.write_project()

    def answer_first(self, answer):
        """`answer(handler)` is asked before the Hub, and says whether it answered."""
        plain = self.hub.answer
        self.hub.answer = lambda handler: answer(handler) or plain(handler)

    def refuse(self, status, path="", unless=None, **headers):
        """`status` for what is below `path`, for everyone but the one with the token `unless`."""
        def answer(handler):
            if path not in handler.path or (unless and handler.headers.get("Authorization") == f"Bearer {unless}"):
                return False
            self.hub.send(handler, status, b"{}", **headers)
            return True

        self.answer_first(answer)


class Tokens(AnswersTest):
    def test_a_wrong_token_is_told_as_such(self):
        def answer(handler):
            if handler.headers.get("Authorization", "Bearer hf_right") == "Bearer hf_right":
                return False
            self.hub.send(handler, 401, b"{}", X_Error_Message="Invalid credentials in Authorization header")
            return True

        self.answer_first(answer)
        self.expect(0, "lock")
        for command in (["lock", "--upgrade"], ["info", "demo/one"], ["versions", "demo/one"], ["download", *TARGET]):
            result = self.expect_error(5, f"{self.hub.url} refuses the token from HF_TOKEN (401)", *command, hint="renew it, or unset it",
                                       HF_TOKEN="hf_wrong")
            self.assertNotIn("hf_wrong", result.err + result.out)
        file = self.folder / "token"
        file.write_text("hf_old\n")
        self.expect_error(5, f"refuses the token from {file} (401)", "info", "demo/one", HF_TOKEN_PATH=file)
        self.expect(0, "download", *TARGET, HF_TOKEN="hf_right")

    def test_a_publisher_that_is_not_told_of(self):
        self.refuse(401, "/overview", unless="hf_right")
        self.expect_error(5, f"the publisher demo: {self.hub.url} does not say whether it is trusted (401)", "lock", hint="set HF_TOKEN")
        self.expect_error(5, "refuses the token from HF_TOKEN", "lock", HF_TOKEN="hf_wrong")
        self.expect(0, "lock", HF_TOKEN="hf_right")

    def test_none_is_sent_where_the_user_does_not_want_it(self):
        """huggingface_hub's variable: whatever token there is, it is not sent of itself."""
        sent = []
        self.answer_first(lambda handler: sent.append(handler.headers.get("Authorization")))
        self.expect(0, "lock", HF_TOKEN="hf_right")
        self.assertIn("Bearer hf_right", sent)
        sent.clear()
        self.expect(0, "lock", "--upgrade", HF_TOKEN="hf_right", HF_HUB_DISABLE_IMPLICIT_TOKEN="1")
        self.assertEqual(set(sent), {None})

    def test_403(self):
        self.refuse(403, "/refs", unless="hf_right")
        self.expect_error(4, "demo/one: access refused", "lock", hint="set HF_TOKEN")
        self.expect_error(4, "demo/one: access refused", "lock", hint="what the token may read", HF_TOKEN="hf_wrong")

    def test_another_host_that_wants_a_token(self):
        """The library comes from another host, which is never given the token, so the token is not at fault."""
        self.expect(0, "lock")
        self.refuse(401, "/cdn/")
        elsewhere = self.hub.url.replace("127.0.0.1", "localhost")
        for token in ({}, {"HF_TOKEN": "hf_right"}):
            result = self.expect_error(5, f"{elsewhere} refuses what {self.hub.url} redirects to it (401)", "download", *TARGET, **token)
            self.assertNotIn("HF_TOKEN", result.err)


class Words(AnswersTest):
    """Control characters from the network are no commands to the terminal."""

    def test_an_error_message_of_the_hub(self):
        self.refuse(418, "/refs", X_Error_Message="\x1b]0;owned\x07\x1b[31mred")
        result = self.expect_error(5, "answered 418: `\\x1b]0;owned\\x07\\x1b[31mred`", "lock")
        self.assertNotIn("\x1b", result.err)

    def test_what_a_publisher_writes(self):
        files = build(VARIANT)
        path = f"build/{VARIANT}/metadata.json"
        license = "MIT\x1b[2J\x9b31m"
        files[path] = json.dumps({**json.loads(files[path]), "license": license, "frob\x1b[2J": 1}).encode()
        self.hub.publish("demo/one", "v1", files)
        status, shown = terminal.run([harness.BINARY, "info", "demo/one"], cwd=self.project, env=self.environment)
        self.assertEqual(status, 0, shown)
        self.assertIn("License: MIT\\x1b[2J\\xc2\\x9b31m", shown)
        self.assertNotIn("\x1b[2J", shown)
        # A pipe has the Python client's bytes.
        self.assertIn(f"License: {license}\n", self.expect(0, "info", "demo/one").out)


class Redirects(AnswersTest):
    def redirect(self, location, path="/refs"):
        def answer(handler):
            if path not in handler.path:
                return False
            self.hub.send(handler, 302, Location=location)
            return True

        self.answer_first(answer)

    def test_to_what_is_no_server(self):
        for location, shown in (("file:///etc/passwd", "file:///etc/passwd"), ("gopher://x/\x1b[2J", "gopher://x/\\x1b[2J")):
            with self.subTest(location):
                plain = self.hub.answer
                self.redirect(location)
                result = self.expect_error(5, f"{self.hub.url}/api/kernels/demo/one/refs: refused to be redirected from http to `{shown}`",
                                           "lock", hint="set up wrongly")
                self.assertNotIn("cannot reach", result.err)
                self.hub.answer = plain

    def test_to_a_host_that_is_down(self):
        port = unused_port()
        self.redirect(f"http://127.0.0.1:{port}/refs")
        self.expect_error(5, f"({self.hub.url} redirects there)", "lock", hint="that this redirect is right")

    def test_in_a_circle(self):
        self.redirect("/api/kernels/demo/one/refs")
        self.expect_error(5, "more than 10 redirects", "lock", hint="set up wrongly")


class Sizes(AnswersTest):
    def listing(self, change):
        plain = self.hub.listing

        def listing(*arguments):
            entries = plain(*arguments)
            change(entries)
            return entries

        self.hub.listing = listing

    def test_a_size_that_is_none_is_refused(self):
        for size in (-1, 1.5, 1e300, "17", None, [], 2 ** 63, 2 ** 64):
            for large in (False, True):
                with self.subTest(size=size, large=large):
                    def change(entries):
                        entry = next(entry for entry in entries if ("lfs" in entry) == large)
                        (entry["lfs"] if large else entry)["size"] = size

                    plain = self.hub.listing
                    self.listing(change)
                    self.expect_error(6, "whose size is", "lock")
                    self.hub.listing = plain
        self.expect(0, "lock")

    def endless(self, page):
        """Each page of the listing names a next one."""
        count = iter(range(1, 10 ** 9))

        def answer(handler):
            if "/tree/" not in handler.path:
                return False
            number = next(count)
            url = f"{self.hub.url}{handler.path.split('?')[0]}?cursor={number}"
            self.hub.send(handler, 200, json.dumps(page(number)).encode(), Link=f'<{url}>; rel="next"')
            return True

        self.answer_first(answer)

    def test_a_listing_without_end(self):
        self.endless(lambda number: [])
        self.expect_error(5, "the list of its files does not end: 0 files on 500 pages", "lock", hint="HF_ENDPOINT")
        self.endless(lambda number: [{"type": "file", "path": f"{number}/{i}", "size": 1, "oid": "0" * 40} for i in range(5000)])
        self.expect_error(5, "does not end: 205000 files on 41 pages", "lock")

    def test_a_listing_of_many_pages(self):
        data = {f"build/{VARIANT}/{i}.txt": b"x" for i in range(50)} | build(VARIANT)
        entries = [self.hub.entry(path, content) for path, content in data.items()]

        def answer(handler):
            if "/tree/" not in handler.path:
                return False
            at = int(handler.path.partition("cursor=")[2] or 0)
            more = {"Link": f'<{self.hub.url}{handler.path.split("?")[0]}?cursor={at + 7}>; rel="next"'} if at + 7 < len(entries) else {}
            self.hub.send(handler, 200, json.dumps(entries[at:at + 7]).encode(), **more)
            return True

        self.hub.publish("demo/one", "v1", data)
        self.answer_first(answer)
        self.expect(0, "lock")
        result = self.expect(0, "download", "--json", *TARGET)
        self.assertEqual({file["path"] for file in result.json["builds"][0]["files"]}, set(data))


class Trees(AnswersTest):
    """Trees of dependencies that no one can have meant."""

    def peak_of_lock(self):
        """The error and what it took: most threads at once, and most memory in MiB."""
        process = subprocess.Popen([harness.BINARY, "lock", "--jobs", "4"], cwd=self.project, env=self.environment, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        peak = {"Threads": 0, "VmHWM": 0}
        while process.poll() is None:
            try:
                lines = pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines()
            except OSError:
                break
            for line in lines:
                name, _, value = line.partition(":")
                if name in peak:
                    peak[name] = max(peak[name], int(value.split()[0]))
            time.sleep(0.001)
        out, err = process.communicate(timeout=harness.seconds(60))
        return process.returncode, err, peak["Threads"], peak["VmHWM"] // 1024

    def test_as_many_at_once_as_jobs_says(self):
        names = [f"demo/many{i}" for i in range(200)]
        for name in names:
            self.hub.publish(name, "v1", build(VARIANT, size=10))
        self.hub.publish("demo/one", "v1", build(VARIANT, depends=[(name, 1) for name in names]))
        status, err, threads, _ = self.peak_of_lock()
        self.assertEqual(status, 0, err)
        self.assertEqual(len(json.loads((self.project / "kernels.lock").read_text())), 201)
        self.assertLess(threads, 30)  # 4, for each of them 4 files, and some of curl's

    def test_too_many_needed(self):
        self.hub.publish("demo/one", "v1", build(VARIANT, depends=[(f"demo/many{i}", 1) for i in range(20000)]))
        begin = time.monotonic()
        status, err, threads, memory = self.peak_of_lock()
        self.assertEqual(status, 1)
        self.assertIn("error: demo/one@v1: with it more than 1000 kernels are needed, the last one demo/many", err)
        self.assertLess(len(err), 600)
        self.assertLess(threads, 30)
        self.assertLess(time.monotonic() - begin, harness.seconds(20))

    def test_a_chain_without_end(self):
        def answer(handler):
            number = re.search(r"/demo/link(\d+)/", handler.path)
            if number and f"demo/link{number[1]}" not in self.hub.repos:
                self.hub.publish(f"demo/link{number[1]}", "v1", build(VARIANT, size=10, depends=[(f"demo/link{int(number[1]) + 1}", 1)]))
            return False

        self.answer_first(answer)
        self.hub.publish("demo/one", "v1", build(VARIANT, depends=[("demo/link1", 1)]))
        self.expect_error(1, "demo/one@v1: it leads to a chain of more than 100 kernels", "lock")


if __name__ == "__main__":
    harness.main()
