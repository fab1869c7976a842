"""`linux.namespaces`: absent (NODE), new, or a path to join. The mount namespace is always new."""

from __future__ import annotations

from polong.kit.errors import Invalid
from polong.oci.spec.model import NEW, NODE, Json, Namespaces


def section(namespaces: Namespaces) -> list[Json]:
    """In the order of the OCI specification; Invalid where a value is none of NODE, NEW or an absolute path."""
    entries: list[Json] = []
    if namespaces.user == NEW:
        raise Invalid("a user namespace is made, mapped and pinned before it is joined")
    for kind, value in (
        ("user", namespaces.user),
        ("pid", namespaces.pid),
        ("network", namespaces.network),
        ("ipc", namespaces.ipc),
        ("uts", namespaces.uts),
        ("cgroup", namespaces.cgroup),
    ):
        if value == NODE:
            continue
        if value == NEW:
            entries.append({"type": kind})
        elif value.startswith("/"):
            entries.append({"type": kind, "path": value})
        else:
            raise Invalid(f"{kind} namespace {value!r} is neither node, new nor an absolute path")
    entries.append({"type": "mount"})
    return entries


def is_shared_pid(namespaces: Namespaces) -> bool:
    """True where the end of the main process does not end the others: the engine must then kill the container's cgroup."""
    return namespaces.pid != NEW
