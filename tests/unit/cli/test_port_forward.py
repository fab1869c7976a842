"""`port-forward` through real sockets."""

import socket
import subprocess
import sys

from .conftest import Api


def test_port_forward_carries_bytes_both_ways(api: Api) -> None:
    api.pod()
    api.status("nginx", phase="Running")
    child = subprocess.Popen(
        [sys.executable, "-m", "polong", "port-forward", "nginx", ":80", "--address=127.0.0.1"], stdout=subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        line = child.stdout.readline().decode()
        assert line.startswith("Forwarding from 127.0.0.1:")
        port = int(line.split("127.0.0.1:")[1].split()[0])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(b"hello")
            assert connection.makefile("rb").read() == b"port 80: hello"
    finally:
        child.kill()
        child.communicate()
