"""Asks a probe: an executable, named by an environment variable, that answers lines of JSON (see probe.hpp)."""

import importlib
import json
import os
import subprocess
import sys

from kernels_hub import skip


def ask(questions, variable):
    """The answers to `questions`, in order, of the probe that `variable` names; without one the script is skipped."""
    probe = os.environ.get(variable)
    if not probe:
        skip(f"{variable} does not name the probe executable")
    lines = "".join(json.dumps(question) + "\n" for question in questions)
    done = subprocess.run([probe], input=lines, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"the probe failed: {done.stderr}")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(questions), (len(answers), len(questions))
    return answers


def peer(module):
    """A module of the Python client, or a skip that says why."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        skip(f"the Python client is not installed ({error})")
