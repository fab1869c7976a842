"""Images and requests as an attacker writes them, with the real runtimes: the host beside them stays as it was.

The rows are those of docs/security.md.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.fixtures import oci
from tests.fixtures.canary import snapshot

from polong.criapi.wire import v1
from polong.kit.errors import PolongError
from polong.linux import mountinfo, proc

pytestmark = pytest.mark.root


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A directory of the host's that nothing may read, and above all not change."""
    path = tmp_path / "canary"
    path.mkdir(mode=0o711)
    for name in ("ptmx", "null", "core", "passwd", "mtab"):
        (path / name).write_text("CANARY")
    before = snapshot(path)
    yield path
    assert snapshot(path) == before


async def refused(node: Any, sandbox: str, **changes: Any) -> PolongError:
    """What is said when no container can be had of it; nothing of it stays."""
    before = set(node.engine.table.containers)
    with pytest.raises(PolongError) as caught:
        await node.started(sandbox, "sleep", "1000", **changes)
    for each in set(node.engine.table.containers) - before:
        await node.service.remove_container(v1.RemoveContainerRequest(container_id=each))
    assert "\n" not in caught.value.message
    return caught.value


# --- links of the image where a runtime mounts (rows 6, 8, 10, 11, 29) --------------------------------------------------------

_PLACES = (b"dev", b"proc", b"sys", b"etc", b"run", b"tmp")


async def test_links_at_the_runtimes_places(either: Any, canary: Path) -> None:
    there = str(canary).encode()
    targets = {"absolute": there, "relative": b"../" * 12 + there.lstrip(b"/"), "second": b"hop", "dangling": b"/missing"}
    sandbox = await either.run()
    for how, target in targets.items():
        members = [oci.whiteout(place) for place in _PLACES] + [oci.symlink(place, target) for place in _PLACES]
        image = await either.image(f"links-{how}", *members, oci.symlink(b"hop", there))
        for tty, sealed in ((False, False), (True, True)):
            security = v1.LinuxContainerSecurityContext(readonly_rootfs=sealed)
            linux = v1.LinuxContainerConfig(security_context=security)
            await still_fenced(either, await either.started(sandbox, "sleep", "1000", image=image, tty=tty, linux=linux))


async def still_fenced(node: Any, container: str) -> None:
    root = Path(f"/proc/{node.pid(container)}/root")
    on_top = {mount.target: mount.fstype for mount in mountinfo.read(node.pid(container))}
    assert (on_top["/dev"], on_top["/proc"], on_top["/sys"]) == ("tmpfs", "proc", "sysfs")
    for masked in ("proc/kcore", "proc/keys", "proc/timer_list", "proc/interrupts"):
        # Which of them there are is the kernel's affair.
        if not Path("/", masked).exists():
            continue
        status = (root / masked).lstat()
        assert (os.major(status.st_rdev), os.minor(status.st_rdev)) == (1, 3), masked
    assert not (root / "sys/firmware").is_dir() or not list((root / "sys/firmware").iterdir())


async def test_devices_of_the_image_are_not_the_containers(either: Any, canary: Path) -> None:
    """/dev/null, /dev/console and /dev/pts of the image are links to the host: a fresh /dev hides them, and a terminal is a real one."""
    there = str(canary).encode()
    members = [oci.symlink(b"dev/" + name, there + b"/null") for name in (b"null", b"console", b"ptmx", b"tty", b"core", b"stdin")]
    sandbox = await either.run()
    container = await either.started(sandbox, "sleep", "1000", image=await either.image("devices", *members), tty=True)
    root = Path(f"/proc/{either.pid(container)}/root")
    console = (root / "dev/console").lstat()
    assert 136 <= os.major(console.st_rdev) <= 143, "a pseudo-terminal"
    null = (root / "dev/null").lstat()
    assert (os.major(null.st_rdev), os.minor(null.st_rdev)) == (1, 3)
    for name in ("pts", "shm", "mqueue"):
        image = await either.image(f"devices-{name}", oci.symlink(f"dev/{name}".encode(), there))
        assert f"/dev/{name} is a symbolic link" in (await refused(either, sandbox, image=image)).message


# --- where nothing may be mounted (rows 5, 7, 8) -------------------------------------------------------------------------------


