"""Each bad input: one clear line, its documented exit status, nothing half-done left behind."""

import fcntl
import hashlib
import json
import os
import shutil
import unittest

import harness
from harness import TARGET, VARIANT
from loopback_hub import build, unused_port


class BadInput(harness.CliTest):
    def test_no_project_file(self):
        self.expect_error(2, "no project file", "lock", hint="kernels.toml")

    def test_no_such_folder(self):
        self.expect_error(2, "nowhere: no such folder", "lock", "nowhere")

    def test_no_dependencies_table(self):
        (self.project / "pyproject.toml").write_text("[tool.kernels]\ntrust-remote-code = true\n")
        self.expect_error(2, "pyproject.toml: there is no table [tool.kernels.dependencies]", "lock")

    def test_wrong_types_name_file_line_and_key(self):
        for value in ('"one"', "1.5", "[1]", "-1"):
            with self.subTest(value):
                self.write_project(f'"demo/one" = {value}')
                self.assertRegex(self.expect_error(2, "", "lock").err, r"kernels\.toml:3: dependencies.*demo/one")

    def test_broken_toml(self):
        (self.project / "kernels.toml").write_text("[dependencies\n")
        self.assertRegex(self.expect_error(2, "", "lock").err, r"kernels\.toml:1")

    def test_unknown_repository(self):
        self.hub.trusted.add("demo")
        self.write_project()
        self.expect_error(4, "demo/one: no such kernel repository", "lock", hint="check the name")
        self.assertFalse((self.project / "kernels.lock").exists())

    def test_unknown_version_lists_the_ones_there_are(self):
        self.publish_demo()
        self.hub.publish("demo/one", "v3", build(VARIANT, version=3))
        self.write_project('"demo/one" = 2')
        self.expect_error(4, "demo/one: there is no version 2", "lock", hint="1, 3")

    def test_untrusted_publisher(self):
        self.hub.publish("stranger/one", "v1", build(VARIANT), trusted=False)
        self.write_project('"stranger/one" = 1')
        self.expect_error(6, "stranger is not a trusted kernel publisher", "lock", hint="trust-remote-code")
        self.assertEqual([p for p in self.hub.requests if "/resolve/" in p], [])

    def test_hub_down(self):
        self.write_project()
        down = f"http://127.0.0.1:{unused_port()}"
        result = self.expect_error(5, down.removeprefix("http://"), "lock", "--endpoint", down)
        self.assertNotIn("Traceback", result.err)

    def test_no_lock(self):
        self.write_project()
        self.expect_error(3, "kernels.lock", "download", *TARGET, hint="kernels lock")
        self.expect_error(3, "kernels.lock", "lock", "--check", hint="kernels lock")

    def test_damaged_lock(self):
        self.write_project()
        for text in ("", "{", "[1]", '[{"dependency": {"repo-id": "demo/one", "version": 1}, "lock": {"commit": "x"}}]'):
            with self.subTest(text):
                (self.project / "kernels.lock").write_text(text)
                self.expect_error(1, "kernels.lock", "download", *TARGET)

    def test_a_revision_that_leads_elsewhere(self):
        self.publish_demo()
        bad = "../../../victim"
        depends = [{"repo-id": "demo/one", "revision": bad}]
        self.hub.publish("demo/bad", "v1", build(VARIANT, name="bad", **{"kernel-depends": depends}))
        self.expect_error(2, f"`{bad}`: no branch, tag or commit", "info", "demo/one", "--revision", bad)
        self.assertEqual(self.hub.requests, [])
        self.write_project(f'"demo/one" = {{ revision = "{bad}" }}')
        self.assertIn("kernels.toml:3: ", self.expect_error(2, bad, "lock").err)
        self.write_project('"demo/bad" = 1')
        self.expect_error(6, "metadata.json: kernel-depends.revision is wrong", "lock")
        entry = {"dependency": {"repo-id": "demo/one", "revision": bad}, "lock": {"commit": "a" * 40}}
        (self.project / "kernels.lock").write_text(json.dumps([entry]))
        self.expect_error(1, "kernels.lock: entry 1: `dependency` `revision`: ", "download", *TARGET)
        self.assertEqual(list(self.folder.rglob("victim*")), [])

    def test_a_blob_whose_bytes_do_not_match(self):
        self.publish_demo()
        self.write_project()
        self.expect(0, "lock")
        library = build(VARIANT)[f"build/{VARIANT}/_demo.abi3.so"]
        sha = hashlib.sha256(library).hexdigest()
        self.hub.corrupt.add(sha)
        self.expect_error(6, "_demo.abi3.so: the bytes do not match their hash", "download", *TARGET)
        self.assertNotIn(sha, self.blobs())
        self.assertEqual([name for name in self.blobs() if name.endswith(".incomplete")], [])
        snapshot = list(self.cache.glob(f"kernels--demo--one/snapshots/*/build/{VARIANT}/_demo.abi3.so"))
        self.assertEqual(snapshot, [])
        self.hub.corrupt.clear()
        self.expect(0, "download", *TARGET)
        self.assertIn(sha, self.blobs())

    def test_no_build_for_this_machine_names_every_build(self):
        self.publish_demo()
        self.write_project()
        self.expect(0, "lock")
        result = self.expect_error(7, "demo/one", "download", "--target", "torch=2.13,rocm=6.4,cpu=x86_64,os=linux")
        for variant in (VARIANT, "torch213-cxx11-cu128-x86_64-linux"):
            self.assertRegex(result.err, rf"(?m)^  {variant}: \S+")

    def test_unwritable_output(self):
        if os.geteuid() == 0:
            target = self.project / "kernels.lock"
            target.mkdir()  # root may write anywhere, but no file over a folder
        else:
            self.project.chmod(0o555)
        self.publish_demo()
        (self.folder / "kernels.toml").write_text('[dependencies]\n"demo/one" = 1\n')
        self.write_project()
        self.expect_error(1, "kernels.lock", "lock")
        self.project.chmod(0o755)

    def test_bad_target(self):
        self.publish_demo()
        self.write_project()
        self.expect(0, "lock")
        self.expect_error(2, "tocrh", "download", "--target", "tocrh=2.13")
        self.expect_error(2, "darwin", "download", "--target", "torch=2.13,cuda=12.8,os=darwin")

    def test_bad_values_of_options(self):
        self.write_project()
        self.expect_error(2, "--jobs", "lock", "--jobs", "many")
        self.expect_error(2, "--jobs", "lock", "--jobs", "0")
        self.expect_error(2, "--color", "lock", "--color", "blue")
        self.expect_error(2, "--endpoint", "lock", "--endpoint", "ftp://127.0.0.1")
        self.expect_error(2, "HF_ENDPOINT", "lock", HF_ENDPOINT="nonsense")

    def test_offline_says_what_is_missing(self):
        self.publish_demo()
        self.write_project()
        self.expect_error(5, "demo/one", "lock", "--offline")
        self.assertEqual(self.hub.requests, [])

    def test_standard_output_that_cannot_be_written(self):
        with open("/dev/full", "w") as full:
            import subprocess
            done = subprocess.run([harness.BINARY, "help"], stdout=full, stderr=subprocess.PIPE, text=True,
                                  env=self.environment)
        self.assertEqual(done.returncode, 1)
        self.assertIn("error: stdout: ", done.stderr)


