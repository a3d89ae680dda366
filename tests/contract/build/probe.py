"""Asks the probe executable named by KERNELS_BUILD_PROBE."""

import json
import os
import subprocess
import sys

SKIP = 77


def ask(questions):
    """The answers to `questions`, in order."""
    probe = os.environ.get("KERNELS_BUILD_PROBE")
    if not probe:
        print("skipped: KERNELS_BUILD_PROBE does not name the probe executable")
        sys.exit(SKIP)
    lines = "".join(json.dumps(question) + "\n" for question in questions)
    done = subprocess.run([probe], input=lines, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"the probe failed: {done.stderr}")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(questions), (len(answers), len(questions))
    return answers


def peer(module):
    """A module of the Python client, or a skip that says why."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        print(f"skipped: the Python client is not installed ({error})")
        sys.exit(SKIP)
