"""A build whose metadata.json cannot be read: every command says so in one line that names the file."""

import json

import harness
from harness import TARGET, VARIANT
from loopback_hub import build, metadata

OLDER = "torch212-cxx11-cpu-x86_64-linux"
CUDA = "torch213-cxx11-cu128-x86_64-linux"
HOPPER = ["--target", "torch=2.13,cuda=12.8,capability=90"]
# The text of the file, and what is said of it.
BROKEN = {
    b'{"id": "_one_1", "name":': "not JSON: wrong at byte 25",
    b"": "not JSON: wrong at byte 1",
    b"\xff\xfe": "not JSON: wrong at byte 1",
    b"[]": "the document is not an object",
    metadata("one", version="1"): "version is not a whole number of 0 or more",
    metadata("one").replace(b'"cpu"', b'"gpu"'): "backend.type is no backend: `gpu`",
}
MAPPING = '[[layers]]\nname = "Norm"\ndevice = "cpu"\npath = "kernel"\nlayer = "Norm"\n'


def broken(text, variant=VARIANT):
    return {**build(variant), f"build/{variant}/metadata.json": text}


class BrokenMetadata(harness.CliTest):
    def write_local(self, files):
        folder = self.project / "kernel"
        for path, data in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        return folder

    def test_lock(self):
        # A lock is for every machine, so any build counts, as for the Python client.
        for text, why in BROKEN.items():
            self.hub.publish("demo/one", "v1", {**build(VARIANT), **broken(text, OLDER)})
            self.write_project()
            self.expect_error(6, f"demo/one: build/{OLDER}/metadata.json: {why}", "lock")
            self.assertFalse((self.project / "kernels.lock").exists())

    def test_download(self):
        # A lock that another tool wrote, or that was written before the kernel broke.
        good = self.hub.publish("demo/one", "v1", build(VARIANT))
        self.write_project()
        self.expect(0, "lock", "--no-sum")
        lock = self.project / "kernels.lock"
        text = lock.read_text()
        for content, why in BROKEN.items():
            bad = self.hub.publish("demo/one", "v1", {**broken(content), **build(OLDER)})
            lock.write_text(text.replace(good, bad))
            path = f"{VARIANT}/metadata.json: {why}"
            for output in ((), ("--output", self.folder / "out")):
                self.expect_error(6, path, "download", *TARGET, *output)
            self.assertFalse((self.folder / "out").exists())  # nor anything to go on with
            # Nothing but that build is amiss.
            self.expect(0, "download", "--target", "torch=2.12,cpu=x86_64,os=linux")

    def test_info_and_versions_describe_the_rest(self):
        self.hub.publish("demo/one", "v1", {**broken(b"{", OLDER), **build(VARIANT), **build(CUDA)})
        path = f"build/{OLDER}/metadata.json: not JSON"
        info = self.expect(0, "info", "demo/one", "--archs", "--json")
        self.assertEqual((info.json["name"], info.json["version"]), ("demo", 1))
        self.assertIn(f"warning: demo/one: {path}", info.err)
        self.hub.publish("demo/two", "v1", broken(b"{"))
        info = self.expect(0, "info", "demo/two")
        self.assertIn(f"demo/two: build/{VARIANT}/metadata.json: not JSON", info.err)
        self.assertIn("cpu", info.out)
        # Whether a build has code for a device is not known then; it is not hidden.
        self.hub.publish("demo/two", "v1", broken(b"{", CUDA))
        versions = self.expect(0, "versions", "demo/two", *HOPPER)
        self.assertIn(f"build/{CUDA}/metadata.json: not JSON", versions.err)
        self.assertIn(f"{CUDA} compatible, preferred", versions.out)

    def test_info_of_a_local_kernel(self):
        folder = self.write_local({**broken(b"{"), **build(OLDER)})
        info = self.expect(0, "info", folder, "--json")
        self.assertEqual(info.json["name"], "demo")
        self.assertIn(f"warning: {folder}/build/{VARIANT}/metadata.json: not JSON", info.err)

    def test_mapping_show(self):
        (self.project / "kernels.toml").write_text(MAPPING)
        for text, why in BROKEN.items():
            self.write_local(broken(text))
            shown = self.expect(0, "mapping", "show", *TARGET, "--json").json
            (layer,) = shown["choices"][0]["layers"]
            self.assertEqual(layer["state"], "failed")
            self.assertIn(f"kernel/build/{VARIANT}/metadata.json: {why}", layer["why"])
            self.assertIn("failed: ", self.expect(0, "mapping", "show", *TARGET).out)

    def test_another_build_that_is_broken_hides_no_reason(self):
        # Looking for a suggestion reads the other builds.
        (self.project / "kernels.toml").write_text(MAPPING.replace('"cpu"', '"cuda"'))
        cuda = build(CUDA)
        document = json.loads(cuda[f"build/{CUDA}/metadata.json"])
        document["backend"]["archs"] = ["8.0"]
        cuda[f"build/{CUDA}/metadata.json"] = json.dumps(document).encode()
        self.write_local({**cuda, **broken(b"{", "torch213-cxx11-cu126-x86_64-linux")})
        layer = self.expect(0, "mapping", "show", *HOPPER, "--json").json["choices"][0]["layers"][0]
        self.assertEqual(layer["state"], "no-build")
        self.assertIn("built for 8.0", layer["why"])


if __name__ == "__main__":
    harness.main()
