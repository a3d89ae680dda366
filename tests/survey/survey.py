"""What the front end makes of public kernels: every layer and function of every package in a checkout.

usage: survey.py PROGRAM CHECKOUT [--commit COMMIT] [--date DATE] > kernels-community.md

PROGRAM is the target kernels_survey; CHECKOUT holds a folder a kernel, each with torch-ext/PACKAGE/__init__.py, as
huggingface/kernels-community has. The schemas of ops come from the strings of ops.def("…") in the C++ sources. What the
replaced layers look like, where the published class does not declare it, is in replaced.json: attributes, child modules,
methods, types of arguments, and what a binding would give.
"""

import argparse
import json
import pathlib
import re
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
REPLACED = json.loads((HERE / "replaced.json").read_text())
CPP = {".cpp", ".cc", ".cu", ".mm", ".h", ".hpp"}
LITERAL = r'"(?:[^"\\]|\\.)*"'
DEFINITION = re.compile(r"\.def\(\s*((?:" + LITERAL + r"\s*)+)")


def schemas(folder: pathlib.Path) -> list[str]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix not in CPP or not path.is_file():
            continue
        for match in DEFINITION.finditer(path.read_text(errors="replace")):
            text = "".join(part[1:-1].replace('\\"', '"').replace("\\n", " ") for part in re.findall(LITERAL, match.group(1)))
            if "(" in text and "->" in text:
                found.setdefault(re.sub(r"\s+", " ", text).split("(")[0], re.sub(r"\s+", " ", text))
    return list(found.values())


def survey(program: str, package: pathlib.Path, ops: list[str]) -> dict:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(ops))
        file.flush()
        run = subprocess.run([program, package, file.name, HERE / "replaced.json"], capture_output=True, text=True, timeout=300)
    if run.returncode != 0:
        raise SystemExit(f"{package}: kernels_survey ended with {run.returncode}: {run.stderr}")
    return json.loads(run.stdout)


def note(package: str, row: dict) -> str:
    text = REPLACED.get(package, {}).get(row["name"], {}).get("note", "")
    return f"; {text}" if text else ""


def outcome(row: dict) -> str:
    if "refused" in row:
        text = row["refused"].replace("|", "\\|")
    elif "by_default" in row:
        text = "compiled for calls that leave arguments at their defaults; with all of them: " + row["by_default"].replace("|", "\\|")
    else:
        text = "compiled"
    if "rule" in row:
        text += f"; then kept by the rules for hub layers: it {row['rule']}"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("checkout", type=pathlib.Path)
    parser.add_argument("--commit", default="")
    parser.add_argument("--date", default="")
    given = parser.parse_args()

    rows = []
    packages_by_kernel = {}
    packages = sorted(path.parent for path in given.checkout.glob("*/torch-ext/*/__init__.py"))
    for package in packages:
        ops = schemas(package.parents[1])
        packages_by_kernel[package.parents[1].name] = package.name
        answer = survey(given.program, package, ops)
        rows += [(package.parents[1].name, answer["ops"], row) for row in answer["rows"]]

    def count(kind: str) -> str:
        of_kind = [row for _, _, row in rows if row["kind"] == kind]
        return f"{sum('refused' not in row for row in of_kind)} of {len(of_kind)}"

    print("# The front end over huggingface/kernels-community\n")
    print(f"Commit {given.commit} ({given.date}), {len(packages)} packages, by `tests/survey/survey.py`.")
    defaults = sum("by_default" in row for _, _, row in rows)
    print(f"Compiled: {count('layer')} layers, {count('function')} functions ({defaults} of them for calls that leave arguments at their")
    print("defaults). Everything else is named with the place and the reason. `ops` is the number of op schemas in the kernel's C++ sources.\n")
    for kind, title in (("layer", "Layers"), ("function", "Functions of the packages")):
        print(f"## {title}\n")
        print("| kernel | ops | " + kind + " | outcome |\n| --- | --- | --- | --- |")
        for kernel, ops, row in rows:
            if row["kind"] == kind or (row["kind"] == ("layers" if kind == "layer" else "package")):
                print(f"| {kernel} | {ops} | {row['name']} | {outcome(row)}{note(packages_by_kernel[kernel], row)} |")
        print()


main()
