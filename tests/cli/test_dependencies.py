"""add, remove, tree; conflicts, circles."""

import json
import os
import unittest

import harness
from harness import TARGET, VARIANT
from loopback_hub import build


class AddAndRemove(harness.CliTest):
    def test_add_takes_the_newest_version_and_keeps_the_file(self):
        self.publish_demo()
        self.hub.publish("demo/one", "v2", build(VARIANT, version=2))
        text = '# my project\n[project]\nname = "x"  # name\n\n[tool.kernels.dependencies]\n"demo/two" = 1  # two\n\n[tool.other]\nkey = 1\n'
        (self.project / "pyproject.toml").write_text(text)
        result = self.expect(0, "add", "demo/one")
        self.assertEqual((self.project / "pyproject.toml").read_text(), text.replace("# two\n", '# two\n"demo/one" = 2\n'))
        self.assertIn("added demo/one@v2", result.out)
        self.assertEqual(self.locked(), [("demo/one", 1), ("demo/one", 2), ("demo/two", 1)])  # two needs v1
        self.expect(0, "lock", "--check")

    def test_add_several_by_version_and_revision(self):
        self.publish_demo()
        commit = self.hub.publish("demo/one", "main", build(VARIANT, size=50))
        self.hub.publish("demo/one", "v2", build(VARIANT, version=2))
        self.write_project('"demo/two" = 1')
        document = self.expect(0, "add", "demo/one@main", "--json").json
        self.assertEqual(document["project_changes"], ["added demo/one@main"])
        self.assertIn({"repo": "demo/one", "revision": "main", "commit": commit}, document["kernels"])
        self.expect(0, "add", "demo/one@v1", "demo/two@1")
        self.assertIn('"demo/one" = 1\n', (self.project / "kernels.toml").read_text())

    def test_other_entries_stay_locked(self):
        self.publish_demo()
        self.write_project()
        self.expect(0, "lock")
        old = self.lock()
        self.hub.publish("demo/one", "v1", build(VARIANT, size=5))
        self.hub.publish("demo/three", "v1", build(VARIANT, name="three"))
        self.expect(0, "add", "demo/three")
        self.assertEqual(self.lock()[0], old[0])

    def test_without_a_project_a_file_is_written(self):
        self.publish_demo()
        self.expect(0, "add", "demo/one")
        self.assertEqual((self.project / "kernels.toml").read_text(), '[dependencies]\n"demo/one" = 1\n')
        (self.project / "kernels.toml").unlink()
        (self.project / "pyproject.toml").write_text('[project]\nname = "x"\n')
        self.expect(0, "add", "demo/one")
        self.assertIn('\n[tool.kernels.dependencies]\n"demo/one" = 1\n', (self.project / "pyproject.toml").read_text())

    def test_offline_what_the_cache_lacks_is_not_called_absent(self):
        self.publish_demo()
        self.write_project()
        self.expect(0, "lock")
        result = self.expect_error(5, "demo/two: any version of it is not in the cache, and this is offline", "add", "demo/two", "--offline")
        self.assertNotIn("@main", result.err)

    def test_an_empty_reference_is_told(self):
        self.publish_demo()
        self.expect_error(2, "`demo/one@`: there is no version or revision behind the @", "add", "demo/one@", hint="demo/one@main")

    def test_what_is_said_is_what_changed(self):
        self.publish_demo()
        self.hub.publish("demo/one", "v2", build(VARIANT, version=2))
        self.assertIn("kernels.toml: added demo/one@v1\n", self.expect(0, "add", "demo/one@1").out)
        before = (self.project / "kernels.toml").read_bytes()
        result = self.expect(0, "add", "demo/one@v1", "demo/one@1")
        self.assertIn("kernels.toml: demo/one@v1 is a dependency already\n", result.out)
        self.assertNotIn("added", result.out)
        self.assertEqual(self.expect(0, "add", "demo/one@1", "--json").json["project_changes"], [])
        self.assertEqual((self.project / "kernels.toml").read_bytes(), before)
        result = self.expect(0, "add", "demo/one", "demo/two", "--json")
        self.assertEqual(result.json["project_changes"], ["changed demo/one from v1 to v2", "added demo/two@v1"])

    def test_a_version_in_place_of_a_revision_is_written_for_python_too(self):
        self.publish_demo()
        self.write_project('"demo/one" = { revision = "v1" }  # pin')
        self.expect(0, "add", "demo/one@1")
        self.assertIn('"demo/one" = 1  # pin\n', (self.project / "kernels.toml").read_text())

    def test_a_repository_named_twice(self):
        self.publish_demo()
        self.hub.publish("demo/one", "v2", build(VARIANT, version=2))
        for one, other in (("@1", "@2"), ("@v2", "@main"), ("", "@1")):
            self.expect_error(2, f"demo/one is named twice, as {one[1:].replace('1', 'v1') if one == '@1' else 'v2'} and as ",
                              "add", f"demo/one{one}", f"demo/one{other}", hint="name that one")
        self.assertEqual(list(self.project.iterdir()), [])
        self.expect(0, "add", "demo/one", "demo/one@2")

    def test_what_cannot_be_locked_changes_nothing(self):
        self.publish_demo()
        self.hub.publish("someone/kernel", "v1", build(VARIANT), trusted=False)
        self.hub.publish("demo/branches", "main", build(VARIANT))
        self.write_project()
        self.expect(0, "lock")
        before = {p.name: p.read_bytes() for p in self.project.iterdir()}
        self.expect_error(4, "demo/none", "add", "demo/none")
        self.expect_error(4, "demo/one", "add", "demo/one@9")
        self.expect_error(4, "demo/branches: it has no versions", "add", "demo/branches", hint="demo/branches@main")
        self.expect_error(6, "someone", "add", "someone/kernel", hint="trust-remote-code")
        self.expect_error(2, "nonsense", "add", "nonsense")
        self.expect_error(4, "demo/ona", "remove", "demo/ona", hint="demo/one")
        self.expect_error(7, "2 builds are missing", "add", "demo/two", "--target", "torch=2.1")
        self.assertEqual({p.name: p.read_bytes() for p in self.project.iterdir()}, before)

    def test_links_and_permissions_stay(self):
        self.publish_demo()
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "file.toml").write_text('[dependencies]\n"demo/two" = 1\n')
        (elsewhere / "file.toml").chmod(0o640)
        (elsewhere / "lock").write_text("[]")
        (self.project / "kernels.toml").symlink_to("../elsewhere/file.toml" if self.folder == self.project.parent else elsewhere / "file.toml")
        (self.project / "kernels.lock").symlink_to(elsewhere / "lock")
        self.expect(0, "add", "demo/one")
        self.expect(0, "remove", "demo/two")
        self.assertTrue((self.project / "kernels.toml").is_symlink())
        self.assertTrue((self.project / "kernels.lock").is_symlink())
        self.assertEqual((elsewhere / "file.toml").read_text(), '[dependencies]\n"demo/one" = 1\n')
        self.assertEqual((elsewhere / "file.toml").stat().st_mode & 0o7777, 0o640)
        self.assertIn("demo/one", (elsewhere / "lock").read_text())
        self.assertEqual(sorted(p.name for p in elsewhere.iterdir()), ["file.toml", "lock"])

    @unittest.skipUnless(os.geteuid() == 0, "only root may give files away")
    def test_another_owner_stays(self):
        self.publish_demo()
        self.hub.publish("demo/three", "v1", build(VARIANT, name="three"))
        self.write_project('"demo/two" = 1')
        self.expect(0, "lock")
        files = {self.project / name: mode for name, mode in (("kernels.toml", 0o640), ("kernels.lock", 0o664), ("kernels.sum", 0o600))}
        for path, mode in files.items():
            os.chown(path, 4321, 4322)
            path.chmod(mode)
        before = {path: path.read_bytes() for path in files}
        for command in ("add", "remove"):
            self.expect(0, command, "demo/three")
            for path, mode in files.items():
                status = path.stat()
                self.assertEqual((status.st_uid, status.st_gid, status.st_mode & 0o7777), (4321, 4322, mode), (command, path))
                self.assertEqual(path.read_bytes() == before[path], command == "remove", (command, path))

    def test_remove_drops_what_nothing_else_needs(self):
        self.publish_demo()
        self.write_project('"demo/two" = 1\n"demo/one" = 1 # one', '[[layers]]\nname = "A"\ndevice = "cpu"\nrepo = "demo/two"\nlayer = "A"\n')
        self.expect(0, "lock")
        self.expect(0, "remove", "demo/one")
        self.assertEqual(self.locked(), [("demo/one", 1), ("demo/two", 1)])  # two needs it
        result = self.expect(0, "remove", "demo/two", "demo/two")
        self.assertIn("the layer `A` still comes from demo/two", result.err)
        self.assertEqual(self.lock(), [])
        self.assertIn("[dependencies]\n", (self.project / "kernels.toml").read_text())
        self.assertEqual((self.project / "kernels.sum").read_text(), "")
        self.assertIn("kernels.lock: 0 kernels, up to date", self.expect(0, "lock").out)
        self.expect_error(2, "no project file", "remove", "demo/one", "--project", self.home)

    def test_a_project_without_its_last_dependency_can_be_locked(self):
        self.publish_demo()
        for name, text in (("kernels.toml", '[dependencies]\n"demo/one" = 1\n'), ("kernels.toml", 'dependencies."demo/one".version = 1\n'),
                           ("pyproject.toml", '[tool.kernels.dependencies."demo/one"]\nversion = 1\n'),
                           ("pyproject.toml", '[tool]\nkernels = { dependencies = { "demo/one" = 1 } }\n')):
            with self.subTest(text):
                (self.project / name).write_text(text)
                self.expect(0, "remove", "demo/one")
                self.assertNotIn("demo/one", (self.project / name).read_text())
                self.assertEqual(self.lock(), [])
                for command in (["lock"], ["lock", "--check"], ["download", "--locked", *TARGET], ["outdated"], ["tree"]):
                    self.expect(0, *command)
                self.expect(0, "add", "demo/one")
                (self.project / name).unlink()
                (self.project / "kernels.lock").unlink()


