"""What a dynamic ELF file asks for: its interpreter and its DT_NEEDED libraries (System V ABI, 64-bit little-endian)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NULL, _DT_NEEDED, _DT_STRTAB = 0, 1, 5


@dataclass(frozen=True)
class Needs:
    """Empty for what is no dynamic ELF file."""

    interpreter: str = ""
    libraries: tuple[str, ...] = ()


def needs(content: bytes) -> Needs:
    if content[:6] != b"\x7fELF\x02\x01":
        return Needs()
    (offset,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    headers = [struct.unpack_from("<IIQQQQQQ", content, offset + index * size) for index in range(count)]
    loads = [(address, start, length) for kind, _, start, address, _, length, _, _ in headers if kind == _PT_LOAD]
    interpreter = next((_string(content, start) for kind, _, start, *_ in headers if kind == _PT_INTERP), "")
    tags: list[tuple[int, int]] = []
    for kind, _, start, _, _, length, _, _ in headers:
        if kind == _PT_DYNAMIC:
            for position in range(start, start + length, 16):
                tag, value = struct.unpack_from("<QQ", content, position)
                if tag == _DT_NULL:
                    break
                tags.append((tag, value))
    strings = next((value for tag, value in tags if tag == _DT_STRTAB), 0)
    names = [_string(content, _file_offset(loads, strings) + value) for tag, value in tags if tag == _DT_NEEDED]
    return Needs(interpreter, tuple(names))


def _file_offset(loads: list[tuple[int, int, int]], address: int) -> int:
    return next(start + address - base for base, start, length in loads if base <= address < base + length)


def _string(content: bytes, start: int) -> str:
    return content[start : content.index(b"\0", start)].decode()
