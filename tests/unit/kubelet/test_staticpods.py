"""Static Pods: what a file becomes, and mirrors over an API in memory."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from tests.unit.kubelet.conftest import Bench, make
from tests.unit.kubelet.doubles import container

from polong.kit.errors import Invalid, NotFound
from polong.kubelet import staticpods
from polong.kubelet.host import manifests
from polong.objects import pod as pods
from polong.objects import yaml as polong_yaml

Json = dict[str, Any]
NOW = "2026-01-02T03:04:05Z"
TEXT = b"{apiVersion: v1, kind: Pod, metadata: {name: Web, labels: {a: b}}, spec: {containers: [{name: c, image: x}]}}"


def complete(document: Any) -> Json:
    return dict(document)


def read(files: dict[str, bytes | str]) -> staticpods.Manifests:
    return staticpods.manifests(files, "node", NOW, complete)


def test_a_manifest_becomes_a_pod_of_this_node() -> None:
    (found,) = read({"/m/web.yaml": TEXT}).pods.values()
    assert (pods.name(found), pods.namespace(found), found["spec"]["nodeName"]) == ("web-node", "default", "node")
    uid = pods.uid(found)
    assert len(uid) == 32
    expected = {staticpods.HASH: uid, staticpods.SEEN: NOW, pods.SOURCE: "file"}
    assert found["metadata"]["annotations"] == expected
    assert found["spec"]["tolerations"] == [{"operator": "Exists", "effect": "NoExecute"}]
    shown = staticpods.mirror(found, {"metadata": {"name": "node", "uid": "n"}})
    assert shown["metadata"]["annotations"] == {**expected, pods.MIRROR: uid}
    assert "uid" not in shown["metadata"]


def test_node_path_and_content_make_the_uid() -> None:
    (one,) = read({"/m/web.yaml": TEXT}).pods
    assert [one] == list(read({"/m/web.yaml": TEXT}).pods)
    assert [one] != list(read({"/m/other.yaml": TEXT}).pods)
    assert [one] != list(read({"/m/web.yaml": TEXT + b" "}).pods)
    assert [one] != list(staticpods.manifests({"/m/web.yaml": TEXT}, "n2", NOW, complete).pods)


def test_one_bad_file_keeps_no_other_out() -> None:
    found = read({"/m/a.yaml": b"- 1", "/m/b.yaml": "cannot read it: no", "/m/c.yaml": b"a: [", "/m/d.yaml": TEXT, "/m/e.yaml": TEXT})
    assert [found.paths] == [{"/m/d.yaml": next(iter(found.pods))}]
    assert found.problems["/m/b.yaml"] == "cannot read it: no"
    assert found.problems["/m/e.yaml"] == "pod default/web-node is already in /m/d.yaml"
    assert set(found.problems) == {"/m/a.yaml", "/m/b.yaml", "/m/c.yaml", "/m/e.yaml"}


@pytest.mark.parametrize(
    ("spec", "plural"),
    [
        ({"serviceAccountName": "a"}, "serviceaccounts"),
        ({"imagePullSecrets": [{"name": "s"}]}, "secrets"),
        ({"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]}, "serviceaccounts"),
        ({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "p"}}]}, "persistentvolumeclaims"),
    ],
)
def test_nothing_of_the_api_may_be_referred_to(spec: Json, plural: str) -> None:
    document = polong_yaml.load_one(TEXT)
    assert isinstance(document, dict)
    with pytest.raises(Invalid, match=f"static pods may not reference {plural}"):
        staticpods.manifest("/m", TEXT, "node", NOW, lambda given: {**given, "spec": {**given["spec"], **spec}})


def test_only_regular_files_without_a_dot_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a")
    (tmp_path / ".b.yaml").write_text("b")
    (tmp_path / "d").mkdir()
    (tmp_path / "link.yaml").symlink_to("a.yaml")
    (tmp_path / "dangling.yaml").symlink_to("nowhere")
    with (tmp_path / "big.yaml").open("wb") as file:
        file.truncate(manifests.MOST_BYTES + 1)
    found = manifests.read(tmp_path)
    assert {Path(each).name: content for each, content in found.items() if Path(each).name != "big.yaml"} == {
        "a.yaml": b"a",
        "link.yaml": b"a",
    }
    assert "more than" in str(found[str(tmp_path / "big.yaml")])
    assert manifests.read(tmp_path / "nothing") == {}
    assert manifests.read(tmp_path / "a.yaml") == {str(tmp_path / "a.yaml"): b"a"}


# --- over an API in memory -----------------------------------------------------------------------------------------------------------


def full(document: Any) -> Json:
    made = dict(document)
    made["spec"] = {"restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "containers": [container("c")], **made.get("spec", {})}
    made["spec"]["containers"] = [container("c")]
    made["status"] = {"phase": "Pending"}
    return made


async def restarted(bench: Bench, directory: Path) -> None:
    await bench.kubelet.aclose()
    bench.config = dataclasses.replace(bench.config, static_pods=directory)
    bench.kubelet = make(bench, full)
    await bench.kubelet.start()


def mirrors(bench: Bench) -> list[Json]:
    return [each for each in bench.api.objects.values() if pods.mirror_of(each)]


async def test_a_static_pod_runs_also_where_its_mirror_cannot_be(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_bytes(TEXT)
    bench.api.refusing = NotFound('namespaces "default" not found')
    await restarted(bench, tmp_path)
    await bench.until(lambda: bench.runtime.live("c"))
    assert mirrors(bench) == []
    bench.api.refusing = None
    await bench.until(lambda: [each for each in mirrors(bench) if pods.phase(each) == "Running"], 15)
    # What stands in the API before the daemon knows of its Pod's end goes with it.
    (tmp_path / "web.yaml").unlink()
    await bench.until(lambda: not bench.runtime.live("c") and not mirrors(bench))


async def test_a_mirror_of_nothing_goes(bench: Bench, tmp_path: Path) -> None:
    stale = {"metadata": {"name": "old", "namespace": "default", "uid": "0a-0b", "annotations": {pods.MIRROR: "abc"}}, "spec": {}}
    bench.api.create({**stale, "kind": "Pod"})
    await bench.until(lambda: not mirrors(bench))
    await restarted(bench, tmp_path)
    assert not bench.runtime.containers
