"""README's table of the layers API: complete, and every name in it exists."""

import re

import harness
from harness import SOURCE

# The Python client's layers API reference, in its order.
ENTRIES = """use_kernel_forward_from_hub use_kernel_func_from_hub replace_kernel_forward_from_hub use_kernel_mapping
register_kernel_mapping kernelize Device CUDAProperties ROCMProperties Mode FuncRepository LayerRepository
LocalFuncRepository LocalLayerRepository LockedFuncRepository LockedLayerRepository""".split()


def table():
    """The rows by the entry's name: (C++, examples, command line)."""
    section = (SOURCE / "README.md").read_text().split("## The layers API")[1].split("\n## ")[0]
    rows = {}
    for line in re.findall(r"(?m)^\| `.*\|$", section):
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        rows[re.match(r"`(\w+)", cells[0])[1]] = cells[1:]
    return rows


class LayersTable(harness.CliTest):
    def test_every_entry_of_the_reference_has_a_row(self):
        self.assertEqual(sorted(table()), sorted(ENTRIES))
        for entry, cells in table().items():
            self.assertEqual(len(cells), 3, entry)
            self.assertTrue(all(cells), entry)

    def test_every_cpp_name_is_declared(self):
        headers = {folder: "".join(file.read_text() for file in (SOURCE / "include/kernels" / folder).glob("*.hpp"))
                   for folder in ("layer", "torch")}
        for entry, (cpp, _, _) in table().items():
            names = re.findall(r"\b(layer|torchscript|native)::(\w+)", cpp)
            self.assertTrue(names, entry)
            for space, name in names:
                self.assertRegex(headers["layer" if space == "layer" else "torch"],
                                 rf"(?m)^(?!\s*//).*\b{name}\b", f"{entry}: {space}::{name}")

    def test_every_example_is_a_program_that_the_tests_run(self):
        folder = SOURCE / "examples/layers-api"
        run = (folder / "CMakeLists.txt").read_text()
        named = {}
        for entry, (_, examples, _) in table().items():
            for example in re.findall(r"`(\w+)`", examples):
                named[example] = entry
                self.assertTrue((folder / f"{example}.cpp").exists(), example)
                self.assertRegex(run, rf"\b{example}\b")
        self.assertEqual(sorted(named), sorted(file.stem for file in folder.glob("*.cpp")))

    def test_every_key_and_option_exists(self):
        keys = (SOURCE / "man/kernels.toml.5").read_text().replace("\\-", "-")
        helps = {command: self.expect(0, "help", *command.split()).out for command in ("kernelize", "mapping show")}
        for entry, (_, _, command_line) in table().items():
            for option in re.findall(r"--[a-z-]+", command_line):
                command = "mapping show" if "mapping show [" + option in command_line else "kernelize"
                self.assertRegex(helps[command], rf"(?m)^ .*{option}\b", f"{entry}: {option}")
            for key in re.findall(r"`([a-z][a-z-]*)`", command_line):
                self.assertIn(key, keys, f"{entry}: {key}")


if __name__ == "__main__":
    harness.main()
