"""A tar parser without I/O: bytes in, entries and their content out. Knows ustar, PAX and GNU long names; refuses sparse files.
And the headers of an archive of ours, with remarks of the writer in PAX records of our own, which other programs pass over.

Bounded in names, PAX records and entries; sizes are never negative (CPython's tarfile looped on such, CVE-2025-8194); a bad checksum is
an error at once. It resolves no path: that is for whoever unpacks. Formats: POSIX.1-2017 pax, GNU tar manual "Basic Tar Format".
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field

from polong.kit.errors import Invalid, TooLarge, Unsupported

BLOCK = 512
_NAME_LIMIT = 4096
_PAX_LIMIT = 1 << 20
_NUMBER_LIMIT = 1 << 62

REGULAR, HARDLINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
_KINDS = {b"\0": REGULAR, b"7": REGULAR, **{kind: kind for kind in (REGULAR, HARDLINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO)}}
_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL = b"L", b"K", b"x", b"g"
_XATTR = b"SCHILY.xattr."
_OURS = b"POLONG."
_REMARKS_LIMIT = 4 << 20
END = b"\0" * (2 * BLOCK)


@dataclass(frozen=True)
class Entry:
    """One member. `name` and `link` are raw bytes; `mtime` in nanoseconds; `size` counts the content that follows."""

    name: bytes
    kind: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    link: bytes = b""
    major: int = 0
    minor: int = 0
    xattrs: dict[str, bytes] = field(default_factory=dict)


@dataclass
class _Extended:
    """What applies to the next entry alone."""

    name: bytes | None = None
    link: bytes | None = None
    records: dict[bytes, bytes] = field(default_factory=dict)


class TarParser:
    """`feed` bytes, get `Entry` values, then the content of each as bytes; after the end of the archive everything is ignored.
    `remarks` of the writer (see `remark`) come by name."""

    def __init__(self, entries: int = 2_000_000) -> None:
        self.remarks: list[tuple[str, str]] = []
        self._remarked = 0
        self._buffer = bytearray()
        self._extended = _Extended()
        self._remaining = 0
        self._padding = 0
        self._special: tuple[bytes, int] | None = None
        self._zeros = 0
        self._left = entries
        self._limit = entries
        self.ended = False

    def feed(self, data: bytes) -> Iterator[Entry | bytes]:
        """Invalid, TooLarge, Unsupported. The iterator must be used up before the next call."""
        if self.ended:
            return
        buffer = self._buffer
        buffer += data
        position = 0
        try:
            while not self.ended:
                if self._remaining:
                    if position >= len(buffer):
                        break
                    chunk = bytes(memoryview(buffer)[position : position + self._remaining])
                    position += len(chunk)
                    self._remaining -= len(chunk)
                    yield chunk
                    continue
                if self._padding:
                    skip = min(self._padding, len(buffer) - position)
                    position += skip
                    self._padding -= skip
                    if self._padding:
                        break
                    continue
                need = self._special[1] if self._special else BLOCK
                if len(buffer) - position < need:
                    break
                block = bytes(memoryview(buffer)[position : position + need])
                position += need
                if self._special:
                    self._padding = -need % BLOCK
                    self._take_special(self._special[0], block)
                elif (entry := self._take_header(block)) is not None:
                    yield entry
        finally:
            del buffer[:position]

    def finish(self) -> None:
        """Call at the end of input: Invalid where an entry was cut off. (Missing end blocks are tolerated, as every reader does.)"""
        if self._remaining or self._special or self._padding or (self._buffer and not self.ended):
            raise Invalid("tar archive is cut off")

    def _take_header(self, block: bytes) -> Entry | None:
        if not block.strip(b"\0"):
            self._zeros += 1
            self.ended = self._zeros == 2
            return None
        self._zeros = 0
        stored = _number(block[148:156])
        if sum(block) - sum(block[148:156]) + 8 * 32 != stored:
            raise Invalid("tar archive is damaged: bad header checksum")
        kind = block[156:157]
        size = _number(block[124:136])
        if kind in {_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL}:
            limit = _PAX_LIMIT if kind in {_PAX, _PAX_GLOBAL} else _NAME_LIMIT + 1
            if size > limit:
                raise TooLarge(f"tar archive has an extended header of {size} bytes, more than {limit}")
            if size:
                self._special = (kind, size)
            return None
        self._left -= 1
        if self._left < 0:
            raise TooLarge(f"tar archive has more than {self._limit} entries")
        extended, self._extended = self._extended, _Extended()
        entry = _entry(block, kind, size, extended)
        self._remaining = entry.size
        self._padding = -entry.size % BLOCK
        return entry

    def _take_special(self, kind: bytes, content: bytes) -> None:
        self._special = None
        if kind == _LONG_NAME:
            self._extended.name = content.rstrip(b"\0")
        elif kind == _LONG_LINK:
            self._extended.link = content.rstrip(b"\0")
        elif kind == _PAX:
            self._extended.records = _pax(content)
        else:
            # What a global header could override for all entries is not used by any image tool: only our own records are looked at.
            self._remark({key: value for key, value in _pax(content).items() if key.startswith(_OURS)})

    def _remark(self, records: dict[bytes, bytes]) -> None:
        for key, value in records.items():
            self._remarked += len(value)
            if self._remarked > _REMARKS_LIMIT:
                raise TooLarge(f"tar archive has more than {_REMARKS_LIMIT} bytes of remarks")
            self.remarks.append((key[len(_OURS) :].decode("utf-8", "replace"), value.decode("utf-8", "backslashreplace")))


def _entry(block: bytes, kind: bytes, size: int, extended: _Extended) -> Entry:
    records = extended.records
    if kind == b"S" or any(key.startswith(b"GNU.sparse") for key in records):
        raise Unsupported("tar archive has a sparse file, which is not supported")
    name = _until_nul(block[0:100])
    if block[257:262] == b"ustar" and block[257:265] != b"ustar  \0" and (prefix := _until_nul(block[345:500])):
        name = prefix + b"/" + name
    name = records.get(b"path", extended.name if extended.name is not None else name)
    link = records.get(b"linkpath", extended.link if extended.link is not None else _until_nul(block[157:257]))
    if kind == b"\0" and name.endswith(b"/"):  # how tar said "directory" before it had types
        kind = DIRECTORY
    if kind not in _KINDS:
        raise Unsupported(f"tar archive has an entry of unknown type {kind!r}")
    kind = _KINDS[kind]
    for text in (name, link):
        if len(text) > _NAME_LIMIT or b"\0" in text:
            raise Invalid("tar archive has an entry whose name is too long or contains a NUL byte")
    if b"size" in records:
        size = _decimal(records[b"size"])
    device = kind in {CHARACTER, BLOCK_DEVICE}
    return Entry(
        name=name,
        kind=kind,
        mode=_number(block[100:108]) & 0o7777,
        uid=_decimal(records[b"uid"]) if b"uid" in records else _number(block[108:116]),
        gid=_decimal(records[b"gid"]) if b"gid" in records else _number(block[116:124]),
        # Only files have content; tools write sizes for links that no bytes follow.
        size=size if kind == REGULAR else 0,
        mtime=_time(records[b"mtime"]) if b"mtime" in records else _number(block[136:148], signed=True) * 1_000_000_000,
        link=link if kind in {HARDLINK, SYMLINK} else b"",
        major=_number(block[329:337]) if device else 0,
        minor=_number(block[337:345]) if device else 0,
        xattrs={key[len(_XATTR) :].decode("utf-8", "replace"): value for key, value in records.items() if key.startswith(_XATTR)},
    )


def _until_nul(field_: bytes) -> bytes:
    return field_.partition(b"\0")[0]


def _number(field_: bytes, *, signed: bool = False) -> int:
    """Octal text, or GNU's base 256. Only times may be negative."""
    if field_[0] & 0x80:
        value = int.from_bytes(field_, "big", signed=False) & ((1 << (8 * len(field_) - 1)) - 1)
        if field_[0] & 0x40:
            value -= 1 << (8 * len(field_) - 1)
    else:
        text = field_.partition(b"\0")[0].strip(b" ")
        if text.strip(b"01234567"):
            raise Invalid("tar archive is damaged: a number is not octal")
        value = int(text, 8) if text else 0
    if abs(value) > _NUMBER_LIMIT or (value < 0 and not signed):
        raise Invalid("tar archive is damaged: a number is out of range")
    return value


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 19:
        raise Invalid("tar archive is damaged: a PAX number is not decimal")
    value = int(text)
    if value > _NUMBER_LIMIT:
        raise Invalid("tar archive is damaged: a PAX number is out of range")
    return value


