"""Layers as an attacker writes them, beside a canary: what is unpacked stays beneath its directory, what is refused says why."""

from __future__ import annotations

import os
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from tests.fixtures import oci
from tests.fixtures.canary import snapshot

from polong.images.unpack import Totals, Unpacker
from polong.kit.errors import Invalid
from polong.kit.tarstream import TarParser
from polong.linux.paths import Root

CAPABILITY = b"\1\0\0\2" + b"\0\4\0\0" + b"\0" * 12


def unpack(directory: Path, *members: bytes, lowers: tuple[Path, ...] = ()) -> Totals:
    directory.mkdir(exist_ok=True)
    parser = TarParser()
    roots = [Root.open(lower) for lower in lowers]
    with Root.open(directory) as top:
        unpacker = Unpacker(top, roots)
        try:
            for event in parser.feed(b"".join(members) + oci.END):
                unpacker.take(event)
            parser.finish()
            unpacker.finish()
        finally:
            unpacker.close()
            for lower in roots:
                lower.close()
    return unpacker.totals


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    path = tmp_path / "canary"
    path.mkdir(mode=0o711)
    (path / "file").write_text("canary")
    (path / "file").chmod(0o640)
    (path / "directory").mkdir(mode=0o750)
    return path


def climbs(canary: Path) -> list[tuple[str, list[bytes]]]:
    """Names to members, most of which try to reach the canary."""
    there = str(canary).encode()
    relative = b"../" * 12 + there.lstrip(b"/")
    evil = oci.file(b"x", b"evil")
    cases = [
        ("dotdot", [oci.file(b"../canary/file", b"evil")]),
        ("dotdot deep", [oci.file(b"a/b/../../../canary/file", b"evil")]),
        ("dotdot directory", [oci.directory(b"..", 0o777)]),
        ("dotdot end", [oci.directory(b"a/..", 0o777)]),
        ("absolute", [oci.file(there + b"/file", b"evil")]),
        ("double slash", [oci.file(b"//" + there + b"/file", b"evil")]),
        ("no name", [oci.file(b"", b"evil")]),
        ("slash", [oci.file(b"/", b"evil")]),
        ("dot", [oci.symlink(b".", there)]),
        ("hard link out", [oci.hardlink(b"h", there + b"/file"), oci.file(b"h", b"evil")]),
        ("hard link dotdot", [oci.hardlink(b"h", relative + b"/file")]),
        ("hard link to nothing", [oci.hardlink(b"h", b"")]),
        ("hard link to a directory", [oci.directory(b"d"), oci.hardlink(b"h", b"d")]),
        ("hard link to a symlink", [oci.symlink(b"l", there + b"/file"), oci.hardlink(b"h", b"l"), oci.file(b"h", b"evil")]),
        ("symlink to nothing", [oci.symlink(b"l", b"")]),
        ("whiteout dotdot", [oci.file(b".wh...")]),
        ("whiteout dot", [oci.file(b".wh..")]),
        ("whiteout nothing", [oci.file(b".wh.")]),
        ("whiteout whiteout", [oci.file(b".wh..wh.x")]),
        ("owner out of range", [oci.pax({b"uid": b"4294967295"}), evil]),
        ("long name", [oci.pax({b"path": b"n" * 256}), evil]),
    ]
    for kind, target in (("absolute", there), ("relative", relative)):
        link = oci.symlink(b"l", target)
        cases += [
            (f"file through {kind} link", [link, oci.file(b"l/file", b"evil")]),
            (f"new file through {kind} link", [link, oci.file(b"l/new", b"evil")]),
            (f"new directory through {kind} link", [link, oci.directory(b"l/new", 0o777)]),
            (f"directory through {kind} link", [link, oci.directory(b"l/directory", 0o777)]),
            (f"file over {kind} link", [oci.symlink(b"l", target + b"/file"), oci.file(b"l", b"evil", mode=0o777)]),
            (f"directory over {kind} link", [link, oci.directory(b"l", 0o777, uid=5)]),
            (f"hard link through {kind} link", [link, oci.hardlink(b"h", b"l/file"), oci.file(b"h", b"evil")]),
            (f"whiteout through {kind} link", [link, oci.file(b"l/.wh.file")]),
            (f"opaque through {kind} link", [link, oci.file(b"l/.wh..wh..opq")]),
            (f"fifo through {kind} link", [link, oci.header(b"l/fifo", b"6")]),
            (f"chain of {kind} links", [link, oci.symlink(b"m", b"l"), oci.file(b"m/file", b"evil")]),
            (f"link below {kind} link", [link, oci.symlink(b"l/n", b"/"), oci.file(b"l/n/x", b"evil")]),
        ]
    for magic in (b"/proc/self/root", b"/proc/self/cwd", b"/proc/self/fd/0", b"/proc/1/root"):
        cases.append((f"magic link {magic.decode()}", [oci.symlink(b"p", magic), oci.file(b"p" + there + b"/file", b"evil")]))
    return cases


