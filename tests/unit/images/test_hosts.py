from __future__ import annotations

from pathlib import Path

import pytest

from polong.images.hosts import Hosts, is_forbidden, is_loopback
from polong.kit.errors import Invalid, PolongError, Unsupported


def write(directory: Path, host: str, text: str) -> Hosts:
    (directory / host).mkdir()
    (directory / host / "hosts.toml").write_text(text)
    return Hosts(directory)


def test_tls_unless_said_otherwise() -> None:
    [server] = Hosts().servers("docker.io")
    assert str(server.endpoint("library/nginx/manifests/latest")) == "https://registry-1.docker.io/v2/library/nginx/manifests/latest"
    assert Hosts().servers("localhost:5000")[0].url.scheme == "https"
    assert Hosts(loopback_http=True).servers("localhost:5000")[0].url.scheme == "http"
    assert Hosts(loopback_http=True).servers("example.com:5000")[0].url.scheme == "https"
    assert Hosts(plain_http=["example.com:5000"]).servers("example.com:5000")[0].url.scheme == "http"
    assert Hosts(plain_http=["example.com:5000"]).servers("example.com")[0].url.scheme == "https"


def test_mirrors_come_first(tmp_path: Path) -> None:
    text = '[host."https://mirror.example"]\n[host."http://10.0.0.1:5000/proxy/v2"]\noverride_path = true\ncapabilities = ["pull"]\n'
    first, second, last = write(tmp_path, "docker.io", text).servers("docker.io")
    assert str(first.url).rstrip("/") == "https://mirror.example"
    assert str(second.endpoint("a/manifests/b")) == "http://10.0.0.1:5000/proxy/v2/a/manifests/b"
    assert not second.resolve
    assert last.url.host == "registry-1.docker.io"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[", Invalid),
        ('server = "ftp://x"', Invalid),
        ('[host."https://x"]\nskip_verify = true', Unsupported),
        ('[host."https://x"]\nclient = "a"', Unsupported),
        ('host = "x"', Invalid),
    ],
)
def test_bad_files(tmp_path: Path, text: str, error: type[PolongError]) -> None:
    with pytest.raises(error):
        write(tmp_path, "example.com", text).servers("example.com")


def test_addresses() -> None:
    assert is_loopback("localhost")
    assert is_loopback("127.9.9.9")
    assert is_loopback("::1")
    assert not is_loopback("example.com")
    assert is_forbidden("169.254.169.254")
    assert is_forbidden("fe80::1")
    assert not is_forbidden("10.0.0.1")
