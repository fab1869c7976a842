"""Server-side apply over the API: creation, ownership, conflicts, what is no longer applied, and the way from client-side apply."""

from __future__ import annotations

import json
from typing import Any

import pytest

from polong.api.apply.managers import LAST_APPLIED

from .conftest import Api, pod

Json = dict[str, Any]
PODS = "/api/v1/namespaces/default/pods"
POD = PODS + "/p"
APPLY = {"content-type": "application/apply-patch+yaml"}
MERGE = {"content-type": "application/merge-patch+json"}


def config(**metadata: Any) -> Json:
    obj = pod()
    obj["metadata"] |= metadata
    return obj


async def apply(api: Api, obj: Json, manager: str = "one", **query: str) -> tuple[int, Json]:
    return await api("PATCH", PODS + "/" + obj["metadata"]["name"], json.dumps(obj).encode(), headers=APPLY, fieldManager=manager, **query)


def entry(obj: Json, manager: str, operation: str = "Apply") -> Json:
    found = [one for one in obj["metadata"].get("managedFields", ()) if (one["manager"], one["operation"]) == (manager, operation)]
    return found[0]["fieldsV1"] if found else {}


async def test_creates_what_is_absent_and_owns_what_it_said(api: Api) -> None:
    code, made = await apply(api, config(labels={"a": "b"}))
    assert code == 201
    assert made["metadata"]["managedFields"] == [
        {
            "manager": "one",
            "operation": "Apply",
            "apiVersion": "v1",
            "time": "2026-01-02T03:04:05Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {"f:labels": {"f:a": {}}},
                "f:spec": {"f:containers": {'k:{"name":"c"}': {".": {}, "f:name": {}, "f:image": {}}}},
            },
        }
    ]
    code, again = await apply(api, config(labels={"a": "b"}))
    assert (code, again) == (200, made)
    api.clock.advance(5)
    assert await apply(api, config(labels={"a": "b"})) == (200, made)


async def test_an_update_owns_what_it_changed(api: Api) -> None:
    created = await api.create(config(labels={"a": "b"}))
    (only,) = created["metadata"]["managedFields"]
    assert (only["manager"], only["operation"]) == ("unknown", "Update")
    fields = only["fieldsV1"]
    assert fields["f:metadata"] == {"f:labels": {".": {}, "f:a": {}}}
    container = fields["f:spec"]["f:containers"]['k:{"name":"c"}']
    assert container["."] == {}
    assert {"f:image", "f:name", "f:imagePullPolicy"} <= container.keys()
    assert "." not in fields["f:spec"]
    assert "f:restartPolicy" in fields["f:spec"]
    api.clock.advance(5)
    _, after = await api("PATCH", POD, {"metadata": {"labels": {"a": "c", "x": "y"}}}, headers=MERGE | {"user-agent": "tool/1.0 (linux)"})
    assert entry(after, "tool", "Update") == {"f:metadata": {"f:labels": {"f:a": {}, "f:x": {}}}}
    assert entry(after, "unknown", "Update")["f:metadata"] == {"f:labels": {}}
    status = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    _, after = await api("PATCH", POD + "/status", status, headers=MERGE, fieldManager="kubelet")
    by_status = [one for one in after["metadata"]["managedFields"] if one.get("subresource") == "status"]
    assert [one["manager"] for one in by_status] == ["kubelet"]
    assert by_status[0]["fieldsV1"]["f:status"]["f:phase"] == {}
    _, same = await api("PATCH", POD + "/status", status, headers=MERGE, fieldManager="other")
    assert same == after


