"""What a model may have loaded, and hostile kernels: manifests, libraries, sources; nothing left behind."""

import concurrent.futures
import hashlib
import json
import pathlib
import shutil
import signal
import subprocess
import time
import unittest

import harness
from hostile_world import KERNELS, HostileWorldTest, archive, records
from trial_world import NAMESPACE

DEMO = pathlib.Path(harness.need("KERNELS_DEMO_HUB"))
RUNTIME = harness.need("KERNELS_RUNTIME_LIB")

RUNTIME_LOADS = """
import json, sys, torch
torch.ops.load_library(sys.argv[1])
said = []
for path in sys.argv[2:]:
    try:
        torch.ops.kernels.load(path)
        said.append("loaded")
    except RuntimeError as error:
        said.append(str(error))
print(json.dumps(said))
"""
# The same for each model in a process of its own, which has only one library path and hears of no other's library; each twice.
RUNTIME_LOADS_APART = """
import json, os, sys, torch
torch.ops.load_library(sys.argv[1])
said = []
for path in sys.argv[2:]:
    read, write = os.pipe()
    if os.fork() == 0:
        os.environ["KERNELS_LIBRARY_PATH"] = os.path.dirname(path)
        answers = []
        for _ in range(2):
            try:
                torch.ops.kernels.load(path)
                answers.append("loaded")
            except RuntimeError as error:
                answers.append(str(error))
        os.write(write, json.dumps(answers).encode())
        os._exit(0)
    os.close(write)
    with open(read) as pipe:
        said.append(json.loads(pipe.read() or '["crashed", "crashed"]'))
    os.wait()
print(json.dumps(said))
"""