def _time(text: bytes) -> int:
    """PAX's decimal seconds, in nanoseconds."""
    whole, _, fraction = text.removeprefix(b"-").partition(b".")
    if len(whole) > 12 or (fraction and not fraction.isdigit()):
        raise Invalid("tar archive is damaged: a PAX time is no number")
    value = _decimal(whole) * 1_000_000_000 + int((fraction[:9] or b"0").ljust(9, b"0"))
    return -value if text.startswith(b"-") else value


def _pax(content: bytes) -> dict[bytes, bytes]:
    """`LENGTH KEY=VALUE\\n` records."""
    records: dict[bytes, bytes] = {}
    position = 0
    while position < len(content):
        digits = content[position : content.find(b" ", position, position + 12)] if b" " in content[position : position + 12] else b""
        length = _decimal(digits)
        record = content[position + len(digits) + 1 : position + length]
        key, equals, value = record.removesuffix(b"\n").partition(b"=")
        if length <= len(digits) + 1 or position + length > len(content) or not equals or not record.endswith(b"\n"):
            raise Invalid("tar archive is damaged: a PAX record is malformed")
        records[key] = value
        position += length
    return records


# --- writing -------------------------------------------------------------------------------------------------------------------------


def header(entry: Entry) -> bytes:
    """The blocks before an entry's content, which `padding` follows. A name may be any bytes."""
    info = tarfile.TarInfo(entry.name.decode("utf-8", "surrogateescape"))
    info.type, info.mode, info.size = entry.kind, entry.mode, entry.size
    info.uid, info.gid, info.mtime = entry.uid, entry.gid, entry.mtime // 1_000_000_000
    info.linkname = entry.link.decode("utf-8", "surrogateescape")
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def padding(size: int) -> bytes:
    return b"\0" * (-size % BLOCK)


def remark(name: str, text: str) -> bytes:
    """A global header that says `text` to whoever reads the archive with `TarParser`; others pass over it."""
    body = b" " + _OURS + name.encode("ascii") + b"=" + text.encode("utf-8", "backslashreplace") + b"\n"
    length = len(body) + 1
    while len(str(length)) + len(body) != length:
        length = len(str(length)) + len(body)
    content = str(length).encode("ascii") + body
    info = tarfile.TarInfo("polong")
    info.type, info.size = _PAX_GLOBAL, len(content)
    return info.tobuf(tarfile.USTAR_FORMAT) + content + padding(len(content))
