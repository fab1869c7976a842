"""The Pod network of one node (`cri.ports.Network`): a bridge of its own, host-local addresses, one table of rules.

Everything host-wide carries the node's id: bridge `pl<id>`, nftables table `polong-<id>`. Addresses and attachments are kept in the
node's state directory, pinned network namespaces in its run directory.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from polong.cni import config, hostports, nftables, result, services
from polong.cni.attachments import Attached, Attachments
from polong.cni.invoke import PLUGIN_DIRS, Plugins
from polong.cni.services import ServicePort
from polong.cni.types import Attachment, PortMapping
from polong.kit.errors import FailedPrecondition, Unavailable
from polong.linux import namespaces, process, userns

Json = dict[str, Any]
_log = logging.getLogger(__name__)
_REASON = "NetworkNotReady"
_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
# Of our own network namespace, whichever /sys is mounted.
_INTERFACES = Path("/proc/sys/net/ipv4/conf")
_INTERFACES6 = Path("/proc/sys/net/ipv6/conf")
_PLUGINS = ("bridge", "host-local")
_TOOLS = {"ip": "iproute2", "nft": "nftables"}
_DELETE_ATTEMPTS = 4
_COMMAND_TIMEOUT = 20.0


class PodNetwork:
    """`state_dir` is persistent, `run_dir` need not be; both are this node's alone."""

    def __init__(
        self,
        *,
        node_id: str,
        pod_cidr: str,
        service_cidr: str = "",
        state_dir: Path,
        run_dir: Path,
        plugin_dirs: Sequence[Path] = PLUGIN_DIRS,
        timeout: float = 30.0,
    ) -> None:
        """Invalid where the id or the range is none. Touches nothing on the host but its own directories."""
        self._plan = config.plan(node_id, pod_cidr, state_dir / "ipam", service_cidr)
        self._plugins = Plugins(plugin_dirs, timeout=timeout)
        self._attachments = Attachments(state_dir / "attachments")
        self._pins = run_dir / "netns"
        self._services_record = state_dir / "services.json"
        self._services = _remembered(self._services_record)
        self._forward_record = state_dir / "ip_forward.was"
        # The table is made anew from all records: what one run of nft wrote, a slower one must not undo.
        self._rules = asyncio.Lock()

    async def setup(self) -> None:
        """Bridge, masquerade rule, ip_forward; idempotent. Unavailable, in one line, where the host lacks something, or the range is
        in use."""
        if missing := self._missing():
            raise Unavailable(missing, reason=_REASON)
        await self._check_overlap()
        bridge = self._plan.bridge
        if not (_INTERFACES / bridge).exists():
            # Made here, not by the plugin: two plugins that make it at once fail.
            await self._command("ip", "link", "add", bridge, "type", "bridge")
        # A Pod is no router: what it advertises must not become the host's address or way out (CVE-2020-10749).
        with suppress(FileNotFoundError):
            (_INTERFACES6 / bridge / "accept_ra").write_text("0", encoding="ascii")
        await self._command("ip", "link", "set", bridge, "up")
        await self._command("ip", "address", "replace", self._plan.gateway, "dev", bridge)
        if self._plan.services is not None:
            # What asks from the host itself needs a way to be on before its packets are given another address.
            await self._command("ip", "route", "replace", str(self._plan.services), "dev", bridge)
        async with self._rules:
            await self._write_rules()
        self._enable_forwarding()
        self._drop_stray_leases()

    def _missing(self) -> str:
        plugins = [name for name in _PLUGINS if self._plugins.find(name) is None]
        if plugins:
            return f"network plugin{'s' if len(plugins) > 1 else ''} {', '.join(plugins)} missing: install containernetworking-plugins"
        tools = [package for tool, package in _TOOLS.items() if shutil.which(tool, path=process.PATH) is None]
        return f"install {' and '.join(tools)}: Pod networks need it" if tools else ""

    async def _check_overlap(self) -> None:
        output = await self._command("ip", "-json", "-4", "address", "show")
        for link in json.loads(output or "[]"):
            for address in link.get("addr_info", []):
                network = ipaddress.IPv4Interface(f"{address['local']}/{address['prefixlen']}").network
                if link["ifname"] != self._plan.bridge and network.overlaps(self._plan.subnet):
                    raise Unavailable(
                        f"pod network {self._plan.subnet} overlaps with {network} of interface {link['ifname']}: choose another pod CIDR",
                        reason=_REASON,
                    )

    def _enable_forwarding(self) -> None:
        if _FORWARD.read_text(encoding="ascii").strip() != "0":
            return
        self._forward_record.write_text("0", encoding="ascii")
        try:
            _FORWARD.write_text("1", encoding="ascii")
        except OSError as error:
            self._forward_record.unlink(missing_ok=True)
            raise Unavailable(f"cannot switch on net.ipv4.ip_forward: {error.strerror}; Pods need it to reach other networks") from error
        _log.warning("net.ipv4.ip_forward was 0 and is now 1: Pods need it to reach other networks")

    def _drop_stray_leases(self) -> None:
        """Addresses whose sandbox is not attached, nor being attached: left by a crash between plugin and record."""
        known = self._attachments.ids()
        for lease in (self._plan.ipam_dir / self._plan.name).glob("*.*.*.*"):
            with suppress(OSError):
                owner = lease.read_text(encoding="utf-8", errors="replace").split("\n")[0].strip()
                if owner not in known:
                    lease.unlink()

    async def _command(self, *words: str, stdin: str = "") -> str:
        program = shutil.which(words[0], path=process.PATH)
        if program is None:
            raise Unavailable(f"install {_TOOLS[words[0]]}: Pod networks need it", reason=_REASON)
        ended = await process.run([program, *words[1:]], timeout=_COMMAND_TIMEOUT, stdin=stdin.encode())
        if ended.code != 0:
            raise Unavailable(f"cannot set up the Pod network: {words[0]} {' '.join(words[1:4])}: {ended.line()}", reason=_REASON)
        return ended.stdout.decode("utf-8", "replace")

    def _pin(self, sandbox_id: str) -> Path:
        return self._pins / sandbox_id

    async def create_namespace(self, sandbox_id: str, user_namespace: str = "") -> Path:
        """A network namespace of the sandbox, pinned, its loopback up; its path. It belongs to the user namespace pinned at that path,
        "" being the host's."""
        path = self._pin(sandbox_id)
        if user_namespace:
            await userns.pin_network(path, Path(user_namespace))
        else:
            await namespaces.pin_network(path)
        return path

    async def attach(self, sandbox_id: str, *, name: str, namespace: str, uid: str, ports: Sequence[PortMapping]) -> Attachment:
        """CNI ADD of the chain, then host ports. Where one fails, what was done is undone (the record stays where that fails too).
        FailedPrecondition where another sandbox has one of the ports."""
        self._check_ports(sandbox_id, ports)
        arguments = config.arguments(namespace, name, uid, sandbox_id)
        chain = tuple(config.chain(self._plan))
        attached = Attached(sandbox_id, str(self._pin(sandbox_id)), arguments, chain, ports=tuple(ports))
        self._attachments.put(attached)
        try:
            document = await self._add(attached)
            addresses = result.attachment(document)
            self._attachments.put(replace(attached, result=document))
            if ports:
                async with self._rules:
                    await self._write_rules()
        except BaseException:
            with suppress(Unavailable):
                await asyncio.shield(self.detach(sandbox_id))
            raise
        return addresses

    def _check_ports(self, sandbox_id: str, ports: Sequence[PortMapping]) -> None:
        """No await between this and the record: whoever writes it first has the ports."""
        taken: list[PortMapping] = []
        if ports:
            taken = [port for other in self._attachments.with_ports() if other.sandbox_id != sandbox_id for port in other.ports]
        if (port := hostports.clash(ports, taken)) is not None:
            raise FailedPrecondition(f"host port {port} is in use by another Pod", reason="NodePorts")

    async def _write_rules(self, without: str = "") -> None:
        """The table from all records but that of sandbox `without`. After a reboot records have no namespace, and get no rules."""
        found: list[hostports.Forward] = []
        for attached in self._attachments.with_ports():
            if attached.result and attached.sandbox_id != without and namespaces.is_pinned(Path(attached.netns)):
                found += hostports.forwards(attached.ports, result.attachment(attached.result).ips[0])
        await self._command("nft", "-f", "-", stdin=nftables.ruleset(self._plan, found, self._services))

    async def serve(self, ports: Sequence[ServicePort]) -> None:
        """Lead the packets of these ports of Services, and of no others; kept for the next run. Unavailable."""
        async with self._rules:
            before, self._services = self._services, list(ports)
            try:
                await self._write_rules()
            except BaseException:
                self._services = before
                raise
            temporary = self._services_record.with_suffix(".new")
            temporary.write_text(json.dumps(services.to_json(ports)), encoding="ascii")
            temporary.replace(self._services_record)

    async def _add(self, attached: Attached) -> Json:
        document: Json = {}
        for plugin in attached.chain:
            ready = {**plugin, "prevResult": document} if document else plugin
            document = await self._plugins.add(ready, _target(attached))
        return document

    async def detach(self, sandbox_id: str) -> None:
        """Host ports and CNI DEL in reverse; idempotent, also for sandboxes of an earlier run. Unavailable after some attempts: try
        again later."""
        attached = self._attachments.get(sandbox_id)
        if attached is None:
            self._attachments.remove(sandbox_id)
            return
        if attached.ports:
            async with self._rules:
                await self._write_rules(without=sandbox_id)
                attached = replace(attached, ports=())
                self._attachments.put(attached)
        if not namespaces.is_pinned(Path(attached.netns)):
            # Gone with a reboot: plugins then still give back addresses.
            attached = replace(attached, netns="")
        for plugin in reversed(attached.chain):
            ready = {**plugin, "prevResult": attached.result} if attached.result else plugin
            await self._delete(ready, attached)
        self._attachments.remove(sandbox_id)

    async def _delete(self, plugin: Json, attached: Attached) -> None:
        for attempt in range(_DELETE_ATTEMPTS):
            try:
                return await self._plugins.delete(plugin, _target(attached))
            except Unavailable as error:
                if attempt == _DELETE_ATTEMPTS - 1:
                    raise
                _log.warning("%s; trying again", error)
                await asyncio.sleep(0.05 * 4**attempt)

    async def delete_namespace(self, sandbox_id: str) -> None:
        """Idempotent."""
        namespaces.unpin(self._pin(sandbox_id))

    async def sandbox_ids(self) -> Sequence[str]:
        """Sandboxes that have a namespace or an attachment here, also of an earlier run."""
        pins = {entry.name for entry in self._pins.iterdir()} if self._pins.is_dir() else set()
        return sorted(pins | self._attachments.ids())

    async def ready(self) -> str:
        """Empty where Pods can be attached; else what is missing, in one line."""
        if missing := self._missing():
            return missing
        if not (_INTERFACES / self._plan.bridge).exists():
            return f"bridge {self._plan.bridge} is missing: the node makes it when it starts"
        if _FORWARD.read_text(encoding="ascii").strip() == "0":
            return "net.ipv4.ip_forward is 0: Pods cannot reach other networks; set it to 1"
        return ""

    async def teardown(self) -> None:
        """Undo `setup`. Idempotent. ip_forward goes back to what it was, unless another node's bridge still needs it."""
        with suppress(Unavailable):
            await self._command("nft", "-f", "-", stdin=nftables.removal(self._plan))
        if (_INTERFACES / self._plan.bridge).exists():
            await self._command("ip", "link", "delete", self._plan.bridge)
        others = list(_INTERFACES.glob("pl" + "[0-9a-f]" * 8))
        if self._forward_record.exists() and not others:
            _FORWARD.write_text(self._forward_record.read_text(encoding="ascii"), encoding="ascii")
            self._forward_record.unlink()


def _remembered(record: Path) -> list[ServicePort]:
    """What the last run led: its Services go on while this one starts."""
    try:
        return services.from_json(json.loads(record.read_bytes()))
    except (OSError, KeyError, TypeError, ValueError):
        return []


def _target(attached: Attached) -> Json:
    return {"container": attached.sandbox_id, "netns": attached.netns, "ifname": "eth0", "args": attached.args}
