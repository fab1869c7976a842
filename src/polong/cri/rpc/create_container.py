"""CreateContainer: root file system, OCI bundle, conmon and the OCI runtime's create; read back from the kernel before it is believed."""

from __future__ import annotations

import asyncio
import posixpath
import socket
from dataclasses import replace
from pathlib import Path

from polong.cri import apparmor, exits, namespaces, notify, sandbox_files, seccomp, spec, userns, users, volumes
from polong.cri.engine import Engine, remove_tree
from polong.cri.namespaces import SandboxNamespaces
from polong.cri.ports import Image, Json, MappedIds
from polong.cri.records.container import ContainerRecord
from polong.cri.signals import stop_signal
from polong.cri.table import Container, Sandbox, container_name
from polong.cri.undo import Undo
from polong.criapi.wire import v1
from polong.kit import ids
from polong.kit.errors import FailedPrecondition, Invalid, NotFound
from polong.linux import apparmor as profiles
from polong.oci import bundle, vet
from polong.oci import host as oci_host
from polong.oci.spec import build
from polong.oci.spec.model import NEW, Device, Namespaces

_REASON = "CreateContainerError"
_PASSWD_BYTES = 1 << 20
_KINDS = (("user", "user"), ("pid", "pid"), ("ipc", "ipc"), ("uts", "uts"), ("network", "net"))


async def create_container(engine: Engine, request: v1.CreateContainerRequest) -> v1.CreateContainerResponse:
    sandbox = engine.table.sandbox(request.pod_sandbox_id)
    if not request.config.metadata.name:
        raise Invalid("container config lacks metadata.name")
    _check_privileged(sandbox, request)
    with sandbox.creation():
        image = await engine.images.get(request.config.image.image)
        if image is None:
            raise NotFound(f'image "{request.config.image.image}" is not present', reason=_REASON)
        container = Container(_intent(sandbox, request.config, image), request.config)
        engine.table.reserve(container_name(sandbox.id, request.config.metadata), container.id)
        undo = Undo(f"container {container.id}")
        try:
            await _make(engine, sandbox, container, image, undo)
            if not sandbox.ready:
                raise FailedPrecondition(f"sandbox {sandbox.id} ended while the container was made")
            container.record.created_at = engine.now()
            engine.save_container(container)
        except BaseException:
            await _abandon(engine, container, undo)
            await engine.plugins.made_or_not(sandbox, container)
            raise
    engine.table.containers[container.id] = container
    if not container.start_error:
        exits.watch_container(engine, container)
    notify.publish(engine, v1.CONTAINER_CREATED_EVENT, container.id, sandbox.id)
    await engine.plugins.made_or_not(sandbox, container)
    return v1.CreateContainerResponse(container_id=container.id)


def _check_privileged(sandbox: Sandbox, request: v1.CreateContainerRequest) -> None:
    """The request may say what the sandbox was made without: a debugger joins a Pod that knew of no privileged container."""
    contexts = [each.linux.security_context for each in (sandbox.config, request.sandbox_config)]
    if request.config.linux.security_context.privileged and not any(each.privileged for each in contexts):
        text = "no privileged container is allowed in a sandbox that is not privileged"
        raise FailedPrecondition(text, reason=_REASON)


def _intent(sandbox: Sandbox, config: v1.ContainerConfig, image: Image) -> ContainerRecord:
    container_id = ids.container_id()
    return ContainerRecord(
        id=container_id,
        sandbox_id=sandbox.id,
        config=config.SerializeToString(),
        handler=sandbox.record.handler,
        boot_id=sandbox.record.boot_id,
        image_id=image.id,
        image_ref=image.repo_digests[0] if image.repo_digests else image.id,
        cgroup=posixpath.join(sandbox.record.cgroup_parent, container_id),
        log_path=_log_path(sandbox.config.log_directory, config.log_path),
        stop_signal=stop_signal(config.stop_signal, image.config.stop_signal),
    )


def _log_path(directory: str, name: str) -> str:
    if not directory or not name:
        return ""
    if name.startswith("/") or ".." in name.split("/"):
        raise Invalid(f"log path {name!r} is not below the sandbox's log directory")
    return posixpath.join(directory, name)


async def _make(engine: Engine, sandbox: Sandbox, container: Container, image: Image, undo: Undo) -> None:
    record, directory = container.record, engine.settings.container_dir(container.id)
    handler = engine.handler(record.handler)
    wanted = _namespaces(engine, sandbox, container.config)
    record.own_pid_namespace = wanted.pid == NEW
    engine.save_container(container)
    undo.note("bundle", lambda: _removed(directory))
    undo.note("root file system", lambda: engine.images.release_rootfs(container.id))
    mapping = _mapping(sandbox)
    rootfs = await engine.images.mount_rootfs(image.id, container.id, mapping)
    if image.config.volumes:
        await asyncio.to_thread(volumes.make_declared, rootfs, image.config.volumes, 0 if mapping is None else mapping.host)
    undo.note("volumes", lambda: asyncio.to_thread(volumes.release, engine, container.id))
    asked = await volumes.prepare(engine, sandbox, container, rootfs)
    config = await asyncio.to_thread(_config, engine, sandbox, container, asked, (image, rootfs, wanted))
    await engine.plugins.create(sandbox, container, config)
    bundle.write(directory, config)
    undo.note("processes", lambda: _ended(engine, container))
    if record.log_path:
        Path(record.log_path).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        supervised = await handler.supervisor.create(
            container.id,
            directory,
            log_path=Path(record.log_path) if record.log_path else None,
            terminal=container.config.tty,
            stdin=container.config.stdin,
            stdin_once=container.config.stdin_once,
        )
    except FailedPrecondition as error:
        if error.reason != "RunContainerError":
            raise
        # What the OCI runtime refuses is told by StartContainer, and kept as an exited container, as with runtimes that make the process
        # only then: who reads the status finds how often and why it failed.
        record.refused = container.start_error = error.message
        return
    container.main = engine.kernel.open_process(supervised.pid)
    container.conmon = engine.kernel.open_process(supervised.conmon_pid)
    if container.main is None:
        raise FailedPrecondition("the container ended before it was started", reason=_REASON)
    record.pid, record.pid_start = supervised.pid, container.main.start
    if container.conmon is not None:
        record.conmon_pid, record.conmon_start = supervised.conmon_pid, container.conmon.start
    _check_namespaces(engine, sandbox, supervised.pid, wanted)
    await asyncio.to_thread(engine.kernel.verify_created, supervised.pid, config)


