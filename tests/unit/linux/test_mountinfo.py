"""The mount table as text."""

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
