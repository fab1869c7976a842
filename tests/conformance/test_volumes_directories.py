"""emptyDir and hostPath: modes, media, sharing, sizes, propagation."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.cluster import Cluster, Refused, statuses
from tests.e2e.cluster import busybox, eventually, pod

Json = dict[str, Any]

MODES = ("644", "666", "777")


@pytest.mark.behaviour("emptydir/mode", "emptydir/files-root", "emptydir/files-nonroot", "emptydir/shared", "emptydir/size-limit")
def test_directories_on_both_media(cluster: Cluster) -> None:
    mounts = [{"name": "disk", "mountPath": "/disk"}, {"name": "memory", "mountPath": "/memory"}]
    each = "echo $u > /$d/$u-$m; chmod $m /$d/$u-$m"
    script = f"u=$(id -u); for m in 644 666 777; do for d in disk memory; do {each}; done; done; exec sleep 1000"
    made = pod(
        "empty",
        busybox("root", script, volumeMounts=mounts),
        busybox("nonroot", script, volumeMounts=mounts, securityContext={"runAsUser": 1001}),
        volumes=[{"name": "disk", "emptyDir": {}}, {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "2Mi"}}],
    )
    cluster.run(made)
    assert cluster.sh("empty", "root", "stat -c '%A %a' /disk /memory") == "drwxrwxrwx 777\ndrwxrwxrwx 777"
    kinds = dict(line.split()[1:3] for line in cluster.sh("empty", "root", "cat /proc/mounts").splitlines())
    assert (kinds["/memory"], kinds["/disk"] != "tmpfs") == ("tmpfs", True)
    names = [f"{user}-{mode}" for user in (0, 1001) for mode in MODES]
    for directory in ("disk", "memory"):
        listing = f"cd /{directory}; for f in {' '.join(names)}; do stat -c '%a %u' $f; cat $f; done"
        wanted = [line for user in (0, 1001) for mode in MODES for line in (f"{mode} {user}", str(user))]
        eventually(lambda listing=listing: cluster.exec("empty", "root", "sh", "-c", listing).code == 0, "files are there")
        # Each container reads what the other wrote.
        assert cluster.sh("empty", "root", listing).splitlines() == wanted
        assert cluster.sh("empty", "nonroot", listing).splitlines() == wanted
    full = cluster.exec("empty", "root", "dd", "if=/dev/zero", "of=/memory/big", "bs=1M", "count=3")
    assert full.code != 0
    assert "No space left on device" in full.stderr


@pytest.mark.behaviour("emptydir/fsgroup")
def test_the_group_of_the_pod_owns_what_is_made(cluster: Cluster) -> None:
    mounts = [{"name": "disk", "mountPath": "/disk"}, {"name": "memory", "mountPath": "/memory"}]
    made = pod(
        "group",
        busybox("c", "exec sleep 1000", volumeMounts=mounts),
        volumes=[{"name": "disk", "emptyDir": {}}, {"name": "memory", "emptyDir": {"medium": "Memory"}}],
        securityContext={"runAsUser": 1000, "fsGroup": 123, "supplementalGroups": [456]},
    )
    cluster.run(made)
    script = "id -G; for d in /disk /memory; do touch $d/f; mkdir $d/d; stat -c '%a %g' $d; stat -c '%g' $d/f $d/d; done"
    assert cluster.sh("group", "c", script).splitlines() == ["0 123 456", "2777 123", "123", "123", "2777 123", "123", "123"]


@pytest.mark.behaviour("hostpath/mode", "hostpath/shared", "hostpath/subpath")
def test_a_directory_of_the_host(cluster: Cluster, tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    whole = [{"name": "h", "mountPath": "/h"}]
    part = [{"name": "h", "mountPath": "/part", "subPath": "sub/deep"}]
    made = pod(
        "host",
        busybox("a", "exec sleep 1000", volumeMounts=whole),
        busybox("b", "exec sleep 1000", volumeMounts=[*whole, *part]),
        volumes=[{"name": "h", "hostPath": {"path": str(tmp_path)}}],
    )
    cluster.run(made)
    assert cluster.sh("host", "a", "stat -c %A /h; echo a > /h/from-a") == "drwxrwxrwt"
    assert cluster.sh("host", "b", "cat /h/from-a; echo b > /part/from-b") == "a"
    assert (tmp_path / "sub" / "deep" / "from-b").read_text() == "b\n"
    assert cluster.sh("host", "a", "cat /h/sub/deep/from-b") == "b"
    cluster.delete("pods", "host", grace=1)
    cluster.gone("pods", "host")
    assert (tmp_path / "from-a").read_text() == "a\n"


def test_types_of_host_paths(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "directory").mkdir()
    good = {
        "made": ("DirectoryOrCreate", tmp_path / "new" / "er"),
        "file": ("File", tmp_path / "file"),
        "made-file": ("FileOrCreate", tmp_path / "new-file"),
        "device": ("CharDevice", Path("/dev/null")),
        "socket-less": ("", tmp_path / "directory"),
    }
    mounts = [{"name": name, "mountPath": f"/h/{name}"} for name in good]
    volumes = [{"name": name, "hostPath": {"path": str(path), "type": kind}} for name, (kind, path) in good.items()]
    cluster.create("pods", pod("good", busybox("c", "exec sleep 1000", volumeMounts=mounts), volumes=volumes))
    bad = {
        "no-directory": ("Directory", tmp_path / "file", "is not a directory"),
        "no-file": ("File", tmp_path / "directory", "is not a file"),
        "no-socket": ("Socket", tmp_path / "file", "is not a socket file"),
        "no-device": ("CharDevice", tmp_path / "file", "is not a character device"),
        "no-block": ("BlockDevice", Path("/dev/null"), "is not a block device"),
        "missing": ("Directory", tmp_path / "none", "is not a directory"),
    }
    for name, (kind, path, _) in bad.items():
        mount = [{"name": "v", "mountPath": "/v"}]
        volume = {"name": "v", "hostPath": {"path": str(path), "type": kind}}
        cluster.create("pods", pod(name, busybox("c", "exec sleep 1000", volumeMounts=mount), volumes=[volume]))
    for name, (_, path, why) in bad.items():
        message = cluster.event(name, "FailedMount")["message"]
        assert message == f'MountVolume.SetUp failed for volume "v" : hostPath type check failed: {path} {why}'
        assert cluster.pod(name)["status"]["phase"] == "Pending"
    cluster.ready("good")
    assert cluster.sh("good", "c", "for f in /h/*; do stat -c '%n %F' $f; done").splitlines() == [
        "/h/device character special file",
        "/h/file regular empty file",
        "/h/made directory",
        "/h/made-file regular empty file",
        "/h/socket-less directory",
    ]


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A mount of the host that tells its peers what is mounted below it."""
    subprocess.run(["mount", "-t", "tmpfs", "shared", str(tmp_path)], check=True)
    try:
        subprocess.run(["mount", "--make-shared", str(tmp_path)], check=True)
        yield tmp_path
    finally:
        subprocess.run(["umount", "--recursive", "--lazy", str(tmp_path)], check=True)


