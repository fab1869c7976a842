"""What a query of pods/files may hold."""

from __future__ import annotations

import pytest

from polong.kit.errors import BadRequest
from polong.objects import podfiles
from polong.objects.podfiles import FileOptions


def test_a_query_becomes_options() -> None:
    assert podfiles.parse({"path": "/x"}) == FileOptions("/x", "stat")
    query = {"path": "/x", "op": "read", "offset": "3", "limit": "4", "follow": "true", "container": "c"}
    assert podfiles.parse(query) == FileOptions("/x", "read", 3, 4, None, follow=True)
    assert podfiles.parse({"path": "/x", "op": "read", "tail": "0"}).task()["tail"] == 0
    assert podfiles.mode_of({"mode": "600"}) == 0o600


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"path": "x"},
        {"path": "/a\0b"},
        {"path": "/" + "x" * 5000},
        {"path": "/x", "op": "write"},
        {"path": "/x", "offset": "-1"},
        {"path": "/x", "limit": "٣"},
        {"path": "/x", "limit": "9" * 30},
        {"path": "/x", "tail": "1", "limit": "1"},
        {"path": "/x", "root": "/"},
    ],
)
def test_what_is_wrong_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(BadRequest):
        podfiles.parse(query)


@pytest.mark.parametrize("mode", ["4755", "8", "-1", "0o644", "777777"])
def test_a_mode_is_permission_bits(mode: str) -> None:
    with pytest.raises(BadRequest):
        podfiles.mode_of({"mode": mode})
