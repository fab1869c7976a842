"""Whether a container may run again, and from when. Pure.

Source: kubelet ShouldContainerBeRestarted, isInitContainerFailed, doBackOff; KEP-5307 (container restart policies and rules).
"""

from __future__ import annotations

from typing import Any

from polong.kubelet import backoff
from polong.kubelet.backoff import Wait
from polong.kubelet.decisions import Memory, Start
from polong.kubelet.identity import container_hash
from polong.kubelet.observation import Container
from polong.objects import pod as pods

Json = dict[str, Any]


def backoff_key(container: Json) -> str:
    """A container that is made from something else starts with no back-off."""
    return f"{container['name']}/{container_hash(container)}"


def policy(pod: Json, container: Json) -> str:
    """Always, OnFailure or Never: the container's own, else the Pod's."""
    return str(container.get("restartPolicy") or pods.restart_policy(pod))


def restarts_after(pod: Json, container: Json, exit_code: int) -> bool:
    """What rules and policy say to that exit. A completed init container is done, whatever they say."""
    if exit_code == 0 and pods.is_init(pod, container) and not pods.is_sidecar(container):
        return False
    for rule in container.get("restartPolicyRules") or ():
        if _matches(rule, exit_code):
            return True
    chosen = policy(pod, container)
    return chosen == "Always" or (chosen == "OnFailure" and exit_code != 0)


def _matches(rule: Json, exit_code: int) -> bool:
    """The first rule that matches restarts: there is no other action."""
    condition = rule.get("exitCodes") or {}
    listed = exit_code in (condition.get("values") or ())
    return listed if condition.get("operator") == "In" else condition.get("operator") == "NotIn" and not listed


def never_restarts(pod: Json, container: Json) -> bool:
    return policy(pod, container) == "Never" and not container.get("restartPolicyRules")


def wanted(pod: Json, container: Json, latest: Container | None, memory: Memory) -> bool:
    """Its newest instance is to live, or another one after it."""
    if container["name"] in memory.refused:
        return False
    if latest is None or latest.alive:
        return True
    if latest.id in memory.replaced:
        return True
    if latest.id in memory.requested:
        return not never_restarts(pod, container)
    return restarts_after(pod, container, latest.exit_code)


def ready_at(container: Json, latest: Container | None, memory: Memory) -> tuple[float, Wait | None]:
    """The moment from which it may be started, and the back-off that is the reason."""
    retry = memory.retries.get(container["name"], 0.0)
    if latest is None or latest.state != "exited" or latest.id in memory.requested:
        return retry, None
    entry = memory.backoffs.get(backoff_key(container))
    ended = memory.ended.get(latest.id, 0.0)
    until = backoff.wait_until(entry, ended)
    if entry is None or until <= retry:
        return retry, None
    return until, Wait(until, entry.delay)


def start(name: str, latest: Container | None, memory: Memory, sandbox_id: str) -> Start:
    if latest is None:
        known = memory.restarts.get(name)
        return Start(name, 0 if known is None else known + 1, sandbox_id, restart=known is not None)
    if latest.state == "created":
        return Start(name, latest.attempt, sandbox_id, created=latest.id)
    return Start(name, latest.attempt + 1, sandbox_id, restart=True)
