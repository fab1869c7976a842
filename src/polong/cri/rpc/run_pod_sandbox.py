"""RunPodSandbox: namespaces, network and /pause. Idempotency is the caller's, by the attempt in the metadata."""

from __future__ import annotations

import posixpath
from pathlib import Path

from polong.cri import exits, namespaces, notify, pause_root, sandbox_files, seccomp, spec, userns
from polong.cri.engine import Engine, Handler, Settings, remove_tree
from polong.cri.parallel import both
from polong.cri.ports import Attachment, PortMapping
from polong.cri.records.sandbox import SandboxRecord
from polong.cri.table import Sandbox, sandbox_name
from polong.cri.undo import Undo
from polong.criapi.wire import v1
from polong.kit import ids
from polong.kit.errors import FailedPrecondition, Invalid, Unsupported
from polong.oci import bundle
from polong.oci.spec import build

_PROTOCOLS = {v1.TCP: "tcp", v1.UDP: "udp", v1.SCTP: "sctp"}


async def run_pod_sandbox(engine: Engine, request: v1.RunPodSandboxRequest) -> v1.RunPodSandboxResponse:
    config, handler = request.config, engine.handler(request.runtime_handler)
    _check(config)
    sandbox = Sandbox(_intent(engine, request), config)
    engine.table.reserve(sandbox_name(config.metadata), sandbox.id)
    undo = Undo(f"sandbox {sandbox.id}")
    try:
        await _make(engine, sandbox, handler, undo)
        await engine.plugins.run_sandbox(sandbox)
        sandbox.record.created_at = engine.now()
        engine.save_sandbox(sandbox)
    except BaseException:
        await _abandon(engine, sandbox, undo)
        raise
    engine.table.sandboxes[sandbox.id] = sandbox
    exits.watch_sandbox(engine, sandbox)
    notify.publish(engine, v1.CONTAINER_CREATED_EVENT, sandbox.id, sandbox.id)
    notify.publish(engine, v1.CONTAINER_STARTED_EVENT, sandbox.id, sandbox.id)
    return v1.RunPodSandboxResponse(pod_sandbox_id=sandbox.id)


def _check(config: v1.PodSandboxConfig) -> None:
    for what in ("name", "uid", "namespace"):
        if not getattr(config.metadata, what):
            raise Invalid(f"sandbox config lacks metadata.{what}")
    if config.HasField("windows"):
        raise Invalid("windows sandboxes are not supported")
    namespaces.check_sandbox(config.linux.security_context.namespace_options)
    sandbox_files.single_line(config.hostname, "hostname")


def _intent(engine: Engine, request: v1.RunPodSandboxRequest) -> SandboxRecord:
    sandbox_id = ids.container_id()
    # A parent of the caller's is the caller's to remove; one of ours is named after the sandbox and goes with it.
    parent = request.config.linux.cgroup_parent or posixpath.join(engine.settings.cgroup_parent, sandbox_id)
    if ".." in parent.split("/"):
        raise Invalid(f"cgroup parent {parent!r} contains '..'")
    return SandboxRecord(
        id=sandbox_id,
        config=request.config.SerializeToString(),
        handler=request.runtime_handler,
        boot_id=engine.kernel.boot_id(),
        cgroup_parent=parent if parent.startswith("/") else f"/{parent}",
    )


