"""Volumes and files of Pods under `<root>/pods/<uid>`: emptyDir, hostPath, /etc/hosts, termination messages. All of it is the node's
own directory, mode 0700 at the top; what containers wrote in it is removed without following anything.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polong.kit.errors import FailedPrecondition, PolongError
from polong.kubelet import containers
from polong.kubelet.containers import Mounted
from polong.kubelet.volumes import emptydir, hostpath, hosts, removal, termination
from polong.objects import pod as pods

Json = dict[str, Any]

_HOSTS = "/etc/hosts"
# A uid comes from the API and becomes a directory name.
_PLAIN = frozenset("0123456789abcdefABCDEF-")


class Volumes:
    def __init__(self, root: Path, host_file: Path = Path(_HOSTS)) -> None:
        self._pods = root / "pods"
        self._host_file = host_file
        self._written: dict[str, str] = {}
        # Containers of a Pod are made side by side, each in a thread.
        self._writing = threading.Lock()

    def directory(self, uid: str) -> Path:
        if not uid or not set(uid) <= _PLAIN:
            raise FailedPrecondition(f"{uid[:60]!r} is not a uid")
        return self._pods / uid

    async def set_up(self, pod: Json) -> Mapping[str, Path]:
        """Volume name to host path. FailedPrecondition (reason FailedMount) with the kubelet's text. Idempotent."""
        return await asyncio.to_thread(self._set_up, pod)

    def _set_up(self, pod: Json) -> Mapping[str, Path]:
        own = self.directory(pods.uid(pod))
        for each in (self._pods, own):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        group = (pods.spec(pod).get("securityContext") or {}).get("fsGroup")
        found = {}
        for volume in pods.spec(pod).get("volumes") or ():
            name = volume["name"]
            try:
                if "hostPath" in volume:
                    found[name] = hostpath.set_up(volume["hostPath"])
                elif "emptyDir" in volume:
                    found[name] = emptydir.set_up(volume["emptyDir"] or {}, own / "volumes" / "kubernetes.io~empty-dir" / name, group)
                else:
                    kind = next((key for key in volume if key != "name"), "none")
                    raise FailedPrecondition(f"volumes of type {kind} are not supported")
            except (PolongError, OSError) as error:
                raise FailedPrecondition(f'MountVolume.SetUp failed for volume "{name}" : {error}', reason="FailedMount") from error
        return found

    async def mounts(
        self, pod: Json, container: Json, attempt: int, paths: Mapping[str, Path], ips: Sequence[str], *, domain: str = ""
    ) -> list[Mounted]:
        """What stands in the container: its volumeMounts, /etc/hosts and the file of its termination message."""
        return await asyncio.to_thread(self._mounts, pod, container, attempt, paths, ips, domain)

    def _mounts(
        self, pod: Json, container: Json, attempt: int, paths: Mapping[str, Path], ips: Sequence[str], domain: str
    ) -> list[Mounted]:
        found = []
        for mount in container.get("volumeMounts") or ():
            if mount["name"] not in paths:
                raise FailedPrecondition(f'volume "{mount["name"]}" is not set up', reason="CreateContainerConfigError")
            if mount.get("subPath") or mount.get("subPathExpr"):
                raise FailedPrecondition("subPath is not supported yet", reason="CreateContainerConfigError")
            found.append(
                Mounted(paths[mount["name"]], mount["mountPath"], bool(mount.get("readOnly")), mount.get("mountPropagation") or "None")
            )
        own = self.directory(pods.uid(pod))
        read_only = bool((container.get("securityContext") or {}).get("readOnlyRootFilesystem"))
        if all(each.container_path.rstrip("/") != _HOSTS for each in found):
            found.append(Mounted(self._write_hosts(pod, own, ips, domain), _HOSTS, read_only))
        message = termination.create(own / "containers" / container["name"], attempt)
        found.append(Mounted(message, containers.message_path(container)))
        return found

    def _write_hosts(self, pod: Json, own: Path, ips: Sequence[str], domain: str) -> Path:
        aliases = pods.spec(pod).get("hostAliases") or ()
        if pods.host_network(pod):
            text = hosts.of_host(self._host_file.read_text("utf-8", "replace"), aliases)
        else:
            subdomain = pods.spec(pod).get("subdomain") or ""
            full = f"{subdomain}.{pods.namespace(pod)}.svc.{domain}" if subdomain and domain else ""
            text = hosts.managed(ips, containers.hostname(pod), full, aliases)
        path = own / "etc-hosts"
        # Containers may add lines of their own, which a restart of a neighbour must not undo.
        with self._writing:
            if self._written.get(pods.uid(pod)) != text or not path.exists():
                fresh = own / ".etc-hosts"
                fresh.write_text(text, "utf-8")
                fresh.chmod(0o644)
                fresh.replace(path)
                self._written[pods.uid(pod)] = text
        return path

    def message(self, uid: str, container: str, attempt: int, limit: int = termination.MESSAGE_BYTES) -> str:
        """What that instance wrote as its termination message, from the end of the file."""
        return termination.read(self.directory(uid) / "containers" / container, attempt, limit)

    async def remove(self, uid: str) -> None:
        """Everything of the Pod. Idempotent. Internal where something is still mounted."""
        self._written.pop(uid, None)
        await asyncio.to_thread(removal.remove, self.directory(uid))

    def held(self) -> set[str]:
        """UIDs that have a directory."""
        if not self._pods.is_dir():
            return set()
        return {each.name for each in self._pods.iterdir() if set(each.name) <= _PLAIN}