def _namespaces(engine: Engine, sandbox: Sandbox, config: v1.ContainerConfig) -> Namespaces:
    where = SandboxNamespaces(sandbox.id, sandbox.record.pid, sandbox.record.netns, sandbox.record.userns)
    return namespaces.for_container(config.linux.security_context.namespace_options, where, engine.table.record)


def _mapping(sandbox: Sandbox) -> MappedIds | None:
    mapping = userns.mapping(sandbox.config.linux.security_context.namespace_options)
    return None if mapping is None else MappedIds(mapping.host, Path(sandbox.record.userns))


def _config(
    engine: Engine, sandbox: Sandbox, container: Container, asked: v1.ContainerConfig, made: tuple[Image, Path, Namespaces]
) -> Json:
    """Everything that reads files: in a thread. Notes on the record who the process is. `asked` has host paths for every mount."""
    image, rootfs, wanted = made
    security, settings, record = asked.linux.security_context, engine.settings, container.record
    host = replace(settings.host, devices=oci_host.devices()) if security.privileged else settings.host
    identity = users.resolve(
        image.config.user,
        security,
        users.parse_passwd(engine.kernel.read_in_root(rootfs, "etc/passwd", _PASSWD_BYTES)),
        users.parse_group(engine.kernel.read_in_root(rootfs, "etc/group", _PASSWD_BYTES)),
    )
    record.uid, record.gid, record.groups = identity.uid, identity.gid, list(identity.groups)
    container_spec = spec.container(
        spec.ContainerInputs(
            config=asked,
            image=image.config,
            rootfs=str(rootfs),
            cgroup=record.cgroup,
            identity=identity,
            namespaces=wanted,
            files=sandbox_files.paths(settings.sandbox_dir(sandbox.id), sandbox.config.linux.security_context.namespace_options),
            hostname=sandbox.config.hostname or socket.gethostname(),
            host=host,
            seccomp=seccomp.chosen(security, runtime_default=settings.seccomp_default),
            apparmor=apparmor.chosen(security, enabled=settings.host.apparmor, default=engine.apparmor_default, loaded=profiles.loaded),
            devices=_devices(engine, asked),
        )
    )
    _require_sources(asked)
    config = build.container(container_spec, host)
    userns.tell(config, sandbox.config.linux.security_context.namespace_options)
    vet.rootfs(rootfs, config)
    if record.handler in engine.takes_compiled_filters:
        seccomp.annotate(config)
    return config


def _devices(engine: Engine, config: v1.ContainerConfig) -> tuple[Device, ...]:
    return tuple(
        engine.kernel.device(each.host_path, each.container_path or each.host_path, each.permissions or "rwm") for each in config.devices
    )


def _require_sources(config: v1.ContainerConfig) -> None:
    for mount in config.mounts:
        if not Path(mount.host_path).exists():
            raise Invalid(f"cannot mount {mount.host_path} at {mount.container_path}: no such file or directory", reason=_REASON)


def _check_namespaces(engine: Engine, sandbox: Sandbox, pid: int, wanted: Namespaces) -> None:
    """What was to be joined by path is compared by identity: /pause or the target may have ended, and its number come to be another's."""
    for attribute, kind in _KINDS:
        path = getattr(wanted, attribute)
        if not path.startswith("/"):
            continue
        expected, found = engine.kernel.namespace_id(path), engine.kernel.namespace_id(namespaces.of_process(pid, kind))
        if expected is None or expected != found:
            raise FailedPrecondition(f"the {attribute} namespace {path} ended while the container was made", reason=_REASON)
    if sandbox.pause is not None and not sandbox.pause.alive:
        raise FailedPrecondition(f"sandbox {sandbox.id} ended while the container was made", reason=_REASON)


async def _ended(engine: Engine, container: Container) -> None:
    handler = engine.handler(container.record.handler)
    await engine.kernel.kill_cgroup(container.record.cgroup, 10.0)
    await handler.runtime.delete(container.id, force=True)
    handler.supervisor.forget(container.id)
    engine.kernel.remove_cgroup(container.record.cgroup)


async def _removed(directory: Path) -> None:
    await asyncio.to_thread(remove_tree, directory)


async def _abandon(engine: Engine, container: Container, undo: Undo) -> None:
    """Nothing half-made stays; what cannot be undone stays recorded and listed as exited, to be removed later."""
    failures = await undo.run(engine.tasks)
    for process in (container.main, container.conmon):
        if process is not None:
            process.close()
    container.main = container.conmon = None
    if failures:
        record = container.record
        record.created_at = record.finished_at = engine.now()
        record.exit_code, record.reason = 128, "StartError"
        record.message = f"it could not be made, nor wholly undone: {'; '.join(failures)}"
        engine.save_container(container)
        container.over.set()
        engine.table.containers[container.id] = container
        return
    engine.container_records.delete(container.id)
    engine.table.release(container.id)
