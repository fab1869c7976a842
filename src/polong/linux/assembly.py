"""Bind mounts below a bind mount, put together by descriptor: nobody who changes the tree meanwhile can lead one elsewhere.

A place inside of a volume belongs to whoever has the volume. A program that walks to it by path may meet a link to the host there, a
moment after it looked (CVE-2021-30465), and make directories on the way (CVE-2024-45310). Here every place is opened beneath the volume
(openat2 RESOLVE_BENEATH) and the mount is attached to that very descriptor. Linux 5.12.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from polong.linux import paths, syscalls
from polong.linux.fds import Fd
from polong.linux.flags import AT_EMPTY_PATH, AT_RECURSIVE, MNT, MOUNT_ATTR_RDONLY, MS


@dataclass(frozen=True)
class Piece:
    """`source` on the host, with the mounts below it; `place` relative to the first piece, which has none."""

    source: str
    place: str = ""
    readonly: bool = False
    recursive_read_only: bool = False


def assemble(target: Path, pieces: Sequence[Piece]) -> None:
    """The first piece on `target`, which is made; the others in turn at their places, which are made where they are missing. All of it is
    private: nothing that is mounted here later appears in a source. OSError or Invalid where a piece cannot be had; then nothing is
    left mounted."""
    target.mkdir(mode=0o700, parents=True)
    with ExitStack() as trees:
        made = [(trees.enter_context(_tree(piece)), piece) for piece in pieces]
        syscalls.move_mount(made[0][0].fileno(), str(target))
        try:
            with paths.Root.open(target) as top:
                for tree, piece in made[1:]:
                    _attach(top, tree, piece)
            for tree, piece in made:
                if piece.readonly and not piece.recursive_read_only:
                    # Last: places that are missing have to be made first, as runtimes do.
                    syscalls.mount_setattr(tree.fileno(), AT_EMPTY_PATH, attr_set=MOUNT_ATTR_RDONLY)
        except BaseException:
            syscalls.umount2(str(target), MNT.DETACH)
            raise


def _tree(piece: Piece) -> Fd:
    with Fd(os.open(piece.source, os.O_PATH | os.O_CLOEXEC)) as source:
        tree = Fd(syscalls.open_tree(source.fileno(), recursive=True))
    try:
        syscalls.mount_setattr(
            tree.fileno(),
            AT_EMPTY_PATH | AT_RECURSIVE,
            attr_set=MOUNT_ATTR_RDONLY if piece.recursive_read_only else 0,
            propagation=MS.PRIVATE,
        )
    except OSError:
        tree.close()
        raise
    return tree


def _attach(top: paths.Root, tree: Fd, piece: Piece) -> None:
    with _place(top, piece.place, directory=stat.S_ISDIR(os.fstat(tree.fileno()).st_mode)) as place:
        syscalls.move_mount_to(tree.fileno(), place.fileno())


def _place(top: paths.Root, path: str, *, directory: bool) -> Fd:
    try:
        return top.open_at(path, os.O_PATH, resolve=paths.BENEATH)
    except FileNotFoundError:
        if directory:
            return top.make_directories(path, resolve=paths.BENEATH)
    head = path.rstrip("/").rpartition("/")[0]
    if head:
        top.make_directories(head, resolve=paths.BENEATH).close()
    top.write(path, b"", resolve=paths.BENEATH)
    return top.open_at(path, os.O_PATH, resolve=paths.BENEATH)