CASES = [name for name, _ in climbs(Path("/canary"))]


@pytest.mark.parametrize("name", CASES)
def test_nothing_leaves_the_directory(name: str, tmp_path: Path, canary: Path) -> None:
    [members] = [members for case, members in climbs(canary) if case == name]
    before = snapshot(canary)
    with suppress(Invalid, OSError):
        unpack(tmp_path / "layer", oci.file(b"first", b"1"), *members)
    assert snapshot(canary) == before
    assert {path.name for path in tmp_path.iterdir()} == {"canary", "layer"}


REFUSED = [
    "dotdot",
    "dotdot deep",
    "dotdot directory",
    "dotdot end",
    "no name",
    "slash",
    "dot",
    "hard link dotdot",
    "hard link to a directory",
    "hard link to a symlink",
    "hard link out",
    "hard link to nothing",
    "symlink to nothing",
    "whiteout dotdot",
    "whiteout dot",
    "whiteout nothing",
    "whiteout whiteout",
    "owner out of range",
    "long name",
]


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_by_name(name: str, tmp_path: Path, canary: Path) -> None:
    [members] = [members for case, members in climbs(canary) if case == name]
    with pytest.raises(Invalid, match="layer"):
        unpack(tmp_path / "layer", *members)


def test_links_of_the_same_layer_lead_where_the_container_sees_them(tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    unpack(layer, oci.directory(b"usr/lib"), oci.symlink(b"lib", b"/usr/lib"), oci.file(b"lib/a", b"x"), oci.hardlink(b"b", b"lib/a"))
    assert (layer / "usr/lib/a").read_text() == "x"
    assert (layer / "b").stat().st_ino == (layer / "usr/lib/a").stat().st_ino


def test_attributes_are_kept(tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    attributes = {
        b"SCHILY.xattr.security.capability": CAPABILITY,
        b"SCHILY.xattr.user.note": b"kept",
        b"SCHILY.xattr.trusted.overlay.redirect": b"/canary",
        b"SCHILY.xattr.user.overlay.opaque": b"y",
        b"SCHILY.xattr.security.selinux": b"x",
    }
    totals = unpack(
        layer,
        oci.directory(b"./", 0o711),
        oci.directory(b"d", 0o1777, uid=3, gid=4),
        oci.pax(attributes),
        oci.file(b"d/su", b"x" * 1000, mode=0o4755, uid=1, gid=2),
        oci.header(b"d/fifo", b"6", mode=0o622),
        oci.header(b"d/null", b"3", device=(1, 3)),
        oci.header(b"d/white", b"3", device=(0, 0)),
        oci.header(b"d/disk", b"4", device=(8, 0)),
    )
    status = (layer / "d/su").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime) == (0o4755, 1, 2, 1_700_000_000)
    found = (layer / "d").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, found.st_mtime) == (0o1777, 3, 4, 1_700_000_000)
    assert stat.S_IMODE(layer.stat().st_mode) == 0o711
    assert sorted(os.listxattr(layer / "d/su")) == ["security.capability", "user.note"]
    assert stat.S_IMODE((layer / "d/fifo").stat().st_mode) == 0o622
    assert sorted(path.name for path in (layer / "d").iterdir()) == ["fifo", "su"]
    assert (totals.bytes, totals.skipped_devices) == (1000, 3)


