"""`info` and `versions` beside the Python client: the same text and the same --json, byte for byte.

Builds that are equal to the rules come in no fixed order from the Python client, so the builds of a version are compared
as sets of lines; the line of each has its verdict in it, with the reason. `versions --json` is ours alone.
"""

import json
import sys
import unittest

import harness

KERNELS = harness.need("KERNELS_BIN")
harness.need("KERNELS_HUB_BIN")
harness.need_modules("kernels", "huggingface_hub", "torch")

# Many commands in one process, as importing the client takes seconds.
CLIENT = """
import contextlib, io, json, sys
from kernels.cli import main
answers = []
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["kernels", *arguments]
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            main()
        status = 0
    except SystemExit as end:
        status = end.code or 0
    except Exception:
        status = 1
    answers.append([status, out.getvalue()])
print(json.dumps(answers))
"""

FULL = {"license": "Ünlicensed", "upstream": "git@example.org:org/one.git", "source": "https://Example.org",
        "kernels-minver": "0.12.0", "python-depends": ["einops", "nvidia-cutlass-dsl"]}
# One build for each rule that can refuse it here, and some that fit.
EVERY = ["torch{here}-cxx11-cpu-{cpu}-linux", "torch{here}-cpu-{cpu}-linux", "torch{here}-cxx98-cpu-{cpu}-linux",
         "torch28-cxx11-cpu-{cpu}-linux", "torch{here}-cxx11-cu128-{cpu}-linux", "torch{here}-cxx11-rocm64-{cpu}-linux",
         "torch{here}-cxx11-cpu-riscv64-linux", "torch{here}-metal-{cpu}-darwin", "torch-stable-abi29-cpu-{cpu}-linux",
         "torch-stable-abi99-cpu-{cpu}-linux", "tvm-ffi99-cpu-{cpu}-linux", "torch-cpu", "torch-npu", "torch-universal"]


