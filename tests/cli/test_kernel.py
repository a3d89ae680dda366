"""info and versions; tests/contract/client/test_describe.py has them beside the Python client."""

import re

import harness
from harness import TARGET, VARIANT
from loopback_hub import build

CUDA = "torch213-cxx11-cu128-x86_64-linux"
STABLE = "torch-stable-abi29-cpu-x86_64-linux"


class Kernel(harness.CliTest):
    def setUp(self):
        super().setUp()
        more = {"upstream": "https://example.org/kernel", "license": "Ünlicensed", "python-depends": ["einops"], "kernels-minver": "0.12.0"}
        self.hub.publish("demo/one", "v1", {**build(VARIANT, **more), **build(CUDA, **more)})
        self.hub.publish("demo/one", "v2", {**build(VARIANT, version=2, **more), **build(STABLE, version=2, **more)})
        self.hub.publish("demo/none", "main", build(VARIANT, name="none"))
        self.hub.publish("demo/empty", "v1", {"README.md": b"nothing built"})

    def write_local(self):
        folder = self.project / "local"
        for path, data in build(VARIANT, name="local").items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        return folder

    def test_info(self):
        document = self.expect(0, "info", "demo/one", "--json").json
        self.assertEqual(document["revision"], "v2")
        self.assertEqual(document["version"], 2)
        self.assertEqual(document["backends"], ["cpu"])
        self.assertEqual(self.expect(0, "info", "demo/one", "--json", "--version", 1).json["backends"], ["cpu", "cuda"])
        self.assertEqual(self.expect(0, "info", "demo/none", "--json").json["revision"], "main")
        self.assertEqual(self.expect(0, "info", "local", "--json").json["path"] if self.write_local() else None, "local")

    def test_bad_input(self):
        self.expect_error(4, "demo/noe: no such kernel repository", "info", "demo/noe")
        self.expect_error(4, "demo/empty: there are no builds", "info", "demo/empty")
        self.expect_error(4, "demo/one: there is no version 7", "info", "demo/one", "--version", 7, hint="1, 2")
        self.expect_error(4, "demo/one@gone", "info", "demo/one", "--revision", "gone")
        self.expect_error(2, "both given", "info", "demo/one", "--revision", "main", "--version", 1)
        self.expect_error(2, "local folder", "info", self.write_local(), "--version", 1)
        self.expect_error(2, "`nonsense`", "info", "nonsense")
        self.expect_error(4, "demo/noe", "versions", "demo/noe")
        self.expect_error(5, "demo/one: any version of it is not in the cache, and this is offline", "versions", "demo/one", "--offline", *TARGET)

    def test_archs(self):
        document = self.expect(0, "info", "demo/one", "--version", 1, "--archs", "--json").json
        self.assertEqual([entry["variant"] for entry in document["archs"]], sorted([VARIANT, CUDA]))
        self.assertEqual({tuple(entry["libraries"]) for entry in document["archs"]}, {()})

    def test_versions(self):
        out = self.expect(0, "versions", "demo/one", *TARGET).out
        one, two = out.split("Version 2:\n\n")
        self.assertTrue(one.startswith("Version 1:\n\n" + VARIANT + " compatible, preferred ✅\n" + CUDA + ": "), one)
        self.assertEqual(two.splitlines(), [STABLE + " compatible, preferred ✅", VARIANT + " compatible ✅"])
        document = self.expect(0, "versions", "demo/one", "--json", *TARGET).json
        self.assertEqual([v["targets"][0]["preferred"] for v in document["versions"]], [VARIANT, STABLE])
        refused = document["versions"][0]["targets"][0]["builds"][1]
        self.assertEqual((refused["variant"], refused["fits"], refused["reason"]), (CUDA, False, "backend"))

    def test_versions_by_targets(self):
        out = self.expect(0, "versions", "demo/one", *TARGET, "--target", "torch=2.13,cuda=12.9").out.splitlines()
        self.assertEqual([re.split(r"  +", line) for line in out],
                         [["version", "cpu", "cuda=12.9"], ["v1", VARIANT, CUDA], ["v2", STABLE, "no build"],
                          ["each with torch=2.13,cpu=x86_64,os=linux,cxx11-abi=true"], [""],
                          ["v2, torch=2.13,cuda=12.9,cpu=x86_64,os=linux,cxx11-abi=true:"],
                          ["", f"{STABLE}: backend (cpu) does not match selected backend (cu129)"],
                          ["", f"v1 has a build that fits torch 2.13 with cuda 12.9 ({CUDA})"]])

        # A target that has nothing of its own is named in full.
        out = self.expect(0, "versions", "demo/one", "--target", "torch=2.13,cuda=12.9,cpu=x86_64,os=linux", "--target",
                          "torch=2.13,cuda=12.9,cpu=x86_64,os=linux,capability=90").out.splitlines()
        self.assertEqual(re.split(r"  +", out[0]), ["version", "torch=2.13,cuda=12.9,cpu=x86_64,os=linux,cxx11-abi=true", "capability=90"])

    def test_info_for_targets(self):
        both = [*TARGET, "--target", "torch=2.12,cuda=12.9"]
        document = self.expect(0, "info", "demo/one", "--version", 1, "--json", *both).json
        self.assertEqual([target["preferred"] for target in document["targets"]], [VARIANT, None])
        out = self.expect(0, "info", "demo/one", "--version", 1, *both).out
        self.assertIn(f"os=linux,cxx11-abi=true: {VARIANT}\n", out)
        self.assertIn("torch=2.12,cuda=12.9,cpu=x86_64,os=linux,cxx11-abi=true: none\n", out)

    def test_info_of_local_kernels(self):
        local = self.write_local()
        document = self.expect(0, "info", "demo/one", "--json", LOCAL_KERNELS=f"demo/zero=/nowhere:demo/one={local}").json
        self.assertEqual((document["path"], "repo_id" in document), (str(local), False))
        document = self.expect(0, "info", "demo/one", "--version", 1, "--json", LOCAL_KERNELS=f"demo/one={local}").json
        self.assertEqual(document["repo_id"], "demo/one")
        self.expect_error(4, "there are no builds in it", "info", "demo/one", LOCAL_KERNELS="demo/one=/nowhere")
        self.expect_error(2, "the entry `/b`: it has no =", "info", "demo/one", LOCAL_KERNELS=f"demo/one={local}:/b")

    def test_versions_of_local_kernels(self):
        local = self.write_local()
        text = f"Version 1:\n\n{VARIANT} compatible, preferred ✅\n"
        self.assertEqual(self.expect(0, "versions", "local", *TARGET).out, text)
        self.assertEqual(self.expect(0, "versions", "demo/one", *TARGET, LOCAL_KERNELS=f"demo/one={local}").out, text)
        self.assertEqual(self.hub.requests, [])
        bare = local / "build" / CUDA
        bare.mkdir()
        document = self.expect(0, "versions", "./local", "--json", *TARGET).json
        self.assertEqual(document["path"], "local")
        self.assertEqual([(v["version"], v["commit"], v["targets"][0]["preferred"]) for v in document["versions"]],
                         [(None, None, None), (1, None, VARIANT)])
        out = self.expect(0, "versions", local, *TARGET).out
        self.assertRegex(out, f"(?s)^Without a version:\n\n{CUDA}: [^\n]+\n" + re.escape(text) + "$")
        self.assertIn("\nv1 ", self.expect(0, "versions", local, *TARGET, "--target", "torch=2.13,cuda=12.9").out)
        self.expect_error(4, "there are no builds in it", "versions", self.home, *TARGET)
        self.expect_error(4, "there are no builds in it", "versions", "demo/one", *TARGET, LOCAL_KERNELS="demo/one=/nowhere")

    def test_a_build_whose_metadata_is_none(self):
        broken = build(VARIANT, name="broken")
        broken[f"build/{VARIANT}/metadata.json"] = b"{"
        self.hub.publish("demo/broken", "v1", {**broken, **build(STABLE, name="broken")})
        result = self.expect(0, "info", "demo/broken", "--json")
        self.assertIn(f"demo/broken: build/{VARIANT}/metadata.json: not JSON", self.expect(0, "info", "demo/broken", "--archs").err)
        self.assertEqual((result.json["name"], result.json["backends"]), ("broken", ["cpu"]))

    def test_no_versions(self):
        self.assertEqual(self.expect(0, "versions", "demo/none", *TARGET).out, "Repository does not support kernel versions: demo/none\n")
        self.assertEqual(self.expect(0, "versions", "demo/none", *TARGET, "--json").json["versions"], [])


if __name__ == "__main__":
    harness.main()
