"""What a shared process namespace does to a Pod that did not reckon with it: readable secrets, and programs that want to be PID 1. Pure.

Values of variables are never looked at, and never part of an answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from polong.objects import pod as pods
from polong.objects.access import ENVIRON, Process, decide, started

Json = dict[str, Any]
Command = tuple[Sequence[str], Sequence[str]]
"""ENTRYPOINT and CMD of an image."""

DEFAULT_CAPABILITIES = frozenset(
    [
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "NET_RAW",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ]
)
"""Of a container that says nothing of capabilities."""
_ALL = DEFAULT_CAPABILITIES | {"DAC_READ_SEARCH", "PERFMON", "SYS_ADMIN", "SYS_PTRACE"}

_SECRET_WORDS = frozenset(["AUTH", "CREDS", "KEY", "KEYS", "PASS", "PASSWD", "PSK", "PWD"])
_SECRET_PARTS = ("APIKEY", "CREDENTIAL", "PASSPHRASE", "PASSWORD", "PRIVATEKEY", "SECRET", "TOKEN")
_HARMLESS = frozenset({"PWD", "OLDPWD"})
_HARMLESS_WORDS = frozenset(["DIR", "FILE", "ID", "NAME", "PATH", "PUBLIC", "TTL", "URL"])


@dataclass(frozen=True)
class Exposure:
    """Variables of `container` that look secret, by name, and the containers that can read them."""

    container: str
    variables: tuple[str, ...]
    readers: tuple[str, ...]


def shared(pod: Json) -> bool:
    """Whether its containers see each other's processes."""
    return pods.shares_process_namespace(pod) or pods.host_pid(pod)


def secret_variables(container: Json) -> list[str]:
    """Names of variables that come from a Secret, or look as if they held one; `PREFIX*` for all the keys of a Secret."""
    whole = [(entry.get("prefix") or "", (entry.get("secretRef") or {}).get("name")) for entry in container.get("envFrom") or ()]
    found = [f"{prefix}* (all of Secret {secret})" for prefix, secret in whole if secret]
    for entry in container.get("env") or ():
        source, name = entry.get("valueFrom") or {}, str(entry.get("name", ""))
        told = "fieldRef" in source or "resourceFieldRef" in source
        if "secretKeyRef" in source or (not told and looks_secret(name)):
            found.append(name)
    return found


@dataclass(frozen=True)
class SecretFiles:
    """Where a container has a volume that holds secrets, and what they are."""

    volume: str
    path: str
    what: str


def secret_files(pod: Json, container: Json) -> list[SecretFiles]:
    """Mounts of Secrets and of tokens of the service account."""
    held = {str(volume.get("name", "")): _held(volume) for volume in pods.spec(pod).get("volumes") or ()}
    mounts = [(str(each.get("name", "")), str(each.get("mountPath", ""))) for each in container.get("volumeMounts") or ()]
    return [SecretFiles(name, path, ", ".join(held[name])) for name, path in mounts if held.get(name)]


def _held(volume: Json) -> list[str]:
    if name := (volume.get("secret") or {}).get("secretName"):
        return [f"Secret {name}"]
    found = []
    for source in (volume.get("projected") or {}).get("sources") or ():
        if name := (source.get("secret") or {}).get("name"):
            found.append(f"Secret {name}")
        elif "serviceAccountToken" in source:
            found.append("token of the service account")
    return found


def looks_secret(name: str) -> bool:
    upper = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).upper()
    words = re.split(r"[^A-Z0-9]+", upper)
    if upper in _HARMLESS or _HARMLESS_WORDS & set(words):
        return False
    return bool(_SECRET_WORDS & set(words)) or any(part in upper.replace("_", "") for part in _SECRET_PARTS)


def planned(pod: Json, container: Json) -> Process:
    """What its main process will be, as far as the Pod says: root where neither the Pod nor the container names a user."""
    own = container.get("securityContext") or {}
    around = pods.spec(pod).get("securityContext") or {}

    def number(field: str) -> int:
        value = own.get(field, around.get(field))
        return value if isinstance(value, int) else 0

    if own.get("privileged"):
        return started(number("runAsUser"), number("runAsGroup"), _ALL)
    change = own.get("capabilities") or {}
    added, dropped = (_capabilities(change.get(field) or ()) for field in ("add", "drop"))
    base = _ALL if "ALL" in added else frozenset() if "ALL" in dropped else DEFAULT_CAPABILITIES
    capabilities = (base - dropped) | (added - {"ALL"})
    return started(number("runAsUser"), number("runAsGroup"), capabilities)


def _capabilities(names: Iterable[object]) -> frozenset[str]:
    return frozenset(str(name).upper().removeprefix("CAP_") for name in names)


def exposures(pod: Json) -> list[Exposure]:
    """Of a Pod as it is planned: by the same rules by which the kernel will judge."""
    if not shared(pod):
        return []
    containers = [container for _, _, container in pods.all_containers(pod)]
    processes = {
        str(container.get("name", "")): replace(planned(pod, container), pid=place) for place, container in enumerate(containers, 1)
    }
    found = []
    for container in containers:
        name, variables = str(container.get("name", "")), secret_variables(container)
        readers = [other for other, process in processes.items() if other != name and decide(ENVIRON, process, processes[name]).possible]
        if variables and readers:
            found.append(Exposure(name, tuple(variables), tuple(readers)))
    return found


