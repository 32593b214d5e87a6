"""What an ELF shared library asks of the phone: enough of the format to see how its segments are aligned."""

from __future__ import annotations

import struct
from dataclasses import dataclass

#: What phones with large pages need (16 KB).
LARGE_PAGE = 0x4000
_LOAD = 1
_MACHINES = {0x28: "armeabi-v7a", 0xB7: "arm64-v8a", 0x3E: "x86_64", 0x03: "x86"}


@dataclass(frozen=True)
class SharedLibrary:
    """The ABI, as Android names it, and the smallest alignment in bytes of any segment that is loaded."""

    abi: str
    alignment: int


def read_elf(content: bytes) -> SharedLibrary:
    """Read the program headers of a little-endian ELF file (System V ABI, chapter 5). Raises ``ValueError``."""
    if content[:4] != b"\x7fELF" or content[5:6] != b"\x01":
        raise ValueError("not a little-endian ELF file")
    try:
        machine, alignments = _headers(content, is_64=content[4] == 2)
    except struct.error as error:
        raise ValueError(f"a damaged ELF file ({error})") from error
    if not alignments or machine not in _MACHINES:
        raise ValueError("no library of Android's")
    return SharedLibrary(_MACHINES[machine], min(alignments))


def _headers(content: bytes, *, is_64: bool) -> tuple[int, list[int]]:
    """The machine, and the alignment of every segment that is loaded."""
    (machine,) = struct.unpack_from("<H", content, 18)
    (offset,) = struct.unpack_from("<Q", content, 32) if is_64 else struct.unpack_from("<I", content, 28)
    size, count = struct.unpack_from("<HH", content, 54 if is_64 else 42)
    alignments = []
    for start in range(offset, offset + size * count, max(size, 1)):
        if struct.unpack_from("<I", content, start)[0] == _LOAD:
            place, form = (start + 48, "<Q") if is_64 else (start + 28, "<I")
            alignments.append(struct.unpack_from(form, content, place)[0])
    return machine, alignments