class Tree(harness.CliTest):
    def test_shows_who_needs_what(self):
        cuda = "torch213-cxx11-cu128-x86_64-linux"
        self.publish_demo()
        self.hub.publish("demo/three", "v1", {**build(VARIANT, name="three"), **build(cuda, name="three", depends=[("demo/two", 1)])})
        self.write_project('"demo/three" = 1\n"demo/one" = 1')
        self.expect(0, "lock")
        short = {name: self.hub.commit_of(f"demo/{name}", "v1")[:12] for name in ("one", "two", "three")}
        self.assertEqual(self.expect(0, "tree", "--offline").out.splitlines(), [
            f"demo/one@v1 {short['one']}", f"demo/three@v1 {short['three']}",
            f"└── demo/two@v1 {short['two']} (needed by {cuda})", f"    └── demo/one@v1 {short['one']}"])
        document = self.expect(0, "tree", "--json").json["kernels"]
        self.assertEqual(document[1]["depends"][0]["depends"][0]["repo"], "demo/one")


    def test_what_several_need_is_shown_once(self):
        """Each of two kernels needs both of the next two: 2 ** 15 ways, and a lock by hand may go in a circle."""
        for i in range(16):
            depends = [(f"demo/l{i + 1}{x}", 1) for x in "ab"] if i < 15 else []
            for x in "ab":
                self.hub.publish(f"demo/l{i}{x}", "v1", build(VARIANT, name=f"l{i}{x}", depends=depends))
        self.write_project('"demo/l0a" = 1')
        self.expect(0, "lock")
        lines = self.expect(0, "tree").out.splitlines()
        self.assertEqual(len(lines), 1 + 2 * 29)
        self.assertEqual(len([line for line in lines if line.endswith(" (as above)")]), 26)
        document = self.expect(0, "tree", "--json").json["kernels"]
        [root] = document
        first, second = root["depends"]
        self.assertEqual([need.get("repeated") for need in first["depends"]], [None, None])
        self.assertEqual([need["repeated"] for need in second["depends"]], [True, True])
        names = ("first", "second")
        commits = [self.hub.publish(f"demo/{a}", "v1", build(VARIANT, name=a, depends=[(f"demo/{b}", 1)])) for a, b in (names, names[::-1])]
        self.write_project('"demo/first" = 1')
        (self.project / "kernels.lock").write_text(json.dumps([
            {"dependency": {"repo-id": f"demo/{name}", "version": 1}, "lock": {"commit": commit}} for name, commit in zip(names, commits)]))
        first, second = (f"demo/{name}@v1 {commit[:12]}" for name, commit in zip(names, commits))
        self.assertEqual(self.expect(0, "tree").out.splitlines(), [first, f"└── {second}", f"    └── {first} (as above)"])


