"""Shared libraries that hold device code, put together byte by byte: there is no HIP here, and nvcc not everywhere."""

import struct


def elf_library(sections):
    """A 64-bit ELF library with these sections (name → bytes)."""
    names, contents, headers = b"\0", b"", [struct.pack("<IIQQQQIIQQ", *[0] * 10)]
    for name, data in sections.items():
        contents += b"\0" * (-len(contents) % 8)
        headers.append(struct.pack("<IIQQQQIIQQ", len(names), 1, 0, 0, 64 + len(contents), len(data), 0, 0, 1, 0))
        names += name.encode() + b"\0"
        contents += data
    at = 64 + len(contents)
    headers.append(struct.pack("<IIQQQQIIQQ", len(names), 3, 0, 0, at, len(names) + 10, 0, 0, 1, 0))
    names += b".shstrtab\0"
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header = ident + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 0, at + len(names), 0, 64, 0, 0, 64, len(headers), len(headers) - 1)
    return header + contents + names + b"".join(headers)


def cuda_library(*capabilities, ptx=()):
    """Machine code for each capability (90 is 9.0), and PTX for those of `ptx`."""
    def entry(kind, capability):
        payload = b"code".ljust(16, b"\0")
        header = struct.pack("<HHIQIIHHIIIQ", kind, 0x101, 64, len(payload), 0, 0, 0, 9, capability, 0, 0, 0)
        return header.ljust(64, b"\0") + payload

    entries = b"".join([entry(2, one) for one in capabilities] + [entry(1, one) for one in ptx])
    return elf_library({".nv_fatbin": struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(entries)) + entries})


def hip_library(*archs):
    """An offload bundle as clang writes it, with code for each gfx target."""
    triples = [b"host-x86_64-unknown-linux-gnu-", *[b"hipv4-amdgcn-amd-amdhsa--" + arch.encode() for arch in archs]]
    at = 32 + sum(24 + len(triple) for triple in triples)
    table = b"__CLANG_OFFLOAD_BUNDLE__" + struct.pack("<Q", len(triples))
    code = b""
    for triple in triples:
        size = 0 if triple.startswith(b"host") else 32
        table += struct.pack("<QQQ", at + len(code), size, len(triple)) + triple
        code += b"\x7fELF".ljust(size, b"\0") if size else b""
    return elf_library({".hip_fatbin": table.ljust(at, b"\0") + code})
