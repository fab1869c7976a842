"""Secrets under a shared process namespace: warned of when the Pod is made, listed while it runs, never printed."""

from __future__ import annotations

import json

import pytest
import yaml
from tests.e2e.cluster import Client, busybox, eventually, pod

SECRET = "s3cr3t-value-of-the-test"

EXPOSED = pod(
    "exposed",
    busybox("db", "sleep 1000", env=[{"name": "DB_PASSWORD", "value": SECRET}, {"name": "COLOUR", "value": "red"}]),
    busybox("peer", "sleep 1000"),
    busybox("walled", "sleep 1000", securityContext={"runAsUser": 1234, "runAsGroup": 1234}),
    shareProcessNamespace=True,
)


def test_a_secret_is_warned_of_and_listed(client: Client, polong: Client) -> None:
    try:
        done = client.try_("apply", "-f", "-", stdin=yaml.safe_dump(EXPOSED))
        assert done.returncode == 0
        assert "shareProcessNamespace lets container peer read DB_PASSWORD" in done.stderr
        client.ready("exposed")
        text, document = polong("audit", "exposed"), polong("audit", "exposed", "-o", "json")
        findings = json.loads(document)["findings"]
        assert [each["openTo"] for each in findings if each["what"] == "variable DB_PASSWORD"] == [["peer"]]
        assert [each["openTo"] for each in findings if (each["container"], each["kind"]) == ("walled", "files")] == [["db", "peer"]]
        assert "COLOUR" not in document
        # As the audit says, so it is.
        pids = {item["container"]: str(item["pid"]) for item in polong.json("ps", "exposed")["items"] if item["role"] == "main"}
        assert SECRET in polong("exec", "exposed", "-c", "peer", "--", "cat", f"/proc/{pids['db']}/environ")
        assert polong.try_("exec", "exposed", "-c", "walled", "--", "cat", f"/proc/{pids['db']}/environ").returncode != 0
        for printed in (done.stdout, done.stderr, text, document, polong("access", "exposed", "-o", "json"), polong("access", "exposed")):
            assert SECRET not in printed
    finally:
        polong.delete("exposed")


def test_a_program_that_wants_to_be_pid_1_is_warned_of(client: Client, polong: Client) -> None:
    made = pod("first", busybox("app", "trap : HUP; echo ready > /proc/1/fd/1; sleep 1000 & wait"), shareProcessNamespace=True)
    try:
        done = client.try_("apply", "-f", "-", stdin=yaml.safe_dump(made))
        assert done.returncode == 0
        assert "not this container's log; write to /dev/stdout" in done.stderr
    finally:
        polong.delete("first")


def test_a_pod_that_shares_nothing_is_quiet(polong: Client) -> None:
    apart = {**EXPOSED, "metadata": {"name": "quiet"}, "spec": {**EXPOSED["spec"], "shareProcessNamespace": False}}
    try:
        done = polong.try_("apply", "-f", "-", stdin=yaml.safe_dump(apart))
        assert done.stderr == ""
        assert "No Pod that runs" in polong.try_("audit", "quiet").stderr
    finally:
        polong.delete("quiet")


@pytest.mark.parametrize("users", [{}, {"hostUsers": False}], ids=["node", "userns"])
def test_all_that_holds_secrets_is_listed_and_nothing_of_what_they_are(kubectl: Client, polong: Client, users: dict[str, bool]) -> None:
    """envFrom, Secrets and tokens as files, and a worker of another user than its master's."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "vault"}, "stringData": {"DB_LOGIN": SECRET, "tls.key": SECRET}}
    mounts = [{"name": "tls", "mountPath": "/tls"}, {"name": "api", "mountPath": "/api"}]
    begins = "start-stop-daemon -S -b -c www-data:www-data -x /bin/tail -- -f /dev/null; exec sleep 100000"
    app = busybox("app", "sleep 100000", envFrom=[{"secretRef": {"name": "vault"}, "prefix": "V_"}], volumeMounts=mounts)
    worker = busybox("worker", begins, env=[{"name": "W_TOKEN", "value": SECRET}])
    peer = busybox("peer", "sleep 100000", volumeMounts=mounts[:1])
    own = busybox("own", "sleep 100000", securityContext={"runAsUser": 33, "runAsGroup": 33, "capabilities": {"drop": ["ALL"]}})
    volumes = [
        {"name": "tls", "secret": {"secretName": "vault"}},
        {"name": "api", "projected": {"sources": [{"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}]}},
    ]
    made = pod("holds", app, worker, peer, own, shareProcessNamespace=True, volumes=volumes, automountServiceAccountToken=False, **users)
    try:
        polong.apply(secret)
        done = kubectl.try_("apply", "-f", "-", stdin=yaml.safe_dump(made))
        assert "read V_* (all of Secret vault)" in done.stderr
        polong.ready("holds")
        eventually(lambda: "tail -f" in polong("ps", "holds"), "the worker")
        text, document = polong("audit", "holds"), polong("audit", "holds", "-o", "json")
        told = {(each["container"], each["what"]): set(each["openTo"]) for each in json.loads(document)["findings"]}
        assert told["app", "variable V_* (all of Secret vault)"] == {"worker", "peer"}
        assert told["app", "/tls (Secret vault)"] == {"worker"}
        assert told["app", "/api (token of the service account)"] == {"worker", "peer"}
        assert "own" in told["worker", "variable W_TOKEN"], "the worker's user can read it, the master's alone could not"
        for printed in (done.stdout, done.stderr, text, document):
            assert SECRET not in printed
    finally:
        polong.delete("holds")
        polong("delete", "secret", "vault", "--ignore-not-found")
