"""What is said when no build fits, and what would help."""

import harness
from harness import VARIANT
from loopback_hub import build

CUDA = "torch213-cxx11-cu128-x86_64-linux"


class NoBuild(harness.CliTest):
    def test_every_build_its_reason_nearest_first_and_a_newer_version(self):
        stable = "torch-stable-abi29-cu128-x86_64-linux"
        self.hub.publish("demo/one", "v1", {**build("torch29-cxx11-cu128-aarch64-linux"), **build("torch212-cxx11-cu128-x86_64-linux"),
                                            **build("torch212-cxx11-cu118-x86_64-linux")})
        self.hub.publish("demo/one", "v2", build(stable))
        self.write_project()
        self.expect(0, "lock")
        result = self.expect_error(7, "no build fits torch=2.13,cuda=12.8", "download", "--target",
                                   "torch=2.13,cuda=12.8,cpu=x86_64,os=linux",
                                   hint="v2 has a stable-ABI build that fits torch 2.13")
        at = [result.err.index(name) for name in ("torch212-cxx11-cu128-x86_64", "torch212-cxx11-cu118-x86_64", "torch29-cxx11-cu128-aarch64")]
        self.assertEqual(at, sorted(at))
        self.assertIn("torch 2.12", result.err.split("hint: ")[1])
        error = self.expect(7, "download", "--json", "--target", "torch=2.13,cuda=12.8,cpu=x86_64,os=linux").json["error"]
        self.assertEqual(error["code"], "no-build")
        self.assertEqual(len(error["details"]), 3)
        self.assertIn("v2 has a stable-ABI build", error["hint"])
        self.assertEqual([one["reason"] for one in error["builds"]], ["torch-version", "torch-version", "cpu"])
        self.assertEqual([f"{one['variant']}: {one['text']}" for one in error["builds"]], error["details"])
        self.assertEqual([(one["kind"], one["value"]) for one in error["suggestions"]], [("version", "v2"), ("torch", "2.12")])
        self.assertEqual("; ".join(one["text"] for one in error["suggestions"]), error["hint"])
        # versions and info tell it in the same order, with what another torch would do.
        target = ("--target", "torch=2.13,cuda=12.8,cpu=x86_64,os=linux")
        names = [one["variant"] for one in error["builds"]]
        for command in (("versions", "demo/one"), ("info", "demo/one", "--version", 1)):
            text = self.expect(0, *command, *target).out
            at = [text.index(f"{name}: ") for name in names]
            self.assertEqual(at, sorted(at))
            newer = f"v2 has a stable-ABI build that fits torch 2.13 with cuda 12.8 ({stable})"
            self.assertIn(f"  {newer}\n  torch212-cxx11-cu128-x86_64-linux would fit with torch 2.12\n", text)
            document = self.expect(0, *command, "--json", *target).json
            entry = (document["versions"][0] if "versions" in document else document)["targets"][0]
            self.assertEqual([one["variant"] for one in entry["builds"]], names)
            self.assertEqual([(one["kind"], one["value"]) for one in entry["suggestions"]], [("version", "v2"), ("torch", "2.12")])
            self.assertEqual((entry["suggestions"][0]["variant"], entry["suggestions"][0]["text"]), (stable, newer))
        self.assertNotIn("suggestions", self.expect(0, "info", "demo/one", "--version", 2, "--json", *target).json["targets"][0])

    def test_the_reason_for_each_gap_in_the_table_of_versions(self):
        self.hub.publish("demo/one", "v1", build("torch212-cxx11-cu128-x86_64-linux"))
        self.hub.publish("demo/one", "v2", build(CUDA))
        self.hub.publish("demo/one", "v3", {"README.md": b"nothing yet"})
        old, new = (f"torch={torch},cuda=12.8,cpu=x86_64,os=linux,cxx11-abi=true" for torch in ("2.12", "2.13"))
        text = self.expect(0, "versions", "demo/one", "--target", old, "--target", new).out
        # What all targets say is said once, and a target that is given twice is one.
        self.assertEqual(text, self.expect(0, "versions", "demo/one", "--target", old, "--target", new, "--target", old).out)
        self.assertRegex(text, r"^version  torch=2\.12 +torch=2\.13\n")
        self.assertEqual(text[text.index("each with"):], f"""each with cuda=12.8,cpu=x86_64,os=linux,cxx11-abi=true

v1, {new}:
  torch212-cxx11-cu128-x86_64-linux: Torch version (2.12) does not match environment Torch version (2.13)
  v2 has a build that fits torch 2.13 with cuda 12.8 ({CUDA})
  torch212-cxx11-cu128-x86_64-linux would fit with torch 2.12

v2, {old}:
  {CUDA}: Torch version (2.13) does not match environment Torch version (2.12)
  v1 has a build that fits torch 2.12 with cuda 12.8 (torch212-cxx11-cu128-x86_64-linux)
  {CUDA} would fit with torch 2.13

v3, {old}:
  it has no builds at all
  v1 has a build that fits torch 2.12 with cuda 12.8 (torch212-cxx11-cu128-x86_64-linux)

v3, {new}:
  it has no builds at all
  v2 has a build that fits torch 2.13 with cuda 12.8 ({CUDA})
""")
        # With --torch what would help is told as with --target.
        alone = self.expect(0, "versions", "demo/one", "--torch", "2.13+cu128").out
        self.assertIn("  torch212-cxx11-cu128-x86_64-linux would fit with torch 2.12\n", alone)

    def test_two_changes_at_once_where_no_single_one_helps(self):
        self.hub.publish("demo/one", "v1", {**build(CUDA), **build("torch213-cxx11-cu118-x86_64-linux")})
        self.hub.publish("demo/one", "v2", build("torch-rocm"))
        self.write_project()
        self.expect(0, "lock")
        command = ("download", "--target", "torch=2.12,cuda=13.0")
        result = self.expect_error(7, "no build fits", *command, hint=f"{CUDA} would fit with torch 2.13 for cuda 12.8")
        self.assertNotIn("helps", result.err)
        (suggestion,) = self.expect(7, *command, "--json").json["error"]["suggestions"]
        self.assertEqual(suggestion["kind"], "target")
        self.expect(0, "download", "--target", suggestion["value"])
        self.write_project('"demo/one" = 2')
        self.expect(0, "lock")
        for torch, words in (("torch=2.12,", "no other torch for cuda helps"), ("", "no torch for cuda helps")):
            result = self.expect_error(7, "no build fits", "download", "--target", f"{torch}cuda=13.0", hint=words)
            self.assertEqual("--torch" in result.err, not torch, result.err)  # which a target with a torch has no use for

    def test_a_machine_without_torch(self):
        self.hub.publish("demo/one", "v1", build(VARIANT))
        self.write_project()
        self.expect(0, "lock")
        if any(fact["name"] == "torch" for fact in self.expect(0, "env", "--json").json["facts"]):
            self.skipTest("the system has a torch")
        result = self.expect_error(7, "no build fits", "download", hint="no torch is named or was found; ")
        self.assertIn("--torch PATH|VERSION", result.err)

    def test_a_torch_whose_backend_nothing_tells_gets_no_build_for_the_cpu(self):
        self.hub.publish("demo/one", "v1", {**build("torch210-cxx11-cpu-x86_64-linux"), **build("torch210-cxx11-xpu20252-x86_64-linux")})
        self.write_project()
        self.expect(0, "lock")
        libtorch = self.folder / "libtorch"
        (libtorch / "lib").mkdir(parents=True)
        (libtorch / "lib" / "libtorch_xpu.so").write_bytes(b"")
        (libtorch / "build-version").write_text("2.10.0\n")
        result = self.expect_error(2, "the backend is not known: it has ", "download", "--torch", libtorch, hint="xpu=2025.2")
        self.assertIn("--target SPEC", result.err)
        out = self.expect(0, "download", "--torch", libtorch, "--target", "xpu=2025.2,cpu=x86_64,os=linux").out
        self.assertIn("torch210-cxx11-xpu20252-x86_64-linux", out)
        document = self.expect(0, "env", "--torch", libtorch, "--json").json
        self.assertIsNone(document["target"])
        missing = document["missing"]
        self.assertTrue(any("libtorch_xpu.so, and nothing tells for which version" in text for text in missing), missing)

    def torch_in(self, folder, version):
        torch = folder / "lib/python3.12/site-packages/torch"
        torch.mkdir(parents=True)
        (torch / "__init__.py").write_text("")
        (torch / "version.py").write_text(f"__version__ = '{version}'\ncuda = None\nhip = None\n")

    def test_a_target_without_torch_is_for_the_torch_of_the_project(self):
        self.hub.publish("demo/one", "v1", {**build("torch212-cxx11-cu128-x86_64-linux"), **build(CUDA)})
        self.write_project()
        self.expect(0, "lock")

        def chosen(*arguments, **environment):
            return self.expect(0, "download", "--json", *arguments, **environment).json["builds"][0]["variant"]

        cuda = ("--target", "cuda=12.8")
        self.torch_in(self.project / ".venv", "2.12.1+cpu")  # the target says for what
        self.assertEqual(chosen(*cuda), "torch212-cxx11-cu128-x86_64-linux")
        self.assertEqual(chosen(*cuda, KERNELS_TORCH="2.13+cpu"), CUDA)
        self.assertEqual(chosen(*cuda, "--torch", "2.13", KERNELS_TORCH="2.12"), CUDA)
        self.assertEqual(chosen("--target", "torch=2.13,cuda=12.8", KERNELS_TORCH="2.12"), CUDA)
        targets = self.expect(0, "versions", "demo/one", "--json", *cuda).json["versions"][0]["targets"]
        self.assertTrue(targets[0]["target"].startswith("torch=2.12,cuda=12.8"), targets)
        # One that is for another framework has no torch, and the hint says no other thing.
        result = self.expect(7, "download", "--target", "tvm-ffi=0.1,cuda=12.8")
        self.assertIn("hint: the target names no torch; ", result.err)
        self.assertIn("(--torch PATH|VERSION)", result.err)

    def test_without_a_torch_the_newest_is_suggested_first(self):
        self.hub.publish("demo/one", "v1", {**build("torch29-cxx11-cu128-x86_64-linux"), **build("torch210-cxx11-cu128-x86_64-linux"),
                                            **build("torch212-cxx11-cu128-x86_64-linux")})
        self.write_project()
        self.expect(0, "lock")
        result = self.expect(7, "download", "--target", "tvm-ffi=0.1,cuda=12.8")
        self.assertIn("would fit with torch 2.12", result.err)
        at = [result.err.index(f"  torch{version}-") for version in ("212", "210", "29")]
        self.assertEqual(at, sorted(at))
        self.assertNotIn("would fit with torch 2.9", result.err)

    def test_where_no_torch_helps_none_is_asked_for(self):
        self.hub.publish("demo/one", "v1", build(CUDA))
        self.hub.publish("demo/two", "v1", build("torch213-metal-aarch64-darwin", name="two"))
        self.write_project('"demo/one" = 1\n"demo/two" = 1')
        self.expect(0, "lock")
        result = self.expect(7, "download", "--target", "tvm-ffi=0.1,metal,macos=26", "--json").json["error"]
        one, two = result["causes"]
        self.assertIn("no torch for metal helps", one["hint"])
        self.assertNotIn("--torch", one["hint"])
        self.assertIn("would fit with torch 2.13 (--torch PATH|VERSION)", two["hint"])
        self.write_project('"demo/two" = 1')
        self.expect(0, "lock")
        self.expect(0, "download", "--target", "tvm-ffi=0.1,metal,macos=26", "--torch", "2.13")  # it does

    def test_a_torch_for_another_backend_than_the_target(self):
        self.hub.publish("demo/one", "v1", build(CUDA))
        self.write_project()
        self.expect(0, "lock")
        self.expect_error(2, "--torch `2.13+cu128`: torch 2.13+cu128 is made for cuda 12.8, the target is rocm 6.4", "download",
                          "--torch", "2.13+cu128", "--target", "rocm=6.4", hint="--torch 2.13")
        self.expect(2, "download", "--torch", "2.13+cu128", "--target", "torch=2.13,rocm=6.4")
        self.expect(0, "download", "--torch", "2.13+cu128", "--target", "cuda=12.8")
        self.expect(0, "download", "--torch", "2.13", "--target", "cuda=12.8")

    def test_a_target_that_is_far_too_long_is_one_short_line(self):
        long = "9" * 5000
        for spec in (f"torch=2.{long},cuda=12.8", f"cuda={long}.8", long, f"{'x' * 5000}=1", f"arch={'gfx' + 'a' * 5000},rocm=6.4",
                     f"torch=2.13+{'a' * 5000}", f"cuda=12.8,capability={long}", f"os={long}", f"macos={long}", f"torch={'1.' * 5000}"):
            lines = self.expect(2, "versions", "demo/one", "--target", spec).err.splitlines()
            self.assertLessEqual(len(lines), 2, lines)
            self.assertLess(max(map(len, lines)), 420, lines)
        for torch in (long, f"2.{long}", "x" * 5000, f"2.13+{'c' * 5000}", "/" + "x/" * 3000):
            lines = self.expect(2, "versions", "demo/one", "--torch", torch).err.splitlines()
            self.assertLessEqual(len(lines), 2, lines)
            self.assertLess(max(map(len, lines)), 420, lines)

    def test_one_commit_by_two_names_is_told_once(self):
        self.hub.publish("demo/one", "v1", build(VARIANT))
        depends = [{"repo-id": "demo/one", "revision": "v1"}]
        self.hub.publish("demo/two", "v1", build(VARIANT, name="two", **{"kernel-depends": depends}))
        self.write_project('"demo/one" = 1\n"demo/two" = 1')
        result = self.expect(7, "lock", "--target", "torch=2.12,cpu=x86_64,os=linux")
        self.assertEqual(result.err.count("demo/one@"), 1, result.err)

    def test_the_suggestion_costs_nothing_when_the_hub_is_down(self):
        self.hub.publish("demo/one", "v1", build(VARIANT))
        self.write_project()
        self.expect(0, "lock")
        self.expect(0, "download", *harness.TARGET)  # so that offline knows version 1
        self.hub.publish("demo/one", "v2", build("torch-stable-abi29-cpu-x86_64-linux"))
        target = ("--target", "torch=2.12,cpu=x86_64,os=linux")
        result = self.expect_error(7, "no build fits", "download", "--offline", *target)
        self.assertIn("2.13", result.err.split("hint: ")[1])
        info = ("info", "demo/one", "--version", 1, "--json", *target)
        for offline, kinds in ((("--offline",), ["torch"]), ((), ["version", "torch"])):
            (entry,) = self.expect(0, *info, *offline).json["targets"]
            self.assertEqual([one["kind"] for one in entry["suggestions"]], kinds)


