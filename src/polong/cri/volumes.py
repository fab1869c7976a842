"""Mounts that this runtime makes itself before the OCI runtime sees them: volumes that an image fills, and volumes with mapped ids.

What is made hangs below directories of the container's own, and goes with them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from polong.cri import nesting, spec, userns
from polong.cri.engine import Engine
from polong.cri.spec import is_image
from polong.cri.table import Container, Sandbox
from polong.criapi.wire import set_image_ref, v1
from polong.kit.errors import Invalid, NotFound, PolongError
from polong.linux.paths import Root

_REASON = "CreateContainerError"
_MAPPED = "mapped"
_MOST_DECLARED = 100


async def prepare(engine: Engine, sandbox: Sandbox, container: Container, rootfs: Path) -> v1.ContainerConfig:
    """The container's configuration with plain host paths in it, and no mount below another. The container's own, which its status
    tells, keeps what was asked, and learns which image fills a volume. NotFound where an image is not present; nothing is left of the
    container's directories by the caller's undoing."""
    config = container.config
    if any(is_image(mount) or mount.uidMappings or mount.gidMappings for mount in config.mounts):
        config = await _from_elsewhere(engine, sandbox, container)
    if len(config.mounts) > 1 and not config.linux.security_context.privileged:
        return await asyncio.to_thread(_put_together, engine, container, config, rootfs)
    return config


async def _from_elsewhere(engine: Engine, sandbox: Sandbox, container: Container) -> v1.ContainerConfig:
    config, prepared = container.config, v1.ContainerConfig()
    prepared.CopyFrom(config)
    for number, (asked, mount) in enumerate(zip(config.mounts, prepared.mounts, strict=True)):
        if is_image(mount):
            mount.host_path = await _image(engine, container, asked, f"v{number}")
        if mount.uidMappings or mount.gidMappings:
            mount.host_path = await _mapped(engine, sandbox, container, mount, str(number))
    container.record.config = config.SerializeToString()
    return prepared


async def _image(engine: Engine, container: Container, asked: v1.Mount, name: str) -> str:
    reference = asked.image.image
    image = await engine.images.get(reference)
    if image is None:
        raise NotFound(f'image "{reference}" of the volume at {asked.container_path} is not present', reason=_REASON)
    if asked.readonly:
        set_image_ref(asked.image, image.id)
    top = await engine.images.mount_volume(image.id, container.id, name)
    return await asyncio.to_thread(_below, top, asked.image_sub_path, asked.container_path)


def _below(top: Path, sub_path: str, where: str) -> str:
    """Links are followed as inside of the image."""
    if not sub_path:
        return str(top)
    if sub_path.startswith("/") or ".." in sub_path.split("/"):
        raise Invalid(f"image volume at {where}: sub path {sub_path[:256]!r} is not a relative path without '..'", reason=_REASON)
    try:
        with Root.open(top) as root:
            return f"{top}{root.resolve(sub_path)}"
    except OSError as error:
        raise Invalid(f"image volume at {where}: cannot use sub path {sub_path[:256]!r}: {error.strerror}", reason=_REASON) from error


async def _mapped(engine: Engine, sandbox: Sandbox, container: Container, mount: v1.Mount, name: str) -> str:
    """A bind mount of the source, its owners seen through the Pod's mapping."""
    mapping = userns.mapping(sandbox.config.linux.security_context.namespace_options)
    if mapping is None:
        raise Invalid(f"mount at {mount.container_path} maps ids, but the Pod has no user namespace", reason=_REASON)
    if userns.of_mount(mount) != mapping:
        raise Invalid(f"mount at {mount.container_path} maps ids otherwise than the Pod's user namespace", reason=_REASON)
    place = engine.settings.container_dir(container.id) / _MAPPED / name
    try:
        await asyncio.to_thread(engine.kernel.mount_mapped, Path(mount.host_path), place, Path(sandbox.record.userns))
    except OSError as error:
        raise Invalid(f"cannot map the owners of {mount.host_path}: {error.strerror}", reason=_REASON) from error
    return str(place)


def _put_together(engine: Engine, container: Container, config: v1.ContainerConfig, rootfs: Path) -> v1.ContainerConfig:
    # All of them, before some are out of sight.
    spec.mounts(config, spec.SandboxFiles("", "", ""))
    with Root.open(rootfs) as image:

        def resolve(path: str) -> str:
            try:
                return image.resolve_missing(path)
            except (OSError, PolongError):
                # Whatever is wrong with it is told where all destinations are vetted.
                return path

        nested = nesting.plan(config.mounts, resolve)
        pieces = {top: nesting.pieces(config.mounts, top, inner, resolve) for top, inner in nested.items()}
    if not nested:
        return config
    prepared = v1.ContainerConfig()
    prepared.CopyFrom(config)
    for top in nested:
        mount = prepared.mounts[top]
        place = engine.settings.container_dir(container.id) / _MAPPED / f"nested-{top}"
        try:
            engine.kernel.mount_together(place, pieces[top])
        except (OSError, PolongError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise Invalid(f"cannot mount below {mount.container_path}: {why}", reason=_REASON) from error
        mount.host_path, mount.recursive_read_only = str(place), False
    inner = {number for below in nested.values() for number in below}
    kept = [mount for number, mount in enumerate(prepared.mounts) if number not in inner]
    del prepared.mounts[:]
    prepared.mounts.extend(kept)
    return prepared


def make_declared(rootfs: Path, paths: Sequence[str], owner: int) -> None:
    """The directories that an image declares as VOLUME and does not bring: they are of its writable layer, as CRI-O has it. A path that
    cannot be made is none, and is passed over: it is what an image says, not what a Pod asks for."""
    with Root.open(rootfs) as root:
        for path in paths[:_MOST_DECLARED]:
            with contextlib.suppress(OSError, PolongError):
                where = spec.checked_destination(path, privileged=False)
                try:
                    root.resolve(where)
                except FileNotFoundError:
                    with root.make_directories(where) as made:
                        os.chown(f"/proc/self/fd/{made.fileno()}", owner, owner)


def release(engine: Engine, container_id: str) -> None:
    """Unmount what `prepare` mounted in the container's directory. Idempotent, also for containers of an earlier run."""
    directory = engine.settings.container_dir(container_id) / _MAPPED
    if not directory.is_dir():
        return
    for place in directory.iterdir():
        engine.kernel.unmount(place)
