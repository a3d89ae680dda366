"""A program on a terminal of its own: what a person would be shown."""

import os
import pty
import subprocess


def run(command, stdout=None, **options):
    """Runs it with a terminal for its errors, and for its output unless `stdout` says where that goes. Gives its exit
    status and all that the terminal got."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([*map(str, command)], stdin=subprocess.DEVNULL, stdout=theirs if stdout is None else stdout, stderr=theirs,
                               **options)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    return process.wait(), shown.decode()
