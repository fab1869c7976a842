"""`create` from words: what kubectl's generators make, and what they say."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import Api, Run

Json = dict[str, Any]
PLURALS = {"configmap": "configmaps", "secret": "secrets", "serviceaccount": "serviceaccounts", "quota": "resourcequotas"}


@pytest.fixture(autouse=True)
def clean(api: Api) -> Iterator[None]:
    yield
    for plural in ("configmaps", "secrets", "resourcequotas"):
        for each in api.request("GET", f"/api/v1/namespaces/default/{plural}")["items"]:
            api.request("DELETE", f"/api/v1/namespaces/default/{plural}/{each['metadata']['name']}")


def made(api: Api, plural: str, name: str) -> Json:
    found: Json = api.request("GET", f"/api/v1/namespaces/default/{plural}/{name}")
    return found


def test_a_config_map_from_everything(api: Api, polong: Run, tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "a.conf").write_text("a\n")
    (tmp_path / "conf" / "b.bin").write_bytes(b"\xff\x00")
    (tmp_path / "conf" / "not a key").write_text("left out")
    said = polong(
        "create", "configmap", "c", "--from-literal=l=x=y", f"--from-file={tmp_path}/conf", f"--from-file=own={tmp_path}/conf/a.conf"
    )
    assert (said.code, said.out) == (0, "configmap/c created\n")
    found = made(api, "configmaps", "c")
    assert found["data"] == {"l": "x=y", "a.conf": "a\n", "own": "a\n"}
    assert found["binaryData"] == {"b.bin": "/wA="}
    again = polong("create", "cm", "c")
    assert (again.code, again.err) == (1, 'error: failed to create configmap: configmaps "c" already exists\n')


def test_assignments(api: Api, polong: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_HERE", "shell")
    (tmp_path / "env").write_text("# comment\nA=1\n\n  B=two words\nFROM_HERE\n")
    assert polong("create", "configmap", "e", f"--from-env-file={tmp_path}/env").code == 0
    assert made(api, "configmaps", "e")["data"] == {"A": "1", "B": "two words", "FROM_HERE": "shell"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("configmap", "c", "--from-literal=nothing"), "error: invalid literal source nothing, expected key=value"),
        (
            ("configmap", "c", "--from-literal=a=1", "--from-literal=a=2"),
            'error: cannot add key "a", another key by that name already exists',
        ),
        (("configmap", "c", "--from-literal=a b=1"), 'error: "a b" is not a valid key name for ConfigMap "c"'),
        (("configmap", "c", "--from-file=/nope"), "error: error reading /nope: No such file or directory"),
        (("secret", "docker-registry", "r"), "error: either --from-file or the combination"),
        (("quota", "q", "--hard=pods"), "error: Invalid argument syntax pods"),
        (("-f", "x", "namespace", "n"), "error: create takes either -f, or a kind and a name"),
    ],
)
def test_what_is_wrong_is_said(api: Api, polong: Run, words: tuple[str, ...], message: str) -> None:
    done = polong("create", *words)
    assert done.code == 1
    assert done.err.startswith(message), done.err


def test_secrets(api: Api, polong: Run, tmp_path: Path) -> None:
    assert polong("create", "secret", "generic", "g", "--from-literal=password=hunter2", "--type=example.com/t").out == "secret/g created\n"
    found = made(api, "secrets", "g")
    assert (found["type"], base64.b64decode(found["data"]["password"])) == ("example.com/t", b"hunter2")
    (tmp_path / "crt").write_text("CERT")
    (tmp_path / "key").write_text("KEY")
    assert polong("create", "secret", "tls", "t", f"--cert={tmp_path}/crt", f"--key={tmp_path}/key").code == 0
    assert made(api, "secrets", "t")["type"] == "kubernetes.io/tls"
    words = ("--docker-server=r.example.com", "--docker-username=me", "--docker-password=pw")
    assert polong("create", "secret", "docker-registry", "d", *words).code == 0
    config = json.loads(base64.b64decode(made(api, "secrets", "d")["data"][".dockerconfigjson"]))
    assert config == {"auths": {"r.example.com": {"username": "me", "password": "pw", "auth": base64.b64encode(b"me:pw").decode()}}}


def test_the_rest(api: Api, polong: Run) -> None:
    assert polong("create", "ns", "made").out == "namespace/made created\n"
    assert polong("create", "ns", "made").err == 'Error from server (AlreadyExists): namespaces "made" already exists\n'
    assert polong("create", "-n", "made", "serviceaccount", "robot").out == "serviceaccount/robot created\n"
    assert api.request("GET", "/api/v1/namespaces/made/serviceaccounts/robot")["metadata"]["name"] == "robot"
    assert polong("create", "quota", "q", "--hard=pods=3,requests.cpu=2", "--scopes=NotBestEffort").out == "resourcequota/q created\n"
    assert made(api, "resourcequotas", "q")["spec"] == {"hard": {"pods": "3", "requests.cpu": "2"}, "scopes": ["NotBestEffort"]}
    assert polong("create", "pc", "high", "--value=7", "--global-default=false").out == "priorityclass.scheduling.k8s.io/high created\n"
    assert len(polong("create", "token", "robot", "-n", "made", "--duration=10m").out.split(".")) == 3
    polong("delete", "ns", "made")
    polong("delete", "pc", "high")


def test_a_dry_run_shows_and_stores_nothing(api: Api, polong: Run) -> None:
    shown = polong("create", "configmap", "dry", "--from-literal=a=b", "--dry-run=client", "-o", "yaml").out
    assert "kind: ConfigMap" in shown
    assert "a: b" in shown
    assert polong("create", "configmap", "dry", "--dry-run=server").out == "configmap/dry created (server dry run)\n"
    assert polong("get", "configmap", "dry").code == 1
