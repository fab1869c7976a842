"""Images that insist on being PID 1, real ones: warned of, told of in Events, and named in the status when they die of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.e2e import pid1_images
from tests.e2e.cluster import ROOT, Client, Node, busybox, eventually, pod

Json = dict[str, Any]


@pytest.fixture(scope="module")
def images(node: Node, polong: Client, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("pid1")
    for name in pid1_images.IMAGES:
        polong("images", "import", str(pid1_images.build(name, ROOT / "build" / "images" / "packages", directory)))


def of(name: str) -> Json:
    return {"name": name, "image": f"{name}-init", "imagePullPolicy": "Never"}


S6 = "echo 's6-overlay-suexec: fatal: can only run as pid 1' >&2; exit 100"


def test_those_that_die_of_it_are_named_in_the_status(images: None, polong: Client, kubectl: Client) -> None:
    """systemd, runit and busybox' init really fail so; for s6-overlay, which Debian does not have, a shell says its words."""
    others = [
        {**of("systemd"), "name": "systemctl", "command": ["systemctl", "status"]},
        busybox("init", "exec init"),
        busybox("s6", S6),
    ]
    spec = pod("inits", of("systemd"), of("runit"), *others, shareProcessNamespace=True, restartPolicy="Never")
    said = kubectl.try_("apply", "-f", "-", stdin=_json(spec))
    try:
        assert said.returncode == 0, said.stderr
        assert "Warning: spec.containers[systemd]: /lib/systemd/systemd: it insists on being PID 1" in said.stderr
        assert "(entry point of image systemd-init)" in said.stderr

        def ended() -> dict[str, Json]:
            states = polong.json("get", "pod", "inits")["status"].get("containerStatuses") or []
            found = {each["name"]: each["state"].get("terminated") for each in states}
            return found if found and all(found.values()) else {}

        found = eventually(ended, "all to end")
        assert found["systemd"]["message"].startswith("systemd runs only as PID 1, which is /pause in this Pod")
        assert found["runit"]["message"].startswith("runit runs only as PID 1")
        assert found["init"]["message"].startswith("this init runs only as PID 1")
        assert found["s6"]["message"].startswith("s6-overlay's /init runs only as PID 1")
        assert {each["exitCode"] for each in found.values()} & {1, 100, 111}
        assert "systemd runs only as PID 1" in polong("describe", "pod", "inits")
    finally:
        polong.delete("inits")


def test_those_that_only_reap_are_warned_of_and_run(images: None, polong: Client, kubectl: Client) -> None:
    tini = {**of("tini"), "command": ["/usr/bin/tini", "--", "sh", "-c", "sleep 0.5; exit 3"]}
    said = kubectl.try_(
        "apply", "-f", "-", stdin=_json(pod("reapers", of("dumb-init"), tini, shareProcessNamespace=True, restartPolicy="Never"))
    )
    try:
        assert "spec.containers[dumb-init]: /usr/bin/dumb-init: it will not be PID 1 and reaps no orphans" in said.stderr
        assert "spec.containers[tini]: /usr/bin/tini: it will not be PID 1" in said.stderr

        def told() -> Json:
            states = {each["name"]: each["state"] for each in polong.json("get", "pod", "reapers")["status"].get("containerStatuses") or []}
            return states if "terminated" in states.get("tini", {}) else {}

        states = eventually(told, "tini to end")
        assert "running" in states["dumb-init"]
        assert states["tini"]["terminated"]["exitCode"] == 3
        assert states["tini"]["terminated"]["message"].startswith("tini was not PID 1")
        events = polong(
            "get", "events", "--field-selector=involvedObject.name=reapers,reason=WantsPID1", "-o", "jsonpath={.items[*].message}"
        )
        assert "/usr/bin/dumb-init: it will not be PID 1" in events
    finally:
        polong.delete("reapers")


def test_alone_they_are_left_in_peace(images: None, polong: Client, kubectl: Client) -> None:
    said = kubectl.try_("apply", "-f", "-", stdin=_json(pod("apart-init", of("dumb-init"))))
    try:
        assert "PID 1" not in said.stderr
        polong.ready("apart-init")
        events = polong("get", "events", "--field-selector=involvedObject.name=apart-init", "-o", "jsonpath={.items[*].reason}")
        assert "WantsPID1" not in events
    finally:
        polong.delete("apart-init")


def _json(document: Json) -> str:
    return json.dumps(document)
