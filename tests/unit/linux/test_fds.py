"""Owned descriptors."""

import os

import pytest

from polong.linux import fds


def test_closed_once_and_close_on_exec():
    reader, writer = fds.pipe()
    number = reader.fileno()
    assert not os.get_inheritable(number)
    with reader:
        pass
    reader.close()
    with pytest.raises(ValueError, match="closed"):
        reader.fileno()
    with pytest.raises(OSError):
        os.fstat(number)
    taken = writer.take()
    writer.close()
    os.fstat(taken)
    os.close(taken)