_KERNELS = ["/proc", "//proc/.", "/a/../proc", "/proc/self/attr", "/x", "/x/fs", "/sys/kernel", "/", "//", "/z"]
_DEVICES = ["/dev", "/dev/pts", "/dev/pts/0", "/dev/console", "/dev/null", "/y", "/y/null"]


async def test_no_volume_over_the_kernels_own(either: Any, canary: Path) -> None:
    links = [oci.symlink(b"x", b"/proc"), oci.symlink(b"y", b"/dev"), oci.symlink(b"z", b"x/sys")]
    image = await either.image("over", *links)
    sandbox = await either.run()
    for place in _KERNELS + _DEVICES:
        mount = v1.Mount(host_path=str(canary), container_path=place)
        error = await refused(either, sandbox, image=image, mounts=[mount], tty=True)
        assert error.reason == "CreateContainerError", place


async def test_volumes_that_an_image_declares_reach_nothing(either: Any, canary: Path) -> None:
    """VOLUME of /proc, of a path that climbs, of a link to the host: there is nothing of the host's in it (also CVE-2022-23648)."""
    there = str(canary)
    volumes = {each: {} for each in ("/proc", f"/../..{there}", f"/a/../..{there}", "/link", "/data", "..", "")}
    image = await either.image("volumes", oci.symlink(b"link", there.encode()), Volumes=volumes)
    sandbox = await either.run()
    container = await either.started(sandbox, "sleep", "1000", image=image)
    await still_fenced(either, container)
    await either.output(container, "sh", "-c", "echo mine > /data/file && ls -lnd /data | grep -q drwxr-xr-x")
    for place in ("/link/passwd", f"/..{there}/passwd", "/data/passwd"):
        assert (await either.exec(container, "cat", place)).exit_code != 0, place


# --- a working directory in a descriptor of the host's (row 2) ---------------------------------------------------------------------

_WAYS_OUT = [
    "/proc/self/fd/3",
    "/proc/self/fd/8",
    "/proc/self/fd/20",
    "/proc/1/cwd",
    "/dev/fd/7",
    "proc/self/fd/8",
    "/link",
    "/deep/link/8",
]


async def test_no_working_directory_in_a_descriptor(either: Any) -> None:
    """CVE-2024-21626: with a descriptor of a host directory leaked on purpose while the runtime is started."""
    leaks = [os.open("/", os.O_RDONLY | os.O_DIRECTORY) for _ in range(3)]
    links = [oci.symlink(b"link", b"/proc/self/fd/8"), oci.directory(b"deep"), oci.symlink(b"deep/link", b"/proc/self/fd")]
    try:
        for leak in leaks:
            os.set_inheritable(leak, True)
        sandbox = await either.run()
        plain = await either.image("plain", *links)
        for path in _WAYS_OUT:
            image = await either.image("cwd", *links, WorkingDir=path)
            assert "working directory" in (await refused(either, sandbox, image=image)).message, path
            assert "working directory" in (await refused(either, sandbox, image=plain, working_dir=path)).message, path
    finally:
        for leak in leaks:
            os.close(leak)


async def test_a_leaked_descriptor_reaches_no_process_of_the_container(either: Any) -> None:
    leak = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.set_inheritable(leak, True)
        sandbox = await either.run()
        container = await either.started(sandbox, "sleep", "1000")
        assert (await either.output(container, "readlink", "/proc/self/cwd")).strip() == "/"
        seen = (await either.output(container, "sh", "-c", "ls -l /proc/$$/fd")).splitlines()
        assert all("/dev/null" in line or "pipe:" in line for line in seen if "->" in line), seen
        for pid in (either.pid(container), either.pause(sandbox)):
            targets = [str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()]
            assert all(target.startswith(("pipe:", "/dev/null")) for target in targets), targets
    finally:
        os.close(leak)


# --- the host's own programs (row 1) --------------------------------------------------------------------------------------------


def programs() -> dict[str, str]:
    names = ("crun", "runc", "conmon")
    found = {str(Path(shutil.which(name, path="/usr/bin:/usr/sbin") or "").resolve()) for name in names}
    return {path: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in found}


