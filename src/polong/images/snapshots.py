"""Layers on disk and overlays over them.

`layers/ID/` is one layer applied to the layers below it (ID: the head of its ChainID), shared by all images that have it; a record
`layers/ID.json` says that it is complete. `init/ID/` lies above an image's top layer and holds real directories where a container gets
mounts, whatever the image has there. `rootfs/KEY/` is one container: its upper directory, the mounted root, and which layers it stands on.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polong.images import records, trees
from polong.images.digest import Digest
from polong.images.model import MappedIds
from polong.kit.errors import BadRequest, NotFound, Unsupported
from polong.linux import mounts, syscalls, userns
from polong.linux.fds import Fd
from polong.linux.flags import MNT

_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_ID_LENGTH = 24
# One page for mount(2)'s data, less the other options.
_LOWER_LIMIT = 3400
# Defaults differ between kernels; layers hold no redirects, and a container's writable layer need not outlive a power failure.
_OPTIONS = ("redirect_dir=nofollow", "metacopy=off", "index=off", "xino=off")
_INIT_DIRECTORIES = (("dev", 0o755), ("proc", 0o755), ("sys", 0o755), ("etc", 0o755), ("run", 0o755), ("tmp", 0o1777))
_INIT_FILES = ("hostname", "hosts", "resolv.conf")


@dataclass(frozen=True)
class LayerRecord:
    """A complete layer; `bytes` and `inodes` are what it holds itself."""

    chain: Digest
    bytes: int
    inodes: int


class Snapshots:
    """Blocking, a few system calls each; removals of large trees belong into a thread."""

    def __init__(self, root: Path, mapped_roots: Path | None = None) -> None:
        self._mapped_roots = mapped_roots
        self._layers, self._init, self._rootfs = root / "layers", root / "init", root / "rootfs"
        self._trash = root / "trash"
        for directory in (self._layers, self._init, self._rootfs, self._trash):
            directory.mkdir(mode=0o700, exist_ok=True)
        if mapped_roots is not None:
            for directory in (mapped_roots.parent, mapped_roots):
                directory.mkdir(mode=0o711, exist_ok=True)
                directory.chmod(0o711)
        self._records = {record.chain: record for record in self._load()}
        self._volatile = True

    # --- layers -------------------------------------------------------------------------------------------------------------

    def _load(self) -> list[LayerRecord]:
        found = []
        for path in self._layers.glob("*.json"):
            value = records.read(path)
            if value is not None and path.with_suffix("").is_dir():
                found.append(LayerRecord(Digest.parse(value["chain"]), value["bytes"], value["inodes"]))
        return found

    def layer(self, chain: Digest) -> LayerRecord | None:
        return self._records.get(chain)

    def layers(self) -> list[LayerRecord]:
        return list(self._records.values())

    def layer_path(self, chain: Digest) -> Path:
        return self._layers / chain.hex[:_ID_LENGTH]

    def begin_layer(self) -> Path:
        """An empty directory to unpack into, to be committed or discarded."""
        path = self._layers / f"new-{secrets.token_hex(8)}"
        path.mkdir(mode=0o700)
        path.chmod(0o755)
        return path

    def commit_layer(self, path: Path, record: LayerRecord) -> None:
        target = self.layer_path(record.chain)
        self._discard(target)
        path.rename(target)
        self._records[record.chain] = record

    def persist_layers(self, chains: Sequence[Digest]) -> None:
        """Records of committed layers, once their content has reached the disk: without a record a layer is gone after a restart."""
        for chain in chains:
            record, path = self._records[chain], self._layers / f"{self.layer_path(chain).name}.json"
            if not path.exists():
                records.write(path, {"chain": str(chain), "bytes": record.bytes, "inodes": record.inodes})

    def discard_layer(self, path: Path) -> None:
        """Of `begin_layer`. Idempotent."""
        self._discard(path)

    def remove_layer(self, chain: Digest) -> None:
        """Idempotent. The caller knows that nothing stands on it."""
        path = self.layer_path(chain)
        self._records.pop(chain, None)
        (self._layers / f"{path.name}.json").unlink(missing_ok=True)
        self._discard(path)
        self._discard(self._init / path.name)

    def clear_unfinished(self) -> None:
        """What an earlier run left half-made, and what it had begun to remove."""
        known = {self.layer_path(chain).name for chain in self._records}
        for path in self._layers.iterdir():
            if path.name.removesuffix(".json") not in known:
                path.unlink() if path.suffix == ".json" else self._discard(path)
        for path in self._init.iterdir():
            if path.name not in known and path.name != "scratch":
                self._discard(path)
        for path in self._trash.iterdir():
            self._remove(path)

    def _discard(self, path: Path) -> None:
        """Out of the way at once, by rename; then removed."""
        trash = self._trash / secrets.token_hex(8)
        try:
            path.rename(trash)
        except FileNotFoundError:
            return
        self._remove(trash)

    @staticmethod
    def _remove(path: Path) -> None:
        with Fd(os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as parent:
            trees.remove(parent.fileno(), path.name)

    # --- the layer of real directories --------------------------------------------------------------------------------------

    def _init_layer(self, chains: Sequence[Digest]) -> Path:
        target = self._init / (chains[-1].hex[:_ID_LENGTH] if chains else "scratch")
        if target.is_dir():
            return target
        path = self._init / f"new-{secrets.token_hex(8)}"
        path.mkdir(mode=0o755)
        lowers = [self.layer_path(chain) for chain in reversed(chains)]
        top = _attributes(lowers, ".")
        os.chown(path, top.st_uid if top else 0, top.st_gid if top else 0)
        path.chmod(stat.S_IMODE(top.st_mode) if top else 0o755)
        for name, mode in _INIT_DIRECTORIES:
            found = _attributes(lowers, name)
            (path / name).mkdir()
            if found is not None and stat.S_ISDIR(found.st_mode):
                os.chown(path / name, found.st_uid, found.st_gid)
                mode = stat.S_IMODE(found.st_mode)
            (path / name).chmod(mode)
        for name in _INIT_FILES:
            (path / "etc" / name).touch(mode=0o644)
        try:
            path.rename(target)
        except OSError as error:
            self._discard(path)
            if error.errno not in {errno.EEXIST, errno.ENOTEMPTY}:
                raise
        return target

    # --- containers ---------------------------------------------------------------------------------------------------------

    def mount(self, image_id: str, chains: Sequence[Digest], key: str, mapping: MappedIds | None = None) -> Path:
        """The merged root of container `key`. Nothing is left behind where it fails."""
        directory = self._directory(key)
        self._require(chains)
        if directory.exists():
            self.release(key)
        init = self._init_layer(chains)
        directory.mkdir(mode=0o700)
        try:
            for name in ("upper", "work", "merged"):
                (directory / name).mkdir(mode=0o700)
            top, shift = init.stat(), 0 if mapping is None else mapping.host
            os.chown(directory / "upper", top.st_uid + shift, top.st_gid + shift)
            (directory / "upper").chmod(stat.S_IMODE(top.st_mode))
            # Recovery reads it; losing it to a power failure loses nothing, because containers do not survive one either.
            (directory / "record.json").write_text(json.dumps({"image": image_id, "chains": [str(chain) for chain in chains]}))
            lowers = [init, *(self.layer_path(chain) for chain in reversed(chains))]
            if mapping is None:
                self._overlay(lowers, directory, directory / "merged")
                return directory / "merged"
            return self._mapped(lowers, directory, mapping)
        except BaseException:
            self.release(key)
            raise

    def _mapped(self, lowers: Sequence[Path], directory: Path, mapping: MappedIds) -> Path:
        """The overlay over layers whose owners are seen through the mapping. Processes of the user namespace walk to their root by
        path, and root's directories are closed to them: so it is mounted elsewhere, in a directory that is open to their group alone."""
        if self._mapped_roots is None:
            raise Unsupported("user namespaces need a directory for root file systems that others than root can reach")
        place = self._mapped_roots / directory.name
        place.mkdir(mode=0o700)
        os.chown(place, 0, mapping.host)
        place.chmod(0o710)
        (place / "merged").mkdir(mode=0o700)
        bound: list[Path] = []
        try:
            for number, lower in enumerate(lowers):
                target = directory / "lower" / str(number)
                target.mkdir(mode=0o700, parents=True)
                bound.append(target)
                userns.bind_mapped(lower, target, mapping.path, recursive=False)
            self._overlay(bound, directory, place / "merged")
        except OSError as error:
            raise Unsupported(f"cannot map the owners of an image: {error.strerror}") from error
        finally:
            # The overlay holds its layers by itself.
            for target in bound:
                _unmount(target)
        return place / "merged"

    def mount_volume(self, chains: Sequence[Digest], key: str, name: str) -> Path:
        """An image's content as a read-only volume of container `key`; it goes with the container. Nothing is left where it fails."""
        self._require(chains)
        directory = self._directory(key)
        volume = directory / "volumes" / name
        volume.mkdir(mode=0o700, parents=True)
        record = self._record(directory)
        record["chains"] = list(dict.fromkeys([*record.get("chains", []), *(str(chain) for chain in chains)]))
        (directory / "record.json").write_text(json.dumps(record))
        # Without an upper directory overlayfs wants two lower ones; and a layer by itself would show its whiteouts as devices.
        bottom = directory / "volumes" / "bottom"
        bottom.mkdir(mode=0o755, exist_ok=True)
        names, held = _short([*(self.layer_path(chain) for chain in reversed(chains)), bottom])
        try:
            mounts.Overlay(tuple(names), "", "", str(volume), options=_OPTIONS).execute()
        finally:
            for fd in held:
                fd.close()
        return volume

    def _require(self, chains: Sequence[Digest]) -> None:
        missing = [chain for chain in chains if chain not in self._records]
        if missing:
            raise NotFound(f"layer {missing[0]} of the image is not on this node; pull it again")

    def _overlay(self, lowers: Sequence[Path], directory: Path, merged: Path) -> None:
        names, held = _short(lowers)
        try:
            self._mount(names, directory, str(merged))
        finally:
            for fd in held:
                fd.close()

    def _mount(self, lowers: Sequence[str], directory: Path, merged: str) -> None:
        upper, work = str(directory / "upper"), str(directory / "work")
        if self._volatile:
            try:
                mounts.Overlay(tuple(lowers), upper, work, merged, options=(*_OPTIONS, "volatile")).execute()
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                self._volatile = False
            else:
                return
        mounts.Overlay(tuple(lowers), upper, work, merged, options=_OPTIONS).execute()

    def release(self, key: str) -> None:
        """Unmount and delete. Idempotent."""
        directory = self._directory(key)
        for place in (*directory.glob("lower/*"), *directory.glob("volumes/*"), directory / "merged"):
            _unmount(place)
        if self._mapped_roots is not None and (mapped := self._mapped_roots / key).is_dir():
            _unmount(mapped / "merged")
            self._remove(mapped)
        self._discard(directory)

    def usage(self, key: str) -> tuple[int, int]:
        """(bytes on disk, inodes) of what the container wrote. What changes under the walk is counted as it is met."""
        return trees.usage(self._directory(key) / "upper")

    def keys(self) -> list[str]:
        return sorted(path.name for path in self._rootfs.iterdir())

    def held(self) -> set[Digest]:
        """Layers that containers stand on, whether their image is still known or not."""
        chains: set[Digest] = set()
        for path in self._rootfs.iterdir():
            chains.update(Digest.parse(chain) for chain in self._record(path).get("chains", []))
        return chains

    def _record(self, directory: Path) -> dict[str, Any]:
        try:
            value = json.loads((directory / "record.json").read_text())
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}

    def _directory(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise BadRequest(f"malformed root file system key {key[:80]!r}")
        return self._rootfs / key


def _short(lowers: Sequence[Path]) -> tuple[list[str], list[Fd]]:
    """Names for one page of mount options, and what must stay open until they are used: paths where they fit, else descriptors."""
    names, held = [str(path) for path in lowers], []
    if sum(map(len, names)) + len(names) > _LOWER_LIMIT:
        held = [Fd(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) for path in lowers]
        names = [f"/proc/self/fd/{fd.fileno()}" for fd in held]
    if sum(map(len, names)) + len(names) > _LOWER_LIMIT:
        for fd in held:
            fd.close()
        raise Unsupported(f"image has {len(names)} layers, more than one overlay mount can name")
    return names, held


def _unmount(place: Path) -> None:
    with suppress(FileNotFoundError):
        while True:
            try:
                syscalls.umount2(str(place), MNT.DETACH)
            except OSError as error:
                if error.errno == errno.EINVAL:
                    return  # not, or no longer, a mount point
                raise


def _attributes(lowers: Sequence[Path], name: str) -> os.stat_result | None:
    """What the highest layer that speaks of `name` says; None for a whiteout."""
    for lower in lowers:
        with suppress(FileNotFoundError):
            found = (lower / name).lstat()
            return None if stat.S_ISCHR(found.st_mode) and found.st_rdev == 0 else found
    return None