class Builds(harness.CliTest):
    def test_a_kernel_without_builds_cannot_be_locked(self):
        self.hub.publish("demo/none", "v1", {"README.md": b"soon"})
        self.hub.publish("demo/needs", "v1", build(VARIANT, depends=[("demo/none", 1)]))
        for name, way in (("none", ""), ("needs", " (needed by demo/needs@v1 -> demo/none@v1)")):
            self.write_project(f'"demo/{name}" = 1')
            self.expect_error(4, f"demo/none@v1: there are no builds in it{way}", "lock", hint="`kernels versions demo/none`")
            self.assertFalse((self.project / "kernels.lock").exists())
        commit = self.hub.commit_of("demo/none", "v1")
        entry = {"dependency": {"repo-id": "demo/none", "version": 1}, "lock": {"commit": commit}}
        (self.project / "kernels.lock").write_text(json.dumps([entry], indent=2))
        for arguments in (["--all-variants"], TARGET):
            self.expect(7, "download", *arguments)


class Conflicts(harness.CliTest):
    def test_each_path_is_named_and_a_layer_gets_what_is_said(self):
        self.publish_demo()
        self.hub.publish("demo/one", "v2", build(VARIANT, version=2))
        self.hub.publish("demo/three", "v1", build(VARIANT, name="three", depends=[("demo/two", 1)]))
        layer = '[[layers]]\nname = "Demo"\ndevice = "cpu"\nrepo = "demo/one"\nlayer = "Demo"\n'
        self.write_project('"demo/three" = 1\n"demo/one" = 2', layer)
        err = self.expect(0, "lock").err
        self.assertIn("warning: demo/one: different states of it are needed, and each is locked: version 1 (needed by "
                      "demo/three@v1 -> demo/two@v1 -> demo/one@v1), version 2 (needed by the project); a layer that names no "
                      "version gets version 1, and so does Python's load_kernel, which can name none\n", err)
        self.assertIn(self.hub.commit_of("demo/one", "v1"), self.expect(0, "mapping", "show", "--json").out)
        [conflict] = self.expect(0, "lock", "--json").json["conflicts"]
        self.assertEqual(conflict, {"repo": "demo/one", "states": [
            {"version": 1, "commit": self.hub.commit_of("demo/one", "v1"), "path": ["demo/three@v1", "demo/two@v1", "demo/one@v1"]},
            {"version": 2, "commit": self.hub.commit_of("demo/one", "v2"), "path": ["demo/one@v2"]}]})
        self.write_project('"demo/three" = 1\n"demo/one" = 1')
        self.assertNotIn("different states", self.expect(0, "lock").err)
        self.assertNotIn("conflicts", self.expect(0, "lock", "--json").json)


