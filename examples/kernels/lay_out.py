"""Lays a compiled kernel out as kernel repositories on the Hub are: build/<variant>/ with metadata.json and its digest.

Usage: lay_out.py SOURCE LIBRARY NAMESPACE VARIANT REPOSITORY
"""

import base64
import hashlib
import json
import pathlib
import shutil
import sys


def digest(folder: pathlib.Path) -> dict:
    files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != "metadata.json":
            files[name] = base64.b64encode(hashlib.sha256(path.read_bytes()).digest()).decode()
    return {"algorithm": "sha256", "files": files}


def main() -> None:
    source, library, namespace, variant, repository = sys.argv[1:]
    package = next(path.parent for path in pathlib.Path(source).glob("*/__init__.py"))
    folder = pathlib.Path(repository) / "build" / variant
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(package, folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(library, folder / f"{namespace}.abi3.so")
    (folder / "_ops.py").write_text(
        f"import torch\n\nfrom . import {namespace}\n\nops = torch.ops.{namespace}\n\n\n"
        f'def add_op_namespace_prefix(op_name: str) -> str:\n    return f"{namespace}::{{op_name}}"\n'
    )
    metadata = {
        "name": package.name.replace("_", "-"),
        "id": namespace,
        "version": 1,
        "license": "Apache-2.0",
        "python-depends": [],
        "backend": {"type": "cpu"},
        "digest": digest(folder),
    }
    (folder / "metadata.json").write_text(json.dumps(metadata, indent=2) + "\n")


main()
