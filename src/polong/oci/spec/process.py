"""`process` of config.json, and of an exec: one builder for both, so that an exec'd process never has more than the container."""

from __future__ import annotations

from collections.abc import Sequence

from polong.kit.errors import Invalid
from polong.kit.stdio import TerminalSize
from polong.oci.spec import capabilities
from polong.oci.spec.model import ContainerSpec, Host, Json, User

_MAX_ID = 2**31 - 1
_MAX_SIZE = 2**16 - 1
DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def section(spec: ContainerSpec, host: Host) -> Json:
    """Invalid where args, env, cwd or ids cannot be (NUL bytes, relative directory, ids out of range)."""
    _check(spec.args, spec.env, spec.cwd, spec.user)
    granted = host.capabilities if spec.privileged else spec.capabilities
    result: Json = {
        "terminal": spec.terminal,
        "user": _user(spec.user),
        "args": list(spec.args),
        "env": _environment(spec.env, terminal=spec.terminal),
        "cwd": spec.cwd or "/",
        "capabilities": capabilities.section(granted, spec.ambient_capabilities),
        "noNewPrivileges": spec.no_new_privileges,
        "oomScoreAdj": max(min(spec.oom_score_adj, 1000), host.oom_score_adj),
    }
    if spec.rlimits:
        result["rlimits"] = [{"type": limit.type, "soft": limit.soft, "hard": limit.hard} for limit in spec.rlimits]
    return {**result, **apparmor(spec.apparmor_profile, host)}


def apparmor(profile: str, host: Host) -> Json:
    """The profile's name, which the runtime takes on as it executes the command; nothing where there is none to take on."""
    return {"apparmorProfile": profile} if profile and host.apparmor else {}


def for_exec(config: Json, args: Sequence[str], *, terminal: bool, size: TerminalSize | None = None) -> Json:
    """The process object of an exec in the container whose config.json is `config`: same user, capabilities, directory."""
    _check(args, (), "/", User())
    inherited = {key: value for key, value in config["process"].items() if key not in {"args", "terminal", "consoleSize", "env"}}
    environment = _environment(tuple(config["process"].get("env", ())), terminal=terminal)
    result = {**inherited, "args": list(args), "terminal": terminal, "env": environment}
    if terminal and size is not None:
        # crun's numbers are 16 bits wide, and a size beyond them is no terminal's.
        result["consoleSize"] = {"height": min(max(size.height, 0), _MAX_SIZE), "width": min(max(size.width, 0), _MAX_SIZE)}
    return result


def _environment(env: Sequence[str], *, terminal: bool) -> list[str]:
    names = {entry.partition("=")[0] for entry in env}
    defaults = [] if "PATH" in names else [DEFAULT_PATH]
    if terminal and "TERM" not in names:
        defaults.append("TERM=xterm")
    return [*defaults, *env]


def _user(user: User) -> Json:
    # The primary group is always among the supplementary ones: else a file's rule against its group is passed by (CVE-2022-2995).
    groups = list(dict.fromkeys((user.gid, *user.groups)))
    return {"uid": user.uid, "gid": user.gid, "additionalGids": groups}


def _check(args: Sequence[str], env: Sequence[str], cwd: str, user: User) -> None:
    if not args or not args[0]:
        raise Invalid("no command specified", reason="CreateContainerError")
    for what, values in (("argument", args), ("environment", env), ("working directory", (cwd,))):
        for value in values:
            if "\0" in value:
                raise Invalid(f"{what} contains a NUL byte", reason="CreateContainerError")
    for entry in env:
        if not entry.partition("=")[0] or "=" not in entry:
            raise Invalid(f"environment entry {entry[:40]!r} is not NAME=value", reason="CreateContainerError")
    if cwd and not cwd.startswith("/"):
        raise Invalid(f"working directory {cwd!r} is not absolute", reason="CreateContainerError")
    for number in (user.uid, user.gid, *user.groups):
        if not 0 <= number <= _MAX_ID:
            raise Invalid(f"user or group id {number} is not in 0..{_MAX_ID}", reason="CreateContainerError")
