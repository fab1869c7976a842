"""kubeconfig, as kubectl reads it."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from polong.client import kubeconfig
from polong.kit import errors

Json = dict[str, Any]


def write(path: Path, **changes: Any) -> Path:
    document: Json = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:6443", "insecure-skip-tls-verify": True}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
        "contexts": [
            {"name": "one", "context": {"cluster": "c", "user": "u"}},
            {"name": "two", "context": {"cluster": "c", "namespace": "kube-system"}},
        ],
    } | changes
    path.write_text(json.dumps(document))
    return path


def test_current_context(tmp_path: Path):
    access = kubeconfig.load([write(tmp_path / "config")])
    assert (access.server, access.context, access.namespace, access.insecure) == ("https://127.0.0.1:6443", "one", "default", True)
    assert access.credentials.headers() == {"authorization": "Bearer secret"}
    assert "secret" not in repr(access)
    assert kubeconfig.load([tmp_path / "config"], context="two").namespace == "kube-system"


async def test_transport(tmp_path: Path):
    transport = kubeconfig.load([write(tmp_path / "config")]).transport()
    await transport.aclose()


def test_earlier_files_win(tmp_path: Path):
    first = write(tmp_path / "1", contexts=[{"name": "one", "context": {"cluster": "c", "user": "u", "namespace": "first"}}])
    second = write(tmp_path / "2", **{"current-context": "two"})
    access = kubeconfig.load([tmp_path / "absent", first, second])
    assert (access.context, access.namespace) == ("one", "first")
    assert kubeconfig.load([first, second], context="two").namespace == "kube-system"


def test_where_files_are():
    assert kubeconfig.paths("/x", {"KUBECONFIG": "/a"}) == [Path("/x")]
    assert kubeconfig.paths("", {"KUBECONFIG": "/a::/b"}) == [Path("/a"), Path("/b")]
    assert kubeconfig.paths("", {"HOME": "/home/me"}) == [Path("/home/me/.kube/config")]


def test_nothing_there(tmp_path: Path):
    assert kubeconfig.load([tmp_path / "absent"]) is None
    (tmp_path / "empty").write_text("")
    assert kubeconfig.load([tmp_path / "empty"]) is None
    with pytest.raises(errors.BadRequest, match="no such file"):
        kubeconfig.load([tmp_path / "absent"], must_exist=True)


def test_files_beside_the_kubeconfig(tmp_path: Path):
    (tmp_path / "token").write_text("from-file\n")
    path = write(tmp_path / "config", users=[{"name": "u", "user": {"tokenFile": "token"}}])
    assert kubeconfig.load([path]).credentials.token == "from-file"
    inline = {"client-certificate-data": base64.b64encode(b"C").decode(), "client-key-data": base64.b64encode(b"K").decode()}
    path = write(tmp_path / "config", users=[{"name": "u", "user": inline}])
    assert kubeconfig.load([path]).credentials.certificate == b"C"


@pytest.mark.parametrize(
    ("changes", "kind", "text"),
    [
        ({"current-context": "nosuch"}, errors.BadRequest, "context 'nosuch' does not exist in the kubeconfig; it has one, two"),
        ({"current-context": ""}, errors.BadRequest, "no current-context"),
        ({"clusters": []}, errors.BadRequest, "cluster 'c' of context 'one' does not exist"),
        ({"clusters": [{"name": "c", "cluster": {}}]}, errors.BadRequest, "names no server"),
        ({"clusters": [{"name": "c", "cluster": {"server": "https://x", "proxy-url": "http://p"}}]}, errors.Unsupported, "proxy-url"),
        ({"clusters": [{"name": "c", "cluster": {"server": 5}}]}, errors.BadRequest, "server is not text"),
        ({"clusters": ["c"]}, errors.BadRequest, "has no name"),
        ({"users": []}, errors.BadRequest, "user 'u' does not exist"),
        ({"users": [{"name": "u", "user": {"exec": {"command": "aws"}}}]}, errors.Unsupported, "exec is not supported"),
        ({"users": [{"name": "u", "user": {"auth-provider": {"name": "gcp"}}}]}, errors.Unsupported, "auth-provider"),
        ({"users": [{"name": "u", "user": {"as": "admin"}}]}, errors.Unsupported, "as is not supported"),
        ({"users": [{"name": "u", "user": {"client-key-data": "!"}}]}, errors.BadRequest, "not base64"),
        ({"users": [{"name": "u", "user": {"client-certificate": "absent"}}]}, errors.BadRequest, "cannot read"),
    ],
)
def test_what_cannot_be_used_is_one_clear_line(tmp_path: Path, changes: Json, kind: type[errors.PolongError], text: str):
    with pytest.raises(kind, match=text) as raised:
        kubeconfig.load([write(tmp_path / "config", **changes)])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["{", "- a\n- b", "a: b: c", "\x00", "[" * 3000])
def test_no_kubeconfig_at_all(tmp_path: Path, text: str):
    (tmp_path / "config").write_text(text)
    with pytest.raises(errors.BadRequest, match="cannot read kubeconfig") as raised:
        kubeconfig.load([tmp_path / "config"])
    assert "\n" not in str(raised.value)


def test_broken_certificates(tmp_path: Path):
    pem = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").decode()
    path = write(tmp_path / "config", clusters=[{"name": "c", "cluster": {"server": "https://x", "certificate-authority-data": pem}}])
    with pytest.raises(errors.BadRequest, match="cannot use the certificates"):
        kubeconfig.load([path]).transport()
