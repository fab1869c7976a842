"""The ephemeral container of `debug`. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from polong.cli import pods

Json = dict[str, Any]

RESTRICTED = "restricted"


@dataclass(frozen=True)
class Wish:
    """What is asked for; `stdin` is whether input is passed, and whether it is a terminal. `standard` is a Pod Security standard that
    the debugger must keep to (baseline, restricted); `group` goes with `user`; `demanded`: capabilities or
    the user were named by whoever asks."""

    name: str
    image: str
    command: Sequence[str] = ()
    capabilities: Sequence[str] = ()
    user: int | None = None
    volumes: bool = False
    environment: bool = False
    stdin: tuple[bool, bool] = (False, False)
    standard: str = ""
    group: int | None = None
    demanded: bool = False


def container(pod: Json, goal: str, wish: Wish) -> tuple[Json, list[str]]:
    """The EphemeralContainer, and what has to be said about it."""
    spec = pods.spec_of(pod, goal)
    made: Json = {"name": wish.name, "image": wish.image, "imagePullPolicy": "IfNotPresent", "targetContainerName": goal}
    warnings: list[str] = []
    if wish.command:
        made["command"] = list(wish.command)
    if wish.stdin[0]:
        made |= {"stdin": True, "tty": wish.stdin[1]}
    context = _context(wish)
    if (context.get("capabilities") or {}).get("add") and context["runAsUser"] != 0:
        warnings.append(f"the kernel drops capabilities of user {wish.user} when a program starts: they take effect for root only")
    if context:
        made["securityContext"] = context
    if wish.volumes:
        mounts = spec.get("volumeMounts") or []
        made["volumeMounts"] = [each for each in mounts if not each.get("subPath") and not each.get("subPathExpr")]
        left = [each["mountPath"] for each in mounts if each not in made["volumeMounts"]]
        if left:
            warnings.append(f"{', '.join(left)} left out: an ephemeral container takes no subPath")
    if wish.environment:
        made |= {field: spec[field] for field in ("env", "envFrom") if spec.get(field)}
    return made, warnings


def _context(wish: Wish) -> Json:
    context: Json = {}
    if wish.standard == RESTRICTED:
        return {
            "runAsUser": wish.user,
            "runAsGroup": wish.group,
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }
    if wish.capabilities:
        context["capabilities"] = {"add": [each.upper().removeprefix("CAP_") for each in wish.capabilities]}
        # Only root keeps capabilities when it starts a program: a debugger that asks for one means root.
        context["runAsUser"] = 0
    if wish.user is not None:
        context["runAsUser"] = wish.user
    if wish.group is not None:
        context["runAsGroup"] = wish.group
    if context.get("runAsUser") == 0:
        # Said, where the Pod says otherwise: else the debugger would wait for ever.
        context["runAsNonRoot"] = False
    return context
