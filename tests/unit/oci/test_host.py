"""Facts of the host, and profiles by name."""

import json

import pytest

from polong.kit.errors import FailedPrecondition, Invalid
from polong.linux.cgroups import Layout
from polong.oci import host


def test_probe():
    found = host.probe(Layout("v1", {}, None))
    assert found.architecture
    assert not found.unified_cgroups


def test_devices():
    assert host.device("/dev/null", "/dev/x", "rw").major == 1
    for path, permissions in (("/dev", "rwm"), ("/dev/null", "x"), ("/dev/null", "")):
        with pytest.raises(Invalid):
            host.device(path, permissions=permissions)
    assert "/dev/null" not in {device.path for device in host.devices()}


def test_profiles_by_name(tmp_path):
    (tmp_path / "ok.json").write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW"}))
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "large.json").write_text(" " * ((1 << 20) + 1))
    (tmp_path / "link.json").symlink_to("/etc/passwd")
    assert host.load_seccomp(tmp_path, "ok.json") == {"defaultAction": "SCMP_ACT_ALLOW"}
    for name in ("", "/etc/passwd", "../x", "missing.json", "list.json", "link.json", "a\nb"):
        with pytest.raises(Invalid):
            host.load_seccomp(tmp_path, name)
    with pytest.raises(FailedPrecondition, match="no seccomp profile"):
        host.default_seccomp((tmp_path / "nothing.json",))
