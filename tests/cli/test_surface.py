"""The table of commands against help, the man page, the completions and the program itself."""

import re
import shutil
import subprocess
import unittest

import harness
from harness import SOURCE, TARGET


class Surface(harness.CliTest):
    def commands(self):
        overview = self.expect(0, "help").out
        body = overview.split("Options of every command:")[0]
        return re.findall(r"(?m)^  ([a-z-]+(?: [a-z-]+)?)  +\S", body)

    def options_of(self, text):
        return set(re.findall(r"(?m)^  (?:-[a-zA-Z], |    )(--[a-z-]+)", text))

    def test_help_of_every_command(self):
        commands = self.commands()
        self.assertGreaterEqual(len(commands), 8)
        for command in commands:
            with self.subTest(command):
                text = self.expect(0, "help", *command.split()).out
                self.assertTrue(text.startswith(f"Usage: kernels {command}"))
                self.assertEqual(self.expect(0, *command.split(), "--help").out, text)
                self.assertEqual(self.expect(0, "-h", *command.split()).out, text)
                self.assertLess(max(map(len, text.splitlines())), 100)

    def test_every_described_option_is_accepted_and_no_other(self):
        for command in self.commands():
            for option in self.options_of(self.expect(0, "help", *command.split()).out):
                with self.subTest(f"{command} {option}"):
                    result = self.run_kernels(*command.split(), option, "--help")
                    self.assertNotIn("there is no such option", result.err)
            self.expect_error(2, "--frobnicate: there is no such option", *command.split(), "--frobnicate")

    def test_the_man_page_is_the_table(self):
        page = (SOURCE / "man" / "kernels.1").read_text()
        printed = self.expect(0, "__man").out
        self.assertIn(printed, page, "man/kernels.1 is out of date: put the output of `kernels __man` into it")
        for command in self.commands():
            self.assertIn(f".SS kernels {command}", page)

    @unittest.skipUnless(shutil.which("groff"), "no groff")
    def test_the_man_pages_are_valid_roff(self):
        pages = sorted((SOURCE / "man").glob("*.[1-8]"))
        self.assertGreater(len(pages), 3)
        for page in pages:
            with self.subTest(page=page.name):
                done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", page], capture_output=True, text=True)
                self.assertEqual(done.stderr, "")

    def test_the_man_page_names_every_exit_status(self):
        page = (SOURCE / "man" / "kernels.1").read_text()
        section = page.split(".SH EXIT STATUS")[1].split(".SH ")[0]
        self.assertEqual(re.findall(r"(?m)^\.B (\d+)$", section), [*map(str, range(9)), "130"])

    def test_the_man_page_names_every_variable(self):
        page = (SOURCE / "man" / "kernels.1").read_text().split(".SH ENVIRONMENT")[1].split(".SH ")[0]
        named = set(re.findall(r"\b[A-Z][A-Z_]+\b", page))
        read = set()
        for folder in ("lib", "apps"):
            for path in (SOURCE / folder).rglob("*.?pp"):
                text = path.read_text()
                read.update(re.findall(r'(?:environment_variable|environment_flag|getenv)\("([A-Z_]+)"', text))
                for loop in re.findall(r"for \(const char\* \w+ :\s*\{([^}]*)\}\)([^;]*environment_\w+\(\w+\))?", text):
                    if loop[1]:
                        read.update(re.findall(r'"([A-Z_]+)"', loop[0]))
        self.assertGreater(len(read), 20)
        self.assertEqual(sorted(read - named), [])

    def test_completion_files_are_what_the_program_prints(self):
        for shell, name in (("bash", "kernels.bash"), ("zsh", "_kernels"), ("fish", "kernels.fish")):
            printed = self.expect(0, "completion", shell).out
            self.assertEqual((SOURCE / "completions" / name).read_text(), printed, name)
            if shutil.which(shell):
                syntax = subprocess.run([shell, "-n", SOURCE / "completions" / name], capture_output=True, text=True)
                self.assertEqual((syntax.returncode, syntax.stderr), (0, ""))
        self.expect_error(2, "`bsh`", "completion", "bsh", hint="`bash`")

    def candidates(self, *words):
        return [line.split("\t")[0] for line in self.expect(0, "__complete", *words).out.splitlines()]

    def test_candidates(self):
        self.assertEqual(sorted(self.candidates("")), sorted({command.split()[0] for command in self.commands()}))
        self.assertEqual(self.candidates("loc"), ["lock"])
        for command in self.commands():
            described = self.options_of(self.expect(0, "help", *command.split()).out)
            self.assertEqual(set(self.candidates(*command.split(), "--")), described)
        self.assertEqual(self.candidates("completion", ""), ["bash", "zsh", "fish"])
        self.assertEqual(self.candidates("lock", "--color", "a"), ["auto", "always"])
        self.assertEqual(self.candidates("lock", "--color=ne"), ["--color=never"])
        self.assertEqual(self.candidates("lock", ""), [":folders"])
        self.assertEqual(self.candidates("kernelize", ""), [":files"])
        self.assertEqual(self.candidates("nonsense", "--frob"), [])

    def test_candidates_from_the_cache_without_network(self):
        self.publish_demo()
        self.write_project()
        self.expect(0, "lock")
        self.expect(0, "download", *TARGET)
        self.hub.requests.clear()
        self.assertEqual(self.candidates("lock", "--upgrade=demo/"), ["--upgrade=demo/one"])
        layer = ["kernelize", "m.pt", "--layer"]
        self.assertEqual(self.candidates(*layer, "Demo=de"), ["Demo=demo/one"])
        self.assertEqual(self.candidates(*layer, "Demo=demo/one@"), ["Demo=demo/one@v1"])
        self.assertEqual(self.candidates(*layer, "Demo=demo/one@v1:D"), ["Demo=demo/one@v1:Demo"])
        self.assertEqual(self.hub.requests, [])

    def test_bash_offers_them(self):
        script = """
            source <("$1" completion bash)
            complete_line() { COMP_LINE=$1 COMP_POINT=${#1}; COMP_WORDS=($1); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
                              COMPREPLY=(); _kernels 2>/dev/null; echo "${COMPREPLY[*]}"; }
            complete_line "$1 loc"
            complete_line "$1 lock --color=n"
            complete_line "$1 completion f"
        """
        done = subprocess.run(["bash", "-c", script, "bash", harness.BINARY], capture_output=True, text=True,
                              env=self.environment)
        self.assertEqual(done.stdout.splitlines(), ["lock", "never", "fish"], done.stderr)

    def test_did_you_mean(self):
        self.expect_error(2, "`lokc`: there is no such command", "lokc", hint="did you mean `lock`?")
        self.expect_error(2, "--chekc: there is no such option", "lock", "--chekc", hint="did you mean `--check`?")
        self.expect_error(2, "`downlaod`", "help", "downlaod", hint="did you mean `download`?")
        self.expect_error(2, "`xyzzyx`: there is no such command", "xyzzyx", hint="kernels help")
        self.expect_error(2, "the command is missing", hint="kernels help")
        self.expect_error(2, "--cache: its DIR is missing", "lock", "--cache")
        self.expect_error(2, "--json: it takes no value", "lock", "--json=yes")
        self.expect_error(2, "`b`: one argument too many", "lock", "a", "b")

    def test_version(self):
        self.assertRegex(self.expect(0, "--version").out, r"^kernels \d+\.\d+\.\d+\n$")
        self.assertRegex(self.expect(0, "--version", "--json").json["version"], r"^\d+\.\d+\.\d+$")

    def test_options_before_and_behind_the_command(self):
        first = self.expect(0, "--offline", "--json", "env").json
        self.assertEqual(self.expect(0, "env", "--json", "--offline").json, first)
        offline = [fact for fact in first["facts"] if fact["name"] == "offline"][0]
        self.assertEqual((offline["value"], offline["origin"]), ("true", "--offline"))

    def test_the_library_names_no_options(self):
        """Whole commands may stand in its texts; what an option does it says in its own terms (Remedy)."""
        files = [file for folder in ("lib", "include") for file in (SOURCE / folder).rglob("*.[ch]pp")]
        self.assertGreater(len(files), 100)
        for file in files:
            code = re.sub(r"(?m)//[^\"\n]*$", "", file.read_text())
            for statement in code.split(";"):
                text = "".join(re.findall(r'"((?:[^"\\\n]|\\.)*)"', statement))
                text = re.sub(r"`kernels [^`]*`", "", text)
                self.assertNotRegex(text, r"(?<![\w-])--[a-z]", file.relative_to(SOURCE))

    def test_hints_name_the_options_of_the_command(self):
        empty = ("lock", "--cache", self.folder / "none")
        self.write_project()
        hint = "run it once online, without HF_HUB_OFFLINE, or `kernels download` the project"
        self.assertTrue(self.expect(5, *empty, "--offline").err.endswith(f"{hint} (without --offline)\n"))
        self.assertTrue(self.expect(5, *empty, HF_HUB_OFFLINE="1").err.endswith(f"{hint}\n"))
        self.expect_error(2, "--torch `/nowhere`: no torch there", "versions", "a/b", "--torch", "/nowhere")

    def test_links_neither_libtorch_nor_python(self):
        # Names only: ldd prints load addresses too, and a random one may well hold "c10".
        printed = subprocess.run(["ldd", harness.BINARY], capture_output=True, text=True).stdout
        linked = [line.split()[0].split("/")[-1] for line in printed.splitlines() if line.strip()]
        self.assertTrue(any(name.startswith("libcurl.so") for name in linked), linked)
        self.assertEqual([name for name in linked if any(part in name for part in ("torch", "python", "c10"))], [])


