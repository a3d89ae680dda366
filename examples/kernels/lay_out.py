"""Lays a kernel out as kernel repositories on the Hub are: build/<variant>/ with metadata.json and its digest."""

import argparse
import base64
import hashlib
import json
import pathlib
import shutil


def digest(folder: pathlib.Path) -> dict:
    files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != "metadata.json":
            files[name] = base64.b64encode(hashlib.sha256(path.read_bytes()).digest()).decode()
    return {"algorithm": "sha256", "files": files}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=pathlib.Path, help="folder that holds the Python package")
    parser.add_argument("repository", type=pathlib.Path, help="folder of the branch, such as .../kernels-demo/x/v1")
    parser.add_argument("--id", required=True, help="the op namespace, unique to the build")
    parser.add_argument("--variant", required=True, help="name of the folder below build/")
    parser.add_argument("--library", type=pathlib.Path, help="the compiled kernels; a pure Python kernel has none")
    parser.add_argument("--version", type=int, default=1)
    parser.add_argument("--backend", default="cpu")
    parser.add_argument("--archs", nargs="*", default=[], help="devices that the library has code for")
    parser.add_argument("--add", type=pathlib.Path, help="folder of texts to put at the end of files of the package")
    parser.add_argument("--depends", nargs="*", default=[], metavar="REPO=VERSION", help="kernels that it stands on")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    package = next(path.parent for path in given.source.glob("*/__init__.py"))
    folder = given.repository / "build" / given.variant
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(package, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for addition in sorted(given.add.iterdir()) if given.add else []:
        with (folder / addition.name).open("a") as file:
            file.write(addition.read_text())
    if given.library:
        shutil.copy(given.library, folder / f"{given.id}.abi3.so")
        (folder / "_ops.py").write_text(
            f"import torch\n\nfrom . import {given.id}\n\nops = torch.ops.{given.id}\n\n\n"
            f'def add_op_namespace_prefix(op_name: str) -> str:\n    return f"{given.id}::{{op_name}}"\n'
        )
    metadata = {
        "name": package.name.replace("_", "-"),
        "id": given.id,
        "version": given.version,
        "license": "Apache-2.0",
        "python-depends": [],
        "backend": {"type": given.backend},
    }
    if given.archs:
        metadata["backend"]["archs"] = given.archs
    if given.depends:
        pairs = [text.split("=") for text in given.depends]
        metadata["kernel-depends"] = [{"repo-id": repo, "version": int(version)} for repo, version in pairs]
    metadata["digest"] = digest(folder)
    (folder / "metadata.json").write_text(json.dumps(metadata, indent=2) + "\n")


main()
