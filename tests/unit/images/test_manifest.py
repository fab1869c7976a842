from __future__ import annotations

import json
from typing import Any

import pytest
from tests.fixtures import oci

from polong.images import manifest
from polong.images.manifest import Index, Manifest
from polong.kit.errors import Invalid, NotFound, PolongError, TooLarge, Unsupported

Json = dict[str, Any]
GOOD = oci.image([oci.END]).document


def changed(**fields: object) -> bytes:
    return json.dumps({**GOOD, **fields}).encode()


def descriptor(**fields: object) -> Json:
    return {"mediaType": oci.MANIFEST, "digest": oci.digest(b""), "size": 1, **fields}


def index(*entries: Json) -> Index:
    parsed = manifest.parse(json.dumps({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": list(entries)}).encode(), oci.INDEX)
    assert isinstance(parsed, Index)
    return parsed


def test_a_good_manifest() -> None:
    parsed = manifest.parse(json.dumps(GOOD).encode(), oci.MANIFEST)
    assert isinstance(parsed, Manifest)
    assert parsed.layers[0].compression == "gzip"


@pytest.mark.parametrize(
    ("content", "error", "match"),
    [
        (b"", Invalid, "no JSON"),
        (b"[]", Invalid, "no JSON object"),
        (b"[" * 100_000, PolongError, "JSON"),
        (b'{"schemaVersion": 1}', Unsupported, "schema 1"),
        (b"{}", Invalid, "schemaVersion"),
        (changed(manifests=[]), Invalid, "index and a manifest"),
        (changed(mediaType=oci.INDEX), Invalid, "calls itself"),
        (changed(layers={}), Invalid, "no list"),
        (changed(layers=[{}] * 501), TooLarge, "500"),
        (changed(layers=[descriptor()]), Unsupported, "media type"),
        (changed(layers=[descriptor(mediaType=oci.LAYER, size=-1)]), Invalid, "size"),
        (changed(layers=[descriptor(mediaType=oci.LAYER, size=True)]), Invalid, "size"),
        (changed(layers=[descriptor(mediaType=oci.LAYER, size=1 << 60)]), TooLarge, "64 GiB"),
        (changed(layers=[descriptor(mediaType=oci.LAYER, digest="sha256:../../x")]), Invalid, "digest"),
        (changed(layers=[descriptor(mediaType=oci.LAYER, urls=["http://elsewhere"])]), Unsupported, "foreign"),
        (changed(layers=[descriptor(mediaType="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")]), Unsupported, "foreign"),
        (changed(config=descriptor(mediaType="application/vnd.cncf.helm.config.v1+json")), Unsupported, "not a container image"),
        (changed(config=descriptor(mediaType=oci.CONFIG, size=9 << 20)), TooLarge, "8 MiB"),
        (b" " * ((4 << 20) + 1), TooLarge, "4 MiB"),
    ],
)
def test_bad_manifests(content: bytes, error: type[PolongError], match: str) -> None:
    with pytest.raises(error, match=match):
        manifest.parse(content, oci.MANIFEST)


def test_unknown_content_type_is_refused() -> None:
    with pytest.raises(Unsupported, match="text/html"):
        manifest.parse(b'{"schemaVersion": 2}', "text/html")


def test_the_platform_is_chosen() -> None:
    entries = [
        descriptor(platform={"os": "windows", "architecture": "amd64"}),
        descriptor(platform={"os": "linux", "architecture": "arm64"}, digest=oci.digest(b"arm")),
        descriptor(platform={"os": "linux", "architecture": "amd64"}, digest=oci.digest(b"amd")),
        descriptor(platform={"os": "unknown", "architecture": "unknown"}),
    ]
    assert str(manifest.choose(index(*entries), "amd64").digest) == oci.digest(b"amd")
    with pytest.raises(NotFound, match=r"linux/s390x.*linux/amd64, linux/arm64"):
        manifest.choose(index(*entries), "s390x")


@pytest.mark.parametrize(
    "config",
    [
        {"rootfs": {"type": "layers", "diff_ids": ["sha256:x"]}},
        {"rootfs": {"type": "other"}},
        {"rootfs": {"type": "layers", "diff_ids": []}, "config": ["x"]},
        {"rootfs": {"type": "layers", "diff_ids": []}, "config": {"Env": "A=b"}},
        {"rootfs": {"type": "layers", "diff_ids": []}, "config": {"Cmd": [1]}},
        {"rootfs": {"type": "layers", "diff_ids": []}, "config": {"User": 0.5}},
        {"rootfs": {"type": "layers", "diff_ids": []}, "config": {"WorkingDir": "/a\0b"}},
        {},
    ],
)
def test_bad_configurations(config: Json) -> None:
    with pytest.raises(Invalid):
        manifest.parse_configuration(json.dumps(config).encode())


def test_the_configuration_counts_the_layers() -> None:
    content = json.dumps({"rootfs": {"type": "layers", "diff_ids": [oci.digest(b"")]}}).encode()
    assert manifest.parse_configuration(content, 1).config.cmd == ()
    with pytest.raises(Invalid, match="lists 1 layers, its manifest 2"):
        manifest.parse_configuration(content, 2)