class TorchProgram(harness.CliTest):
    def setUp(self):
        super().setUp()
        # A copy, so that no kernels-torch of the build tree is found.
        self.binary = self.folder / "bin" / "kernels"
        self.binary.parent.mkdir()
        shutil.copy2(harness.BINARY, self.binary)
        self.original, harness.BINARY = harness.BINARY, str(self.binary)

    def tearDown(self):
        harness.BINARY = self.original
        super().tearDown()

    def install(self, path, status=0):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\necho "$0"\nfor word in "$@"; do echo "[$word]"; done\nexit {status}\n')
        path.chmod(0o755)
        return path

    def test_missing(self):
        self.expect_error(1, "kernels-torch was not found", "kernelize", "m.pt", hint="KERNELS_TORCH=ON")
        self.expect_error(2, "MODEL is missing", "kernelize")
        self.expect_error(2, "KERNELS_TORCH_BIN", "kernelize", "m.pt", KERNELS_TORCH_BIN="/nowhere")

    def test_everything_is_passed_on(self):
        self.install(self.binary.parent / "kernels-torch", status=8)
        arguments = ["--offline", "-v", "kernelize", "a model.pt", "--layer", "A=b/c:D", "--json"]
        result = self.run_kernels(*arguments)
        self.assertEqual(result.status, 8)
        self.assertEqual(result.out.splitlines()[1:], [f"[{word}]" for word in arguments])

    def test_where_it_is_looked_for(self):
        libexec = self.install(self.folder / "libexec" / "kernels" / "kernels-torch")
        self.assertEqual(self.expect(0, "inspect", "m.pt").out.splitlines()[0], str(libexec))
        beside = self.install(self.binary.parent / "kernels-torch")
        self.assertEqual(self.expect(0, "inspect", "m.pt").out.splitlines()[0], str(beside))
        named = self.install(self.folder / "elsewhere")
        result = self.expect(0, "inspect", "m.pt", KERNELS_TORCH_BIN=str(named))
        self.assertEqual(result.out.splitlines()[0], str(named))


if __name__ == "__main__":
    harness.main()