async def test_nobody_writes_to_the_runtime_through_proc(either: Any) -> None:
    """CVE-2019-5736: an image whose program is the runtime itself, and a neighbour that opens every /proc/N/exe for writing."""
    before = programs()
    writer = "while :; do for p in /proc/[0-9]*/exe; do (echo EVIL > $p) 2>/dev/null; done; done"
    script = oci.file(b"evil", b"#!/proc/self/exe\n", mode=0o755)
    image = await either.image("itself", script, Entrypoint=["/evil"])
    sandbox = await either.run(pid=v1.POD)
    neighbour = await either.started(sandbox, "sh", "-c", writer)
    for number in range(3):
        with suppress(PolongError):
            await either.over(await either.started(sandbox, image=image, name=f"evil-{number}"))
    with suppress(PolongError):
        await either.exec(neighbour, "/evil")
    for _ in range(25):
        await either.exec(neighbour, "true")
    await either.stop(neighbour, 0)
    assert programs() == before


# --- races about mount points (rows 3, 4) ------------------------------------------------------------------------------------------


async def test_a_directory_swapped_for_a_link_after_it_was_vetted(either: Any, tmp_path: Path, canary: Path) -> None:
    """CVE-2021-30465, played once for certain: the swap comes between our look and the runtime's."""
    shared, inner = tmp_path / "shared", tmp_path / "inner"
    (shared / "x").mkdir(parents=True)
    inner.mkdir()
    (inner / "mine").write_text("mine")
    supervisor, plain = either.handler.supervisor, either.handler.supervisor.create

    async def swapped(*args: Any, **kwargs: Any) -> Any:
        (shared / "x").rename(shared / "was")
        (shared / "x").symlink_to(canary)
        return await plain(*args, **kwargs)

    sandbox = await either.run()
    mounts = [v1.Mount(host_path=str(shared), container_path="/shared"), v1.Mount(host_path=str(inner), container_path="/shared/x/y")]
    supervisor.create = swapped
    try:
        with suppress(PolongError):
            container = await either.started(sandbox, "sleep", "1000", mounts=mounts)
            await inside_its_root(either, container, canary)
    finally:
        supervisor.create = plain


async def test_a_racer_in_a_shared_volume(either: Any, tmp_path: Path, canary: Path) -> None:
    shared, inner = tmp_path / "shared", tmp_path / "inner"
    (shared / "real").mkdir(parents=True)
    (shared / "link").symlink_to("/")
    inner.mkdir()
    over = threading.Event()

    def race() -> None:
        while not over.is_set():
            for name in ("real", "link"):
                with suppress(OSError):
                    os.rename(shared / name, shared / "x")  # noqa: PTH104
                    os.rename(shared / "x", shared / name)  # noqa: PTH104

    racer = threading.Thread(target=race)
    sandbox = await either.run()
    mounts = [v1.Mount(host_path=str(shared), container_path="/shared"), v1.Mount(host_path=str(inner), container_path="/shared/x/y/z")]
    host = sorted(Path("/").iterdir())
    racer.start()
    try:
        for number in range(8):
            try:
                container = await either.started(sandbox, "sleep", "1000", mounts=mounts, name=f"raced-{number}")
            except PolongError:
                continue
            await inside_its_root(either, container, canary)
            await either.stop(container, 0)
    finally:
        over.set()
        await asyncio.to_thread(racer.join)
    assert sorted(Path("/").iterdir()) == host, "nothing was made on the host"


async def inside_its_root(node: Any, container: str, canary: Path) -> None:
    """No mount shows the host's root, and the canary is not to be seen below any."""
    pid = node.pid(container)
    for mount in mountinfo.read(pid):
        assert mount.target == "/" or not (Path(f"/proc/{pid}/root") / mount.target.lstrip("/") / canary.name).exists(), mount
        assert not (Path(f"/proc/{pid}/root") / mount.target.lstrip("/") / "boot").exists() or mount.target == "/"
    for place in ("/shared/x/passwd", "/shared/x/y/passwd", f"{canary}/passwd"):
        assert b"CANARY" not in (await node.exec(container, "cat", place)).stdout


# --- what the host reads back (row 9) ---------------------------------------------------------------------------------------------------