class JsonErrors(harness.CliTest):
    def test_every_class_is_one_document(self):
        self.publish_demo()
        self.write_project('"demo/one" = 9')
        cases = [(4, "not-found", ["lock"]), (2, "usage", ["lokc"]), (2, "usage", ["lock", "--chekc"]),
                 (3, "lock-missing", ["download"]), (2, "project-file", ["lock", "nowhere"])]
        for status, code, arguments in cases:
            for place in (["--json", *arguments], [*arguments, "--json"]):
                with self.subTest(place):
                    result = self.expect(status, *place)
                    self.assertEqual(result.json["schema"], 1)
                    self.assertEqual(result.json["error"]["code"], code)
                    self.assertTrue(result.json["error"]["message"])
                    self.assertIn("hint", result.json["error"])
                    self.assertEqual(result.err, "")

    def test_details_are_a_list(self):
        self.publish_demo()
        self.write_project()
        self.expect(0, "lock")
        result = self.expect(7, "download", "--json", "--target", "torch=2.13,rocm=6.4")
        self.assertEqual(result.json["error"]["code"], "no-build")
        self.assertEqual(len(result.json["error"]["details"]), 2)


class Secrets(harness.CliTest):
    def test_the_token_is_never_printed(self):
        self.publish_demo()
        self.write_project()
        token = "hf_0123456789abcdef"
        for arguments in (["lock", "-vv"], ["download", "-vv", *TARGET], ["env"], ["env", "--json"],
                          ["lock", "-vv", "--endpoint", f"http://127.0.0.1:{unused_port()}"]):
            result = self.run_kernels(*arguments, HF_TOKEN=token)
            self.assertNotIn(token, result.out + result.err, arguments)
        self.assertIn("present", self.expect(0, "env", HF_TOKEN=token).out)


class Ambiguous(harness.CliTest):
    def test_a_repository_that_is_a_folder_too(self):
        self.publish_demo()
        self.write_project('"demo/one" = 1\n"demo/two" = 1')
        self.expect(0, "lock")
        (self.project / "demo" / "one").mkdir(parents=True)
        (self.project / "demo" / "one" / "kernels.toml").write_text('[dependencies]\n"demo/one" = 1\n')
        self.hub.publish("demo/two", "v1", build(VARIANT, name="two", size=50))
        self.hub.publish("demo/one", "v1", build(VARIANT, size=50))
        before = (self.project / "kernels.lock").read_text()
        self.expect_error(2, "--upgrade demo/one: a repository has this name, and there is a folder of it too", "lock",
                          "--upgrade", "demo/one", hint="write --upgrade=demo/one for the repository, ./demo/one for the folder")
        self.assertEqual((self.project / "kernels.lock").read_text(), before)
        self.expect(0, "lock", "--upgrade", "./demo/one")
        self.assertTrue((self.project / "demo" / "one" / "kernels.lock").exists())
        self.assertEqual((self.project / "kernels.lock").read_text(), before)
        old = self.hub.commit_of("demo/two", "v1")
        self.expect(0, "lock", "--upgrade=demo/one")
        text = (self.project / "kernels.lock").read_text()
        self.assertIn(self.hub.commit_of("demo/one", "v1"), text)
        self.assertNotIn(old, text)


