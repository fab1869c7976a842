"""`python -m tools.vm [--cgroups v2|v1|hybrid] [--kvm] [pytest arguments]`: see the package. The exit code is that of pytest."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from tools.vm import disk, machine

# What differs between kernels: cgroups and what is read of them, namespaces, security modules; and the page itself.
TESTS = (
    "tests/integration/linux",
    "tests/integration/oci",
    "tests/integration/cri/test_lifecycle.py",
    "tests/conformance/test_apparmor.py",
    "tests/conformance/test_pid_namespaces.py",
    "tests/conformance/test_resize.py",
)
_SECONDS = 120
PACKAGES = ("qemu-system-x86", "mmdebstrap", "e2fsprogs")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.vm", description="Run tests in a virtual machine with Debian's kernel.")
    parser.add_argument("--cgroups", choices=machine.LAYOUTS, default="v2", help="layout of cgroups in the machine (default v2)")
    parser.add_argument("--kvm", action="store_true", help="use the processor as it is, where /dev/kvm lets it")
    parser.add_argument("--minutes", type=int, default=90, help="end the machine after so long (default 90)")
    options, tests = parser.parse_known_args()
    if os.getuid() != 0:
        print("vm: needs root: a system's files are made", file=sys.stderr)
        return 1
    install()
    words = ["-q", "-p", "no:cacheprovider", "-o", f"timeout={_SECONDS * machine.PATIENCE}", *(tests or TESTS)]
    return machine.run(disk.build(machine.init(options.cgroups, words)), kvm=options.kvm, seconds=options.minutes * 60)


def install() -> None:
    missing = [
        name
        for name in PACKAGES
        if subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Abbrev}", name], capture_output=True, check=False).stdout != b"ii "
    ]
    if missing:
        print(f"vm: installing {' '.join(missing)}", flush=True)
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], env=environment, check=True)


if __name__ == "__main__":
    sys.exit(main())
