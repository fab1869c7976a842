from __future__ import annotations

import pytest

from polong.images.digest import Digest, chain


@pytest.mark.parametrize(
    "text",
    ["", "sha256:", "sha256:../../x", "sha256:" + "A" * 64, "sha256:" + "a" * 63, "sha1:" + "a" * 40, "sha256:" + "a" * 64 + "\n", None, 7],
)
def test_everything_but_a_lower_case_sha256_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="not a sha256 digest"):
        Digest.parse(text)


def test_chain_of_one_layer_is_its_diff_id_and_every_layer_changes_the_rest() -> None:
    a, b = Digest.of(b"a"), Digest.of(b"b")
    assert chain([a]) == [a]
    assert chain([a, b]) == [a, Digest.of(f"{a} {b}".encode())]
    assert chain([b, a])[1] != chain([a, b])[1]