def test_a_malformed_capability_is_dropped(tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    for value in (b"\1\0\0\3" + b"\0" * 20, b"x", b"\1\0\0\2" + b"\0" * 15):
        unpack(layer, oci.pax({b"SCHILY.xattr.security.capability": value}), oci.file(b"f"))
        assert os.listxattr(layer / "f") == []


def test_whiteouts_are_overlays_own(tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    unpack(
        layer,
        oci.file(b"a/.wh.gone"),
        oci.directory(b"b"),
        oci.file(b"b/.wh..wh..opq"),
        oci.file(b"b/new", b"x"),
        oci.file(b".wh.c"),
        oci.directory(b"c"),
        oci.directory(b"d"),
        oci.file(b"d/kept"),
        oci.file(b".wh.d"),
        oci.file(b".wh..wh.plnk"),
    )
    gone = (layer / "a/gone").lstat()
    assert stat.S_ISCHR(gone.st_mode)
    assert gone.st_rdev == 0
    for name in ("b", "c", "d"):
        assert os.getxattr(layer / name, "trusted.overlay.opaque") == b"y"
    assert (layer / "d/kept").exists()


def test_the_later_entry_wins(tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    unpack(layer, oci.directory(b"x/y/z"), oci.file(b"x", b"now a file"), oci.file(b"w"), oci.directory(b"w"), oci.file(b"w/in", b"1"))
    assert (layer / "x").read_text() == "now a file"
    assert (layer / "w/in").read_text() == "1"


def test_implied_directories_look_as_below_and_links_reach_below(tmp_path: Path) -> None:
    lower, layer = tmp_path / "lower", tmp_path / "layer"
    unpack(lower, oci.directory(b"d", 0o700, uid=7), oci.file(b"d/f", b"below", mode=0o640, uid=9))
    unpack(layer, oci.file(b"d/e/new", b"x"), oci.hardlink(b"link", b"d/f"), lowers=(lower,))
    found = (layer / "d").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o700, 7)
    assert (layer / "link").read_text() == "below"
    assert (layer / "link").stat().st_uid == 9
    with pytest.raises(Invalid, match="not there"):
        unpack(tmp_path / "other", oci.hardlink(b"link", b"nowhere"), lowers=(lower,))


def test_work_grows_with_entries_alone(tmp_path: Path) -> None:
    """One opaque marker in every directory of a tree cost another engine quadratic time."""
    members = [
        oci.directory(b"d%d/e" % index) + oci.file(b"d%d/f" % index) + oci.file(b"d%d/.wh..wh..opq" % index) for index in range(2000)
    ]
    totals = unpack(tmp_path / "layer", *members)
    assert totals.inodes == 1 + 3 * 2000


def test_the_result_is_what_tar_makes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "a/b").mkdir(parents=True)
    (source / "a/b/file").write_bytes(os.urandom(3000))
    (source / "a/link").symlink_to("b/file")
    os.link(source / "a/b/file", source / "hard")
    (source / ("long" * 50)).write_text("x")
    os.chown(source / "a/b/file", 1234, 4321)
    archive = tmp_path / "archive.tar"
    subprocess.run(["tar", "--xattrs", "-cf", archive, "-C", source, "."], check=True)
    layer = tmp_path / "layer"
    unpack(layer, archive.read_bytes())
    listing = ["find", ".", "-printf", "%P %y %m %U %G %s %n %l %T@\n"]
    assert subprocess.check_output(listing, cwd=layer) == subprocess.check_output(listing, cwd=source)
    assert (layer / "a/b/file").read_bytes() == (source / "a/b/file").read_bytes()
