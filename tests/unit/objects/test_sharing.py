"""Which variables look secret, who can read them as planned, and which commands want to be PID 1."""

from __future__ import annotations

from typing import Any

import pytest

from polong.objects import sharing

Json = dict[str, Any]

SECRET = "do-not-print-me"


def container(name: str, *variables: str, command: tuple[str, ...] = (), **context: Any) -> Json:
    env = [{"name": each, "value": SECRET} for each in variables]
    return {"name": name, "env": env, "command": list(command), "securityContext": context}


def pod(*containers: Json, **spec: Any) -> Json:
    return {"metadata": {"name": "p"}, "spec": {"shareProcessNamespace": True, "containers": list(containers), **spec}}


@pytest.mark.parametrize(
    "name",
    ["DB_PASSWORD", "PGPASSWORD", "TOKEN", "GITHUB_TOKEN", "apiKey", "AWS_SECRET_ACCESS_KEY", "KEY", "DB_PASS", "GOOGLE_CREDENTIALS"],
)
def test_it_looks_secret(name: str) -> None:
    assert sharing.looks_secret(name)


@pytest.mark.parametrize(
    "name",
    ["PATH", "PWD", "HOME", "KEYBOARD", "PASSENGERS", "PASSWORD_FILE", "TOKEN_URL", "PUBLIC_KEY", "AWS_ACCESS_KEY_ID", "SECRET_NAME", ""],
)
def test_it_does_not(name: str) -> None:
    assert not sharing.looks_secret(name)


def readers(*containers: Json, **spec: Any) -> dict[str, tuple[str, ...]]:
    return {each.container: each.readers for each in sharing.exposures(pod(*containers, **spec))}


def test_roots_read_each_other() -> None:
    assert readers(container("db", "PASSWORD"), container("web"), container("log")) == {"db": ("web", "log")}


def test_a_user_of_ones_own_is_a_wall() -> None:
    db, web = container("db", "PASSWORD", runAsUser=1000, runAsGroup=1000), container("web", runAsUser=1001)
    assert readers(db, web) == {}
    # Root of the default capabilities may take anybody's user.
    assert readers(db, container("web")) == {"db": ("web",)}
    assert readers(db, container("web", capabilities={"drop": ["ALL"]})) == {}
    assert readers(db, container("web", capabilities={"drop": ["all"], "add": ["CAP_SYS_PTRACE", "DAC_READ_SEARCH"]})) == {"db": ("web",)}
    assert readers(db, container("web", runAsUser=1000, runAsGroup=1000)) == {"db": ("web",)}


def test_only_where_it_is_shared() -> None:
    both = container("db", "PASSWORD"), container("web")
    assert readers(*both, shareProcessNamespace=False) == {}
    assert readers(*both, shareProcessNamespace=False, hostPID=True) == {"db": ("web",)}


def test_a_secret_by_reference_counts_whatever_its_name() -> None:
    db = container("db")
    db["env"] = [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}, {"name": "TOKEN", "valueFrom": {"fieldRef": {}}}]
    assert sharing.secret_variables(db) == ["X"]


def test_what_comes_by_the_dozen_counts_as_well() -> None:
    db = {
        "envFrom": [{"secretRef": {"name": "s"}, "prefix": "DB_"}, {"configMapRef": {"name": "c"}}],
        "env": [{"name": "API_TOKEN", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}],
    }
    assert sharing.secret_variables(db) == ["DB_* (all of Secret s)", "API_TOKEN"]


def test_files_of_secrets_and_tokens() -> None:
    sources = [{"serviceAccountToken": {"path": "token"}}, {"configMap": {"name": "c"}}, {"secret": {"name": "other"}}]
    tls = {"name": "tls", "secret": {"secretName": "web"}}
    volumes = [tls, {"name": "api", "projected": {"sources": sources}}, {"name": "e", "emptyDir": {}}]
    mounts = [{"name": "tls", "mountPath": "/tls"}, {"name": "api", "mountPath": "/api"}, {"name": "e", "mountPath": "/e"}]
    assert sharing.secret_files({"spec": {"volumes": volumes}}, {"volumeMounts": mounts}) == [
        sharing.SecretFiles("tls", "/tls", "Secret web"),
        sharing.SecretFiles("api", "/api", "token of the service account, Secret other"),
    ]


def test_warnings_name_and_never_tell() -> None:
    (text,) = sharing.warnings(pod(container("db", "PASSWORD", "TOKEN"), container("web")))
    assert "lets container web read PASSWORD, TOKEN" in text
    assert SECRET not in text


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["/lib/systemd/systemd"], "insists on being PID 1"),
        (["/sbin/init"], "insists on being PID 1"),
        (["/init"], "s6-overlay"),
        (["/usr/bin/tini", "--", "app"], "left out"),
        (["dumb-init", "app"], "left out"),
        (["sh", "-c", "kill -HUP 1"], "kill 1"),
        (["sh", "-c", "sleep 1; kill 1; exit"], "kill 1"),
        (["sh", "-c", "echo x > /proc/1/fd/1"], "/proc/self/fd/1"),
        (["cat", "/proc/1/environ"], "that is /pause"),
    ],
)
def test_what_wants_to_be_pid_1(command: list[str], words: str) -> None:
    (text,) = sharing.warnings(pod(container("app", command=tuple(command))))
    assert words in text


@pytest.mark.parametrize("command", [[], ["nginx"], ["sh", "-c", "kill 12; kill -1 100"], ["cat", "/proc/12/fd/1"], ["/app/init"]])
def test_what_does_not(command: list[str]) -> None:
    assert sharing.pid_1(command) == []


def test_what_is_not_yet_valid_breaks_nothing() -> None:
    assert sharing.warnings({"spec": {"shareProcessNamespace": True, "containers": [{}, {"env": [{}]}]}}) == []


def test_an_images_entry_point_counts_as_the_kubelet_counts_it() -> None:
    image = (["/usr/bin/tini", "--"], ["sleep", "1"])
    assert sharing.effective_command({}, image) == ["/usr/bin/tini", "--", "sleep", "1"]
    assert sharing.effective_command({"args": ["x"]}, image) == ["/usr/bin/tini", "--", "x"]
    assert sharing.effective_command({"command": ["y"]}, image) == ["y"]
    assert sharing.effective_command({"command": ["y"], "args": ["x"]}, image) == ["y", "x"]


def test_what_is_known_of_the_image_is_told_with_its_name() -> None:
    pod = {"spec": {"shareProcessNamespace": True, "containers": [{"name": "a", "image": "web:1"}]}}
    (said,) = sharing.warnings(pod, {"a": (["/usr/bin/tini"], [])})
    assert said.endswith("(entry point of image web:1)")
    assert sharing.warnings(pod) == []


def test_last_words_are_explained_where_they_are_known() -> None:
    assert sharing.pid_1_said("x\nTrying to run as user instance, but the system has not been booted with systemd.\n").startswith("systemd")
    assert sharing.pid_1_said("s6-overlay-suexec: fatal: can only run as pid 1").startswith("s6-overlay")
    assert sharing.pid_1_said("out of memory") == ""