class DescribeTest(harness.WorldTest):
    def setUp(self):
        super().setUp()
        here, cpu = self.run_python("import json, platform, torch\nprint(json.dumps(["
                                    "''.join(torch.__version__.split('.')[:2]), platform.machine()]))")
        self.variants = [name.format(here=here, cpu=cpu) for name in EVERY]
        self.build("demo/one", "v1", self.variants, **FULL)
        self.build("demo/one", "v2", self.variants[:1])
        self.build("demo/one", "v10", self.variants[5:8], license="MIT")
        self.build("demo/one", "main", self.variants[-2:], version=3)
        self.build("demo/branches", "main", self.variants[:1])
        self.build("demo/branches", "vx", self.variants[:1])
        self.build("demo/wrong", "v1", self.variants[:1], source="nowhere")
        self.publish("demo/broken", "v1", {f"build/{self.variants[0]}/metadata.json": b"{", "build/strange/x": b""})
        self.publish("demo/none", "v1", {f"build/{self.variants[0]}/__init__.py": b""})
        self.publish("demo/unbuilt", "v1", {"README.md": b"later", "build/strange/x": b""})
        hub = self.start_hub(self.data)
        self.commit = hub.ask("/api/kernels/demo/one/refs").json["branches"][0]["targetCommit"]

    def build(self, repo, branch, variants, version=1, folder=None, **more):
        for variant in variants:
            backend = next((b for b in ("cuda", "rocm", "metal") if b[:2] in variant.split("-cxx11")[-1]), "cpu")
            metadata = {"id": "_one_abc1234", "name": "one-kernel", "version": version, "license": "Apache-2.0",
                        "python-depends": [], "backend": {"type": backend}, **more}
            files = {f"build/{variant}/metadata.json": json.dumps(metadata).encode(), f"build/{variant}/__init__.py": b""}
            if folder is None:
                self.publish(repo, branch, files)
            for name, data in files.items() if folder else ():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(data)

    def theirs(self, commands):
        return self.run_python(CLIENT, json.dumps(commands))

    def ours(self, arguments, status=0, **environment):
        return self.run_command(KERNELS, *arguments, status=status, **environment).stdout

    def test_info_of_repositories(self):
        cases = [["demo/one"], ["demo/one", "--version", "1"], ["demo/one", "--version", "2"], ["demo/one", "--revision", "main"],
                 ["demo/one", "--revision", "v1"], ["demo/one", "--revision", self.commit], ["demo/branches"],
                 ["demo/wrong"], ["demo/broken"], ["demo/none"]]
        commands = [["info", *case, *form] for case in cases for form in ([], ["--json"])]
        for command, (status, text) in zip(commands, self.theirs(commands)):
            with self.subTest(command):
                self.assertEqual((status, text), (0, self.ours(command)))

    def test_info_of_local_paths_and_of_local_kernels(self):
        local = self.folder / "place" / "local"
        self.build(None, None, [v for v in self.variants if "npu" not in v], folder=local, **FULL)
        (local / "build" / "strange").mkdir()
        paths = [str(local), f"{local}/", "place/local", "./place//local/.", "place/../place/local"]
        commands = [["info", path, *form] for path in paths for form in ([], ["--json"])]
        answers = self.theirs(commands)
        for command, (status, text) in zip(commands, answers):
            with self.subTest(command):
                self.assertEqual((status, text), (0, self.ours(command)))
        # The Python client's info does not look at LOCAL_KERNELS; what it loads then is the folder, which ours shows.
        for form, (_, text) in zip(([], ["--json"]), answers):
            self.assertEqual(self.ours(["info", "demo/one", *form], LOCAL_KERNELS=f"demo/one={local}"), text)
            self.assertEqual(self.ours(["info", "demo/two", *form], LOCAL_KERNELS=f"demo/one=/nowhere:demo/two={local}"), text)

    def test_what_neither_can_describe(self):
        (self.folder / "empty").mkdir()
        cases = [(["info", "demo/unbuilt"], 4), (["info", "demo/absent"], 4), (["info", "empty"], 4), (["info", "demo/one", "--version", "7"], 4),
                 (["info", "demo/one", "--version", "1", "--revision", "main"], 2), (["info", "empty", "--version", "1"], 2),
                 (["info", "demo/one", "--revision", "gone"], 4), (["versions", "demo/absent"], 4)]
        for (command, status), (their_status, text) in zip(cases, self.theirs([command for command, _ in cases])):
            with self.subTest(command):
                self.assertEqual((their_status, text), (1, ""))
                self.assertEqual(self.ours(command, status=status), "")

    def test_versions_with_every_reason(self):
        torch = ["--torch", sys.prefix]
        local = self.folder / "local"
        self.build(None, None, self.variants[:1], folder=local)
        repos = ["demo/one", "demo/branches", "demo/broken", "demo/unbuilt"]
        for repo, (status, text) in zip(repos, self.theirs([["versions", repo] for repo in repos])):
            with self.subTest(repo):
                # With --torch ours says what would help too.
                ours = self.ours(["versions", repo], KERNELS_TORCH=sys.prefix)
                self.assertEqual((status, by_version(text)), (0, by_version(ours)))
                # The Python client's versions does not look at LOCAL_KERNELS; what it loads then is the folder, which ours shows.
                self.assertEqual(self.ours(["versions", repo, *torch], LOCAL_KERNELS=f"{repo}={local}"),
                                 self.ours(["versions", str(local), *torch]))
        refused = [line for line in self.ours(["versions", "demo/one", *torch]).splitlines() if ": " in line]
        words = {line.split(": ", 1)[1].split(" (")[0] for line in refused}
        self.assertEqual(words, {"CPU", "OS", "Torch version", "Torch CXX11 ABI", "Torch stable ABI version",
                                 "tvm-ffi version", "backend"})
        document = json.loads(self.ours(["versions", "demo/one", "--json", *torch]))
        in_json = {f"{build['variant']}: {build['text']}" for version in document["versions"]
                   for build in version["targets"][0]["builds"] if not build["fits"]}
        self.assertEqual(in_json, set(refused))


def by_version(text):
    head, *parts = text.split("Version ")
    return [head, *[(part.split("\n\n", 1)[0], sorted(part.split("\n\n", 1)[1].splitlines())) for part in parts]]


if __name__ == "__main__":
    unittest.main()
