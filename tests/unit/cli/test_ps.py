"""`ps` over a real API server."""

import json

from .conftest import Api, Run


def test_ps(api: Api, polong: Run) -> None:
    api.pod()
    api.node.processes_of = [{"container": "shell", "pid": 9, "hostPID": 99, "user": "root", "command": ["sh"], "pidNamespace": 1}]
    assert polong("ps", "nginx").out.splitlines()[1].split() == ["shell", "9", "99", "root", "sh"]
    assert json.loads(polong("ps", "nginx", "-o", "json").out)["items"][0]["hostPID"] == 99
    assert polong("ps", "nginx", "-c", "nginx", "--no-headers").out.strip() == ""
    assert "not found in pod" in polong("ps", "nginx", "-c", "nope").err
