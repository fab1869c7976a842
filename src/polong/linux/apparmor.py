"""AppArmor as the kernel shows it: whether it is on, which profiles are loaded, under which one a process runs.

Documentation/admin-guide/LSM/apparmor.rst; apparmor(7), aa_getcon(2). `sys` and `proc` stand for the mounts of that name.
"""

from __future__ import annotations

from pathlib import Path

from polong.linux import proc

SYS = Path("/sys")
UNCONFINED = "unconfined"
_LIMIT = 4096


def enabled(sys: Path = SYS) -> bool:
    """Whether the kernel has it and mediates with it."""
    try:
        return (sys / "module/apparmor/parameters/enabled").read_text(encoding="ascii").strip() == "Y"
    except OSError:
        return False


def loaded(sys: Path = SYS) -> dict[str, str]:
    """Mode (enforce, complain, kill, unconfined, prompt) by name of profile. OSError where securityfs is not mounted, or not ours."""
    found = {}
    for line in (sys / "kernel/security/apparmor/profiles").read_text("utf-8", "replace").splitlines():
        name, _, mode = line.rpartition(" (")
        if name:
            found[name] = mode.rstrip(")")
    return found


def label(pid: int, root: Path = proc.PROC) -> str:
    """The profile of a process; "" where it is confined by none. attr/current is shared: what another security module says counts too."""
    try:
        with (root / str(pid) / "attr/current").open("rb") as file:
            text = file.read(_LIMIT).decode("utf-8", "replace").strip("\0\n ")
    except OSError:
        return ""
    name = text.rpartition(" (")[0] if text.endswith(")") else text
    return "" if name == UNCONFINED else name
