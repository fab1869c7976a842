"""Clients that nobody here wrote, over every kind: seven versions of kubectl, the official Python client, kr8s."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import kr8s
import kubernetes.client
import kubernetes.config
import kubernetes.dynamic
import pytest
import yaml
from kr8s.objects import get_class, new_class
from tests.e2e.cluster import Client, Node, eventually
from tests.e2e.kinds import CLUSTER_WIDE, KINDS, SAMPLES, sample, samples
from tests.e2e.versions import side_by_side

Json = dict[str, Any]


@pytest.fixture
def space(node: Node) -> Iterator[str]:
    name = "clients"
    node.polong("create", "namespace", name)
    yield name
    node.polong("delete", "namespace", name)


# --- kubectl ------------------------------------------------------------------------------------------------------------------------


def _all(lines: list[str], *endings: str) -> bool:
    wrong = [line for line in lines if not line.endswith(endings)]
    assert not wrong, "\n".join(wrong)
    return True


def walk(kubectl: Client, name: str, namespace: str) -> None:
    """Every verb of kubectl that changes or shows objects, over all kinds at once."""
    given = yaml.safe_dump_all(samples(name, namespace))
    count = len(SAMPLES)

    def run(*words: str, stdin: str = given) -> list[str]:
        return kubectl(*words, "-f", "-", stdin=stdin, timeout=120).splitlines()

    assert len(run("create", "--dry-run=server")) == count
    assert _all(run("create"), " created")
    names = run("get", "-o", "name")
    assert len(names) == count
    assert {line.rpartition("/")[2] for line in names} == {name}
    # Events have no column for their name; every other kind is shown by it.
    for form in ((), ("--show-kind", "-o", "wide")):
        shown = run("get", *form)
        assert len({line for line in shown if name in line.partition(" ")[0]}) >= count - 1, "\n".join(shown)
    listed = json.loads("\n".join(run("get", "-o", "json")))["items"]
    assert {each["kind"] for each in listed} == set(KINDS.values())
    described = "\n".join(run("describe"))
    assert described.count("Name:") >= count
    assert _all(run("label", "more=yes"), " labeled")
    assert _all(run("annotate", "note=hello"), " annotated", " annotate")
    for kind, change in (
        ("merge", {"metadata": {"labels": {"more": "merged"}}}),
        ("strategic", {"metadata": {"labels": {"more": "strategic"}}}),
        ("json", [{"op": "replace", "path": "/metadata/labels/more", "value": "json"}]),
    ):
        assert _all(run("patch", f"--type={kind}", "-p", json.dumps(change)), " patched")
    assert len(kubectl("get", "configmaps", "-A", "-l", f"more=json,sample={name}", "--no-headers").splitlines()) == 1
    # Annotations of what was applied are missing: kubectl says so, and adds them.
    assert _all(run("apply"), " configured", " unchanged")
    assert _all(run("apply"), " unchanged")
    assert _all(run("apply", "--server-side", "--force-conflicts"), " serverside-applied")
    assert kubectl.try_("diff", "-f", "-", stdin=given, timeout=120).returncode == 0
    # Pods and claims take back only what they are now.
    now = json.loads("\n".join(run("get", "-o", "json")))
    for each in now["items"]:
        del each["metadata"]["resourceVersion"]
    assert _all(run("replace", stdin=json.dumps(now)), " replaced")
    assert all(" deleted" in line for line in run("delete", "--wait=true"))
    assert run("get", "--ignore-not-found", "-o", "name") == []


@pytest.mark.timeout(400)
def test_every_kubectl_does_everything_with_every_kind(node: Node, space: str) -> None:
    side_by_side(node, lambda kubectl, name: walk(kubectl, name, space))


@pytest.mark.timeout(400)
def test_every_kubectl_explains_every_kind(node: Node) -> None:
    def explain(kubectl: Client, _: str) -> None:
        for plural in SAMPLES:
            assert "FIELDS" in kubectl("explain", plural)
        assert set(SAMPLES) <= set(kubectl("api-resources", "-o", "name").splitlines())

    side_by_side(node, explain)


# --- the official Python client -----------------------------------------------------------------------------------------------------


def _relabelled(kind: Any, where: dict[str, str]) -> bool:
    """A PUT of what was just read; False where a controller was faster."""
    found = kind.get(name="official", **where).to_dict()
    found["metadata"]["labels"]["x"] = "z"
    try:
        return bool(kind.replace(body=found, **where).metadata.labels.x == "z")
    except kubernetes.dynamic.exceptions.ConflictError:
        return False


def test_the_official_client_over_every_kind(node: Node, space: str) -> None:
    api = kubernetes.config.new_client_from_config(str(node.root / "kubeconfig"))
    try:
        dynamic = kubernetes.dynamic.DynamicClient(api)
        for plural in SAMPLES:
            body = sample(plural, "official", space)
            kind = dynamic.resources.get(api_version=body["apiVersion"], kind=body["kind"])
            where = {} if body["kind"] in CLUSTER_WIDE else {"namespace": space}
            made = kind.create(body=body, **where)
            assert kind.get(name="official", **where).metadata.uid == made.metadata.uid
            patched = kind.patch(
                body={"metadata": {"labels": {"x": "y"}}}, name="official", content_type="application/merge-patch+json", **where
            )
            assert patched.metadata.labels.x == "y"
            eventually(lambda kind=kind, where=where: _relabelled(kind, where), f"{plural} are replaced")
            assert len(kind.get(label_selector="x=z", **where).items) == 1
            events = kind.watch(resource_version=made.metadata.resourceVersion, timeout=2, label_selector="sample=official", **where)
            assert next(iter(events))["type"] == "MODIFIED"
            kind.delete(name="official", **where)
        core = kubernetes.client.CoreV1Api(api)
        typed = core.create_namespaced_config_map(
            space, kubernetes.client.V1ConfigMap(metadata=kubernetes.client.V1ObjectMeta(name="typed"), data={"k": "v"})
        )
        assert core.read_namespaced_config_map("typed", space).data == typed.data
        assert "linux" in {each.status.node_info.operating_system for each in core.list_node().items if each.status.node_info}
    finally:
        api.close()


# --- kr8s ---------------------------------------------------------------------------------------------------------------------------


def _class_of(plural: str, body: Json) -> Any:
    """kr8s' own class where it knows the kind."""
    try:
        return get_class(body["kind"], body["apiVersion"])
    except KeyError:
        wide = body["kind"] in CLUSTER_WIDE
        return new_class(body["kind"], body["apiVersion"], namespaced=not wide, plural=plural.partition(".")[0], asyncio=False)


def test_kr8s_over_every_kind(node: Node, space: str) -> None:
    api = kr8s.api(kubeconfig=str(node.root / "kubeconfig"))
    for plural in SAMPLES:
        body = sample(plural, "kr8s", space)
        one = _class_of(plural, body)(body, api=api)
        one.create()
        assert one.exists()
        one.label({"x": "y"})
        one.annotate({"note": "hello"})
        one.patch({"metadata": {"labels": {"more": "yes"}}})
        one.refresh()
        assert one.metadata.labels.more == "yes"
        where = {} if body["kind"] in CLUSTER_WIDE else {"namespace": space}
        found = list(api.get(plural, label_selector={"x": "y"}, **where))
        assert [each.name for each in found] == ["kr8s"]
        one.delete()
    assert api.version()["platform"].startswith("linux/")
