"""What every RPC works with: collaborators, tables, records. Built once, by `service.CriService`."""

from __future__ import annotations

import posixpath
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from polong.cri.events import Events
from polong.cri.kernel import Kernel
from polong.cri.plugins import Plugins
from polong.cri.ports import ImageStore, Json, Network, OciRuntime, Supervisor
from polong.cri.records.container import ContainerRecord
from polong.cri.records.disk import RecordDir
from polong.cri.records.sandbox import SandboxRecord
from polong.cri.table import Container, Sandbox, Table
from polong.cri.usage import Layers, Rates
from polong.kit.clock import Clock
from polong.kit.errors import FailedPrecondition, NotFound
from polong.kit.tasks import Tasks
from polong.oci import bundle
from polong.oci.spec.model import Host


@dataclass(frozen=True)
class Handler:
    """A runtime handler (RuntimeClass): the OCI runtime and the supervisor that drives it."""

    runtime: OciRuntime
    supervisor: Supervisor


@dataclass(frozen=True)
class Settings:
    """Where things live and what they start from.

    `state_dir` survives a reboot (records), `run_dir` need not (bundles, sandboxes' files). `cgroup_parent` is the node's, absolute
    below the mount of each hierarchy; sandboxes that name no parent get one there. `pause` is the binary of PID 1.
    `nri_socket` is where plugins connect, None for none.
    `mapped_roots` is a directory that users of Pods with a user namespace can walk through, None where there are no such Pods.
    `seccomp_default` is the distribution's profile, from which RuntimeDefault is made; None where the host has none.
    """

    state_dir: Path
    run_dir: Path
    cgroup_parent: str
    pause: Path
    host: Host
    seccomp_default: Json | None
    version: str = "0"
    mapped_roots: Path | None = None
    nri_socket: Path | None = None

    def sandbox_dir(self, sandbox_id: str) -> Path:
        return self.run_dir / "sandboxes" / sandbox_id

    def container_dir(self, container_id: str) -> Path:
        """Also its bundle."""
        return self.run_dir / "bundles" / container_id


@dataclass
class Engine:
    """`apparmor_default`: the name of the profile of containers that say nothing, "" for none. Names of handlers: `takes_compiled_filters`,
    whose runtime takes a seccomp filter in the kernel's own form (crun); `runs_host_processes`, whose main process is the container's own,
    not a virtual machine's (crun, runc)."""

    settings: Settings
    images: ImageStore
    handlers: Mapping[str, Handler]
    network: Network
    kernel: Kernel
    clock: Clock
    sandbox_records: RecordDir[SandboxRecord]
    container_records: RecordDir[ContainerRecord]
    table: Table = field(default_factory=Table)
    events: Events = field(default_factory=Events)
    apparmor_default: str = ""
    takes_compiled_filters: set[str] = field(default_factory=set)
    runs_host_processes: set[str] = field(default_factory=set)
    rates: Rates = field(default_factory=Rates)
    layers: Layers = field(default_factory=Layers)
    tasks: Tasks = field(default_factory=lambda: Tasks("cri"))
    plugins: Plugins = field(init=False)

    def __post_init__(self) -> None:
        self.plugins = Plugins(self.table, self.container_config, self.settings.version)

    def handler(self, name: str) -> Handler:
        """By the name of a runtime handler, "" being the default; NotFound names the known ones."""
        found = self.handlers.get(name)
        if found is None:
            known = ", ".join(sorted(each for each in self.handlers if each)) or "none but the default"
            raise NotFound(f'no runtime for "{name}" is configured (known: {known})')
        return found

    def recorded(self) -> set[str]:
        """Ids of everything that has a record, also of what could not be taken over."""
        return self.sandbox_records.ids() | self.container_records.ids()

    def now(self) -> int:
        """Nanoseconds since the epoch."""
        moment = self.clock.now()
        return int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1_000

    def save_sandbox(self, sandbox: Sandbox) -> None:
        self.sandbox_records.save(sandbox.id, sandbox.record)

    def save_container(self, container: Container) -> None:
        self.container_records.save(container.id, container.record)

    def remove_sandbox_cgroup(self, record: SandboxRecord) -> None:
        """The sandbox's own, and the one above where that is ours too. Idempotent."""
        self.kernel.remove_cgroup(posixpath.join(record.cgroup_parent, record.id))
        if posixpath.basename(record.cgroup_parent) == record.id:
            self.kernel.remove_cgroup(record.cgroup_parent)

    def container_config(self, container_id: str) -> Json | None:
        """config.json of a container, None where it cannot be read."""
        return self.runtime_config(self.settings.container_dir(container_id))

    def runtime_config(self, bundle_dir: Path) -> Json | None:
        """config.json of a bundle of ours, None where it cannot be read."""
        try:
            return bundle.read(bundle_dir)
        except FailedPrecondition:
            return None

    def forget_usage(self, key: str) -> None:
        """Of a sandbox or container that is gone. Idempotent."""
        self.rates.forget(key)
        self.layers.forget(key)

    def close_processes(self) -> None:
        """Let go of every process without touching it."""
        held = [sandbox.pause for sandbox in self.table.sandboxes.values()]
        for container in self.table.containers.values():
            held += [container.main, container.conmon]
        for process in held:
            if process is not None:
                process.close()


def remove_tree(directory: Path) -> None:
    """A directory of ours. Idempotent. Links are removed, never followed."""
    shutil.rmtree(directory, ignore_errors=False, onerror=_ignore_missing)


def _ignore_missing(_function: object, _path: object, info: tuple[type[BaseException], BaseException, object]) -> None:
    if not isinstance(info[1], FileNotFoundError):
        raise info[1]
