"""`kernels mapping show`: the mapping after merging, and what each layer gets and why."""

import harness
from harness import VARIANT
from loopback_hub import build

TARGET = "torch=2.13,cpu,os=linux"
HOPPER = "torch=2.13,cuda=12.8,capability=90"

MAPPING = """
[[layers]]
name = "Norm"
device = "cpu"
mode = "training"
repo = "demo/one"
version = 1
layer = "TrainedNorm"
trust-remote-code = ["demo/one"]

[[layers]]
name = "Norm"
device = "cpu"
mode = "inference"
repo = "demo/one"
layer = "Norm"

[[layers]]
name = "Gate"
device = { type = "cuda", min-capability = 80, max-capability = 89 }
repo = "demo/two"
revision = "main"
func = "gate"
"""


LAYER = "import torch\n\nclass Norm(torch.nn.Module):\n    def forward(self, x):\n        return x\n"


class MappingShow(harness.CliTest):
    def show(self, *arguments, **environment):
        return self.expect(0, "mapping", "show", "--json", *arguments, **environment).json

    def layers(self, *arguments, **environment):
        (choice,) = self.show(*arguments, **environment)["choices"]
        return {layer["layer"]: layer for layer in choice["layers"]}

    def write_mapping(self, text=MAPPING):
        (self.project / "kernels.toml").write_text(text + '\n[dependencies]\n"demo/one" = 1\n')

    def test_entries_are_merged(self):
        self.write_mapping()
        entries = [(e["layer"], e["device"], e["mode"], e["repository"]) for e in self.show("--target", TARGET)["mapping"]]
        self.assertEqual(entries, [
            ("Gate", "cuda", "fallback", {"kind": "hub", "repo": "demo/two", "revision": "main", "func": "gate",
                                          "trust_remote_code": []}),
            ("Norm", "cpu", "training", {"kind": "hub", "repo": "demo/one", "version": 1, "layer": "TrainedNorm",
                                         "trust_remote_code": ["demo/one"]}),
            ("Norm", "cpu", "inference", {"kind": "locked", "repo": "demo/one", "commit": None, "layer": "Norm",
                                          "trust_remote_code": []}),
        ])
        text = self.expect(0, "mapping", "show", "--target", TARGET).out
        self.assertIn("cuda[80..89]", text)
        self.assertIn("`demo/one` (not locked), layer `Norm`", text)

    def test_a_layer_goes_from_not_locked_to_ready(self):
        files = {**build(VARIANT), f"build/{VARIANT}/layers.py": LAYER.encode()}
        self.hub.publish("demo/one", "v1", files)
        self.write_mapping()
        norm = self.layers("--target", TARGET)["Norm"]
        self.assertEqual((norm["state"], norm["hint"]), ("not-locked", "write it with `kernels lock`"))
        self.expect(0, "lock")
        norm = self.layers("--target", TARGET)["Norm"]
        self.assertEqual(norm["state"], "not-downloaded")
        self.assertIn("kernels download", norm["hint"])
        self.expect(0, "download", "--target", TARGET)
        norm = self.layers("--target", TARGET)["Norm"]
        self.assertEqual((norm["state"], norm["variant"]), ("ready", VARIANT))
        # What kernelize may still refuse it for is said; what the project trusts is not asked about.
        trust = "whether demo is a trusted publisher is not checked here: kernelize asks the Hub"
        self.assertEqual(norm["notes"], [trust])
        self.assertIn(trust, self.expect(0, "mapping", "show", "--target", TARGET).out)
        self.write_mapping(MAPPING.replace('repo = "demo/one"\nlayer = "Norm"', 'repo = "demo/one"\nlayer = "Norm"\ntrust-remote-code = true'))
        self.assertNotIn("notes", self.layers("--target", TARGET)["Norm"])
        self.write_mapping()
        self.assertEqual(norm["chosen"]["repository"]["commit"], norm["commit"])
        self.assertTrue(norm["folder"].endswith(f"{norm['commit']}/build/{VARIANT}"))
        self.assertIn("ready: ", self.expect(0, "mapping", "show", "--target", TARGET).out)
        # Another machine: what was downloaded does not fit it, and nothing is asked of the Hub.
        norm = self.layers("--target", "torch=2.11,cpu,os=linux")["Norm"]
        self.assertEqual(norm["state"], "no-build")

    def test_the_reason_when_there_is_no_kernel(self):
        self.write_mapping()
        gate = self.layers("--target", TARGET)["Gate"]
        self.assertEqual((gate["state"], gate["reason"]), ("original", "no-device"))
        self.assertEqual(self.layers("--target", HOPPER)["Gate"]["reason"], "no-properties")
        self.assertEqual(self.layers("--target", TARGET, "--mode", "training|torch-compile")["Norm"]["reason"], "no-mode")
        self.assertEqual(self.layers("--target", TARGET, "--mode", "training")["Norm"]["chosen"]["mode"], "training")
        for layer in self.layers("--target", TARGET, DISABLE_KERNEL_MAPPING="1").values():
            self.assertEqual(layer["reason"], "disabled")
        refused = self.expect_error(2, "DISABLE_KERNEL_MAPPING: `yes` is no number", "mapping", "show", "--target", TARGET,
                                    DISABLE_KERNEL_MAPPING="yes")
        self.assertEqual(refused.out, "")

    def test_modes_of_several_flags(self):
        entry = '[[layers]]\nname = "Norm"\ndevice = "cpu"\nmode = "{}"\nrepo = "demo/one"\nversion = 1\nlayer = "{}"\n\n'
        entries = {"inference|torch-compile": "CompiledNorm", "training|torch-compile": "Both", "training": "Trained",
                   "fallback": "Any"}
        # Flags are written in any order; what is told has one.
        written = [(mode if mode != "inference|torch-compile" else "torch-compile|inference", layer)
                   for mode, layer in entries.items()]
        self.write_mapping("".join(entry.format(*one) for one in written))
        shown = self.show("--target", TARGET)
        self.assertEqual({one["mode"]: one["repository"]["layer"] for one in shown["mapping"]}, entries)
        self.assertEqual(shown["choices"][0]["mode"], "inference")
        text = self.expect(0, "mapping", "show", "--target", TARGET, "--mode", "torch-compile|training").out
        self.assertRegex(text, r"  cpu  inference\|torch-compile  .*layer `CompiledNorm`")
        self.assertRegex(text, r"On cpu for training\|torch-compile:\n  Norm  .*layer `Both`, mapped for cpu training\|torch-compile\n")

        def chosen(mode, *without):
            self.write_mapping("".join(entry.format(*one) for one in written if one[1] not in without))
            (choice,) = self.show("--target", TARGET, "--mode", mode)["choices"]
            (layer,) = choice["layers"]
            got = layer["chosen"]["repository"]["layer"] if "chosen" in layer else layer["reason"]
            self.assertEqual(layer.get("chosen", {}).get("mode"), {name: mode for mode, name in entries.items()}.get(got))
            return choice["mode"], got

        # The order in which modes stand in for others, each without the ones before it.
        self.assertEqual(chosen("inference"), ("inference", "CompiledNorm"))
        self.assertEqual(chosen("inference", "CompiledNorm"), ("inference", "Trained"))
        self.assertEqual(chosen("inference", "CompiledNorm", "Trained"), ("inference", "Both"))
        self.assertEqual(chosen("inference", "CompiledNorm", "Trained", "Both"), ("inference", "Any"))
        compiled = "inference|torch-compile"
        self.assertEqual(chosen("torch_compile | INFERENCE"), (compiled, "CompiledNorm"))
        self.assertEqual(chosen(compiled, "CompiledNorm"), (compiled, "Both"))
        self.assertEqual(chosen(compiled, "CompiledNorm", "Both"), (compiled, "Any"))
        self.assertEqual(chosen(compiled, "CompiledNorm", "Both", "Any"), (compiled, "no-mode"))
        self.assertEqual(chosen("training", "Trained"), ("training", "Both"))
        self.assertEqual(chosen("training", "Trained", "Both", "Any"), ("training", "no-mode"))
        show = ("mapping", "show", "--mode")
        self.expect_error(2, "inference and training exclude each other", *show, "training|torch-compile|inference")
        self.expect_error(2, "fallback combines with no other mode", *show, "fallback|torch-compile")
        self.expect_error(2, "`inference|compile`: `compile` is no mode", *show, "inference|compile", hint="modes: inference")

    def test_layers_by_name(self):
        self.write_mapping()
        shown = self.show("--target", TARGET, "--layer", "Gate")
        self.assertEqual([entry["layer"] for entry in shown["mapping"]], ["Gate"])
        self.assertEqual([layer["layer"] for layer in shown["choices"][0]["layers"]], ["Gate"])
        text = self.expect(0, "mapping", "show", "--target", TARGET, "--layer", "Gate").out
        self.assertNotIn("Norm", text)
        both = self.layers("--target", TARGET, "--layer", "Norm", "--layer", "Gate")
        self.assertEqual(sorted(both), ["Gate", "Norm"])
        self.expect_error(2, "--layer: no layer `Nrom` is mapped", "mapping", "show", "--layer", "Nrom", hint="Norm")

    def test_device_and_capability(self):
        self.write_mapping()
        chosen = self.layers("--device", "cuda", "--capability", "86")["Gate"]["chosen"]
        self.assertEqual((chosen["min_capability"], chosen["max_capability"]), (80, 89))
        plain = HOPPER.removesuffix(",capability=90")
        self.assertEqual(self.layers("--target", plain, "--capability", "89")["Gate"]["state"], "not-downloaded")
        show = ("mapping", "show")
        self.expect_error(2, "--capability 89: the target torch=2.13,cuda=12.8,capability=90", *show, "--target", HOPPER,
                          "--capability", "89", hint="leave out one of the two")
        self.expect(0, *show, "--target", HOPPER, "--capability", "90")
        self.expect_error(2, "--torch `2.11`: the target", *show, "--target", HOPPER, "--torch", "2.11", hint="leave out one")
        self.assertEqual(self.show("--target", "cpu,os=linux", "--torch", "2.11")["choices"][0]["target"].split(",")[0], "torch=2.11")
        self.expect_error(2, "--device: `gpu` is no device", *show, "--device", "gpu", hint="did you mean `cuda` or `rocm`?")
        self.expect_error(2, "--device: `cuda:0` is no device", *show, "--device", "cuda:0", hint="device: cuda")
        self.expect_error(2, "--capability: cpu has no capabilities", *show, "--device", "cpu", "--capability", "80")
        self.expect_error(2, "--capability `8.0`: no capability", *show, "--capability", "8.0", hint="80")
        self.expect_error(2, "computes on cuda", *show, "--device", "rocm", "--target", HOPPER)
        self.expect_error(2, "`fallback` is a mode for mappings alone", *show, "--mode", "fallback")
        self.expect_error(2, "`torch-compile` needs inference or training", *show, "--mode", "torch-compile")
        self.expect_error(2, "exclude each other", *show, "--mode", "inference|training")

    def test_a_local_kernel(self):
        builds = self.project / "kernel" / "build" / VARIANT
        builds.mkdir(parents=True)
        (builds / "metadata.json").write_text('{"id": "_one_1", "name": "one", "version": 1, "license": "MIT", '
                                              '"python-depends": [], "backend": {"type": "cpu"}}')
        (builds / "layers.py").write_text(LAYER)
        (builds / "_one.abi3.so").write_bytes(b"")
        local = MAPPING.replace('repo = "demo/one"\nlayer = "Norm"', 'path = "kernel"\nlayer = "Norm"')
        self.write_mapping(local)
        self.assertEqual(self.layers("--target", TARGET)["Norm"]["state"], "ready")
        no_build = self.layers("--target", "torch=2.13,cuda=12.8,os=linux", "--device", "cuda")["Norm"]
        self.assertEqual(no_build["reason"], "no-device")
        layer = self.layers("--target", "cpu,os=darwin")["Norm"]
        self.assertEqual(layer["state"], "no-build")
        self.assertIn("build it for that: ", layer["hint"])
        self.assertNotIn("publisher", layer["hint"])
        # LOCAL_KERNELS of another form is a mistake, also where no layer needs it.
        self.expect_error(2, "LOCAL_KERNELS: the entry `foo`: it has no =", "mapping", "show", LOCAL_KERNELS="foo")
        self.write_mapping(local.replace('"kernel"', '"nowhere"'))
        norm = self.layers("--target", TARGET)["Norm"]
        self.assertEqual(norm["state"], "not-found")
        self.assertIn("nowhere: there is no such folder", norm["why"])
        # LOCAL_KERNELS stands in for a repository of the Hub.
        self.write_mapping()
        norm = self.layers("--target", TARGET, LOCAL_KERNELS=f"demo/one={self.project / 'kernel'}")["Norm"]
        self.assertEqual(norm["state"], "ready")
        self.assertTrue(norm["notes"][0].startswith("LOCAL_KERNELS names this folder"), norm)
        norm = self.layers("--target", TARGET, LOCAL_KERNELS=f"demo/one={self.project / 'nowhere'}")["Norm"]
        self.assertEqual(norm["state"], "not-found")
        self.assertIn("there is no such folder", norm["why"])
        self.expect_error(2, "LOCAL_KERNELS: the entry `demo/one`: it has no =", "mapping", "show", "--target", TARGET,
                          hint="org/name=folder", LOCAL_KERNELS="demo/one")

    def test_a_build_whose_layer_cannot_be_used(self):
        builds = self.project / "kernel" / "build" / VARIANT
        builds.mkdir(parents=True)
        (builds / "metadata.json").write_text('{"id": "_one_1", "name": "one", "version": 1, "license": "MIT", '
                                              '"python-depends": [], "backend": {"type": "cpu"}}')
        self.write_mapping('[[layers]]\nname = "Norm"\ndevice = "cpu"\npath = "kernel"\nlayer = "Norm"\n')

        def norm(source, mode="inference"):
            (builds / "layers.py").write_text(source)
            found = self.layers("--target", TARGET, "--mode", mode)["Norm"]
            return found["state"], found.get("why", "")

        alone = f"its build {VARIANT} has no compiled library; Triton and other Python-only kernels cannot be called from TorchScript"
        self.assertEqual(norm(LAYER), ("refused", alone))
        (builds / "_one.abi3.so").write_bytes(b"")
        self.assertEqual(norm(LAYER), ("ready", ""))
        state, why = norm(LAYER.replace("class Norm", "class Normal"))
        self.assertEqual(state, "no-such-layer")
        self.assertIn("there is no layer `Norm`", why)
        self.assertEqual(norm(LAYER + "Norm.size = 3\n"), ("refused", "Norm has the further member size"))
        self.assertIn("refused: Norm has the further member size",
                      self.expect(0, "mapping", "show", "--target", TARGET).out)
        flagged = LAYER + "Norm.has_backward = False\n"
        self.assertEqual(norm(flagged), ("ready", ""))
        self.assertEqual(norm(flagged, "training"), ("refused", "Norm has no backward"))
        self.assertEqual(norm(LAYER, "training"), ("ready", ""))
        (note,) = self.layers("--target", TARGET, "--mode", "training")["Norm"]["notes"]
        self.assertIn("whether its operators have gradients", note)
        compiled = ("refused", "Norm cannot be used with torch.compile")
        self.assertEqual(norm(LAYER, "training|torch-compile"), compiled)
        self.assertEqual(norm(LAYER + "Norm.can_torch_compile = True\n", "training|torch-compile"), ("ready", ""))
        self.assertEqual(norm("class Norm(:\n")[0], "refused")
        autograd = ("class Same(torch.autograd.Function):\n    @staticmethod\n    def forward(ctx, x):\n        return x\n"
                    "    @staticmethod\n    def backward(ctx, grad):\n        return grad\n")
        by_python = LAYER.replace("return x", "return Same.apply(x)") + autograd
        self.assertEqual(norm(by_python), ("ready", ""))
        state, why = norm(by_python, "training")
        self.assertEqual(state, "refused")
        self.assertIn("backward in a Python autograd function", why)

    def test_the_hint_where_no_build_fits(self):
        # What is here cannot tell of other versions, so the hint names the command that can.
        self.publish_demo()
        self.hub.publish("demo/one", "v2", build("torch-stable-abi29-cpu-x86_64-linux"))
        self.write_mapping('[[layers]]\nname = "Norm"\ndevice = "cpu"\nrepo = "demo/one"\nlayer = "Norm"\n')
        self.expect(0, "lock")
        self.expect(0, "download", "--all-variants")
        layer = self.layers("--target", "torch=2.14,cpu,os=linux")["Norm"]
        self.assertIn("no build fits torch=2.14,cpu", layer["why"])
        self.assertIn("would fit with torch 2.13; `kernels versions demo/one --target torch=2.14,cpu", layer["hint"])
        self.assertNotIn("no version of torch", layer["hint"])
        builds = {build["variant"]: build["reason"] for build in layer["builds"]}
        self.assertEqual(builds, {VARIANT: "torch-version", "torch213-cxx11-cu128-x86_64-linux": "torch-version"})
        self.assertEqual([(one["kind"], one["value"], one["variant"]) for one in layer["suggestions"]],
                         [("torch", "2.13", VARIANT)])
        self.assertNotIn("builds", self.layers("--target", TARGET)["Norm"])
        command = layer["hint"].split("`")[1].split()[1:]
        self.assertIn("torch-stable-abi29-cpu-x86_64-linux compatible, preferred", self.expect(0, *command).out)

    def test_the_hint_for_a_version_that_the_project_does_not_lock(self):
        """The lock has version 1, so that neither locking nor downloading as it is brings what the layer asks for."""
        self.publish_demo()
        commit = self.hub.publish("demo/one", "v2", {**build(VARIANT), f"build/{VARIANT}/layers.py": LAYER.encode()})
        entry = '[[layers]]\nname = "Norm"\ndevice = "cpu"\nrepo = "demo/one"\nversion = 2\nlayer = "Norm"\n'
        self.write_mapping(entry)
        self.expect(0, "lock")
        self.expect(0, "download", "--target", TARGET)
        advice = "have version 2 of it in the dependencies, then `kernels lock` and `kernels download`"
        layer = self.layers("--target", TARGET)["Norm"]
        self.assertEqual((layer["state"], layer["why"]),
                         ("not-downloaded", "demo/one@v2: not in the cache, which has its version 1"))
        self.assertEqual(layer["hint"], f"{advice}; `kernels versions demo/one` tells which there are")
        # Known by name, and nothing of it is here.
        (self.cache / "kernels--demo--one" / "refs" / "v2").write_text(commit)
        layer = self.layers("--target", TARGET)["Norm"]
        self.assertIn("not downloaded", layer["why"])
        self.assertEqual(layer["hint"], advice)
        # The advice helps.
        (self.project / "kernels.toml").write_text(entry + '\n[dependencies]\n"demo/one" = 2\n')
        self.expect(0, "lock")
        self.expect(0, "download", "--target", TARGET)
        self.assertEqual(self.layers("--target", TARGET)["Norm"]["state"], "ready")

    def test_a_local_build_needs_its_metadata(self):
        folder = self.project / "kernel" / "build" / VARIANT
        folder.mkdir(parents=True)
        (folder / "layers.py").write_text(LAYER)
        self.write_mapping('[[layers]]\nname = "Norm"\ndevice = "cpu"\npath = "kernel"\nlayer = "Norm"\n')
        layer = self.layers("--target", TARGET)["Norm"]
        self.assertIn(f"{VARIANT} has no metadata.json", layer["why"])
        self.assertIn("build the kernel again", layer["hint"])
        self.assertNotIn("kernels download", layer["hint"])

    def test_an_entrys_trust_holds_for_locking(self):
        self.hub.publish("demo/one", "v1", build(VARIANT), trusted=False)
        self.write_mapping()
        self.expect_error(6, "demo is not a trusted kernel publisher", "lock")
        # The entry with a version says whom it trusts, not whom the lock may hold.
        locked = 'repo = "demo/one"\nlayer = "Norm"\n'
        self.assertIn(locked, MAPPING)
        for trust in ("true", '["demo/one"]'):
            self.write_mapping(MAPPING.replace(locked, f"{locked}trust-remote-code = {trust}\n"))
            self.expect(0, "lock")
            (self.project / "kernels.lock").unlink()
        self.write_mapping(MAPPING.replace(locked, f'{locked}trust-remote-code = ["demo/two"]\n'))
        self.expect_error(6, "demo is not a trusted kernel publisher", "lock")

    def test_two_entries_for_one_place(self):
        again = '\n[[layers]]\nname = "Norm"\ndevice = { type = "cpu" }\nmode = "inference"\npath = "kernel"\nlayer = "Norm"\n'
        self.write_mapping(MAPPING + again)
        line = (MAPPING + again).splitlines().index('device = { type = "cpu" }') - 1
        first = MAPPING.splitlines().index('mode = "inference"') - 2
        self.expect_error(2, f"kernels.toml:{line}: layers[3]: `Norm` on cpu for inference has a repository already, in line {first}",
                          "mapping", "show", hint="remove one of the two")
        # Other capabilities are other places.
        cuda = [again.replace('"cpu"', f'"cuda", min-capability = {least}') for least in (80, 90)]
        self.write_mapping(MAPPING + "".join(cuda))
        self.expect(0, "mapping", "show")

    def test_mistakes_in_the_project_file(self):
        self.write_mapping(MAPPING.replace('device = "cpu"', 'device = "gpu"', 1))
        self.expect_error(2, "kernels.toml:4: layers[0].device: `gpu` is no device", "mapping", "show")
        self.write_mapping(MAPPING.replace("max-capability = 89", "max-capability = 79"))
        self.expect_error(2, "layers[2].device.min-capability: is greater than max-capability", "mapping", "show")
        self.write_mapping("")
        self.expect_error(2, "no layer is mapped to a kernel", "mapping", "show", hint="[[layers]]")
        self.write_mapping(MAPPING.replace('trust-remote-code = ["demo/one"]', 'trust-remote-code = "yes"'))
        self.expect_error(2, "kernels.toml:9: layers[0].trust-remote-code", "mapping", "show")
        self.write_mapping(MAPPING.replace('repo = "demo/two"\nrevision = "main"', 'path = "x"\ntrust-remote-code = true'))
        self.expect_error(2, "layers[2].trust-remote-code: is not for a local kernel", "mapping", "show")


if __name__ == "__main__":
    harness.main()
