"""Kernels that have moved: kernel-status.toml at their commit sends to another repository."""

import base64
import hashlib
import json
import shutil

import harness
from harness import TARGET, VARIANT
from loopback_hub import build, metadata, redirect


class Moved(harness.CliTest):
    def redirect(self, repo, destination, revision=None, **files):
        self.hub.publish(repo, "v1", {**redirect(destination, revision), **files})

    def test_a_redirect_is_followed_with_a_warning(self):
        self.publish_demo()
        self.redirect("demo/old", "demo/two", "v1")
        self.write_project('"demo/old" = 1')
        result = self.expect(0, "lock")
        self.assertIn("demo/old@v1: moved to demo/two@v1", result.err)
        self.assertEqual(self.locked(), [("demo/old", 1), ("demo/one", 1), ("demo/two", 1)])
        builds = self.expect(0, "download", "--json", *TARGET).json["builds"]
        self.assertEqual([build["repo"] for build in builds], ["demo/one", "demo/two"])
        self.hub.requests.clear()
        self.expect(0, "download", "--offline", *TARGET)
        self.assertIn("(moved)", self.expect(0, "tree").out)
        result = self.expect(0, "info", "demo/old", "--json")
        self.assertIn("warning: demo/old@v1: moved to demo/two@v1", result.err)
        self.assertEqual((result.json["repo_id"], result.json["name"]), ("demo/two", "two"))
        self.assertEqual(self.expect(0, "versions", "demo/old", *TARGET).out, "Version 1:\n\nmoved to demo/two@v1\n")
        self.assertEqual(self.expect(0, "versions", "demo/old", *TARGET, "--json").json["versions"][0]["moved_to"], "demo/two@v1")

    def test_builds_that_are_left_at_the_old_place_come_along(self):
        """For the Python client, which follows no redirect; they need not fit, and need not be there."""
        self.publish_demo()
        other = "torch213-cxx11-cu128-x86_64-linux"
        self.redirect("demo/old", "demo/one", "v1", **build(VARIANT, name="old"), **build(other, name="old"))
        self.redirect("demo/far", "demo/one", "v1", **build(other, name="far"))
        self.write_project('"demo/old" = 1\n"demo/far" = 1')
        self.expect(0, "lock", *TARGET)
        builds = self.expect(0, "download", "--json", *TARGET).json["builds"]
        self.assertEqual([(build["repo"], build["variant"]) for build in builds], [("demo/old", VARIANT), ("demo/one", VARIANT)])
        self.hub.requests.clear()
        self.expect(0, "download", *TARGET)
        self.assertEqual(self.hub.requests, [])
        self.expect(0, "download", "-o", self.folder / "image", *TARGET)
        self.assertEqual(sorted(path.name for path in (self.folder / "image" / "demo").iterdir()), ["one"])
        builds = self.expect(0, "download", "--all-variants", "--json").json["builds"]
        self.assertEqual(sorted(build["repo"] for build in builds), ["demo/far", "demo/old", "demo/old", "demo/one", "demo/one"])

    def test_the_default_is_main(self):
        self.hub.publish("demo/new", "main", build(VARIANT))
        self.redirect("demo/old", "demo/new")
        self.write_project('"demo/old" = 1')
        self.expect(0, "lock")
        self.assertEqual(self.locked(), [("demo/new", "main"), ("demo/old", 1)])

    def test_loops_and_untrusted_destinations(self):
        self.redirect("demo/a", "demo/b", "v1")
        self.redirect("demo/b", "demo/a", "v1")
        self.write_project('"demo/a" = 1')
        self.expect_error(1, "lead back to each other: demo/a@v1 -> demo/b@v1 -> demo/a@v1", "lock")
        self.hub.publish("someone/kernel", "main", build(VARIANT), trusted=False)
        self.redirect("demo/c", "someone/kernel")
        self.write_project('"demo/c" = 1')
        result = self.expect_error(6, "someone is not a trusted kernel publisher", "lock")
        self.assertIn("needed by demo/c@v1 -> someone/kernel@main", result.err)
        self.assertFalse((self.project / "kernels.lock").exists())

    def test_what_only_shows_a_kernel_goes_on_where_one_version_has_an_unknown_status(self):
        self.hub.publish("demo/odd", "v1", {**build(VARIANT, name="odd"), "kernel-status.toml": b'kind = "archived"'})
        self.hub.publish("demo/odd", "v2", build(VARIANT, name="odd", version=2))
        for arguments in (["versions", "demo/odd", *TARGET], ["info", "demo/odd", "--version", "1"]):
            result = self.expect(0, *arguments)
            self.assertIn("its kind is `archived`", result.err)
            self.assertIn("Version 2" if arguments[0] == "versions" else "Name: odd", result.out)

    def test_an_unknown_status_is_an_error(self):
        for text, why in (('kind = "gone"', "its kind is `gone`"), ("x = 1", "it has no kind"), ('kind = "redirect"', "no destination"),
                          ('kind = "redirect"\ndestination = "../x"', "../x"), ("kind = [", "not TOML")):
            with self.subTest(text):
                self.hub.publish("demo/a", "v1", {"kernel-status.toml": text.encode(), **build(VARIANT)})
                self.write_project('"demo/a" = 1')
                self.expect_error(6, why, "lock")

    def test_a_lock_that_does_not_know_the_new_place(self):
        self.publish_demo()
        self.redirect("demo/old", "demo/one", "v1", **build(VARIANT, name="old"))
        commit = self.hub.commit_of("demo/old", "v1")
        self.write_project('"demo/old" = 1')
        entry = {"dependency": {"repo-id": "demo/old", "version": 1}, "lock": {"commit": commit}}
        (self.project / "kernels.lock").write_text(json.dumps([entry], indent=2))
        result = self.expect(0, "download", *TARGET)  # as the Python client does
        self.assertIn("which kernels.lock does not have; run `kernels lock`", result.err)

    def test_what_the_builds_left_behind_need_is_locked_as_python_locks_it(self):
        self.publish_demo()
        self.hub.publish("demo/new", "v1", build(VARIANT, name="new"))
        self.redirect("demo/old", "demo/new", "v1", **build(VARIANT, name="old", depends=[("demo/two", 1)]))
        self.write_project('"demo/old" = 1')
        self.expect(0, "lock")
        self.assertEqual(self.locked(), [("demo/new", 1), ("demo/old", 1), ("demo/one", 1), ("demo/two", 1)])
        self.expect(0, "lock", "--check")
        builds = self.expect(0, "download", "--locked", "--json", *TARGET).json["builds"]
        self.assertEqual([(build["repo"], build.get("moved", False)) for build in builds],
                         [("demo/new", False), ("demo/old", True), ("demo/one", False), ("demo/two", False)])
        tree = self.expect(0, "tree").out.splitlines()
        self.assertEqual([line[4:].split("@")[0] for line in tree[1:3]], ["demo/new", "demo/two"])
        self.assertTrue(tree[1].endswith(" (moved)"), tree)

    def test_a_redirect_to_another_version_of_what_the_project_names(self):
        """Python's load_kernel takes the lowest version that a lock has."""
        self.hub.publish("demo/new", "v1", build(VARIANT, name="new"))
        self.hub.publish("demo/new", "v3", build(VARIANT, name="new", version=3))
        self.redirect("demo/old", "demo/new", "v1", **build(VARIANT, name="old"))
        self.write_project('"demo/old" = 1\n"demo/new" = 3')
        result = self.expect(0, "lock")
        self.assertEqual(self.locked(), [("demo/new", 1), ("demo/new", 3), ("demo/old", 1)])
        self.assertIn("different states of it are needed", result.err)
        self.assertIn("a layer that names no version gets version 1, and so does Python's load_kernel", result.err)
        before = (self.project / "kernels.lock").read_bytes()
        self.expect(0, "lock", "--check")
        self.expect(0, "lock", "--upgrade")
        self.assertEqual((self.project / "kernels.lock").read_bytes(), before)

    def test_a_flaw_in_what_was_left_behind_is_a_warning(self):
        self.publish_demo()
        path = f"build/{VARIANT}/metadata.json"
        library = f"build/{VARIANT}/_old.abi3.so"
        right = build(VARIANT, name="old")
        digest = {"digest": {"algorithm": "sha256", "files": {"_old.abi3.so": base64.b64encode(bytes(32)).decode()}}}
        for flaw, files, said in (("no metadata", {name: data for name, data in right.items() if name != path}, "there is no " + path),
                                  ("broken metadata", {**right, path: b"{"}, path),
                                  ("wrong digest", {**right, path: metadata("old", **digest)}, "metadata.json names")):
            with self.subTest(flaw):
                self.redirect("demo/old", "demo/one", "v1", **files)
                self.write_project('"demo/old" = 1')
                (self.project / "kernels.lock").unlink(missing_ok=True)
                locked = self.expect(0, "lock")
                self.assertEqual(self.locked(), [("demo/old", 1), ("demo/one", 1)])
                self.assertEqual(flaw != "wrong digest", said in locked.err, locked.err)
                for arguments in ([], ["--locked"], ["--offline"]):
                    result = self.expect(0, "download", "--json", *arguments, *TARGET)
                    self.assertIn("its kernel has moved, and the build is left out", result.err)
                    self.assertEqual([build["repo"] for build in result.json["builds"]], ["demo/one"])
        # One build may be wrong and the others right.
        other = build("torch212-cxx11-cpu-x86_64-linux", name="old", depends=[("demo/two", 1)])
        self.redirect("demo/old", "demo/one", "v1", **{**right, path: b"{"}, **other)
        self.expect(0, "lock", "--upgrade")
        self.assertEqual(self.locked(), [("demo/old", 1), ("demo/one", 1), ("demo/two", 1)])
        builds = self.expect(0, "download", "--all-variants", "--json").json["builds"]
        self.assertIn(("demo/old", "torch212-cxx11-cpu-x86_64-linux"), [(build["repo"], build["variant"]) for build in builds])
        # What the Hub or this machine does wrong is no flaw of the build.
        right = build(VARIANT, name="old", size=50)
        self.redirect("demo/old", "demo/one", "v1", **right)
        self.expect(0, "lock", "--upgrade")
        self.hub.corrupt.add(hashlib.sha256(right[library]).hexdigest())
        self.expect_error(6, "do not match their hash", "download", *TARGET)
        self.expect(0, "cache", "verify")

    def test_what_only_the_builds_left_behind_need_hinders_nobody(self):
        """Kernels move when their old builds are outdated, and with them what those needed."""
        self.publish_demo()
        old = "torch29-cxx11-cpu-x86_64-linux"
        self.hub.publish("demo/leaf", "v1", build(old, name="leaf"))
        self.redirect("demo/old", "demo/one", "v1", **build(old, name="old", depends=[("demo/leaf", 1)]))
        self.write_project('"demo/old" = 1')
        self.expect(0, "lock", *TARGET)
        self.assertEqual(self.locked(), [("demo/leaf", 1), ("demo/old", 1), ("demo/one", 1)])
        self.expect(0, "lock", "--check", *TARGET)
        self.assertEqual([build["repo"] for build in self.expect(0, "download", "--locked", "--json", *TARGET).json["builds"]], ["demo/one"])
        self.expect(0, "download", "-o", self.folder / "image", *TARGET)
        self.expect(0, "download", "-o", self.folder / "image", "--offline", *TARGET)
        self.expect(0, "download", "-o", self.folder / "all", "--all-variants")
        self.assertEqual(sorted(path.name for path in (self.folder / "all" / "demo").iterdir()), ["one"])
        # Where the project names it, it has to fit.
        self.write_project('"demo/old" = 1\n"demo/leaf" = 1')
        self.expect(0, "lock")
        self.expect_error(7, "demo/leaf@", "download", *TARGET)
        self.expect_error(7, "demo/leaf@", "lock", "--check", *TARGET)

    def test_what_is_locked_for_another_reason_is_never_left_out(self):
        self.publish_demo()
        self.hub.publish("demo/plain", "v1", build(VARIANT, name="plain"))
        self.redirect("demo/old", "demo/plain", "v1", **build(VARIANT, name="old", depends=[("demo/two", 1)]))
        self.write_project('"demo/old" = 1\n"demo/two" = 1')
        self.expect(0, "lock")
        image = self.folder / "image"
        # The lock alone does not say what the project names; an older lock has what the project names no more.
        alone = self.folder / "alone"
        alone.mkdir()
        for name in ("kernels.lock", "kernels.sum"):
            (alone / name).write_bytes((self.project / name).read_bytes())
        self.expect(0, "download", alone, "-o", image, *TARGET)
        self.assertEqual(sorted(path.name for path in (image / "demo").iterdir()), ["one", "plain", "two"])
        self.hub.publish("demo/more", "v1", build("torch29-cxx11-cpu-x86_64-linux", name="more"))
        self.write_project('"demo/old" = 1\n"demo/more" = 1')
        self.expect(0, "lock")
        self.write_project('"demo/old" = 1')
        # What nothing asks for has no need to fit.
        self.expect(0, "download", *TARGET)
        self.expect(0, "download", "-o", image, *TARGET)

    def test_wrong_bytes_do_not_shorten_a_lock(self):
        self.publish_demo()
        leaf = build(VARIANT, name="leaf")
        self.hub.publish("demo/leaf", "v1", leaf)
        self.redirect("demo/old", "demo/one", "v1", **build(VARIANT, name="old", depends=[("demo/leaf", 1)]))
        self.write_project('"demo/old" = 1')
        self.expect(0, "lock")
        before = (self.project / "kernels.lock").read_bytes()
        shutil.rmtree(self.cache)
        orderly = self.hub.answer

        def answer(handler):
            if "/demo/leaf/resolve/" in handler.path and handler.path.endswith("metadata.json"):
                return self.hub.send(handler, 200, b"x" * len(leaf[f"build/{VARIANT}/metadata.json"]))
            return orderly(handler)

        self.hub.answer = answer
        for arguments in ([], ["--upgrade"]):
            self.expect(6, "lock", *arguments)
            self.assertEqual((self.project / "kernels.lock").read_bytes(), before)

    def test_needs_of_builds_left_behind_that_cannot_be_locked(self):
        self.publish_demo()
        self.hub.publish("someone/kernel", "v1", build(VARIANT, name="kernel"), trusted=False)
        for needed, why in (("demo/missing", "demo/missing"), ("someone/kernel", "someone is not a trusted kernel publisher")):
            with self.subTest(needed):
                self.redirect("demo/old", "demo/one", "v1", **build(VARIANT, name="old", depends=[(needed, 1)]))
                self.write_project('"demo/old" = 1')
                (self.project / "kernels.lock").unlink(missing_ok=True)
                self.hub.requests.clear()
                result = self.expect(0, "lock")
                self.assertIn("what the builds that it left behind need is not locked: ", result.err)
                self.assertIn(why, result.err)
                self.assertEqual(self.locked(), [("demo/old", 1), ("demo/one", 1)])
                self.assertEqual([path for path in self.hub.requests if "/someone/kernel" in path], [])
                self.expect(0, "lock", "--check")
                self.assertNotIn("which kernels.lock does not have", self.expect(0, "download", "--locked", *TARGET).err)

    def test_a_circle_that_no_client_walks(self):
        """core -> core2 needs util -> util2, and util's old build needs core: who follows redirects ends at util2."""
        self.hub.publish("demo/util2", "v1", build(VARIANT, name="util2"))
        self.redirect("demo/util", "demo/util2", "v1", **build(VARIANT, name="util", depends=[("demo/core", 1)]))
        self.hub.publish("demo/core2", "v1", build(VARIANT, name="core2", depends=[("demo/util", 1)]))
        self.redirect("demo/core", "demo/core2", "v1", **build(VARIANT, name="core"))
        self.write_project('"demo/core" = 1')
        self.expect(0, "lock")
        self.assertEqual(self.locked(), [("demo/core", 1), ("demo/core2", 1), ("demo/util", 1), ("demo/util2", 1)])
        self.expect(0, "download", "--locked", *TARGET)

    def test_sums_hold_for_what_was_left_behind_too(self):
        self.publish_demo()
        self.redirect("demo/old", "demo/one", "v1", **build(VARIANT, name="old"))
        self.write_project('"demo/old" = 1')
        self.expect(0, "lock")
        sums = self.project / "kernels.sum"
        of_old = next(line for line in sums.read_text().splitlines() if "demo/old" in line)
        digest = of_old[of_old.index("sha256:"):].split()[0]
        other = digest[:-1] + ("0" if digest[-1] != "0" else "1")
        sums.write_text(sums.read_text().replace(digest, other))
        self.expect_error(6, "its files are not the ones that kernels.sum names", "download", *TARGET)


if __name__ == "__main__":
    harness.main()
