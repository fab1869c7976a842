"""A signal to chosen processes of a Pod: who is meant (pure), and the sending, which never reaches another process.

The list that the choice was made from names each process by PID and start time. The pidfd is opened first and both are compared after:
whoever holds the number then is who gets the signal. pidfd_open(2), pidfd_send_signal(2).
"""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polong.kit import signals
from polong.kit.errors import BadRequest, FailedPrecondition, Forbidden, NotFound, PolongError
from polong.kubelet.host.processes import below
from polong.linux import proc
from polong.linux.pidfd import PidFd
from polong.objects import pod as pods
from polong.objects.podsignal import SignalOptions

Json = dict[str, Any]

SENT, VANISHED, MEANT = "sent", "vanished", "would be sent"
_SHOWN = 5


def choose(pod: Json, items: Sequence[Json], options: SignalOptions) -> list[Json]:
    """Who gets it, of the items of a ProcessList. BadRequest where that is not clear, NotFound where nobody is meant,
    FailedPrecondition where nothing runs (yet, any more), Forbidden for /pause."""
    where = f"pod {pods.name(pod)}"
    if options.container:
        known_container(pod, options.container)
    if not items:
        raise FailedPrecondition(f"{where} has no processes: it is {pods.phase(pod) or 'Pending'}")
    container = options.container
    if not (options.pid or options.match or options.everyone):
        return [_main(pod, items, container or only_container(pod))]
    within = [each for each in items if not container or each["container"] == container]
    if options.pid:
        return [_numbered(pod, items, within, options)]
    if container and not within:
        raise not_running(pod, container)
    meant = [each for each in within if options.everyone or matches(each, options.match)]
    chosen = [each for each in meant if not each["zombie"] and (options.allow_pause or each["role"] != "pause")]
    if not chosen and any(each["role"] == "pause" for each in meant):
        raise _pause(pod)
    if not chosen:
        what = f"whose command line matches {options.match[:60]!r}" if options.match else "that could get a signal"
        raise NotFound(f"no process {what} in {'container ' + container + ' of ' if container else ''}{where}")
    # Its end takes all others along: it gets the signal last.
    return sorted(chosen, key=lambda each: each["role"] == "pause")


def known_container(pod: Json, name: str) -> Json:
    """NotFound, with a near name where there is one."""
    found = pods.find_container(pod, name)
    if found is None:
        names = [str(each["name"]) for _, _, each in pods.all_containers(pod)]
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(names)}"
        raise NotFound(f"pod {pods.name(pod)} has no container {name[:63]!r}; {hint}")
    return found


def only_container(pod: Json) -> str:
    """The one that needs no naming: the annotated default, or the only one. BadRequest where there are several."""
    names = [str(each["name"]) for each in pods.containers(pod)]
    default = (pod["metadata"].get("annotations") or {}).get(pods.DEFAULT_CONTAINER)
    if default in names:
        return str(default)
    if len(names) != 1:
        raise BadRequest(f"a container name must be specified for pod {pods.name(pod)}, choose one of: [{' '.join(names)}]")
    return names[0]


def not_running(pod: Json, container: str) -> PolongError:
    state = (pods.container_status(pod, container) or {}).get("state") or {}
    kind = next(iter(state), "waiting")
    reason = (state.get(kind) or {}).get("reason") or ("ContainerCreating" if kind == "waiting" else "")
    told = f"{kind}{f' ({reason})' if reason else ''}" if kind != "running" else "just starting or ending"
    return FailedPrecondition(f"container {container} of pod {pods.name(pod)} does not run: it is {told}")


def matches(item: Json, pattern: str) -> bool:
    """The command line, arguments joined by spaces, holds the pattern."""
    words = " ".join(item["command"]) or item["name"]
    return fnmatch.fnmatchcase(words, f"*{pattern}*")


def _main(pod: Json, items: Sequence[Json], container: str) -> Json:
    found = next((each for each in items if each["container"] == container and each["role"] == "main"), None)
    if found is None:
        raise not_running(pod, container)
    return _alive(found)


