"""`polong files`: another container's files, whole and only those, whatever the container has laid out to mislead us."""

from __future__ import annotations

import json
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


def test_a_copy_of_a_directory_holds_no_links(polong: Client, evil: str, tmp_path: Path) -> None:
    done = polong.try_("files", evil, "cp", ":/e/deep", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["file"]
    assert "link was left out" in done.stderr
    assert (tmp_path / "out" / "file").read_text() == "deep\n"


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
