"""Limits of local storage: what is over them, in Kubernetes' words."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.kubelet.doubles import container, pod

from polong.kubelet.localstorage import Taken, excess, is_limited

MB = 1 << 20


def limited(*limits: str) -> list[dict[str, Any]]:
    return [container(f"c{number}", resources={"limits": {"ephemeral-storage": each}}) for number, each in enumerate(limits)]


def sized(limit: str, **fields: Any) -> dict[str, Any]:
    return {"name": "v", "emptyDir": {"sizeLimit": limit, **fields}}


@pytest.mark.parametrize(
    ("own", "taken", "text"),
    [
        (pod(volumes=[sized("1Mi")]), Taken({"v": MB}), ""),
        (pod(volumes=[sized("1Mi")]), Taken({"v": MB + 1}), 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". '),
        (pod(*limited("1Mi")), Taken({}, {"c0": MB}), ""),
        (
            pod(*limited("1Mi"), volumes=[{"name": "v", "emptyDir": {}}]),
            Taken({"v": 1}, {"c0": MB}),
            "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ",
        ),
        (pod(*limited("1Mi", "5Mi")), Taken({}, {"c0": MB + 1}), 'Container c0 exceeded its local ephemeral storage limit "1Mi". '),
        (pod(*limited("1Mi"), container("free")), Taken({}, {"free": 1}), ""),
    ],
)
def test_what_is_too_much(own: dict[str, Any], taken: Taken, text: str) -> None:
    assert is_limited(own)
    assert excess(own, taken) == text


def test_memory_and_what_has_no_limit_are_not_measured() -> None:
    assert not is_limited(pod(volumes=[sized("1Mi", medium="Memory"), {"name": "w", "emptyDir": {}}]))
    assert not is_limited(pod(volumes=[sized("0")]))
