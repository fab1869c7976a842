"""The mount table as text."""

from pathlib import Path

from polong.linux import mountinfo

_TEXT = (
    r"36 35 98:0 /mnt1 /mnt\0402 rw,noatime master:1 shared:3 - ext4 /dev/root rw,errors=continue" + "\n"
    "nonsense\n"
    "37 36 0:5 / /proc rw - proc proc rw\n"
)


def test_lines_become_values_and_bad_ones_are_passed_by():
    first, second = mountinfo.parse(_TEXT)
    assert (first.id, first.parent, first.device, first.root, first.target) == (36, 35, "98:0", "/mnt1", "/mnt 2")
    assert (first.options, first.optional, first.fstype) == (("rw", "noatime"), ("master:1", "shared:3"), "ext4")
    assert first.super_options == ("rw", "errors=continue")
    assert (second.target, second.optional) == ("/proc", ())


def test_the_real_table_has_a_root():
    assert any(mount.target == "/" for mount in mountinfo.read())


def test_below_finds_the_directory_and_what_is_under_it_with_the_kernels_escapes(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    rows = ["/a b", "/a b/c", "/a bc", "/x/a b", r"/a\040b"]
    written = [target.replace("\\", r"\134").replace(" ", r"\040") for target in rows]
    lines = [f"{number} 1 0:5 / {target} rw - tmpfs t rw" for number, target in enumerate(written)]
    (tmp_path / "self" / "mountinfo").write_text("\n".join(lines) + "\n")
    assert [mount.target for mount in mountinfo.below(Path("/a b"), tmp_path)] == ["/a b", "/a b/c"]
    assert [mount.target for mount in mountinfo.below(Path(r"/a\040b"), tmp_path)] == [r"/a\040b"]
    assert len(mountinfo.below(Path("/"), tmp_path)) == 5
