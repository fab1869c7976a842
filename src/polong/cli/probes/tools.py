"""Programs and files that a node needs beside itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from polong.cli.probes.host import Finding, Host

PLUGIN_DIRS = ("/usr/lib/cni", "/opt/cni/bin")
_PLUGINS = ("bridge", "host-local")
_PROFILES = ("/usr/share/containers/seccomp.json", "/etc/containers/seccomp.json")

# First releases without published ways out of a container through working directory, descriptors or masked paths.
_SOUND = {"crun": (1, 14, 3), "runc": (1, 1, 12)}


def runtime(host: Host) -> Iterator[Finding]:
    path = host.which(host.runtime)
    if path is None:
        yield Finding(
            "OCI runtime",
            "fail",
            f"{host.runtime} not found",
            "no container can be started",
            "apt install crun, or choose another with --runtime",
        )
        return
    line = host.first_line([path, "--version"]) or ""
    version = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", line)
    if not version:
        yield Finding("OCI runtime", "warn", path, "it does not tell its version", f"try `{path} --version`")
        return
    name = next((known for known in _SOUND if line.startswith(known)), "")
    numbers = tuple(int(part or 0) for part in version.groups())
    if name and numbers < _SOUND[name]:
        sound = ".".join(map(str, _SOUND[name]))
        means = f"releases before {sound} have published holes; the engine closes those known by vetting what it gives to the runtime"
        yield Finding("OCI runtime", "warn", f"{line} ({path})", means, f"install {name} {sound} or newer")
    else:
        yield Finding("OCI runtime", "ok", f"{line} ({path})")


def monitor(host: Host) -> Iterator[Finding]:
    path = host.which("conmon")
    if path is None:
        yield Finding("conmon", "fail", "not found", "no container can be started", "apt install conmon")
    else:
        yield Finding("conmon", "ok", f"{host.first_line([path, '--version']) or 'present'} ({path})")


def plugins(host: Host) -> Iterator[Finding]:
    for directory in PLUGIN_DIRS:
        missing = [name for name in _PLUGINS if not host.exists(f"{directory}/{name}")]
        if not missing:
            yield Finding("CNI plugins", "ok", directory)
            return
        if len(missing) < len(_PLUGINS):
            yield Finding(
                "CNI plugins",
                "fail",
                f"{directory} without {', '.join(missing)}",
                "Pods get no network",
                "apt install containernetworking-plugins",
            )
            return
    means = "Pods get no network (those with hostNetwork run)"
    yield Finding("CNI plugins", "fail", f"not in {', '.join(PLUGIN_DIRS)}", means, "apt install containernetworking-plugins")


def seccomp(host: Host) -> Iterator[Finding]:
    found = next((path for path in _PROFILES if host.exists(path)), None)
    if found:
        yield Finding("seccomp profile", "ok", found)
    else:
        means = "RuntimeDefault has no profile to apply: containers run without a system call filter"
        yield Finding("seccomp profile", "warn", "not found", means, "apt install golang-github-containers-common")


PROBES: tuple[Callable[[Host], Iterator[Finding]], ...] = (runtime, monitor, plugins, seccomp)