def _numbered(pod: Json, items: Sequence[Json], within: Sequence[Json], options: SignalOptions) -> Json:
    name, pid = pods.name(pod), options.pid
    found = [each for each in within if each["pid"] == pid]
    if len(found) > 1 and not options.allow_pause:
        found = [each for each in found if each["role"] != "pause"]
    if not found:
        elsewhere = next((each for each in items if each["pid"] == pid), None)
        if elsewhere is not None:
            owner = f"container {elsewhere['container']}" if elsewhere["container"] else "the pod itself: it is /pause"
            raise FailedPrecondition(f"PID {pid} of pod {name} does not belong to container {options.container}, but to {owner}")
        outside = next((each for each in items if each["hostPID"] == pid), None)
        hint = f"; host PID {pid} is PID {outside['pid']} there" if outside is not None else f": see polong ps {name}"
        raise NotFound(f"pod {name} has no process with PID {pid}{hint}")
    if len(found) > 1:
        owners = ", ".join(each["container"] or "/pause" for each in found)
        raise BadRequest(f"the containers of pod {name} do not share a process namespace: PID {pid} is in each of {owners}; name one")
    if found[0]["role"] == "pause" and not options.allow_pause:
        raise _pause(pod)
    return _alive(found[0])


def _pause(pod: Json) -> Forbidden:
    return Forbidden(
        f"it would be /pause of pod {pods.name(pod)}, whose end ends every container that shares its namespace:"
        " name another process, or allow it (allowPause, --allow-pause)"
    )


def _alive(item: Json) -> Json:
    if item["zombie"]:
        who = f"PID {item['pid']} ({item['name']})"
        raise FailedPrecondition(f"{who} is a zombie: it has ended, and stays until its parent, PID {item['parentPID']}, waits for it")
    return item


def send(chosen: Sequence[Json], options: SignalOptions, cgroups: Mapping[str, str], root: Path) -> list[Json]:
    """What became of each: `outcome` is sent, vanished, or the kernel's refusal. `cgroups` by container id. Blocking, briefly."""
    return [_receiver(each, MEANT if options.dry_run else _send(each, options.number, cgroups, root)) for each in chosen]


def _send(item: Json, number: int, cgroups: Mapping[str, str], root: Path) -> str:
    try:
        done = deliver(item["hostPID"], item["startTicks"], cgroups.get(item["containerID"], ""), number, root)
    except OSError as error:
        return f"refused: {error.strerror}"
    return SENT if done else VANISHED


def deliver(pid: int, start: int, cgroup: str, number: int, root: Path = proc.PROC) -> bool:
    """False where the process that began at `start` (ticks) in `cgroup` ("" for any) has ended. OSError where the kernel refuses."""
    try:
        with PidFd.open(pid) as held, proc.Handle(pid, root) as handle:
            if handle.stat().start_time != start:
                return False
            if cgroup and not any(below(path, cgroup) for path in handle.cgroups().values()):
                return False
            return held.send(number)
    except ProcessLookupError:
        return False


def _receiver(item: Json, outcome: str) -> Json:
    kept = ("container", "containerID", "role", "pid", "hostPID", "name", "command", "user")
    return {**{key: item[key] for key in kept}, "outcome": outcome}


def answer(pod: Json, options: SignalOptions, receivers: Sequence[Json]) -> Json:
    """The `Signal` of polong.dev/v1alpha1."""
    return {
        "kind": "Signal",
        "apiVersion": "polong.dev/v1alpha1",
        "metadata": {key: pod["metadata"][key] for key in ("name", "namespace", "uid") if key in pod["metadata"]},
        "signal": signals.name(options.number),
        "dryRun": options.dry_run,
        "receivers": list(receivers),
    }


def stories(options: SignalOptions, receivers: Sequence[Json], user: str) -> list[tuple[str, str]]:
    """(container, message) of the Events: one for each container in which somebody got it."""
    by_container: dict[str, list[Json]] = {}
    for each in receivers:
        if each["outcome"] == SENT:
            by_container.setdefault(each["container"], []).append(each)
    told = []
    for container, got in by_container.items():
        names = [f"PID {each['pid']} ({each['name']})" for each in got[:_SHOWN]]
        if len(got) > _SHOWN:
            names.append(f"{len(got) - _SHOWN} more")
        by = f", as {user} asked" if user else ""
        told.append((container, f"Sent {signals.name(options.number)} to {', '.join(names)}{by}"))
    return told