async def test_the_kernel_was_told_the_truth(either: Any, tmp_path: Path) -> None:
    """CVE-2025-52881: writes to procfs that a false /proc swallowed. Read from the host."""
    false = tmp_path / "false"
    (false / "self" / "attr").mkdir(parents=True)
    (false / "self" / "oom_score_adj").write_text("0")
    linux = v1.LinuxPodSandboxConfig(sysctls={"net.ipv4.ip_unprivileged_port_start": "77", "kernel.shm_rmid_forced": "1"})
    image = await either.image("false-proc", oci.whiteout(b"proc"), oci.symlink(b"proc", b"/data"))
    host = {name: Path(f"/proc/sys/{name}").read_text() for name in ("kernel/core_pattern", "kernel/shm_rmid_forced")}
    sandbox = await either.run(network=v1.POD, linux=linux)
    security = v1.LinuxContainerSecurityContext(no_new_privs=True)
    wanted = v1.LinuxContainerConfig(security_context=security, resources=v1.LinuxContainerResources(oom_score_adj=777))
    mounts = [v1.Mount(host_path=str(false), container_path="/data")]
    container = await either.started(sandbox, "sleep", "1000", image=image, mounts=mounts, linux=wanted)
    pid = either.pid(container)
    status = proc.status(pid)
    assert (status.seccomp, status.no_new_privileges) == (2, True)
    assert Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == "777"
    assert (await either.output(container, "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start")).strip() == "77"
    assert (await either.output(container, "cat", "/proc/sys/kernel/shm_rmid_forced")).strip() == "1"
    assert {name: Path(f"/proc/sys/{name}").read_text() for name in host} == host


# --- accounts (rows 23 to 26) ----------------------------------------------------------------------------------------------------------

_USERS = ["2147483648", "4294967296", "-1", "+0", " 0", "1_0", "٠", "0x0", "01000000000000000000000", "0\n0", "root:99999999999"]


async def test_a_user_that_only_looks_like_one(node: Any) -> None:
    sandbox = await node.run()
    for user in _USERS:
        passwd = oci.file(b"etc/passwd", f"root:x:0:0::/:/bin/sh\n{user}:x:0:0::/:/bin/sh\n".encode())
        image = await node.image("user", passwd, User=user)
        assert (await refused(node, sandbox, image=image)).reason == "CreateContainerConfigError", user


_REASONS = {"CreateContainerConfigError", "CreateContainerError"}
_ACCOUNTS = {
    "huge": [oci.file(b"etc/passwd", b"a" * (2 << 20))],
    "lines": [oci.file(b"etc/group", b"g:x:1:root\n" * 20_000)],
    "fifo": [oci.header(b"etc/group", b"6")],
    "link to a fifo": [oci.header(b"fifo", b"6"), oci.symlink(b"etc/passwd", b"/fifo")],
    "link out": [oci.symlink(b"etc/passwd", b"/../../../../etc/shadow")],
    "directory": [oci.directory(b"etc/passwd")],
    "device": [oci.header(b"etc/passwd", b"3", device=(1, 5))],
}


async def test_hostile_account_files(node: Any) -> None:
    """CVE-2025-4437 and its like: an answer within seconds, whatever the files are; never an account of the host's."""
    sandbox = await node.run()
    for name, members in _ACCOUNTS.items():
        image = await node.image("accounts", *[oci.whiteout(each) for each in (b"etc/passwd", b"etc/group")], *members)
        async with asyncio.timeout(5):
            if name not in {"link out", "device"}:
                assert (await refused(node, sandbox, image=image)).reason in _REASONS, name
                continue
            # There is no such file, for a link ends at the image's root and devices are not unpacked: root, whom every container knows.
            container = await node.started(sandbox, "sleep", "1000", image=image)
            assert proc.status(node.pid(container)).uids == (0, 0, 0, 0)


async def test_labels_and_annotations_of_an_image_are_data(node: Any) -> None:
    """CVE-2026-53488, CVE-2024-3154: names that a runtime obeys reach it from nowhere."""
    names = (
        "run.oci.hooks.stdout",
        "run.oci.handler",
        "org.systemd.property.ExecStart",
        "io.kubernetes.cri.sandbox-id",
        "module.wasm.image",
    )
    evil = dict.fromkeys(names, "/bin/sh")
    image = await node.image("labels", Labels=evil)
    container = await node.started(await node.run(annotations=evil), "sleep", "1000", image=image, annotations=evil, labels=evil)
    config = node.engine.container_config(container)
    assert not set(names) & set(config.get("annotations", {}))
    assert "hooks" not in config
