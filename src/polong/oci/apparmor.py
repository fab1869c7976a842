"""The AppArmor profile of containers that ask for RuntimeDefault, and those that say nothing: loaded once when a runtime starts."""

from __future__ import annotations

import shutil

from polong.kit.errors import FailedPrecondition
from polong.linux import process

DEFAULT = "polong-default"
_PARSER = "apparmor_parser"
_SECONDS = 30.0

# What containers need, less what the kernel's own interfaces would let root do to the node. Containers of a Pod share this profile, and so
# do exec'd processes and /pause: with one process namespace they see, signal and trace each other as Unix permissions let them. The node
# itself is unconfined, and so is a privileged container: from there signals come in; towards there none goes out.
_PROFILE = f"""
profile {DEFAULT} flags=(attach_disconnected,mediate_deleted) {{
  file,
  network,
  capability,
  umount,
  unix,
  signal (send,receive) peer={DEFAULT},
  signal (receive) peer=unconfined,
  ptrace (trace,tracedby,read,readby) peer={DEFAULT},
  deny mount,
  deny pivot_root,
  deny @{{PROC}}/sysrq-trigger rwklx,
  deny @{{PROC}}/kcore rwklx,
  deny @{{PROC}}/mem rwklx,
  deny @{{PROC}}/kmem rwklx,
  deny @{{PROC}}/sys/kernel/core_pattern wklx,
  deny @{{PROC}}/sys/kernel/modprobe wklx,
  deny @{{PROC}}/sys/kernel/hotplug wklx,
  deny @{{PROC}}/sys/vm/** wklx,
  deny @{{PROC}}/sys/fs/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/kernel/** wklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/fs/[^c]*/** wklx,
}}
"""


def document() -> bytes:
    """In the language of apparmor.d(5), with its one variable."""
    return f"@{{PROC}}=/proc/\n{_PROFILE}".encode()


async def load() -> str:
    """The name of the default profile, which is loaded then. Only where the kernel has AppArmor. FailedPrecondition where the profile
    cannot be had: containers that say nothing of AppArmor are then unconfined, those that ask for RuntimeDefault fail."""
    if shutil.which(_PARSER) is None:
        raise FailedPrecondition(f"AppArmor is on, and {_PARSER} is not there to load {DEFAULT}: install the package apparmor")
    done = await process.run([_PARSER, "--replace", "--skip-cache"], stdin=document(), timeout=_SECONDS)
    if done.code != 0:
        told = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise FailedPrecondition(f"{_PARSER} cannot load {DEFAULT}: {told[-1] if told else f'it ended with {done.code}'}")
    return DEFAULT