class Remarks(harness.CliTest):
    def test_a_warning_is_said_once(self):
        self.hub.publish("demo/one", "v1", {**build(VARIANT), "build/whatever/metadata.json": b"{}"})
        self.write_project()
        result = self.expect(0, "lock", *harness.TARGET)
        self.assertEqual(result.err.count("build/whatever is no build variant"), 1, result.err)

    def test_a_dirty_source_tree_and_a_newer_client_are_warned_about(self):
        provenance = {"kernel-builder": {"version": "0.1.0", "commit": "0" * 40, "dirty": True}}
        self.hub.publish("demo/one", "v1", build(VARIANT, **{"kernels-minver": "99.0.0", "provenance": provenance, "python-depends": ["einops"]}))
        self.write_project()
        self.expect(0, "lock")
        for _ in range(2):  # on what is there already as well
            result = self.expect(0, "download", *harness.TARGET)
            self.assertIn("made for kernels 99.0.0", result.err)
            self.assertIn("uncommitted changes", result.err)
            self.assertTrue(result.out.endswith(": its Python code imports einops\n"), result.out)
            self.assertEqual((result.out + result.err).count("imports"), 1, result)
        result = self.expect(0, "download", "--json", *harness.TARGET)
        remarks = result.json["builds"][0]["remarks"]
        self.assertEqual([(one["kind"], one["warning"]) for one in remarks],
                         [("python-depends", False), ("kernels-minver", True), ("dirty", True)])
        for one in remarks:
            self.assertEqual(f": {one['text']}\n" in result.err, one["warning"])


if __name__ == "__main__":
    harness.main()