# --- PID 1 ---------------------------------------------------------------------------------------------------------------------------

_NEEDS = "it insists on being PID 1, which is /pause in a shared process namespace: it will end at once"
_INITS = {
    "runit": "runit " + _NEEDS.removeprefix("it "),
    "systemd": _NEEDS,
    "s6": "s6-overlay " + _NEEDS.removeprefix("it "),
    "reaper": "it will not be PID 1 and reaps no orphans: /pause does that here, so that it can be left out",
}
_KILL = re.compile(r"\bkill\s+(?:-\S+\s+)*1(?![\d.])")
_OUTPUT = re.compile(r"/proc/1/fd/[012]")
_ELSE = re.compile(r"/proc/1/(?!fd/[012])")


def pid_1(command: Sequence[str]) -> list[str]:
    """What in a command line will not do as it would as PID 1; sentences."""
    if not command:
        return []
    found = []
    path = command[0]
    base = path.rpartition("/")[2]
    if base == "systemd" or path in ("/sbin/init", "/usr/sbin/init"):
        found.append(f"{path}: {_INITS['systemd']}")
    elif path in ("/sbin/runit", "/sbin/runit-init"):
        found.append(f"{path}: {_INITS['runit']}")
    elif path == "/init":
        found.append(f"{path}: {_INITS['s6']}")
    elif base in ("tini", "tini-static", "dumb-init", "catatonit", "docker-init"):
        found.append(f"{path}: {_INITS['reaper']}")
    text = " ".join(command)
    if _KILL.search(text):
        found.append("kill 1: PID 1 is /pause, which a TERM ends together with all containers; find the process by name")
    if _OUTPUT.search(text):
        found.append("/proc/1/fd: those are /pause's, not this container's log; write to /dev/stdout or /proc/self/fd/1")
    if _ELSE.search(text):
        found.append("/proc/1: that is /pause, not this container's main process")
    return found


# What programs say that insist on being PID 1, and what it means; of several, the first that fits.
_SAID = (
    (
        "Trying to run as user instance, but the system has not been booted with systemd",
        "systemd runs only as PID 1, which is /pause in this Pod: set shareProcessNamespace: false, or start the service itself",
    ),
    (
        "Explicit --user argument required to run as user manager",
        "systemd runs only as PID 1, which is /pause in this Pod: set shareProcessNamespace: false, or start the service itself",
    ),
    (
        "can only run as pid 1",
        "s6-overlay's /init runs only as PID 1, which is /pause in this Pod: set shareProcessNamespace: false, or start the program itself",
    ),
    (
        "must be run as PID 1",
        "this init runs only as PID 1, which is /pause in this Pod: set shareProcessNamespace: false, or start the program itself",
    ),
    (
        "must be run as process no 1",
        "runit runs only as PID 1, which is /pause in this Pod: set shareProcessNamespace: false, or start runsvdir itself",
    ),
    (
        "telinit implementation",
        "this is an init that is not PID 1 (that is /pause in this Pod) and so takes itself for telinit: set shareProcessNamespace: false",
    ),
    (
        "System has not been booted with systemd as init system",
        "systemctl needs systemd as PID 1, which is /pause in this Pod: start the service's program itself",
    ),
    (
        "Tini is not running as PID 1",
        "tini was not PID 1, which is /pause in this Pod, and reaps nothing there (/pause does): leave it out, or give it -s",
    ),
)


def pid_1_said(text: str) -> str:
    """What the last words of a container that failed mean, where they are known; "" elsewhere."""
    lower = text.lower()
    return next((meaning for words, meaning in _SAID if words.lower() in lower), "")


def effective_command(container: Json, image: Command | None) -> list[str]:
    """What is executed: command and args of the container before the image's ENTRYPOINT and CMD (the latter only where neither the
    container nor the former says anything else)."""
    entrypoint, arguments = image or ((), ())
    command, args = container.get("command") or (), container.get("args") or ()
    if command:
        return [str(word) for word in (*command, *args)]
    return [str(word) for word in (*entrypoint, *(args or arguments))]


def warnings(pod: Json, images: Mapping[str, Command] | None = None) -> list[str]:
    """For whoever creates it; kubectl prints them. `images`: what is known of each container's image."""
    if not shared(pod):
        return []
    field = "shareProcessNamespace" if pods.shares_process_namespace(pod) else "hostPID"
    found = [
        f"spec.containers[{each.container}].env: {field} lets {_containers(each.readers)} read {', '.join(each.variables)}"
        " (/proc/PID/environ); give containers users of their own, or mount the secret as a file"
        for each in exposures(pod)
    ]
    for _, _, container in pods.all_containers(pod):
        name = str(container.get("name", ""))
        own = effective_command(container, None)
        whole = effective_command(container, (images or {}).get(name))
        for sentence in pid_1(whole):
            of_image = "" if sentence in pid_1(own) else f" (entry point of image {container.get('image', '')})"
            found.append(f"spec.containers[{name}]: {sentence}{of_image}")
    return found


def _containers(names: Sequence[str]) -> str:
    return f"container{'s' if len(names) > 1 else ''} {', '.join(names)}"
