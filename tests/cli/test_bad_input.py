"""Each bad input: one clear line, its documented exit status, nothing half-done left behind."""

import hashlib
import json
import os
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


if __name__ == "__main__":
    harness.main()
