"""After a start: find again what an earlier run left, adopt what lives, conclude what ended, remove what nobody owns.

The records say what was meant, the kernel says what is. Nothing here restarts anything, and no failure of one thing keeps the
others from being found: what cannot be cleaned stays recorded, for a later removal.
"""

from __future__ import annotations

import logging
import posixpath
import re

from polong.cri import exits, leftovers
from polong.cri.engine import Engine
from polong.cri.parallel import every
from polong.cri.records.container import UNKNOWN_EXIT_CODE, ContainerRecord
from polong.cri.records.sandbox import SandboxRecord
from polong.cri.table import Container, Sandbox, container_name, sandbox_name
from polong.criapi.wire import v1
from polong.kit.errors import AlreadyExists, NotFound, PolongError

_log = logging.getLogger(__name__)

_ID = re.compile(r"[0-9a-f]{64}")
_REBOOTED = "the machine was restarted"


async def restore(engine: Engine) -> None:
    """Once, before any RPC."""
    sandboxes, bad_sandboxes = engine.sandbox_records.load()
    containers, bad_containers = engine.container_records.load()
    await every(_sandbox(engine, record) for record in sandboxes.values())
    await every(_container(engine, record) for record in containers.values())
    for broken in (*bad_sandboxes, *bad_containers):
        _log.warning("%s has no readable record: what is left of it is removed", broken)
    await _sweep(engine)


# --- what has a record -----------------------------------------------------------------------------------------------------------


async def _sandbox(engine: Engine, record: SandboxRecord) -> None:
    try:
        config = v1.PodSandboxConfig.FromString(record.config)
        engine.handler(record.handler)
    except (NotFound, ValueError) as error:
        _log.error("sandbox %s cannot be taken over: %s", record.id, error)
        return
    sandbox = Sandbox(record, config)
    if not record.created_at:
        await _discard_sandbox(engine, sandbox)
        return
    engine.table.sandboxes[sandbox.id] = sandbox
    _reserve(engine, sandbox_name(config.metadata), sandbox.id)
    if record.stopped_at or record.died_at:
        sandbox.over.set()
        return
    same_boot = record.boot_id == engine.kernel.boot_id()
    sandbox.pause = engine.kernel.open_process(record.pid, record.pid_start) if same_boot and record.pid else None
    if sandbox.pause is not None:
        exits.watch_sandbox(engine, sandbox)
    else:
        exits.sandbox_died(engine, sandbox, _REBOOTED if not same_boot else "its /pause ended while the daemon was away")


async def _container(engine: Engine, record: ContainerRecord) -> None:
    try:
        config = v1.ContainerConfig.FromString(record.config)
        engine.handler(record.handler)
    except (NotFound, ValueError) as error:
        _log.error("container %s cannot be taken over: %s", record.id, error)
        return
    container = Container(record, config)
    if not record.created_at or record.sandbox_id not in engine.table.sandboxes:
        await _discard_container(engine, container)
        return
    engine.table.containers[container.id] = container
    _reserve(engine, container_name(record.sandbox_id, config.metadata), container.id)
    if record.finished_at:
        return
    if record.boot_id != engine.kernel.boot_id():
        _ended_by_reboot(engine, container)
        return
    await _adopt(engine, container)


async def _adopt(engine: Engine, container: Container) -> None:
    record = container.record
    if record.refused:
        return
    container.main = engine.kernel.open_process(record.pid, record.pid_start)
    container.conmon = engine.kernel.open_process(record.conmon_pid, record.conmon_start) if record.conmon_pid else None
    if container.main is None:
        await exits.settle(engine, container)
        return
    if record.starting:
        await _settle_start(engine, container)
    exits.watch_container(engine, container)
    if container.conmon is None:
        await exits.supervisor_lost(engine, container)


async def _settle_start(engine: Engine, container: Container) -> None:
    """The daemon ended between telling the runtime to start and noting that it had."""
    record = container.record
    state = await engine.handler(record.handler).runtime.state(container.id)
    record.starting = False
    if state is not None and state.get("status") == "created":
        record.started_at = 0
    engine.save_container(container)


def _ended_by_reboot(engine: Engine, container: Container) -> None:
    record = container.record
    record.finished_at = engine.now()
    record.exit_code, record.reason, record.message = UNKNOWN_EXIT_CODE, "ContainerStatusUnknown", _REBOOTED
    record.pid = record.conmon_pid = 0
    engine.save_container(container)
    container.over.set()


def _reserve(engine: Engine, name: tuple[str | int, ...], owner: str) -> None:
    try:
        engine.table.reserve(name, owner)
    except AlreadyExists as error:
        _log.error("%s: %s", owner, error)


# --- what was half made, or belongs to nobody ------------------------------------------------------------------------------------


async def _discard_sandbox(engine: Engine, sandbox: Sandbox) -> None:
    record = sandbox.record
    failures = await leftovers.sandbox(engine, record.id, posixpath.join(record.cgroup_parent, record.id), record.handler)
    if not failures:
        engine.sandbox_records.delete(record.id)
        return
    record.created_at = record.died_at = engine.now()
    record.message = f"it was half made, and could not be undone: {'; '.join(failures)}"
    engine.save_sandbox(sandbox)
    sandbox.over.set()
    engine.table.sandboxes[record.id] = sandbox


async def _discard_container(engine: Engine, container: Container) -> None:
    record = container.record
    failures = await leftovers.container(engine, record.id, record.cgroup, record.handler)
    if not failures:
        engine.container_records.delete(record.id)


async def _sweep(engine: Engine) -> None:
    """Things of ours without a record. Everything here carries an id of ours in a place of ours: nothing is found by likeness."""
    known = engine.table.sandboxes.keys() | engine.table.containers.keys() | engine.recorded()
    for cgroup in engine.kernel.child_cgroups(engine.settings.cgroup_parent):
        owner = posixpath.basename(cgroup)
        if _ID.fullmatch(owner) and owner not in known and not _ID.search(posixpath.dirname(cgroup)):
            _log.warning("cgroup %s belongs to nobody: it is removed", cgroup)
            await engine.kernel.kill_cgroup(cgroup, 10.0)
            engine.kernel.remove_cgroup(cgroup)
    containers = {*await engine.images.rootfs_keys(), *_names(engine, "bundles"), *_names(engine, "exits")}
    for container_id in sorted(each for each in containers - known if _ID.fullmatch(each)):
        await leftovers.container(engine, container_id, "", "")
    sandboxes = {*await _attached(engine), *_names(engine, "sandboxes")}
    for sandbox_id in sorted(each for each in sandboxes - known if _ID.fullmatch(each)):
        await leftovers.sandbox(engine, sandbox_id, "", "")


async def _attached(engine: Engine) -> list[str]:
    try:
        return list(await engine.network.sandbox_ids())
    except (PolongError, OSError) as error:
        _log.error("cannot ask the network for what it serves: %s", error)
        return []


def _names(engine: Engine, kind: str) -> list[str]:
    directory = engine.settings.run_dir / kind
    return [entry.name for entry in directory.iterdir()] if directory.is_dir() else []