class Circles(harness.CliTest):
    def test_the_path_is_named(self):
        self.hub.publish("demo/a", "v1", build(VARIANT, name="aa", depends=[("demo/b", 1)]))
        self.hub.publish("demo/b", "v1", build(VARIANT, name="bb", depends=[("demo/a", 1)]))
        self.hub.publish("demo/c", "v1", build(VARIANT, name="cc", depends=[("demo/none", 1)]))
        self.write_project('"demo/a" = 1')
        self.expect_error(1, "demo/a@v1 -> demo/b@v1 -> demo/a@v1", "lock")
        self.write_project('"demo/c" = 1')
        self.expect_error(4, "needed by demo/c@v1 -> demo/none@v1", "lock")


class Locked(harness.CliTest):
    """download --locked agrees with lock --check, and asks for nothing that the cache holds."""

    def setUp(self):
        super().setUp()
        self.publish_demo()
        self.hub.publish("demo/three", "v1", build(VARIANT, name="three", depends=[("demo/two", 1)]))
        self.write_project('"demo/three" = 1')
        self.expect(0, "lock")

    def drop(self, repo):
        rest = [entry for entry in self.lock() if entry["dependency"]["repo-id"] != repo]
        (self.project / "kernels.lock").write_text(json.dumps(rest, indent=2))

    def test_what_is_complete_costs_no_request(self):
        self.expect(0, "download", "--locked", *TARGET)
        self.hub.requests.clear()
        self.expect(0, "download", "--locked", *TARGET)
        self.assertEqual(self.hub.requests, [])

    def test_a_transitive_entry_that_is_missing(self):
        self.drop("demo/one")
        self.expect_error(3, "out of date", "lock", "--check", "--no-sum")
        for offline in ([], ["--offline"]):
            result = self.expect_error(3, "does not cover", "download", "--locked", *offline, *TARGET, hint="kernels lock")
            self.assertIn("demo/one@v1 is not locked (needed by demo/three@v1 -> demo/two@v1 -> demo/one@v1)", result.err)
        self.assertEqual(list(self.cache.glob("kernels--*/snapshots/*/build/*/*.so")), [])

    def test_it_is_seen_with_an_empty_cache_too(self):
        self.drop("demo/one")
        result = self.expect_error(3, "does not cover", "download", "--locked", "--cache", self.folder / "other", *TARGET)
        self.assertIn("demo/one@v1 is not locked", result.err)

    def test_an_entry_that_nothing_needs(self):
        self.write_project('"demo/one" = 1')
        self.expect_error(3, "out of date", "lock", "--check")
        result = self.expect_error(3, "does not cover", "download", "--locked", *TARGET)
        self.assertIn("demo/three@v1 is locked, and nothing needs it", result.err)
        self.assertIn("demo/two@v1 is locked, and nothing needs it", result.err)
        self.assertNotIn("demo/one@v1 is", result.err)
        self.expect(0, "download", *TARGET)


if __name__ == "__main__":
    harness.main()