async def _make(engine: Engine, sandbox: Sandbox, handler: Handler, undo: Undo) -> None:
    record, directory = sandbox.record, engine.settings.sandbox_dir(sandbox.id)
    engine.save_sandbox(sandbox)
    undo.note("cgroup", lambda: _drop_cgroup(engine, sandbox))
    undo.note("files", lambda: _drop_files(engine, sandbox))
    directory.mkdir(mode=0o700, parents=True)
    sandbox_files.make(engine.kernel, directory, sandbox.config)
    options = sandbox.config.linux.security_context.namespace_options
    mapping = userns.mapping(options)
    if mapping is not None:
        pin = sandbox_files.user_namespace(directory)
        await engine.kernel.make_user_namespace(pin, mapping)
        record.userns = str(pin)
    if options.network == v1.NODE:
        await _make_pause(engine, sandbox, handler, undo)
        return
    undo.note("network namespace", lambda: engine.network.delete_namespace(sandbox.id))
    record.netns = str(await engine.network.create_namespace(sandbox.id, record.userns))
    undo.note("network", lambda: engine.network.detach(sandbox.id))
    attachment, _ = await both(_attach(engine, sandbox), _make_pause(engine, sandbox, handler, undo))
    record.ips = list(attachment.ips)


async def _attach(engine: Engine, sandbox: Sandbox) -> Attachment:
    metadata = sandbox.config.metadata
    ports = [
        PortMapping(each.host_port, each.container_port, _PROTOCOLS[each.protocol], each.host_ip)
        for each in sandbox.config.port_mappings
        if each.host_port
    ]
    return await engine.network.attach(sandbox.id, name=metadata.name, namespace=metadata.namespace, uid=metadata.uid, ports=ports)


async def _make_pause(engine: Engine, sandbox: Sandbox, handler: Handler, undo: Undo) -> None:
    record, settings = sandbox.record, engine.settings
    directory = settings.sandbox_dir(sandbox.id)
    security = sandbox.config.linux.security_context
    config = build.sandbox(
        spec.sandbox(
            sandbox.config,
            rootfs=str(pause_root.path(_reachable(settings) if record.userns else settings.run_dir)),
            cgroup=posixpath.join(record.cgroup_parent, sandbox.id),
            namespaces=namespaces.for_sandbox(security.namespace_options, record.netns, record.userns),
            seccomp=seccomp.pause(settings.seccomp_default),
            apparmor=engine.apparmor_default,
            shm=sandbox_files.paths(directory, security.namespace_options).shm,
        ),
        settings.host,
    )
    userns.tell(config, security.namespace_options)
    bundle.write(directory, config)
    undo.note("/pause", lambda: handler.runtime.delete(sandbox.id, force=True))
    pid = await handler.runtime.run(sandbox.id, directory)
    sandbox.pause = engine.kernel.open_process(pid)
    if sandbox.pause is not None:
        record.pid, record.pid_start = pid, sandbox.pause.start
    if sandbox.pause is None or not sandbox.pause.alive:
        raise FailedPrecondition("the sandbox's own process (/pause) ended at once", reason="CreatePodSandboxError")


def _reachable(settings: Settings) -> Path:
    if settings.mapped_roots is None:
        raise Unsupported("user namespaces need a directory for root file systems that others than root can reach")
    return settings.mapped_roots


async def _drop_files(engine: Engine, sandbox: Sandbox) -> None:
    directory: Path = engine.settings.sandbox_dir(sandbox.id)
    sandbox_files.unmake(engine.kernel, directory)
    remove_tree(directory)


async def _drop_cgroup(engine: Engine, sandbox: Sandbox) -> None:
    await engine.kernel.kill_cgroup(posixpath.join(sandbox.record.cgroup_parent, sandbox.id), 5.0)
    engine.remove_sandbox_cgroup(sandbox.record)


async def _abandon(engine: Engine, sandbox: Sandbox, undo: Undo) -> None:
    """Nothing half-made stays; what cannot be undone stays recorded and listed as not ready, to be removed later."""
    failures = await undo.run(engine.tasks)
    if sandbox.pause is not None:
        sandbox.pause.close()
    if failures:
        sandbox.record.created_at = sandbox.record.died_at = engine.now()
        sandbox.record.message = f"it could not be made, nor wholly undone: {'; '.join(failures)}"
        engine.save_sandbox(sandbox)
        sandbox.over.set()
        engine.table.sandboxes[sandbox.id] = sandbox
        return
    engine.sandbox_records.delete(sandbox.id)
    engine.table.release(sandbox.id)
