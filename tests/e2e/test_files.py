"""`polong files`: another container's files, whole and only those, whatever the container has laid out to mislead us."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.cluster import Client, busybox, eventually, pod

CANARY = "only-on-the-host"

EVIL = """
mkdir -p /e/deep && cd /e && echo inside > plain && echo hidden > .dot
ln -s {host}/canary absolute; ln -s ../../../../../../..{host}/canary climbing; ln -s /e/plain good
ln -s /proc/1/root magic; ln -s /proc/self/root self; ln -s /proc/self/cwd cwd; ln -s loop loop
mkfifo fifo; mknod zero c 1 5; dd if=/dev/zero of=huge bs=1M seek=5000 count=0
printf 'x' > "$(printf 'name\\033[31m\\nline')"; echo deep > deep/file; ln -s {host} deep/link
printf 'one\\ntwo\\nthree\\n' > lines
sleep 1000
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("host")
    (directory / "canary").write_text(CANARY)
    return directory


@pytest.fixture(scope="module")
def evil(polong: Client, host: Path) -> Iterator[str]:
    polong.apply(pod("evil", busybox("app", EVIL.format(host=host))))
    try:
        polong.ready("evil")
        eventually(lambda: "lines" in polong("files", "evil", "ls", "/e"), "the container to lay out its files")
        yield "evil"
    finally:
        polong.delete("evil")


def refused(polong: Client, *words: str) -> str:
    """The one line of a refusal."""
    begun = time.monotonic()
    done = polong.try_("files", *words, timeout=30)
    assert done.returncode == 1, done.stdout
    assert time.monotonic() - begun < 15
    assert CANARY not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_an_image_without_shell_is_read_and_written(polong: Client, tmp_path: Path) -> None:
    polong.apply(pod("bare", {"name": "web", "image": "static-web"}))
    try:
        polong.ready("bare")
        assert polong("files", "bare", "cat", "/www/index.html") == "one static program, no shell\n"
        assert "index.html" in polong("files", "bare", "-c", "web", "ls", "/www")
        mine = tmp_path / "page.html"
        mine.write_text("written\n")
        mine.chmod(0o640)
        polong("files", "bare", "cp", str(mine), ":/www")
        assert polong("files", "bare", "cat", "/www/page.html") == "written\n"
        (item,) = [each for each in json.loads(polong("files", "bare", "ls", "/www", "-o", "json"))["items"] if each["name"] == "page.html"]
        assert (item["mode"], item["sizeBytes"], item["type"]) == ("0640", 8, "file")
        polong("files", "bare", "cp", ":/www", str(tmp_path / "copy"))
        assert {path.name for path in (tmp_path / "copy").iterdir()} == {"index.html", "page.html"}
    finally:
        polong.delete("bare")


@pytest.mark.parametrize("name", ["absolute", "climbing"])
def test_links_end_at_the_containers_root(polong: Client, evil: str, name: str) -> None:
    assert "no such file" in refused(polong, evil, "cat", f"/e/{name}")


@pytest.mark.parametrize("path", ["/e/magic/etc/hostname", "/proc/1/root/etc/hostname", "/proc/1/fd/0"])
def test_links_of_the_kernel_are_not_followed(polong: Client, evil: str, path: str) -> None:
    assert "link of the kernel's" in refused(polong, evil, "cat", path)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/e/fifo", "is a fifo"),
        ("/e/zero", "is a character-device"),
        ("/dev/null", "is a character-device"),
        ("/e/huge", "the most is"),
        ("/e/loop", "too many links"),
        ("/e", "is a directory"),
        ("/proc/meminfo", "file of the kernel's"),
        ("/sys/kernel/uevent_seqnum", "file of the kernel's"),
        ("/e/none", "no such file"),
        ("/e/self/etc/hostname", "no such file"),
        ("/e/cwd/canary", "no such file"),
        ("/e/plain/x", "not a directory"),
    ],
)
def test_what_is_no_file_of_the_containers_is_refused_by_name(polong: Client, evil: str, path: str, words: str) -> None:
    assert words in refused(polong, evil, "cat", path)


def test_good_links_lines_and_names(polong: Client, evil: str) -> None:
    assert polong("files", evil, "cat", "/e/good") == "inside\n"
    assert polong("files", evil, "cat", "/../../e/plain") == "inside\n"
    assert polong("files", evil, "tail", "-l", "2", "/e/lines") == "two\nthree\n"
    listing = polong("files", evil, "ls", "/e")
    assert "\x1b" not in listing
    assert "name\\x1b[31m\\nline" in listing
    assert f"absolute -> {'/'}" in listing


