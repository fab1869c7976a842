"""`alias kubectl=polong`: the same command on the same Pod says the same, but for what Polong says on purpose."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from tests.e2e.cluster import Client, Node, busybox, nginx, pod

NAME = "alike"

AGE = re.compile(r"\b(\d+(?:ms|[smhd]))+\b")

SAME = """
get pods
get pods -o wide
get pod alike
get pod alike -o name
get pod alike -o yaml
get pod alike -o json
get pods -o jsonpath={.items[*].metadata.name}
get pods -o custom-columns=NAME:.metadata.name,NOPE:.nope
get pods --show-labels
get pods -L app
get pods -l app=alike
get pods -l app=other
get pods -A --field-selector=metadata.name=alike
get pods --no-headers
get pods --sort-by=.metadata.name
get pod nope
get pod nope --ignore-not-found
get nope
get pods alike -A
get pods -n nope
get nodes
get nodes -o wide
get namespaces
get all
get all,nodes
get events --field-selector=involvedObject.name=alike
describe pod nope
describe pods -n nope
describe namespace default
logs alike -c shell
logs alike
logs alike -c shell --tail=1
logs alike -c shell --timestamps
logs alike -c shell -p
logs alike --all-containers --prefix
logs -l app=alike -c shell
exec alike -c shell -- echo hello
exec alike -- true
exec alike -c shell -- sh -c exit\u00a03
exec alike -c shell -- sh -c echo\u00a0out;echo\u00a0err\u00a0>&2
exec nope -- true
exec alike
attach nope
wait pod/alike --for=condition=Ready
wait pod -l app=alike --for=condition=Ready
wait pod/alike --for=jsonpath={.status.phase}=Running
wait pod/alike --for=condition=Ready=false --timeout=1s
wait pod/nope --for=condition=Ready
wait pod/nope --for=delete
delete pod nope
delete pod nope --ignore-not-found
delete pod alike --dry-run=server
delete pod alike --dry-run=client
delete pod
delete pods -l app=other
delete pods --all -n nope
"""
"""A no-break space stands for a space inside of an argument."""

# What kubectl 1.33 does not say and Polong does.
OURS = (
    re.compile(r"^Process Namespace: .*\n", re.MULTILINE),  # who sees whose processes
    re.compile(r"(?<=/TCP) \(\w+\)"),  # a port's name (kubectl says it from 1.34 on)
    re.compile(r"(?<=IP:)\s+[\d.]*(?= \(v1:status\.podIP\))"),  # the value of a field of the status
)


@pytest.fixture(scope="module")
def alike(node: Node) -> Iterator[None]:
    made = pod(
        NAME,
        nginx(
            ports=[{"containerPort": 80, "name": "http"}],
            resources={"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
            env=[{"name": "A", "value": "b c"}, {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
            volumeMounts=[{"name": "d", "mountPath": "/d"}, {"name": "h", "mountPath": "/h", "readOnly": True}],
        ),
        busybox("shell", "echo out; echo more; exec sleep 1000", stdin=True, tty=True),
        shareProcessNamespace=True,
        volumes=[{"name": "d", "emptyDir": {}}, {"name": "h", "hostPath": {"path": "/etc", "type": "Directory"}}],
    )
    made["metadata"] |= {"labels": {"app": NAME, "tier": "web"}, "annotations": {"note": "hello"}}
    node.polong.apply(made)
    node.polong.ready(NAME)
    yield
    node.polong.delete(NAME)


def said(client: Client, words: list[str]) -> tuple[int, str, str]:
    done = client.try_(*words)
    return done.returncode, _plain(done.stdout), _plain(done.stderr)


def _plain(text: str) -> str:
    """Without ages, and without the widths that follow from them."""
    return re.sub(r"[ ]+", " ", AGE.sub("AGE", text)).replace("kubectl", "polong")


@pytest.mark.usefixtures("alike")
@pytest.mark.parametrize("line", SAME.strip().splitlines())
def test_the_same_words(polong: Client, kubectl: Client, line: str) -> None:
    words = [word.replace("\u00a0", " ") for word in line.split(" ")]
    ours, theirs = said(polong, words), said(kubectl, words)
    if words == ["exec", "alike"]:  # one line more of help
        assert (ours[0], ours[2].startswith(theirs[2].strip())) == (theirs[0], True)
        return
    assert ours == theirs


@pytest.mark.usefixtures("alike")
def test_describe_differs_by_what_is_ours_alone(polong: Client, kubectl: Client) -> None:
    ours, theirs = polong("describe", "pod", NAME), kubectl("describe", "pod", NAME)
    assert "Process Namespace:  shared by all containers, PID 1 is /pause" in ours
    for pattern in OURS:
        ours, theirs = pattern.sub("", ours), pattern.sub("", theirs)
    assert _plain(ours) == _plain(theirs)


def attached(client: Client) -> tuple[int, str]:
    """A shell without terminal that is given one command by attach, and leaves with 3."""
    client.apply(
        pod("reader", busybox("a", "read line; echo got $line; sleep 0.2; exit 3", stdin=True, stdinOnce=True), restartPolicy="Never")
    )
    client.ready("reader")
    done = client.try_("attach", "-i", "reader", stdin="words\n")
    client.delete("reader")
    return done.returncode, done.stdout


def test_attach_with_input(polong: Client, kubectl: Client) -> None:
    ours, theirs = attached(polong), attached(kubectl)
    assert ours == theirs
    assert "got words" in ours[1]


def test_delete_says_and_waits_alike(polong: Client, kubectl: Client) -> None:
    told = []
    for client in (polong, kubectl):
        polong.apply(pod("going", busybox("a", "sleep 1000")))
        polong.ready("going")
        told.append(said(client, ["delete", "pod", "going", "--now"]))
        assert polong.try_("get", "pod", "going").returncode == 1
    assert told[0] == told[1] == (0, 'pod "going" deleted\n', "")
