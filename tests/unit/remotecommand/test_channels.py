"""Subprotocols of exec, attach and port-forward."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polong.remotecommand import channels
from polong.remotecommand.channels import REMOTE_COMMAND, ChannelError


@pytest.mark.parametrize("protocol", REMOTE_COMMAND)
@given(channel=st.integers(0, 4), data=st.binary(max_size=300))
def test_messages_survive(protocol: channels.Subprotocol, channel: int, data: bytes):
    message = channels.encode(protocol, channel, data)
    assert channels.decode(protocol, message) == (channel, data)
    if protocol.text:
        message.decode("ascii")


@pytest.mark.parametrize("message", [b"", b"0!!!", b"x===", b"1abc", "1é".encode()])
def test_broken_text(message: bytes):
    with pytest.raises(ChannelError):
        channels.decode(channels.V4_BASE64, message)


def test_server_chooses_what_it_likes_best():
    assert channels.select(["v4.channel.k8s.io", "v5.channel.k8s.io"], REMOTE_COMMAND) is channels.V5
    assert channels.select(["base64.channel.k8s.io"], REMOTE_COMMAND) is channels.V1_BASE64
    assert channels.select([], REMOTE_COMMAND) is channels.NONE
    assert channels.select(["chat"], REMOTE_COMMAND) is None


@given(st.integers(0, 65535), st.integers(0, 65535))
def test_sizes_survive(width: int, height: int):
    assert channels.decode_resize(channels.encode_resize(width, height)) == (width, height)


@pytest.mark.parametrize(
    "data", [b"", b"[]", b'{"Width":"x"}', b'{"Width":70000}', b'{"Width":-1}', b'{"Width":1e999}', b"[" * 5000, b"null"]
)
def test_broken_sizes(data: bytes):
    with pytest.raises(ChannelError):
        channels.decode_resize(data)


@given(st.integers(0, 255))
def test_exit_codes_survive(code: int):
    assert channels.exit_code(channels.exit_status(code)) == code


def test_other_failures_have_no_exit_code():
    assert channels.exit_code({"status": "Failure", "reason": "InternalError", "message": "no such file"}) is None
    assert (
        channels.exit_code(
            {"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": [{"reason": "ExitCode", "message": "x"}]}}
        )
        is None
    )