def test_mounts_travel_as_asked(cluster: Cluster, shared: Path) -> None:
    kinds = {"none": None, "in": "HostToContainer", "both": "Bidirectional"}
    containers = []
    for name, kind in kinds.items():
        mount = {"name": "h", "mountPath": "/h", **({"mountPropagation": kind} if kind else {})}
        containers.append(busybox(name, "exec sleep 1000", volumeMounts=[mount], securityContext={"privileged": True}))
    cluster.run(pod("travel", *containers, volumes=[{"name": "h", "hostPath": {"path": str(shared)}}]))
    (shared / "host").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "late", str(shared / "host")], check=True)
    (shared / "host" / "file").write_text("")
    assert {name: cluster.sh("travel", name, "ls /h/host") for name in kinds} == {"none": "", "in": "file", "both": "file"}
    for name in kinds:
        cluster.sh("travel", name, f"mkdir /h/{name}; mount -t tmpfs inner /h/{name}; touch /h/{name}/file")
    assert {name: len(list((shared / name).iterdir())) for name in kinds} == {"none": 0, "in": 0, "both": 1}
    assert cluster.sh("travel", "in", "ls /h/both") == "file"
    refused = pod(
        "refused", busybox("c", "exec sleep 1", volumeMounts=[{"name": "h", "mountPath": "/h", "mountPropagation": "Bidirectional"}])
    )
    refused["spec"]["volumes"] = [{"name": "h", "emptyDir": {}}]
    with pytest.raises(Refused) as error:
        cluster.create("pods", refused)
    assert "Bidirectional mount propagation is available only to privileged containers" in error.value.message


