from __future__ import annotations

from pathlib import Path

import pytest

from polong.images.content import ContentStore
from polong.images.digest import Digest
from polong.kit.errors import Internal, Invalid, TooLarge


def test_published_only_when_the_digest_is_right(tmp_path: Path) -> None:
    store = ContentStore(tmp_path)
    good = Digest.of(b"hello")
    for expected, size in ((Digest.of(b"other"), 5), (good, 6)):
        ingest = store.begin(100)
        ingest.write(b"hello")
        with pytest.raises(Invalid):
            ingest.commit(expected, size)
        assert list(store.ingest.iterdir()) == []
        assert list(store.digests()) == []
    ingest = store.begin(5)
    ingest.write(b"xx")
    ingest.restart()
    ingest.write(b"hel")
    ingest.write(b"lo")
    with pytest.raises(TooLarge):
        ingest.write(b"!")
    assert ingest.commit(good, 5) == good
    assert store.read(good, 5) == b"hello"
    assert store.path(good).stat().st_mode & 0o777 == 0o600


def test_damage_on_disk_is_seen(tmp_path: Path) -> None:
    store = ContentStore(tmp_path)
    digest = store.add(b"hello")
    store.path(digest).write_bytes(b"jello")
    with pytest.raises(Internal, match="damaged"):
        store.read(digest, 100)
    with pytest.raises(TooLarge):
        store.read(digest, 4)


def test_left_overs_are_cleared(tmp_path: Path) -> None:
    store = ContentStore(tmp_path)
    store.begin(10).write(b"abc")
    ContentStore(tmp_path).clear_ingest()
    assert list(store.ingest.iterdir()) == []