class HostileKernelsTest(HostileWorldTest):
    def test_manifests(self):
        nested = '{"schema": 1, "torch": ' + "[" * 1000000 + "]" * 1000000 + "}"
        cases = {
            "outside.pt": (self.manifest(repo="a/b", library="../../../../etc/evil.so"), "outside its kernel repository"),
            "outside-local.pt": (self.manifest(library="/usr/../etc/evil.so"), "outside its kernel repository"),
            "relative.pt": (self.manifest(library="evil.so"), "outside its kernel repository"),
            "control.pt": (self.manifest(commit="a\nb"), "control characters"),
            "hash.pt": (self.manifest(sha256="0" * 64), "is not the library that the model was made with"),
            "number.pt": (self.manifest(library=1), "manifest cannot be read"),
            "nested.pt": (self.changed({"extra/kernels.json": nested}), "too deeply nested"),
            "no-json.pt": (self.changed({"extra/kernels.json": "\0\1\2"}), "manifest cannot be read"),
            "list.pt": (self.changed({"extra/kernels.json": "[]"}), "manifest cannot be read"),
            "schema.pt": (self.changed({"extra/kernels.json": '{"schema": 99}'}), "schema 99"),
            "large.pt": (self.changed({"extra/kernels.json": " " * (17 << 20)}), "too large"),
        }
        answers = self.load_all({name: data for name, (data, _) in cases.items()})
        for name, (_, words) in cases.items():
            self.assertIn(words, answers[name].get("error", str(answers[name])), name)
        # The same in the process that deploys the model.
        extra = {"flipped.pt": self.good[:-1000] + b"\0" * 1000, "empty.pt": b""}
        for name, data in extra.items():
            (self.folder / name).write_bytes(data)
        said = self.run_python(RUNTIME_LOADS, RUNTIME, "out.pt", *cases, *extra)
        self.assertEqual(said[0], "loaded")
        for (_, words), message in zip(cases.values(), said[1:]):
            self.assertIn(words, message)
        for message in said[-2:]:
            self.assertIn("not a TorchScript archive", message)

    def test_a_model_cannot_name_what_is_loaded(self):
        """A library runs code when it is loaded: looking at a model and kernelizing it load none that it names."""
        trace = self.folder / "loaded"
        source = self.folder / "trap.c"
        source.write_text(f'#include <stdio.h>\n__attribute__((constructor)) void f() {{ fclose(fopen("{trace}", "w")); }}\n')
        trap = self.folder / "traps" / "trap.so"
        trap.parent.mkdir()
        subprocess.run(["cc", "-shared", "-fPIC", source, "-o", trap], check=True)
        sha256 = hashlib.sha256(trap.read_bytes()).hexdigest()
        layer = ("--device", "cpu", "--layer", "RMSNorm=test/trial-kernels:RMSNorm")
        local = {"repo": "", "commit": "", "library": str(trap), "sha256": sha256}
        beside = {"repo": "a/b", "commit": "0" * 40, "library": "build/x/trap.so", "sha256": sha256}
        for changes, refusal in ((local, "is loaded only from a folder that you name"), (beside, "registers no operators")):
            name = "local.pt" if changes is local else "beside.pt"
            (self.folder / name).write_bytes(self.manifest(**changes))
            if changes is beside:
                shutil.copytree(trap.parent, self.folder / "beside.pt.kernels")
            self.run_command(KERNELS, "inspect", name)
            self.run_command(KERNELS, "kernelize", name, "-o", "again.pt", *layer)
            # As files from before the manifest had schemas.
            old = "old-" + name
            (self.folder / old).write_bytes(self.manifest(**changes, operators=None))
            if changes is beside:
                shutil.copytree(trap.parent, self.folder / f"{old}.kernels")
            words = "is loaded only from" if changes is local else "hold no operator schema"
            for command in (("inspect", old), ("kernelize", old, "-o", "again.pt", *layer)):
                self.assertIn(words, self.run_command(KERNELS, *command, status=1).stderr)
            self.assertFalse(trace.exists(), name)
            # To run a model is to run what comes with it, but not another file of this machine.
            self.assertIn(refusal, self.run_command(KERNELS, "run", name, "--input", "f32[2,32]", status=1).stderr)
            self.assertIn(refusal, self.run_python(RUNTIME_LOADS, RUNTIME, name)[0])
            self.assertEqual(trace.exists(), changes is beside)
            trace.unlink(missing_ok=True)
        for variable, value in (("KERNELS_LIBRARY_PATH", trap.parent), ("LOCAL_KERNELS", f"a/b={trap.parent}")):
            done = self.run_command(KERNELS, "run", "local.pt", "--input", "f32[2,32]", status=1, **{variable: str(value)})
            self.assertIn("registers no operators", done.stderr)
            self.assertTrue(trace.exists(), variable)
            trace.unlink()
        beside_it = self.folder / "traps-of-others"
        beside_it.mkdir()
        done = self.run_command(KERNELS, "run", "local.pt", "--input", "f32[2,32]", status=1, LOCAL_KERNELS=f"a/b={beside_it}")
        self.assertIn("is loaded only from a folder that you name", done.stderr)

    def test_a_kernelized_model_is_read_without_its_library(self):
        manifest = json.loads(records(self.good)[f"{self.top}/extra/kernels.json"])
        (schema,) = manifest["kernels"][0]["operators"]
        self.assertTrue(schema.startswith(f"{NAMESPACE}::rms_norm("), schema)
        nothing = {"LOCAL_KERNELS": "", "HF_HOME": str(self.folder / "empty"), "KERNELS_CACHE": str(self.folder / "empty")}
        done = self.run_command(KERNELS, "inspect", "out.pt", **nothing)
        self.assertIn(f"calls {NAMESPACE}::rms_norm 1 times", done.stdout)
        for schemas, words in ((["}{"], "op schema that cannot be read: `}{`"), ([schema[:-12]], "op schema that cannot be read"),
                               (["f(int a=99999999999999999999) -> ()"], "op schema that cannot be read"),
                               (["f" + "(" * 100000 + " -> ()"], "op schema that cannot be read"),
                               (["aten::f(Tensor x) -> Tensor"], "op schema that cannot be read"),
                               (["f(Tensor x) -> Tensor"], "Unknown builtin op"), ([3], "manifest cannot be read"),
                               (["a\nb"], "control characters"), ("f", "manifest cannot be read"),
                               ([schema, schema.replace("Tensor weight", "int weight")], "Unknown builtin op")):
            (self.folder / "odd.pt").write_bytes(self.manifest(operators=schemas))
            with self.subTest(schemas):
                done = self.run_command(KERNELS, "inspect", "odd.pt", status=1)
                self.assertRegex(done.stderr, "^error: odd.pt: .*\n(hint: .*\n)?$")
                self.assertIn(words, done.stderr)
        for variant in ("../../x", "a/b", "..", "."):
            (self.folder / "odd.pt").write_bytes(self.manifest(variant=variant))
            done = self.run_command(KERNELS, "inspect", "odd.pt", status=1)
            self.assertIn("names a build variant that is none", done.stderr)
        for op_namespace in ("aten", "a::b", "", "a-b"):
            (self.folder / "odd.pt").write_bytes(self.manifest(**{"op-namespace": op_namespace}))
            self.run_command(KERNELS, "inspect", "odd.pt", status=1)

    def test_layer_source(self):
        copy = self.folder / "trial-kernels"
        shutil.copytree(self.repository, copy)
        self.environment["LOCAL_KERNELS"] = f"test/trial-kernels={copy}"
        layers = next(copy.rglob("layers.py"))
        (self.folder / "out.pt").unlink()
        deep = 10000
        for text in ("(" * deep + "x" + ")" * deep + "\n", "(" * deep, "[" * deep + "\n", "\0\x01" * 100, "self.forward(x)\n"):
            layers.write_text("class RMSNorm(nn.Module):\n    def forward(self, x):\n        return " + text)
            done = self.kernelize("RMSNorm", "--use-fallback", "none", status=8)
            self.assertRegex(done.stderr, r"^error: .*layers.py:\d+: .*\n(hint: .*\n)?$")
            self.assertEqual([path.name for path in self.folder.glob("*out.pt*")], [])

    def test_a_layer_that_never_ends(self):
        copy = self.folder / "trial-kernels"
        shutil.copytree(self.repository, copy)
        self.environment["LOCAL_KERNELS"] = f"test/trial-kernels={copy}"
        (self.folder / "out.pt").unlink()
        next(copy.rglob("layers.py")).write_text(
            "import torch\nimport torch.nn as nn\nclass RMSNorm(nn.Module):\n    def forward(self, x: torch.Tensor) -> torch.Tensor:\n"
            "        n = 0\n        while n >= 0:\n            n = (n + 1) % 1000\n        return x\n")
        numbers = (signal.SIGINT, signal.SIGTERM)
        processes = [subprocess.Popen(self.command("RMSNorm", "--verify"), env=self.environment, cwd=self.folder,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in numbers]
        time.sleep(6)
        for process, number in zip(processes, numbers):
            self.assertIsNone(process.poll())
            process.send_signal(number)
        for process in processes:
            _, err = process.communicate(timeout=30)
            self.assertEqual((process.returncode, err), (130, "error: interrupted\n"))
        self.assertEqual([path.name for path in self.folder.glob("*out.pt*")], [])

    def test_kernel_libraries(self):
        """One line names the library and the cause, whatever is wrong with it."""
        source = next(self.repository.rglob("*.so"))
        good = source.read_bytes()
        schema = (b"add_rms_norm(Tensor! out, Tensor! sum, Tensor input, Tensor residual, Tensor weight, float epsilon) "
                  b"-> ()")

        def replaced(old, new):
            self.assertEqual((len(old), good.count(old) > 0), (len(new), True), old)
            return good.replace(old, new)

        def declared(text):
            return replaced(schema + b"\0", text.ljust(len(schema)) + b"\0")

        constructor = b"_ZN5torch7LibraryC1ENS0_4KindE"
        cases = {
            "garbage schema": (declared(b"add_rms_norm(Tensor {nput) -> Tensor"),
                               r"cannot register its operators: .*add_rms_norm\(Tensor \{nput\)"),
            "no schema": (declared(b"}{)(;;\x01\x02"), "cannot register its operators: "),
            "unknown type": (declared(b"add_rms_norm(Tnsor input) -> Tensor"), r"cannot register its operators: .*Tnsor"),
            "large number": (declared(b"b(int a=99999999999999999999) -> ()"), "cannot register its operators: a number"),
            "another namespace": (declared(b"aten::add_rms_norm(Tensor x) -> ()"), "cannot register its operators: "),
            "declared twice": (declared(b"rms_norm(Tensor x) -> Tensor"), "cannot register its operators: "),
            "no symbol": (replaced(constructor, constructor.replace(b"Library", b"Librbry")),
                          r"needs the symbol torch::Librbry::Librbry.* is built for another torch"),
            "no library": (replaced(b"libtorch_cpu.so\0", b"libtorch_xyz.so\0"), "needs libtorch_xyz.so, which is not on"),
            "text": (b"no library\n", "it is no ELF library"),
            "empty": (b"", "it is no ELF library"),
            "cut off": (good[:len(good) // 2], "the file is cut off"),
            "only a header": (good[:64], "the file is cut off"),
            "32 bits": (good[:4] + b"\1" + good[5:], "32 bits"),
            "another processor": (good[:18] + b"\xb7\0" + good[20:], "it is for aarch64, and this machine is "),
            "another kernel": (next(DEMO.rglob("*cpu*.so")).read_bytes(), f"registers no operators in `{NAMESPACE}`"),
        }
        (self.folder / "out.pt").unlink()

        def in_place(name, data):
            """The kernels with this library, and beside it a model that was made with it."""
            copy = self.folder / name.replace(" ", "-")
            shutil.copytree(self.repository, copy)
            library = next(copy.rglob("*.so"))
            library.write_bytes(data)
            (library.parent / "deployed.pt").write_bytes(self.manifest(sha256=hashlib.sha256(data).hexdigest()))
            return copy, library

        def kernelized(copy):
            environment = {**self.environment, "LOCAL_KERNELS": f"test/trial-kernels={copy}"}
            command = [*self.command("RMSNorm", "--use-fallback", "none")]
            command[command.index("out.pt")] = f"{copy.name}.out.pt"
            return subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=self.folder, env=environment)

        places = {name: in_place(name, data) for name, (data, _) in cases.items()}
        models = [library.parent / "deployed.pt" for _, library in places.values()]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            done = list(pool.map(kernelized, (copy for copy, _ in places.values())))
        deployed = self.run_python(RUNTIME_LOADS_APART, RUNTIME, *models)
        for (name, (_, words)), (_, library), process, said in zip(cases.items(), places.values(), done, deployed):
            with self.subTest(name):
                self.assertEqual(process.returncode, 8, process.stderr)
                lines = process.stderr.splitlines()
                self.assertRegex(lines[0], f"^error: .*{library.name}: .*{words}")
                self.assertTrue(all(line.startswith("hint: ") for line in lines[1:]), process.stderr)
                self.assertLessEqual(len(lines), 2)
                # The process that deploys a model; asked again it says the same.
                self.assertRegex(said[0], words)
                self.assertEqual(said[1], said[0])
                self.assertNotIn("\n", said[0])
        self.assertEqual([path.name for path in self.folder.glob("*out.pt*")], [])
        # What only Python's import needs may be missing.
        copy, _ = in_place("no import", replaced(b"PyModule_Create2\0", b"PyModule_Creat99\0"))
        process = kernelized(copy)
        self.assertEqual(process.returncode, 0, process.stderr)

    def test_signals_leave_nothing(self):
        (self.folder / "out.pt").unlink()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            for wait in (0.3, 0.8, 1.3):
                process = subprocess.Popen(self.command("RMSNorm"), env=self.environment, cwd=self.folder,
                                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                time.sleep(wait)
                process.send_signal(number)
                _, err = process.communicate(timeout=60)
                left = [path.name for path in self.folder.glob("*out.pt*")]
                if number == signal.SIGKILL:
                    self.assertIn(left, ([], ["out.pt"]))
                else:
                    self.assertIn(process.returncode, (0, 130, -number), err)
                    self.assertEqual(left, ["out.pt"] if process.returncode == 0 else [], err)
                if left:
                    self.assertEqual((self.folder / "out.pt").read_bytes(), self.good)
                for name in left:
                    (self.folder / name).unlink()


if __name__ == "__main__":
    unittest.main()
