"""The machine that runs: its init, and QEMU around it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Sequence

from tools.vm.disk import INSIDE, Disk

LAYOUTS = ("v2", "v1", "hybrid")
_V1 = ("cpuset", "cpu,cpuacct", "blkio", "memory", "devices", "freezer", "net_cls,net_prio", "perf_event", "pids")
_MEMORY = "6G"
PATIENCE = 12
_END = re.compile(r"^vm: ended with (\d+)\s*$")

_INIT = """#!/bin/bash
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
export PYTHONPATH=/{inside} POLONG_TEST_PATIENCE={patience} PYTHONDONTWRITEBYTECODE=1
mount -o remount,rw /
mountpoint -q /proc || mount -t proc proc /proc
mountpoint -q /sys || mount -t sysfs sysfs /sys
mount -t securityfs securityfs /sys/kernel/security
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /dev/pts /dev/shm /dev/mqueue
mountpoint -q /dev/pts || mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
mount --make-rshared /
{cgroups}
ip link set lo up
hostname vm
cd /{inside}
uname -r; cat /sys/kernel/security/lsm; echo
python3 -m pytest {tests} </dev/null
echo "vm: ended with $?"
sync
echo o > /proc/sysrq-trigger
sleep 60
"""


def init(layout: str, tests: Sequence[str]) -> str:
    """The script that is PID 1: mounts what a kernel gives, runs the tests, ends the machine."""
    return _INIT.format(inside=INSIDE, patience=PATIENCE, cgroups="\n".join(cgroups(layout)), tests=shlex.join(tests))


def cgroups(layout: str) -> list[str]:
    """Commands that mount them: all controllers on v2 (v2), all on v1 (v1), all on v1 with an empty v2 tree beside them (hybrid)."""
    if layout == "v2":
        return ["mount -t cgroup2 cgroup2 /sys/fs/cgroup"]
    lines = ["mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup"]
    for each in _V1:
        lines += [f"mkdir /sys/fs/cgroup/{each}", f"mount -t cgroup -o {each} cgroup /sys/fs/cgroup/{each}"]
        if "," in each:
            lines += [f"ln -s {each} /sys/fs/cgroup/{name}" for name in each.split(",")]
    if layout == "hybrid":
        lines += ["mkdir /sys/fs/cgroup/unified", "mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified"]
    return lines


def run(disk: Disk, *, kvm: bool, seconds: int) -> int:
    """What the machine prints goes to standard output. The exit code of pytest; 1 where the machine ended without one."""
    command = [
        "qemu-system-x86_64",
        *("-accel", "kvm" if kvm else "tcg,thread=multi,tb-size=512", "-cpu", "host" if kvm else "max"),
        *("-smp", "2", "-m", _MEMORY, "-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot", "-nic", "none"),
        *("-device", "virtio-rng-pci", "-drive", f"file={disk.image},format=raw,if=virtio,snapshot=on"),
        *("-kernel", str(disk.kernel), "-initrd", str(disk.initrd)),
        *("-append", "root=/dev/vda rw console=ttyS0 panic=-1 quiet init=/init.sh"),
    ]
    code = 1
    # `timeout` ends the machine also when nobody reads any more.
    with subprocess.Popen(["timeout", str(seconds), *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for raw in process.stdout:
            line = raw.decode("utf-8", "replace").replace("\r", "")
            sys.stdout.write(line)
            sys.stdout.flush()
            if found := _END.match(line):
                code = int(found[1])
    return code
