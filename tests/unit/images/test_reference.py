from __future__ import annotations

import pytest

from polong.images import reference
from polong.kit.errors import BadRequest

HEX = "a" * 64


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("busybox:1.28", "docker.io/library/busybox:1.28"),
        ("me/app", "docker.io/me/app:latest"),
        ("docker.io/nginx", "docker.io/library/nginx:latest"),
        ("index.docker.io/nginx", "docker.io/library/nginx:latest"),
        ("localhost/a", "localhost/a:latest"),
        ("localhost:5000/a/b:t", "localhost:5000/a/b:t"),
        ("[::1]:5000/a", "[::1]:5000/a:latest"),
        ("quay.io/x/y_z.a--b:V1", "quay.io/x/y_z.a--b:V1"),
        (f"nginx@sha256:{HEX}", f"docker.io/library/nginx@sha256:{HEX}"),
        (f"nginx:1@sha256:{HEX}", f"docker.io/library/nginx@sha256:{HEX}"),
        ("Registry/app", "Registry/app:latest"),
    ],
)
def test_references_are_normalised(text: str, canonical: str) -> None:
    assert str(reference.parse(text)) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        " nginx",
        "nginx ",
        "NGINX",
        "nginx:",
        "nginx:-x",
        "nginx:a b",
        "a//b",
        "/a",
        "a/",
        "a/../b",
        "-a",
        "a_-b",
        HEX,
        "nginx@",
        "nginx@sha256:abc",
        f"nginx@sha256:{HEX.upper()}",
        f"nginx@sha512:{HEX}",
        f"nginx@sha256:{HEX}\n",
        "nginx\n",
        "nginx:1\0",
        "exa mple.com/a",
        "example.com:port/a",
        "example.com:123456/a",
        "nginx:" + "t" * 129,
        "a" * 256,
        "ngïnx",
        "user@host/a",
        "http://example.com/a",
    ],
)
def test_bad_references_are_refused_in_kubernetes_words(text: str) -> None:
    with pytest.raises(BadRequest, match="couldn't parse image name") as caught:
        reference.parse(text)
    assert caught.value.reason == "InvalidImageName"
    assert "\n" not in caught.value.message
