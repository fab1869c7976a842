"""Bundles: whole or absent."""

import pytest

from polong.kit.errors import FailedPrecondition
from polong.oci import bundle

CONFIG = {"process": {"args": ["ä"]}, "linux": {}}


def test_written_read_removed(tmp_path):
    directory = bundle.write(tmp_path / "a/b", CONFIG)
    assert bundle.read(directory) == CONFIG
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "config.json").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in directory.iterdir()] == ["config.json"]
    bundle.remove(directory)
    bundle.remove(directory)
    assert not directory.exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"process": 1}', "\0\0"])
def test_damaged_ones_are_named(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(FailedPrecondition, match=r"has no usable config\.json"):
        bundle.read(tmp_path)


def test_removing_never_follows_a_link(tmp_path):
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "file").touch()
    directory = bundle.write(tmp_path / "bundle", CONFIG)
    (directory / "link").symlink_to(canary)
    bundle.remove(directory)
    assert (canary / "file").exists()
