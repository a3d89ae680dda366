"""Shared libraries that stand before the system's own functions in a program under test (LD_PRELOAD)."""

import shutil
import subprocess


def supported():
    return shutil.which("cc") is not None


def library(folder, name, source):
    """Compiles C and gives what to add to the environment of the program."""
    path = folder / f"{name}.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-x", "c", "-", "-o", path, "-ldl"], input=source, text=True,
                   check=True, capture_output=True)
    # A sanitizer's own library wants to be the first; it does its work behind this one too.
    return {"LD_PRELOAD": str(path), "ASAN_OPTIONS": "verify_asan_link_order=0"}


def slow_lookup(folder, seconds):
    """Every look-up of a host's name takes so long, and then finds nothing."""
    return library(folder, "slow_lookup", f"""
#include <netdb.h>
#include <time.h>
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {{
    struct timespec wait = {{ {seconds}, 0 }};
    while (nanosleep(&wait, &wait) != 0) {{}}
    return EAI_NONAME;
}}
""")
