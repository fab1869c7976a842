"""`describe` over a real API server."""

from .conftest import Api, Run
from .data import RUNNING, event


def test_describe_has_kubectls_sections(api: Api, polong: Run) -> None:
    api.pod(shareProcessNamespace=True)
    api.status("nginx", **RUNNING)
    event(api, "nginx", "Started", "Started container \x1b[2J")
    out = polong("describe", "pod", "nginx").out
    titles = [line.split(":")[0] for line in out.splitlines() if line and not line.startswith(" ") and ":" in line]
    assert titles[:5] == ["Name", "Namespace", "Priority", "Service Account", "Node"]
    for section in ("IPs", "Containers", "Conditions", "Volumes", "QoS Class", "Tolerations", "Events"):
        assert section in titles
    assert "Process Namespace:  shared by all containers, PID 1 is /pause" in out
    assert "Reason:       OOMKilled" in out
    assert "Started container \\x1b[2J" in out


def test_describe_by_prefix_and_of_other_kinds(api: Api, polong: Run) -> None:
    api.pod("web-1")
    assert polong("describe", "pod", "web").out.startswith("Name:")
    assert polong("describe", "ns", "default").out.startswith("Name:         default\n")
    assert polong("describe", "pod", "nope").code == 1


def test_describe_shows_a_config_map_and_no_value_of_a_secret(api: Api, polong: Run) -> None:
    api.request(
        "POST",
        "/api/v1/namespaces/default/configmaps",
        {"metadata": {"name": "c"}, "data": {"k": "one\ntwo\t3"}, "binaryData": {"b": "AAEC"}},
    )
    api.request("POST", "/api/v1/namespaces/default/secrets", {"metadata": {"name": "s"}, "stringData": {"password": "hunter2"}})
    shown = polong("describe", "configmap", "c").out
    assert "\nData\n====\nk:\n----\none\ntwo    3\n\n\nBinaryData\n====\nb:  3 bytes\n" in shown
    shown = polong("describe", "secrets").out
    assert "Type:  Opaque\n\nData\n====\npassword:  7 bytes\n" in shown
    assert not any(secret in shown for secret in ("hunter2", "aHVudGVyMg=="))
