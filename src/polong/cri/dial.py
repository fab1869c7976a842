"""A connection to a port of a network namespace: made by a child that enters it, handed back as a descriptor.

This file is also that child: nsenter(1) starts it by path, in isolated mode, with the standard library alone. The daemon itself
never enters a namespace, and the child enters the network's only: its files, libraries and processes stay the host's.
"""

from __future__ import annotations

import socket
import sys

_CONNECT_SECONDS = 5.0


def dial(port: int) -> socket.socket:
    """127.0.0.1, then ::1: what a server on "localhost" may have chosen. OSError of the first where neither answers."""
    refusal: OSError | None = None
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            connection = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            refusal = refusal or error
            continue
        try:
            connection.settimeout(_CONNECT_SECONDS)
            connection.connect((address, port))
        except OSError as error:
            connection.close()
            refusal = refusal or error
        else:
            return connection
    assert refusal is not None
    raise refusal


def main(port: int, channel: int) -> int:
    """Send the connection over the Unix socket `channel`; else the reason on standard error."""
    try:
        connection = dial(port)
    except OSError as error:
        sys.stderr.write(f"{error.strerror or 'timed out'}\n")
        return 1
    with socket.socket(fileno=channel) as parent:
        socket.send_fds(parent, [b"\0"], [connection.fileno()])
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
