"""`linux.sysctl`: only names that belong to a namespace of the Pod's own, one key at a time (CVE-2022-0811)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from polong.kit.errors import Invalid
from polong.oci.spec.model import NODE, Json, Namespaces

_NAME = re.compile(r"[a-z0-9]+([._-][a-zA-Z0-9_-]+)+")
_IPC_PREFIXES = ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")


def section(sysctls: Mapping[str, str], namespaces: Namespaces) -> Json:
    result: Json = {}
    for name, value in sorted(sysctls.items()):
        dotted = name.replace("/", ".")
        ipc, net = dotted.startswith(_IPC_PREFIXES), dotted.startswith("net.")
        if not _NAME.fullmatch(dotted) or not (ipc or net):
            raise Invalid(f"sysctl {name!r} is not namespaced", reason="SysctlForbidden")
        if (ipc and namespaces.ipc == NODE) or (net and namespaces.network == NODE):
            raise Invalid(f"sysctl {name!r} would change the host: the Pod shares that namespace with it", reason="SysctlForbidden")
        if not value.isascii() or not value.isprintable():
            raise Invalid(f"value of sysctl {name!r} is not printable ASCII", reason="SysctlForbidden")
        result[dotted] = value
    return result