async def test_a_conflict_names_the_other_and_force_takes_over(api: Api) -> None:
    await apply(api, config(labels={"a": "1", "b": "1"}))
    code, status = await apply(api, config(labels={"a": "2"}), "two")
    assert (code, status["reason"]) == (409, "Conflict")
    assert status["message"] == 'Apply failed with 1 conflict: conflict with "one": .metadata.labels.a'
    assert status["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".metadata.labels.a"}
    ]
    changed = config(labels={"a": "2"})
    changed["spec"]["containers"][0]["image"] = "busybox"
    code, status = await apply(api, changed, "two")
    assert status["message"] == (
        'Apply failed with 2 conflicts: conflicts with "one":\n- .metadata.labels.a\n- .spec.containers[name="c"].image'
    )
    code, after = await apply(api, config(labels={"a": "2"}), "two", force="true")
    assert (code, after["metadata"]["labels"]) == (200, {"a": "2", "b": "1"})
    assert entry(after, "one")["f:metadata"] == {"f:labels": {"f:b": {}}}
    # The same value is shared, not fought for.
    assert entry(after, "one")["f:spec"] == entry(after, "two")["f:spec"]


async def test_an_update_is_fought_for_in_kubernetes_words(api: Api) -> None:
    await apply(api, config(labels={"a": "1"}))
    await api("PATCH", POD, {"metadata": {"labels": {"a": "2"}}}, headers=MERGE, fieldManager="kubectl-edit")
    _, status = await apply(api, config(labels={"a": "1"}))
    assert status["message"] == 'Apply failed with 1 conflict: conflict with "kubectl-edit" using v1: .metadata.labels.a'


async def test_what_is_no_longer_applied_goes_unless_another_has_it(api: Api) -> None:
    await apply(api, config(labels={"a": "1", "b": "1"}, annotations={"x": "y"}))
    await apply(api, config(labels={"b": "1"}), "two")
    code, after = await apply(api, config(annotations={"z": "1"}))
    assert code == 200
    assert after["metadata"]["labels"] == {"b": "1"}
    assert after["metadata"]["annotations"] == {"z": "1"}
    _, after = await apply(api, config(), "two")
    assert "labels" not in after["metadata"] or after["metadata"]["labels"] == {}


async def test_defaults_beneath_a_removed_field_go_with_it(api: Api) -> None:
    full = config(labels={"a": "1"})
    full["spec"] |= {"tolerations": [{"operator": "Exists"}], "activeDeadlineSeconds": 50}
    await apply(api, full, dryRun="All")
    await apply(api, full)
    less = config(labels={"a": "1"})
    less["spec"] |= {"tolerations": [{"operator": "Exists"}], "activeDeadlineSeconds": 40}
    code, after = await apply(api, less)
    assert (code, after["spec"]["activeDeadlineSeconds"]) == (200, 40)


async def test_client_side_apply_becomes_server_side(api: Api) -> None:
    first = config(labels={"a": "1", "b": "1"})
    first["metadata"]["annotations"] = {LAST_APPLIED: json.dumps(first)}
    await api("POST", PODS, first, fieldManager="kubectl-client-side-apply")
    code, after = await apply(api, config(labels={"a": "2", "b": "1"}), "kubectl")
    assert (code, after["metadata"]["labels"]["a"]) == (200, "2")
    assert json.loads(after["metadata"]["annotations"][LAST_APPLIED])["metadata"]["labels"] == {"a": "2", "b": "1"}
    await api("PATCH", POD, {"metadata": {"labels": {"b": "9"}}}, headers=MERGE, fieldManager="hand")
    code, status = await apply(api, config(labels={"a": "2", "b": "1"}), "kubectl")
    assert (code, status["details"]["causes"][0]["field"]) == (409, ".metadata.labels.b")


