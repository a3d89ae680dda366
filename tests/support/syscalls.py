"""Programs under a kernel that refuses some system calls, as a file system or a network that lacks them does.

A seccomp filter, set between fork and exec: no privileges, no tools, nothing in the program under test knows of it.
"""

import ctypes
import errno
import os
import platform
import signal
import struct

# Linux system call numbers, per machine.
NUMBERS = {"x86_64": {"socket": 41, "connect": 42, "symlink": 88, "symlinkat": 266, "fsync": 74, "fdatasync": 75,
                      "flock": 73, "linkat": 265},
           "aarch64": {"socket": 198, "connect": 203, "symlinkat": 36, "fsync": 82, "fdatasync": 83, "flock": 32,
                       "linkat": 37}}
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06


def supported():
    return platform.system() == "Linux" and platform.machine() in NUMBERS


def _filter(names, action):
    """A preexec_fn that makes the calls `names` end with `action`."""
    machine = platform.machine()
    numbers = [NUMBERS[machine][name] for name in names if name in NUMBERS[machine]]
    program = [(LOAD, 0, 0, 4), (EQUAL, 1, 0, AUDIT_ARCH[machine]), (RETURN, 0, 0, KILL), (LOAD, 0, 0, 0)]
    for at, number in enumerate(numbers):
        program.append((EQUAL, len(numbers) - at, 0, number))
    program += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, action)]
    code = b"".join(struct.pack("HBBI", *line) for line in program)
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(code, len(code))
    length = len(program)

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    whole = Program(length, ctypes.cast(buffer, ctypes.c_void_p))

    def apply(_keep=buffer):
        no_new_privileges, set_seccomp, mode_filter = 38, 22, 2
        if libc.prctl(no_new_privileges, 1, 0, 0, 0) != 0 or libc.prctl(set_seccomp, mode_filter, ctypes.byref(whole), 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "seccomp")

    return apply


def without_sockets():
    """The first socket(2) kills the process (SIGSYS): the proof that none is opened, and for others that one is."""
    return _filter(["socket", "connect"], KILL)


KILLED = -signal.SIGSYS


def without_symlinks():
    """symlink(2) answers EPERM, as on FAT and some network file systems."""
    return _filter(["symlink", "symlinkat"], ERRNO | errno.EPERM)


def without_flock(error=errno.ENOSYS):
    """flock(2) answers `error`, as on some network file systems."""
    return _filter(["flock"], ERRNO | error)


def without_links():
    """linkat(2) answers EPERM, as on file systems and in sandboxes that have no hard links."""
    return _filter(["linkat"], ERRNO | errno.EPERM)


def without_sync(error=errno.EIO):
    """fsync(2) answers `error`: a disk that breaks (EIO), or that is found full only then (ENOSPC on NFS)."""
    return _filter(["fsync", "fdatasync"], ERRNO | error)


def as_nobody():
    """Gives up root's right to write everywhere; a no-op for others."""
    def apply():
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
    return apply