class Told(harness.CliTest):
    """What a message names and advises is what is the matter."""

    def setUp(self):
        super().setUp()
        self.publish_demo()
        self.write_project()

    def test_no_password_of_an_endpoint(self):
        for arguments, environment in ((["--endpoint", "ftp://user:secret@host"], {}), ([], {"HF_ENDPOINT": "ftp://user:secret@host"})):
            result = self.expect(2, "versions", "demo/one", *arguments, **environment)
            self.assertIn("ftp://host", result.err)
            self.assertNotIn("secret", result.err)

    def test_no_password_of_a_proxy(self):
        for proxy in ("user:secret@127.0.0.1:9", "http://user:secret@127.0.0.1:99999", "http://user:secret word@127.0.0.1", "foo://user:secret@h:9"):
            result = self.run_kernels("versions", "demo/one", "-vv", "--endpoint", "http://127.0.0.1:9", http_proxy=proxy)
            self.assertEqual(result.status, 5, result)
            self.assertIn("proxy", result.err)
            self.assertNotIn("secret", result.err + result.out)

    def test_an_endpoint_without_a_host(self):
        for url in ("http://", "https:///api", "http://?x", "user:secret@host"):
            result = self.expect_error(2, "is no http or https URL", "versions", "demo/one", "--endpoint", url)
            self.assertNotIn("secret", result.err)
        for url in ("http://127.0.0.1?x=1", "http://127.0.0.1/hub#x"):
            self.expect_error(2, "has a query or a fragment", "versions", "demo/one", "--endpoint", url)

    def test_the_proxy_that_is_used(self):
        port = unused_port()
        http, https = f"http://127.0.0.1:{port}", f"https://127.0.0.1:{port}"
        for endpoint, variables, end in ((http, {"HTTPS_PROXY": http}, "no proxy"), (http, {"HTTP_PROXY": http}, "(HTTP_PROXY)"),
                                         (https, {"HTTP_PROXY": http}, "no proxy"), (https, {"all_proxy": http}, "(all_proxy)"),
                                         (http, {"http_proxy": http, "NO_PROXY": "x, 127.0.0.1"}, "no proxy")):
            with self.subTest(endpoint=endpoint, variables=variables):
                result = self.run_kernels("versions", "demo/one", "--endpoint", endpoint, **variables)
                self.assertEqual(result.status, 5, result)
                self.assertTrue(result.err.rstrip().endswith(end), result.err)
                self.assertEqual("certificates" in result.err, endpoint == https)

    def test_what_is_in_the_way(self):
        sha = hashlib.sha256(build(VARIANT)[f"build/{VARIANT}/_demo.abi3.so"]).hexdigest()
        folder = self.cache / "kernels--demo--one"
        snapshot = folder / "snapshots" / self.hub.commit_of("demo/one", "v1") / "build" / VARIANT / "layers.py"
        for place in (folder / "blobs" / sha, folder / "blobs" / (sha + ".incomplete"), snapshot):
            with self.subTest(place.name):
                self.expect(0, "lock")
                place.mkdir()
                result = self.expect_error(1, f"{place}: cannot be written: Is a directory", "download", *TARGET, hint="remove that")
                self.assertNotIn("do not match", result.err)
                place.rmdir()
                self.expect(0, "download", *TARGET)
                shutil.rmtree(self.cache)
        for place in (self.cache / ".locks", self.cache / "kernels--demo--one"):
            with self.subTest(place.name):
                self.cache.mkdir()
                place.write_text("x")
                self.expect_error(1, str(place), "download", *TARGET, hint="remove that")
                shutil.rmtree(self.cache)

    def test_why_a_repair_failed(self):
        self.expect(0, "lock")
        self.expect(0, "download", *TARGET)
        [link] = self.cache.glob(f"*/snapshots/*/build/{VARIANT}/*.so")
        blob = link.resolve()
        blob.write_bytes(b"x" * 20000)
        with (self.cache / ".locks" / "kernels--demo--one" / (blob.name + ".lock")).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.expect_error(1, "1 of 1 damaged file could not be repaired", "cache", "verify", "--repair", "--lock-timeout", 0,
                              hint="wait for that process")
        self.expect_error(5, "could not be repaired", "cache", "verify", "--repair", "--endpoint", f"http://127.0.0.1:{unused_port()}",
                          hint="check the network")
        self.expect(0, "cache", "verify", "--repair")


if __name__ == "__main__":
    harness.main()