async def test_managers_can_be_written_and_reset(api: Api) -> None:
    await api.create(config(labels={"a": "1"}))
    mine = {
        "manager": "me",
        "operation": "Apply",
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": {"f:labels": {"f:a": {}}}},
    }
    patch = [{"op": "replace", "path": "/metadata/managedFields", "value": [mine]}]
    _, after = await api("PATCH", POD, patch, headers={"content-type": "application/json-patch+json"})
    assert after["metadata"]["managedFields"] == [mine]
    _, after = await apply(api, config(), "me")
    assert "labels" not in after["metadata"]
    for broken in ([{"manager": "x"}], [{**mine, "fieldsV1": {"zzz": 1}}]):
        _, kept = await api("PATCH", POD, {"metadata": {"managedFields": broken}}, headers=MERGE)
        assert kept["metadata"]["managedFields"] == after["metadata"]["managedFields"]
    _, after = await api("PATCH", POD, {"metadata": {"managedFields": [{}]}}, headers=MERGE)
    assert "managedFields" not in after["metadata"]
    _, after = await api("PATCH", POD, {"metadata": {"labels": {"q": "1"}}}, headers=MERGE)
    assert "managedFields" not in after["metadata"]
    _, after = await apply(api, config(labels={"z": "1"}))
    assert {one["manager"] for one in after["metadata"]["managedFields"]} == {"before-first-apply", "one"}
    code, _ = await apply(api, config(labels={"q": "2"}))
    assert code == 409


@pytest.mark.parametrize(
    ("change", "query", "code", "text"),
    [
        (
            {},
            {"fieldManager": ""},
            422,
            'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
        ),
        ({}, {"fieldManager": "x" * 129}, 422, "fieldManager: Too long"),
        ({}, {"fieldManager": "a\nb"}, 422, "should only contain printable characters"),
        ({"kind": ""}, {}, 400, "Object 'Kind' is missing"),
        ({"kind": "Node"}, {}, 400, "it is a Node"),
        ({"metadata": {"name": "q"}}, {}, 400, "does not match the name on the URL"),
        ({"metadata": {"namespace": "q"}}, {}, 400, "does not match the namespace on the URL"),
        ({"metadata": {"managedFields": [{}]}}, {}, 400, "metadata.managedFields must be nil"),
        ({"metadata": {"uid": "u"}}, {}, 409, "uid mismatch: the provided object specified uid u, and no existing object was found"),
        ({"metadata": {"resourceVersion": "5"}}, {}, 404, 'pods "p" not found'),
        ({"spec": {"containers": [{"name": "c"}, {"name": "c"}]}}, {}, 400, 'duplicate entries for key [name="c"]'),
        ({"spec": {"containers": [{"image": "c"}]}}, {}, 400, 'omits key field "name"'),
        ({"nope": 1}, {}, 400, "failed to create typed patch object (default/p; v1, Kind=Pod): .nope: field not declared in schema"),
        ({"nope": 1}, {"fieldValidation": "Strict"}, 400, 'strict decoding error: unknown field "nope"'),
    ],
)
async def test_refusals(api: Api, change: Json, query: dict[str, str], code: int, text: str) -> None:
    body = {**pod(), **change, "metadata": {"name": "p", **change.get("metadata", {})}}
    got, status = await api("PATCH", POD, json.dumps(body).encode(), headers=APPLY, **{"fieldManager": "m", **query})
    assert (got, text in status["message"]) == (code, True), status
    assert (await api("GET", POD))[0] == 404


async def test_dry_run_and_force_where_it_does_not_belong(api: Api) -> None:
    assert (await apply(api, config(), dryRun="All"))[0] == 201
    assert (await api("GET", POD))[0] == 404
    await api.create(pod())
    code, status = await api("PATCH", POD, {}, headers=MERGE, force="true")
    assert (code, status["details"]["causes"][0]["field"]) == (422, "force")


async def test_the_eleventh_updater_makes_the_oldest_ancient(api: Api) -> None:
    await api.create(pod())
    for number in range(12):
        api.clock.advance(1)
        await api("PATCH", POD, {"metadata": {"labels": {f"l{number}": "x"}}}, headers=MERGE, fieldManager=f"m{number}")
    _, after = await api("GET", POD)
    names = [one["manager"] for one in after["metadata"]["managedFields"]]
    assert len(names) == 11
    assert "ancient-changes" in names
    assert "m0" not in names
