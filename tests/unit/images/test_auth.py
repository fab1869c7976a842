from __future__ import annotations

import pytest

from polong.images import auth
from polong.images.hosts import Hosts
from polong.images.model import RegistryAuth
from polong.kit.errors import BadRequest, Unauthorized


def test_challenges() -> None:
    header = 'Bearer realm="https://auth.example/token",service="reg",scope="repository:a/b:pull,push"'
    challenge = auth.parse_challenge(header)
    assert challenge.scheme == "bearer"
    assert challenge.parameters == {"realm": "https://auth.example/token", "service": "reg", "scope": "repository:a/b:pull,push"}
    assert auth.parse_challenge('basic realm="x"').scheme == "basic"
    assert auth.parse_challenge("Negotiate abc").scheme == ""
    assert auth.parse_challenge("").scheme == ""
    assert auth.parse_challenge("Bearer " + "x" * 5000).scheme == ""


def test_the_scope_is_ours_not_the_registrys() -> None:
    challenge = auth.parse_challenge('Bearer realm="https://auth.example/token?a=b",service="reg",scope="repository:other:*"')
    url = auth.token_url(challenge, "library/nginx", Hosts())
    assert dict(url.query) == {"a": "b", "service": "reg", "scope": "repository:library/nginx:pull"}


@pytest.mark.parametrize(
    "realm",
    [
        "",
        "file:///etc/shadow",
        "http://auth.example/token",
        "https://169.254.169.254/latest",
        "https://[fe80::1]/",
        "https://u:p@x/",
        "https://0.0.0.0/",
    ],
)
def test_refused_realms(realm: str) -> None:
    with pytest.raises(Unauthorized, match="token server"):
        auth.token_url(auth.parse_challenge(f'Bearer realm="{realm}"'), "a", Hosts())


def test_plain_realm_where_the_host_is_allowed() -> None:
    challenge = auth.parse_challenge('Bearer realm="http://127.0.0.1:5000/token"')
    assert auth.token_url(challenge, "a", Hosts(plain_http=["127.0.0.1:5000"])).port == 5000
    with pytest.raises(Unauthorized):
        auth.token_url(challenge, "a", Hosts(plain_http=["127.0.0.1:5001"]))


def test_basic() -> None:
    assert auth.basic(None) == ""
    assert auth.basic(RegistryAuth(username="u", password="p")) == "Basic dTpw"
    assert auth.basic(RegistryAuth(auth="dTpw")) == "Basic dTpw"
    with pytest.raises(BadRequest, match="base64"):
        auth.basic(RegistryAuth(auth="%%%"))
    assert "secret" not in repr(RegistryAuth(username="u", password="secret"))
