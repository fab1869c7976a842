"""Which mounts are put together: those below another, unless they propagate."""

from __future__ import annotations

from polong.cri import nesting
from polong.criapi.wire import v1
from polong.linux.assembly import Piece


def mounts(*places: str, **fields: object) -> list[v1.Mount]:
    return [v1.Mount(host_path=f"/host{number}", container_path=place, **fields) for number, place in enumerate(places)]


def test_parents_first_below_the_outermost() -> None:
    found = mounts("/a/b/c", "/x", "/a", "/a/b", "/ab", "/x/y/")
    assert nesting.plan(found, str) == {2: [3, 0], 1: [5]}
    assert nesting.pieces(found, 2, [3, 0], str) == [Piece("/host2"), Piece("/host3", "b"), Piece("/host0", "b/c")]


def test_a_link_of_the_image_hides_nothing() -> None:
    def resolve(path: str) -> str:
        return path.replace("/link", "/a")

    found = mounts("/a", "/link/b")
    assert nesting.plan(found, resolve) == {0: [1]}
    assert nesting.pieces(found, 0, [1], resolve)[1].place == "b"


def test_propagation_is_left_to_the_runtime() -> None:
    assert nesting.plan(mounts("/a", "/a/b", propagation=v1.PROPAGATION_HOST_TO_CONTAINER), str) == {}
