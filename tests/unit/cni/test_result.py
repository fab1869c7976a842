"""Answers of plugins."""

import pytest

from polong.cni import result
from polong.kit.errors import Unavailable


def test_addresses():
    assert result.attachment({"ips": [{"address": "10.0.0.2/24"}, {"address": "fd00::2/64"}]}).ips == ("10.0.0.2", "fd00::2")


@pytest.mark.parametrize("document", [{}, {"ips": []}, {"ips": "x"}, {"ips": [{}]}, {"ips": [{"address": "x"}]}, {"ips": [7]}])
def test_no_address(document):
    with pytest.raises(Unavailable):
        result.attachment(document)


@pytest.mark.parametrize("output", [b"", b"x", b"[]", b"7", b"[" * 100000])
def test_no_document(output):
    with pytest.raises(Unavailable):
        result.document(output, "bridge")


def test_words_of_a_failure():
    assert result.failure(b'{"code":1,"msg":"a\\nb","details":"c"}', b"", 1) == "a b: c"
    assert result.failure(b"", b"boom\n\x1b[31m", 1) == "boom [31m"
    assert result.failure(b"", b"", 3) == "exit status 3"
    assert result.failure(b"[]", b"", 3) == "[]"
    assert len(result.failure(b"", b"x" * 10000, 1)) <= 512
