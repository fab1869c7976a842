"""The tree of `ps`: pure. Processes of one PID namespace are one tree, drawn by parent; text from processes is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from polong.cli.escape import cell
from polong.cli.tabular import Table

Json = dict[str, Any]

_COLUMNS = ("CONTAINER", "PID", "HOSTPID", "USER", "STAT", "CPU", "RSS", "COMMAND")
_WIDE = (
    *_COLUMNS[:-1],
    "ROLE",
    "UID",
    "GID",
    "PSS",
    "SWAP",
    "FILES",
    "THREADS",
    "NNP",
    "SECCOMP",
    "DUMPABLE",
    "CAPABILITIES",
    "STARTED",
    "NAMESPACE",
    "COMMAND",
)
POD = "<pod>"
# A privileged container has them all; how many that is depends on the kernel.
_ALL = 37
_FEW = 3
_DEFAULT = (
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SYS_CHROOT",
    "MKNOD",
    "AUDIT_WRITE",
    "SETFCAP",
)


def render(items: Sequence[Json], *, wide: bool = False, headers: bool = True, place: Sequence[str] = ()) -> list[str]:
    """Lines of the table; several namespaces follow each other, an empty line between. `place`: columns before the others, whose names
    in lower case are keys of the items."""
    table = Table((*place, *(_WIDE if wide else _COLUMNS)), headers=headers)
    rows: list[list[object]] = []
    breaks: set[int] = set()
    for group in _namespaces(items):
        breaks.add(len(rows))
        rows += [[*(item.get(name.lower(), "") for name in place), *_row(item, lead, wide)] for item, lead in walk(group)]
    lines = table.lines(rows)
    first = 1 if headers else 0
    out = lines[:first]
    for index, line in enumerate(lines[first:]):
        if index and index in breaks:
            out.append("")
        out.append(line)
    return out


def _namespaces(items: Sequence[Json]) -> list[list[Json]]:
    """Groups by Pod and PID namespace, in the order in which their first process comes."""
    groups: dict[object, list[Json]] = {}
    for item in items:
        groups.setdefault((item.get("namespace"), item.get("pod"), item.get("pidNamespace")), []).append(item)
    return list(groups.values())


def walk(group: Sequence[Json]) -> Iterable[tuple[Json, str]]:
    """Depth first, children by PID; each with the drawing that stands before its command. A parent that is not shown makes a root."""
    known = {item.get("hostPID") for item in group}
    children: dict[object, list[Json]] = {}
    for item in sorted(group, key=lambda found: _number(found.get("pid"))):
        parent, own = item.get("parentHostPID"), item.get("hostPID")
        children.setdefault(parent if parent in known and parent != own else None, []).append(item)
    seen: set[object] = set()
    stack: list[tuple[Json, str, str]] = [(item, "", "") for item in reversed(children.get(None, ()))]
    while stack:
        item, lead, below = stack.pop()
        own = item.get("hostPID")
        if own in seen:
            continue
        seen.add(own)
        yield item, lead
        if (kids := children.get(own)) is not None:
            stack.append((kids[-1], below + "└─ ", below + "   "))
            stack += [(kid, below + "├─ ", below + "│  ") for kid in reversed(kids[:-1])]
    yield from ((item, "") for item in group if item.get("hostPID") not in seen)


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _row(item: Json, lead: str, wide: bool) -> list[object]:
    cells: list[object] = [
        item.get("container") or POD,
        item.get("pid", ""),
        item.get("hostPID", ""),
        user(item),
        item.get("state", ""),
        cpu(item.get("cpuSeconds")),
        size(item.get("rssBytes")),
    ]
    if wide:
        cells += [
            item.get("role", ""),
            item.get("uid", ""),
            item.get("gid", ""),
            size(item.get("pssBytes")) or "-",
            size(item.get("swapBytes")) or "-",
            _known(item.get("openFiles")),
            item.get("threads", ""),
            _known(item.get("noNewPrivileges")),
            item.get("seccomp", ""),
            _known(item.get("dumpable")),
            capabilities((item.get("capabilities") or {}).get("effective")),
            item.get("startTime") or "",
            item.get("pidNamespace") or "",
        ]
    return [*cells, lead + command(item)]


def user(item: Json) -> object:
    """The name that its container has for its user, else the number that it has there."""
    return item.get("user") or item.get("containerUID", item.get("uid", ""))


def _known(value: object) -> object:
    """What the kernel did not tell is a dash."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else value


def capabilities(names: object) -> str:
    """none, all, or how it differs from what a container has that says nothing: `default+SYS_PTRACE`, `default-KILL`, else the names."""
    if not isinstance(names, list):
        return "-"
    if len(names) > _ALL or not names:
        return "all" if names else "none"
    more, less = [name for name in names if name not in _DEFAULT], [name for name in _DEFAULT if name not in names]
    if len(less) > _FEW:
        return ",".join(names)
    return "default" + "".join(f"+{name}" for name in more) + "".join(f"-{name}" for name in less)


def command(item: Json) -> str:
    words = item.get("command")
    text = cell(" ".join(words)) if words else f"[{cell(item.get('name', ''))}]"
    by_exec = item["role"] if item.get("role") in ("probe", "hook") else "exec"
    marks = [mark for mark, key in ((by_exec, "executed"), ("orphan", "orphan"), ("zombie", "zombie")) if item.get(key)]
    return f"{text}  ({', '.join(marks)})" if marks else text


def cpu(seconds: object) -> str:
    """`0:00.12`, minutes and seconds, as ps and top print CPU time; hours in front once there are any."""
    if not isinstance(seconds, int | float):
        return ""
    minutes, rest = divmod(float(seconds), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{rest:05.2f}" if hours else f"{minutes}:{rest:05.2f}"


def size(count: object) -> str:
    """Bytes in the largest binary unit that leaves a whole part: 8K, 12.4M."""
    if not isinstance(count, int | float):
        return ""
    value = float(count)
    for unit in ("", "K", "M", "G"):
        if value < 1024 or unit == "G":
            return f"{value:.0f}{unit}" if value >= 10 or not unit or value == int(value) else f"{value:.1f}{unit}"
        value /= 1024
    return ""