def test_a_copy_of_a_directory_holds_no_links_that_lead_out(polong: Client, evil: str, tmp_path: Path) -> None:
    done = polong.try_("files", evil, "cp", ":/e/deep", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["file"]
    assert "link was left out" in done.stderr
    assert (tmp_path / "out" / "file").read_text() == "deep\n"


def test_what_is_odd_in_a_tree_is_left_out_by_name(polong: Client, evil: str, tmp_path: Path) -> None:
    begun = time.monotonic()
    done = polong.try_("files", evil, "cp", ":/e", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - begun < 20
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {".dot", "deep", "lines", "loop", "name\x1b[31m\nline", "plain"}
    for words in ("fifo was left out: it is a fifo", "zero was left out: it is a character-device", "huge was left out: it has 5242880000"):
        assert words in done.stderr
    for name in ("absolute", "climbing", "good", "magic"):
        assert f"{name} was left out: it is a link to" in done.stderr
    assert "\x1b" not in done.stderr
    for path in ("/proc", "/sys", "/proc/1"):
        assert "the kernel's" in refused(polong, evil, "cp", f":{path}", str(tmp_path / "kernel"))


def tree(top: Path) -> dict[str, tuple[int, bytes | str]]:
    """Names to (permissions, content or goal)."""
    found: dict[str, tuple[int, bytes | str]] = {}
    for path in sorted(top.rglob("*")):
        mode = path.lstat().st_mode & 0o777
        content: bytes | str = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
        found[str(path.relative_to(top))] = (0 if path.is_symlink() else mode, content)
    return found


def sown(top: Path) -> dict[str, tuple[int, bytes | str]]:
    (top / "sub" / "deep").mkdir(parents=True)
    (top / "sub").chmod(0o750)
    (top / "sub" / "run").write_text("#!/bin/sh")
    (top / "sub" / "run").chmod(0o755)
    (top / "sub" / "deep" / "link").symlink_to("../run")
    (top / "big").write_bytes(os.urandom(3 << 20))
    (top / os.fsdecode(b"n\xff\n")).write_text("no text")
    (top / ("l" * 200)).write_text("long")
    return tree(top)


@pytest.mark.parametrize("spec", [{"shareProcessNamespace": True}, {"hostUsers": False}], ids=["shared", "userns"])
def test_a_tree_goes_in_and_comes_back(polong: Client, tmp_path: Path, spec: dict[str, object]) -> None:
    """Into an image without tar, and a volume; for a user that is not root, and in a user namespace."""
    wanted = sown(tmp_path / "mine")
    bare = {"name": "web", "image": "static-web", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    user = busybox("user", "sleep 1000", securityContext={"runAsUser": 1000, "runAsGroup": 2000}, volumeMounts=bare["volumeMounts"])
    polong.apply(pod("trees", bare, user, volumes=[{"name": "data", "emptyDir": {}}], **spec))
    try:
        polong.ready("trees")
        for container, place in (("web", "/www"), ("web", "/data"), ("user", "/data/of-user")):
            polong("files", "trees", "-c", container, "cp", str(tmp_path / "mine"), f":{place}")
            inside = place if place == "/data/of-user" else f"{place}/mine"
            back = tmp_path / container / place.strip("/").replace("/", "-")
            back.parent.mkdir(exist_ok=True)
            polong("files", "trees", "-c", container, "cp", f":{inside}", str(back))
            assert tree(back) == wanted
        owners = polong(
            "exec", "trees", "-c", "user", "--", "stat", "-c", "%u:%g", "/data/mine/big", "/data/of-user", "/data/of-user/sub/run"
        )
        assert owners.split() == ["1000:1000", "1000:2000", "1000:2000"]
        listed = polong.json("files", "trees", "-c", "user", "ls", "/data/of-user")["items"]
        assert {(each["uid"], each["gid"]) for each in listed} == {(1000, 2000)}
        # What is there keeps its owner; "/." is the contents alone.
        polong("files", "trees", "-c", "web", "cp", f"{tmp_path / 'mine'}/.", ":/data/of-user")
        assert polong("exec", "trees", "-c", "user", "--", "stat", "-c", "%g", "/data/of-user/big") == "2000\n"
        one = tmp_path / "one"
        one.write_text("one")
        polong("files", "trees", "-c", "user", "cp", str(one), ":/data")
        assert polong("exec", "trees", "-c", "user", "--", "stat", "-c", "%u:%g", "/data/one") == "1000:2000\n"
    finally:
        polong.delete("trees")


def test_a_tree_does_not_go_where_it_may_not(polong: Client, evil: str, host: Path, tmp_path: Path) -> None:
    sown(tmp_path / "mine")
    os.mkfifo(tmp_path / "mine" / "fifo")
    os.mkfifo(tmp_path / "pipe")
    mine = str(tmp_path / "mine")
    assert "neither a file nor a directory" in refused(polong, evil, "cp", str(tmp_path / "pipe"), ":/e/pipe")
    assert "neither a file nor a directory" in refused(polong, evil, "cp", "/dev/zero", ":/e/zeros")
    assert "kernel's" in refused(polong, evil, "cp", mine, ":/proc/sys")
    assert "kernel's" in refused(polong, evil, "cp", mine, ":/sys/kernel")
    assert "not a directory" in refused(polong, evil, "cp", mine, ":/e/plain")
    assert "no such file" in refused(polong, evil, "cp", mine, ":/e/none/there")
    (tmp_path / "mine" / "deep").mkdir()
    (tmp_path / "mine" / "deep" / "link").mkdir()
    (tmp_path / "mine" / "deep" / "link" / "canary").write_text("mine")
    said = refused(polong, evil, "cp", f"{mine}/.", ":/e")
    assert "/e/deep/link is a link, not a directory: nothing is written through it" in said
    assert [path.name for path in host.iterdir()] == ["canary"]
    assert (host / "canary").read_text() == CANARY


def test_a_replaced_file_keeps_no_rights_of_its_old_content(polong: Client, tmp_path: Path) -> None:
    """As write(2) does: setuid, setgid and capabilities vouched for what was there."""
    mine = tmp_path / "mine"
    mine.write_text("new")
    polong.apply(pod("rights", busybox("app", "cp /bin/busybox /tool; chmod 6755 /tool; echo ready; sleep 1000")))
    try:
        polong.ready("rights")
        (app,) = [each for each in polong.json("ps", "rights")["items"] if each["role"] == "main"]
        tool = Path(f"/proc/{app['hostPID']}/root/tool")
        eventually(lambda: tool.stat().st_mode & 0o7777 == 0o6755, "the file")
        # setpcap(8)'s effective CAP_NET_RAW, version 2; and an attribute that is nobody's proof.
        os.setxattr(tool, "security.capability", b"\1\0\0\2" + b"\0\x20\0\0" + b"\0" * 12)
        os.setxattr(tool, "trusted.note", b"kept")
        assert "security.capability" in os.listxattr(tool)
        polong("files", "rights", "cp", str(mine), ":/tool")
        assert tool.stat().st_mode & 0o7777 == 0o755
        assert "security.capability" not in os.listxattr(tool)
        assert os.getxattr(tool, "trusted.note") == b"kept"
    finally:
        polong.delete("rights")


def test_a_racer_sends_no_tree_elsewhere(polong: Client, host: Path, tmp_path: Path) -> None:
    """Row 50, with real containers: the container swaps a directory for a link while trees are copied into it and out of it."""
    mine = tmp_path / "mine"
    (mine / "d").mkdir(parents=True)
    for number in range(200):
        (mine / "d" / f"f{number}").write_text("mine")
    (mine / "d" / "canary").write_text("mine")
    script = f"mkdir -p /r/d && echo mine > /r/d/canary && cd /r && ln -s {host} l; while :; do mv d x; mv l d; mv d l; mv x d; done"
    polong.apply(pod("swapper", busybox("app", script)))
    try:
        polong.ready("swapper")
        came = went = 0
        for turn in range(4):
            done = polong.try_("files", "swapper", "cp", f"{mine}/.", ":/r")
            assert "Traceback" not in done.stderr
            went += done.returncode == 0
            done = polong.try_("files", "swapper", "cp", ":/r/.", str(tmp_path / f"out{turn}"))
            came += done.returncode == 0
            for path in (tmp_path / f"out{turn}").rglob("canary"):
                assert path.read_text() in ("mine", "mine\n")
        assert came
        assert went
        assert [path.name for path in host.iterdir()] == ["canary"]
        assert (host / "canary").read_text() == CANARY
    finally:
        polong.delete("swapper")


def test_writing_replaces_no_link_and_leaves_the_host_alone(polong: Client, evil: str, host: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    assert "is a link" in refused(polong, evil, "cp", str(mine), ":/e/absolute")
    assert "is a fifo" in refused(polong, evil, "cp", str(mine), ":/e/fifo")
    assert "kernel's" in refused(polong, evil, "cp", str(mine), ":/proc/sys/kernel/core_pattern")
    assert "no such file" in refused(polong, evil, "cp", str(mine), ":/e/deep/link/new")
    assert [path.name for path in host.iterdir()] == ["canary"]
    assert (host / "canary").read_text() == CANARY
    assert ".polong" not in polong("files", evil, "ls", "/e")


def test_a_racer_never_leads_out(polong: Client, host: Path) -> None:
    """A directory that becomes a link to the host and back, as fast as the container can."""
    script = f"mkdir -p /r/d && echo mine > /r/d/canary && cd /r && ln -s {host} l; while :; do mv d x; mv l d; mv d l; mv x d; done"
    polong.apply(pod("racer", busybox("app", script)))
    try:
        polong.ready("racer")
        seen = set()
        for _ in range(25):
            done = polong.try_("files", "racer", "cat", "/r/d/canary")
            seen.add(done.stdout)
            assert CANARY not in done.stdout
        assert seen <= {"mine\n", ""}
        assert (host / "canary").read_text() == CANARY
    finally:
        polong.delete("racer")


def test_following_ends_with_the_container(polong: Client) -> None:
    polong.apply(pod("ending", busybox("app", "i=0; while :; do i=$((i+1)); echo line $i >> /log; sleep 0.2; done")))
    try:
        polong.ready("ending")
        eventually(lambda: polong.try_("files", "ending", "cat", "/log").returncode == 0, "the file")
        words = [str(polong.program), "files", "ending", "tail", "-f", "-l", "1", "/log"]
        with subprocess.Popen(words, env=polong.env, stdout=subprocess.PIPE, text=True) as following:
            assert following.stdout is not None
            lines = [following.stdout.readline() for _ in range(3)]
            numbers = [int(line.split()[1]) for line in lines]
            assert numbers == list(range(numbers[0], numbers[0] + 3))
            polong.delete("ending")
            assert following.wait(20) == 0
    finally:
        polong.delete("ending")


def test_a_read_only_root_stays_read_only(polong: Client, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    polong.apply(pod("sealed", busybox("app", "sleep 1000", securityContext={"readOnlyRootFilesystem": True})))
    try:
        polong.ready("sealed")
        assert "read-only file system" in refused(polong, "sealed", "cp", str(tmp_path / "mine"), ":/etc/mine")
    finally:
        polong.delete("sealed")


def test_what_is_asked_wrongly_is_said_in_one_line(polong: Client, evil: str) -> None:
    for words, said in (
        ((), "after the Pod comes what to do: ls, cat, tail, cp, edit"),
        (("rm", "/e"), "cp, edit, not rm"),
        (("-c", "ap", "ls"), "did you mean 'app'?"),
        (("cp", "a", "b"), "one of source and destination is :PATH"),
        (("cp", "/none", ":/e"), "/none: No such file"),
        (("cp", ":/none", "/tmp"), "/none: no such file"),
        (("cat",), "cat needs a path"),
    ):
        assert said in refused(polong, evil, *words)
    odd = polong.try_("files", evil, "cat", os.fsdecode(b"/e/n\xff"))
    assert (odd.returncode, odd.stderr) == (1, "Error from server (NotFound): /e/n\\xff: no such file or directory\n")
    assert "did you mean 'evil'?" in polong.try_("files", "evli", "ls").stderr


def test_a_full_disk_is_said_and_nothing_half_made_is_left(polong: Client, tmp_path: Path) -> None:
    memory = {"name": "small", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}
    app = busybox("app", "sleep 100000", volumeMounts=[{"name": "small", "mountPath": "/small"}])
    polong.apply(pod("full", app, volumes=[memory]))
    (tmp_path / "large").write_bytes(bytes(4 << 20))
    try:
        polong.ready("full")
        assert "/small/large: no space left on device" in refused(polong, "full", "cp", str(tmp_path / "large"), ":/small")
        assert polong("files", "full", "ls", "/small").splitlines()[1:] == []
    finally:
        polong.delete("full")


def test_a_reader_that_leaves_ends_it_quietly(polong: Client, evil: str) -> None:
    line = f"{polong.program} files {evil} cat /bin/busybox | head -c 1 | wc -c; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], env=polong.env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (141, "1", "")


def test_a_container_that_does_not_run_has_no_files(polong: Client) -> None:
    polong.apply(pod("ended", busybox("app", "exit 0"), restartPolicy="Never"))
    try:
        eventually(lambda: polong.json("get", "pod", "ended")["status"].get("phase") == "Succeeded", "the end")
        assert "is not running" in refused(polong, "ended", "ls", "/")
        assert "container nope not found" in refused(polong, "ended", "-c", "nope", "ls", "/")
    finally:
        polong.delete("ended")


def test_no_worker_is_left(polong: Client, evil: str) -> None:
    refused(polong, evil, "cat", "/e/huge")
    polong("files", evil, "cat", "/e/plain")

    def workers() -> list[str]:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                found += [path.parent.name] if b"polong.kubelet.host.fileworker" in path.read_bytes() else []
            except OSError:
                continue
        return found

    eventually(lambda: not workers(), "the workers to end", 5)
