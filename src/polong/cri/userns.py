"""User namespaces of Pods: CRI's UserNamespace, checked. Pure.

A Pod has one mapping, one range of ids on the host for its ids from 0 on, the same for users and groups (KEP-127). All containers of the
Pod join the namespace that is made for its sandbox; the Pod's other namespaces belong to it.
"""

from __future__ import annotations

from collections.abc import Sequence

from polong.cri.ports import Json
from polong.criapi.wire import v1
from polong.kit.errors import Invalid, Unsupported
from polong.linux.userns import IdMapping

_MOST = 2**32 - 1


def mapping(options: v1.NamespaceOption) -> IdMapping | None:
    """None for a Pod of the host's users. Invalid or Unsupported where it cannot be had."""
    if not options.HasField("userns_options") or options.userns_options.mode == v1.NODE:
        return None
    asked = options.userns_options
    if asked.mode != v1.POD:
        raise Unsupported(f"user namespace mode {v1.NamespaceMode.Name(asked.mode)} is not supported: POD or NODE")
    users, groups = _single(asked.uids, "uids"), _single(asked.gids, "gids")
    if users != groups:
        raise Invalid("the user namespace maps users and groups differently")
    for kind in ("network", "pid", "ipc"):
        if getattr(options, kind) == v1.NODE:
            raise Invalid(f"a Pod with a user namespace cannot have the {kind} namespace of the node")
    return users


def tell(config: Json, options: v1.NamespaceOption) -> None:
    """Name the mapping in config.json as well: runc up to 1.1 does not read it from the namespace that it joins, and refuses to go on
    without; later ones, and crun, take it as long as it is the namespace's own."""
    made = mapping(options)
    if made is not None:
        entry = [{"containerID": 0, "hostID": made.host, "size": made.length}]
        config["linux"] |= {"uidMappings": entry, "gidMappings": list(entry)}


def of_mount(mount: v1.Mount) -> IdMapping:
    """Invalid where it is not one range, the same for users and groups."""
    users, groups = _single(mount.uidMappings, "uidMappings"), _single(mount.gidMappings, "gidMappings")
    if users != groups:
        raise Invalid(f"mount at {mount.container_path} maps users and groups differently")
    return users


def _single(ranges: Sequence[v1.IDMapping], what: str) -> IdMapping:
    if len(ranges) != 1:
        raise Invalid(f"a user namespace has exactly one mapping, {what} has {len(ranges)}")
    one = ranges[0]
    if one.container_id != 0:
        raise Invalid(f"a user namespace must map id 0, {what} begins at {one.container_id}")
    if one.length == 0 or one.host_id + one.length - 1 > _MOST:
        raise Invalid(f"{what}: {one.length} ids from {one.host_id} on are not a range of ids")
    if one.host_id == 0:
        raise Invalid(f"{what} maps id 0 to the node's own root")
    return IdMapping(one.host_id, one.length)
