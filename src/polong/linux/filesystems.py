"""Which kind of file system a descriptor is on: statfs(2). Numbers from linux/magic.h."""

from __future__ import annotations

import ctypes

from polong.linux import libc

KERNEL = frozenset(
    {
        0x00009FA0,  # proc
        0x62656572,  # sysfs
        0x0027E0EB,  # cgroup
        0x63677270,  # cgroup2
        0x64626720,  # debugfs
        0x74726163,  # tracefs
        0x73636673,  # securityfs
        0x62656570,  # configfs
        0x6165676C,  # pstore
        0xCAFE4A11,  # bpf
        0x6E736673,  # nsfs
        0x42494E4D,  # binfmt_misc
        0x00001CD1,  # devpts
        0x19800202,  # mqueue
        0xDE5E81E4,  # efivarfs
    }
)
"""Those whose files are doors into the kernel: to read or write one is an act, its size says nothing."""

_STATFS_BYTES = 512


def magic(fd: int) -> int:
    """`f_type`, which is the first word of struct statfs on every architecture we run on."""
    buffer = (ctypes.c_long * (_STATFS_BYTES // ctypes.sizeof(ctypes.c_long)))()
    libc.fstatfs(fd, ctypes.byref(buffer))
    return buffer[0] & 0xFFFFFFFF
