"""ConfigMaps and Secrets: validation in Kubernetes' words, immutability, forms; and that values of Secrets stay where they are."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from .conftest import Api

Json = dict[str, Any]
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
SECRETS = "/api/v1/namespaces/default/secrets"
MERGE = {"content-type": "application/merge-patch+json"}
KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' "
    "(e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def config_map(name: str = "c", **fields: Any) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **fields}


def secret(name: str = "s", **fields: Any) -> Json:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, **fields}


def causes(status: Json) -> list[tuple[str, str, str]]:
    return [(cause["reason"], cause["field"], cause["message"]) for cause in status["details"]["causes"]]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"data": {"": "v"}}, [("FieldValueInvalid", "data[]", f'Invalid value: "": {KEY_TEXT}')]),
        ({"data": {"a b": "v"}}, [("FieldValueInvalid", "data[a b]", f'Invalid value: "a b": {KEY_TEXT}')]),
        ({"data": {"..": "v"}}, [("FieldValueInvalid", "data[..]", "Invalid value: \"..\": must not be '..'")]),
        ({"binaryData": {"..x": ""}}, [("FieldValueInvalid", "binaryData[..x]", "Invalid value: \"..x\": must not start with '..'")]),
        (
            {"data": {"k": "v"}, "binaryData": {"k": "dg=="}},
            [
                ("FieldValueInvalid", "data[k]", 'Invalid value: "k": duplicate of key present in binaryData'),
                ("FieldValueInvalid", "binaryData[k]", 'Invalid value: "k": duplicate of key present in data'),
            ],
        ),
        ({"data": {"k": "é" * 600_000}}, [("FieldValueTooLong", "", "Too long: may not be more than 1048576 bytes")]),
    ],
)
async def test_a_config_map_that_cannot_be(api: Api, fields: Json, expected: list[tuple[str, str, str]]) -> None:
    code, status = await api("POST", CONFIG_MAPS, config_map(**fields))
    assert (code, causes(status)) == (422, expected)


async def test_a_config_map_may_be_one_mebibyte(api: Api) -> None:
    whole = config_map(data={"a": "x" * 524_288}, binaryData={"b": b64("y" * 524_288)})
    code, _ = await api("POST", CONFIG_MAPS, whole)
    assert code == 201


async def test_bytes_must_be_base64_and_come_back_canonical(api: Api) -> None:
    code, status = await api("POST", CONFIG_MAPS, config_map(binaryData={"k": "d!=="}))
    assert code == 400
    assert status["message"] == 'ConfigMap in version "v1" cannot be handled as a ConfigMap: illegal base64 data at input byte 1'
    code, _ = await api("POST", CONFIG_MAPS, config_map(binaryData={"k": "dg"}))
    assert code == 400
    code, made = await api("POST", CONFIG_MAPS, config_map(binaryData={"k": "d\ng==\r\n"}, data={}))
    assert (code, made["binaryData"], "data" in made) == (201, {"k": "dg=="}, False)


@pytest.mark.parametrize(("path", "make"), [(CONFIG_MAPS, config_map), (SECRETS, secret)])
async def test_immutable_is_for_ever_but_metadata_is_not(api: Api, path: str, make: Any) -> None:
    text = "Forbidden: field is immutable when `immutable` is set"
    await api("POST", path, make("x", data={"k": "dg=="}))
    assert (await api("PATCH", path + "/x", {"data": {"k": "dw=="}}, headers=MERGE))[0] == 200
    assert (await api("PATCH", path + "/x", {"immutable": True}, headers=MERGE))[0] == 200
    for change, field in (({"immutable": False}, "immutable"), ({"immutable": None}, "immutable"), ({"data": {"k": "dg=="}}, "data")):
        code, status = await api("PATCH", path + "/x", change, headers=MERGE)
        assert (code, causes(status)) == (422, [("FieldValueForbidden", field, text)])
    code, labelled = await api("PATCH", path + "/x", {"metadata": {"labels": {"a": "b"}}}, headers=MERGE)
    assert (code, labelled["metadata"]["labels"], labelled["data"]) == (200, {"a": "b"}, {"k": "dw=="})
    assert (await api("DELETE", path + "/x"))[0] == 200


async def test_life_of_a_config_map_over_namespaces(api: Api) -> None:
    await api("POST", "/api/v1/namespaces", {"metadata": {"name": "other"}})
    for namespace in ("default", "other"):
        made = config_map("c", data={"k": "v"})
        made["metadata"]["labels"] = {"of": "test"}
        assert (await api("POST", f"/api/v1/namespaces/{namespace}/configmaps", made))[0] == 201
    _, listed = await api("GET", "/api/v1/configmaps", labelSelector="of=test")
    assert [item["metadata"]["namespace"] for item in listed["items"]] == ["default", "other"]
    assert (await api("DELETE", CONFIG_MAPS, labelSelector="of=test"))[0] == 200
    _, listed = await api("GET", "/api/v1/configmaps", labelSelector="of=test")
    assert [item["metadata"]["namespace"] for item in listed["items"]] == ["other"]


async def test_columns(api: Api) -> None:
    await api("POST", CONFIG_MAPS, config_map(data={"a": "1", "b": "2"}, binaryData={"c": ""}))
    await api("POST", SECRETS, secret(data={"a": "MQ=="}))
    table = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    _, found = await api("GET", CONFIG_MAPS + "/c", headers=table)
    assert [column["name"] for column in found["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert found["rows"][0]["cells"] == ["c", 3, "0s"]
    _, found = await api("GET", SECRETS, headers=table, fieldSelector="type=Opaque")
    assert [column["name"] for column in found["columnDefinitions"]] == ["Name", "Type", "Data", "Age"]
    assert found["rows"][0]["cells"] == ["s", "Opaque", 1, "0s"]


# --- Secrets ------------------------------------------------------------------------------------------------------------------------


async def test_text_becomes_data_and_wins(api: Api) -> None:
    code, made = await api("POST", SECRETS, secret(data={"a": b64("one"), "b": b64("two")}, stringData={"b": "zwei", "c": "drei"}))
    assert code == 201
    assert made["data"] == {"a": b64("one"), "b": b64("zwei"), "c": b64("drei")}
    assert (made["type"], "stringData" in made) == ("Opaque", False)
    _, patched = await api("PATCH", SECRETS + "/s", {"stringData": {"a": "eins"}}, headers=MERGE)
    assert patched["data"]["a"] == b64("eins")


async def test_a_type_stays_and_is_kept_where_it_is_not_said(api: Api) -> None:
    await api("POST", SECRETS, secret(type="example.com/mine"))
    code, status = await api("PUT", SECRETS + "/s", secret(type="Opaque"))
    assert (code, causes(status)) == (422, [("FieldValueInvalid", "type", 'Invalid value: "Opaque": field is immutable')])
    code, kept = await api("PUT", SECRETS + "/s", secret(data={"k": "dg=="}))
    assert (code, kept["type"]) == (200, "example.com/mine")


@pytest.mark.parametrize(
    ("kind", "data", "missing"),
    [
        ("kubernetes.io/tls", {"tls.crt": ""}, ["data[tls.key]"]),
        ("kubernetes.io/basic-auth", {}, ["data[username]", "data[password]"]),
        ("kubernetes.io/basic-auth", {"username": ""}, []),
        ("kubernetes.io/ssh-auth", {"ssh-privatekey": ""}, ["data[ssh-privatekey]"]),
        ("kubernetes.io/dockercfg", {}, ["data[.dockercfg]"]),
        ("kubernetes.io/dockerconfigjson", {}, ["data[.dockerconfigjson]"]),
        ("kubernetes.io/dockerconfigjson", {".dockerconfigjson": b64('{"auths": {}}')}, []),
        ("kubernetes.io/service-account-token", {}, ["metadata.annotations[kubernetes.io/service-account.name]"]),
    ],
)
async def test_well_known_types_have_their_keys(api: Api, kind: str, data: Json, missing: list[str]) -> None:
    code, answer = await api("POST", SECRETS, secret(type=kind, data=data))
    assert code == (422 if missing else 201)
    assert [cause["field"] for cause in answer.get("details", {}).get("causes", [])] == missing


@pytest.mark.parametrize("text", ["hunter2", '"hunter2"', '{"hunter2"'])
async def test_what_is_wrong_with_a_secret_is_said_without_saying_it(api: Api, text: str) -> None:
    body = secret(type="kubernetes.io/dockerconfigjson", data={".dockerconfigjson": b64(text), "": b64("hunter2")})
    code, status = await api("POST", SECRETS, body)
    assert code == 422
    assert "<secret contents redacted>" in status["message"]
    assert "hunter2" not in str(status)
    assert b64(text) not in str(status)


async def test_an_empty_key_of_a_secret(api: Api) -> None:
    code, status = await api("POST", SECRETS, secret(data={"": "dg=="}))
    assert (code, causes(status)) == (422, [("FieldValueInvalid", "data[]", f'Invalid value: "": {KEY_TEXT}')])
