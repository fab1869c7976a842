"""Which credentials of which secret are for an image."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from polong.kubelet.pullsecrets import Credential, credentials

Json = dict[str, Any]


def secret(auths: Any, kind: str = "kubernetes.io/dockerconfigjson") -> Json:
    file = ".dockerconfigjson" if kind.endswith("json") else ".dockercfg"
    document = {"auths": auths} if kind.endswith("json") else auths
    return {"type": kind, "data": {file: base64.b64encode(json.dumps(document).encode()).decode()}}


def users(image: str, *keys: str) -> list[str]:
    return [found.username for found in credentials(image, [secret({key: {"username": key, "password": "p"} for key in keys})])]


@pytest.mark.parametrize(
    ("image", "key", "expected"),
    [
        ("nginx", "https://index.docker.io/v1/", True),
        ("nginx", "docker.io", True),
        ("team/app:1", "docker.io/team", True),
        ("nginx", "docker.io/team", False),
        ("r.example/a/b", "r.example", True),
        ("r.example/a/b", "https://r.example/v2/", True),
        ("r.example:5000/a", "r.example:5000", True),
        ("r.example:5000/a", "r.example", False),
        ("r.example/a", "r.example:5000", False),
        ("r.example/team/app", "r.example/team", True),
        ("r.example/teams/app", "r.example/team", False),
        ("x.r.example/a", "*.r.example", True),
        ("x.y.r.example/a", "*.r.example", False),
        ("r.example/a", "*.r.example", False),
        ("r.example.evil/a", "r.example", False),
        ("localhost:5000/a@sha256:" + "0" * 64, "localhost:5000", True),
    ],
)
def test_which_registry(image: str, key: str, expected: bool):
    assert users(image, key) == ([key] if expected else [])


def test_the_most_specific_first():
    assert users("r.example/team/app", "r.example", "r.example/team", "r.example/team/app") == [
        "r.example/team/app", "r.example/team", "r.example",
    ]  # fmt: skip


def test_forms_and_what_is_damaged():
    entry = {"auth": "dTpw", "identitytoken": "t", "registrytoken": 7}
    assert credentials("r.io/a", [secret({"r.io": entry}, "kubernetes.io/dockercfg")]) == [Credential(auth="dTpw", identity_token="t")]
    good = secret({"r.io": {"username": "u"}})
    broken = [{}, {"type": good["type"]}, {"type": good["type"], "data": {".dockerconfigjson": "%"}}, secret([]), secret({"r.io": "x"}),
              {**good, "type": "Opaque"}]  # fmt: skip
    assert credentials("r.io/a", broken) == []
    assert credentials("r.io/a", [*broken, good, good]) == [Credential(username="u")]