def test_read_only_goes_as_deep_as_asked(cluster: Cluster, shared: Path) -> None:
    (shared / "below").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "below", str(shared / "below")], check=True)
    kinds = ("Disabled", "IfPossible", "Enabled")
    mounts = [{"name": "h", "mountPath": f"/{kind}", "readOnly": True, "recursiveReadOnly": kind} for kind in kinds]
    made = pod("locked", busybox("c", "exec sleep 1000", volumeMounts=mounts), volumes=[{"name": "h", "hostPath": {"path": str(shared)}}])
    told = cluster.run(made)
    for kind in kinds:
        assert cluster.exec("locked", "c", "touch", f"/{kind}/file").code != 0
    assert {kind: cluster.exec("locked", "c", "touch", f"/{kind}/below/file").code == 0 for kind in kinds} == {
        "Disabled": True,
        "IfPossible": False,
        "Enabled": False,
    }
    found = {each["mountPath"]: each["recursiveReadOnly"] for each in statuses(told)["c"]["volumeMounts"] if each["name"] == "h"}
    assert found == {"/Disabled": "Disabled", "/IfPossible": "Enabled", "/Enabled": "Enabled"}


@pytest.mark.behaviour("node/image-volume")
def test_an_image_is_a_volume(cluster: Cluster) -> None:
    mounts = [{"name": "i", "mountPath": "/i"}, {"name": "i", "mountPath": "/part", "subPath": "etc/nginx"}]
    volumes = [{"name": "i", "image": {"reference": "nginx", "pullPolicy": "IfNotPresent"}}]
    cluster.run(pod("image", busybox("c", "exec sleep 1000", volumeMounts=mounts), volumes=volumes))
    assert cluster.sh("image", "c", "head -c 5 /i/etc/nginx/nginx.conf; cmp /i/etc/nginx/nginx.conf /part/nginx.conf") != ""
    assert "Read-only file system" in cluster.exec("image", "c", "touch", "/i/x").stderr
    never = [{"name": "i", "image": {"reference": "example.test/none:1", "pullPolicy": "Never"}}]
    cluster.create("pods", pod("no-image", busybox("c", "exec sleep 1000", volumeMounts=mounts[:1]), volumes=never))
    told = cluster.until(
        "no-image",
        lambda told: (statuses(told).get("c", {}).get("state", {}).get("waiting") or {}).get("reason") == "ErrImageNeverPull",
        "waits",
    )
    assert "example.test/none:1" in statuses(told)["c"]["state"]["waiting"]["message"]


@pytest.mark.slow
@pytest.mark.behaviour("pods/evicted")
def test_who_takes_too_much_of_the_disk_is_evicted(cluster: Cluster) -> None:
    fill = "dd if=/dev/zero of={} bs=1M count=3; exec sleep 1000"
    volume = [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]
    mount = [{"name": "v", "mountPath": "/v"}]
    limit = {"resources": {"limits": {"ephemeral-storage": "1Mi"}}}
    pods = {
        "fills-volume": (pod("fills-volume", busybox("c", fill.format("/v/f"), volumeMounts=mount), volumes=volume), 'EmptyDir volume "v"'),
        "fills-layer": (pod("fills-layer", busybox("c", fill.format("/f"), **limit)), "exceeds the total limit of containers 1Mi"),
        "stays-below": (pod("stays-below", busybox("c", "exec sleep 1000", volumeMounts=mount, **limit), volumes=volume), ""),
    }
    for made, _ in pods.values():
        made["spec"]["restartPolicy"] = "OnFailure"
        cluster.create("pods", made)
    for name, (_, text) in pods.items():
        if not text:
            continue
        told = cluster.phase(name, "Failed")
        assert told["status"]["reason"] == "Evicted"
        assert text in told["status"]["message"]
        assert text in cluster.event(name, "Evicted")["message"]
        assert statuses(told)["c"]["restartCount"] == 0
    assert cluster.pod("stays-below")["status"]["phase"] == "Running"
