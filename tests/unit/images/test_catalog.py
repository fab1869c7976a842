from __future__ import annotations

from pathlib import Path

import pytest

from polong.images import manifest
from polong.images.catalog import Catalog, Entry
from polong.images.digest import Digest
from polong.kit.errors import Invalid

CONFIGURATION = manifest.parse_configuration(b'{"rootfs": {"type": "layers", "diff_ids": []}}')


def entry(hex_digits: str) -> Entry:
    digest = Digest(hex_digits.ljust(64, "0"))
    return Entry(digest, digest, digest, (digest,), (), 5, CONFIGURATION)


def test_a_tag_moves_and_the_old_image_keeps_its_digest(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "index.json")
    old, new = entry("aaaa1"), entry("bbbb2")
    catalog.put(old, tags=["docker.io/library/a:latest"], digests=[f"docker.io/library/a@{old.id}"])
    catalog.put(new, tags=["docker.io/library/a:latest", "docker.io/library/a:2"])
    found = catalog.find("a")
    assert found is not None
    assert found.id == new.id
    kept = catalog.find(f"a@{old.id}")
    assert kept is not None
    assert kept.tags == ()


def test_found_by_id_and_by_prefix(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "index.json")
    catalog.put(entry("aaaa1"))
    catalog.put(entry("aaaa2"))
    assert catalog.find(str(entry("aaaa1").id)) is not None
    assert catalog.find("aaaa1") is not None
    assert catalog.find("sha256:aaaa2") is not None
    assert catalog.find("aaa") is None
    assert catalog.find("../x") is None
    with pytest.raises(Invalid, match="ambiguous"):
        catalog.find("aaaa")


def test_removal_by_name_and_by_id(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "index.json")
    catalog.put(entry("aaaa1"), tags=["docker.io/library/a:1", "docker.io/library/a:2"])
    catalog.remove("a:1")
    found = catalog.find("a:2")
    assert found is not None
    assert found.tags == ("docker.io/library/a:2",)
    catalog.put(entry("aaaa1"), tags=["docker.io/library/a:1"])
    catalog.remove(str(entry("aaaa1").id))
    assert list(catalog) == []
    assert catalog.remove("a:1") is None


def test_saved_and_restored(tmp_path: Path) -> None:
    path = tmp_path / "index.json"
    catalog = Catalog(path)
    put = catalog.put(entry("aaaa1"), tags=["docker.io/library/a:1"], digests=["docker.io/library/a@sha256:" + "0" * 64])
    catalog.save()
    again = Catalog(path)
    for stored in Catalog.encoded(path):
        again.restore(stored, CONFIGURATION)
    assert list(again) == [put]
