"""Bad input, through kubectl and through polong: one clear line, an exit code, no trace anywhere, nothing half-made left."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.cluster import ARCHIVES, Client, Node, busybox, eventually, pod
from tests.e2e.test_node import host_traces
from tests.fixtures.registry import free_port, scripted

Json = dict[str, Any]

NAME = "bad"


def traces(node: Node) -> list[str]:
    """What of Pods is on the host, without the daemon itself."""
    return sorted(line for line in host_traces(node) if "polong serve" not in line and " serve" not in line)


@pytest.fixture(scope="module")
def used(node: Node) -> None:
    """The first Pod makes what all share, such as the bridge: it stays."""
    node.polong.apply(pod("first", busybox("a", "sleep 1000")))
    node.polong.ready("first")
    node.polong.delete("first")


@pytest.fixture
def untouched(node: Node, used: None) -> Iterator[None]:
    """Nothing is left on the host after the test, and the node's log has no trace of a fault."""
    del used
    before, log = traces(node), node.root / "logs" / "node.log"
    size = log.stat().st_size
    yield
    node.polong.delete(NAME)
    eventually(lambda: set(traces(node)) <= set(before), f"no more than {len(before)} traces of Pods on the host")
    with log.open("rb") as stream:
        stream.seek(size)
        assert b"Traceback" not in stream.read()


def manifest(more: str = "", container: str = "", metadata: str = f"name: {NAME}") -> bytes:
    return f"""\
apiVersion: v1
kind: Pod
metadata: {{{metadata}}}
spec:
  containers:
  - {{name: a, image: 'busybox:1.28'{container}}}
{more}
""".encode()


@dataclass(frozen=True)
class Bad:
    """What is written, and what each client's one message must contain (`kubectl` where its own words differ)."""

    text: bytes
    polong: str
    kubectl: str = ""
    lines: int = 1


_UNSUPPORTED = "Forbidden: Polong does not support"
_STRICT = "strict decoding error: unknown field"
_GO = "cannot unmarshal"
_BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9))

BAD = {
    "unknown field": Bad(manifest("  hostPIDs: true"), f'{_STRICT} "spec.hostPIDs"'),
    "unknown field of a container": Bad(manifest(container=", comand: [a]"), f'{_STRICT} "spec.containers[0].comand"'),
    "string for a boolean": Bad(manifest("  hostPID: 'yes'"), f"{_GO} string into Go struct field PodSpec.spec.hostPID of type bool"),
    "string for a number": Bad(manifest(container=", ports: [{containerPort: http}]"), f"{_GO} string into Go struct field ContainerPort"),
    "list for an object": Bad(manifest("  securityContext: []"), f"{_GO} array into Go struct field PodSpec.spec.securityContext"),
    "number for a name": Bad(manifest(metadata="name: 12"), f"{_GO} number into Go struct field ObjectMeta.metadata.name of type string"),
    "null for a container": Bad(
        b"apiVersion: v1\nkind: Pod\nmetadata: {name: bad}\nspec: {containers: [null]}\n",
        "spec.containers[0].name: Required value",
        lines=3,
    ),
    "hostPID with shareProcessNamespace": Bad(
        manifest("  hostPID: true\n  shareProcessNamespace: true"),
        'The Pod "bad" is invalid: spec.securityContext.shareProcessNamespace: Invalid value: true: '
        "ShareProcessNamespace and HostPID cannot both be enabled",
    ),
    "ephemeral container on create": Bad(
        manifest("  ephemeralContainers: [{name: e, image: x}]"), "spec.ephemeralContainers: Forbidden: cannot be set on create"
    ),
    "invalid name": Bad(manifest(metadata="name: Bad_Name"), 'metadata.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain'),
    "invalid label": Bad(manifest(metadata="name: bad, labels: {a: 'x y'}"), 'metadata.labels: Invalid value: "x y": a valid label must'),
    "no containers": Bad(b"apiVersion: v1\nkind: Pod\nmetadata: {name: bad}\nspec: {}\n", "spec.containers: Required value"),
    "no name": Bad(manifest(metadata="labels: {a: b}"), "resource name may not be empty", lines=4),
    "no kind": Bad(b"apiVersion: v1\nmetadata: {name: x}\n", "kind not set"),
    "unknown kind": Bad(b"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n", 'no matches for kind "Deployment"', lines=2),
    "no YAML": Bad(b"a: [b\n", "error parsing FILE"),
    "a bare word": Bad(b"hello\n", "expected an object, found str", "invalid object to validate"),
    "nothing": Bad(b"", "error: no objects passed to apply"),
    "a bomb of aliases": Bad(_BOMB.encode(), "document contains excessive aliasing"),
    "an alias of itself": Bad(b"&a [*a]\n", "anchor 'a' value contains itself"),
    "5000 levels": Bad(b"[" * 5000, "exceeded max depth", "error parsing FILE"),
    "not UTF-8": Bad(
        b"apiVersion: v1\nkind: Pod\nmetadata: {name: \xff\xfe}\n", "not UTF-8 text", "spec.containers: Required value", lines=3
    ),
    "a NUL": Bad(b"a\0b: c\n", "control characters are not allowed"),
    "a body too large": Bad(manifest(metadata=f"name: bad, annotations: {{a: '{'x' * (4 << 20)}'}}"), "Request entity too large"),
    "annotations too large": Bad(
        manifest(metadata=f"name: bad, annotations: {{a: '{'x' * (300 << 10)}'}}"), "Too long: may not be more than"
    ),
}


def apply(client: Client, text: bytes, path: Path) -> tuple[int, str, str]:
    path.write_bytes(text)
    done = client.try_("apply", "-f", str(path))
    return done.returncode, done.stdout, done.stderr


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_is_refused_in_one_line(client: Client, name: str, tmp_path: Path) -> None:
    bad = BAD[name]
    file = tmp_path / "pod.yaml"
    code, out, err = apply(client, bad.text, file)
    wanted = bad.kubectl if bad.kubectl and client.program.name.startswith("kubectl") else bad.polong
    assert (code, out) == (1, "")
    assert wanted in err.replace(str(file), "FILE")
    assert "Traceback" not in err
    assert "fault of polong" not in err
    if client.program.name == "polong":
        assert err.count("\n") <= bad.lines
    assert client.try_("get", "pod", NAME, "-o", "name").returncode == 1


def test_duplicate_keys(polong: Client, kubectl: Client, tmp_path: Path) -> None:
    """kubectl's YAML reader keeps the last of two keys; JSON's duplicates reach the server, which names them."""
    code, _, err = apply(polong, manifest("  hostPID: true\n  hostPID: false"), tmp_path / "pod.yaml")
    assert code == 1
    assert err == f'error: error parsing {tmp_path}/pod.yaml: yaml: line 8: key "hostPID" already set in map\n'
    body = '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"bad"},"spec":{"hostPID":true,"hostPID":false,"containers":[]}}'
    (tmp_path / "pod.json").write_text(body)
    done = kubectl.try_("create", "--raw", "/api/v1/namespaces/default/pods?fieldValidation=Strict", "-f", str(tmp_path / "pod.json"))
    assert done.returncode == 1
    assert 'strict decoding error: duplicate field "spec.hostPID"' in done.stderr


# --- what the API takes and the node cannot do ----------------------------------------------------------------------------------


def state(client: Client, kind: str = "state") -> Json:
    statuses = client.json("get", "pod", NAME).get("status", {}).get("containerStatuses") or [{}]
    found: Json = statuses[0].get(kind) or {}
    return found


def waiting(client: Client, reason: str) -> str:
    """The message with which the container waits for `reason`."""
    found = eventually(
        lambda: (held := state(client).get("waiting") or {}).get("reason") == reason and held, f"{NAME} to wait with {reason}", 60
    )
    return str(found.get("message", ""))


def shown(client: Client) -> str:
    """The STATUS column."""
    return client("get", "pod", NAME, "--no-headers").split()[2]


@pytest.fixture
def registry() -> Iterator[str]:
    """`127.0.0.1:PORT` of a registry that knows no image."""
    ready, address, stop = threading.Event(), [""], threading.Event()

    async def serve() -> None:
        async with scripted(images={}) as server:
            address[0] = server.address
            ready.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(10)
        yield address[0]
    finally:
        stop.set()
        thread.join(10)


@pytest.mark.usefixtures("untouched")
def test_an_image_that_its_registry_does_not_have(client: Client, registry: str) -> None:
    client.apply(pod(NAME, {"name": "a", "image": f"{registry}/no/such:1"}))
    assert "not found" in waiting(client, "ErrImagePull")
    text = waiting(client, "ImagePullBackOff")
    assert text.startswith(f'Back-off pulling image "{registry}/no/such:1": ErrImagePull: ')
    assert "\n" not in text
    assert shown(client) == "ImagePullBackOff"


@pytest.mark.usefixtures("untouched")
def test_a_registry_that_refuses_connections(client: Client) -> None:
    image = f"127.0.0.1:{free_port()}/a:1"
    client.apply(pod(NAME, {"name": "a", "image": image}))
    assert "cannot reach registry 127.0.0.1" in waiting(client, "ErrImagePull")
    waiting(client, "ImagePullBackOff")


@pytest.mark.usefixtures("untouched")
def test_a_name_that_is_no_image(client: Client) -> None:
    client.apply(pod(NAME, {"name": "a", "image": "Not_An:Image:Name"}))
    waiting(client, "InvalidImageName")


@pytest.mark.usefixtures("untouched")
def test_an_image_that_may_not_be_pulled(client: Client) -> None:
    client.apply(pod(NAME, {"name": "a", "image": "absent:1", "imagePullPolicy": "Never"}))
    assert waiting(client, "ErrImageNeverPull") == 'Container image "absent:1" is not present with pull policy of Never'


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("shared", [False, True])
def test_an_image_without_the_command(client: Client, shared: bool) -> None:
    client.apply(pod(NAME, {"name": "a", "image": "busybox:1.28", "command": ["/no/such"]}, shareProcessNamespace=shared))
    waiting(client, "CrashLoopBackOff")
    ended = state(client, "lastState")["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
    assert "executable file `/no/such` not found" in ended["message"]
    assert "\n" not in ended["message"]
    assert shown(client) == "CrashLoopBackOff"


@pytest.mark.usefixtures("untouched")
def test_a_pod_that_exits_at_once(client: Client) -> None:
    client.apply(pod(NAME, busybox("a", "exit 3")))
    text = waiting(client, "CrashLoopBackOff")
    assert re.match(r"back-off \d+s restarting failed container=a pod=bad_default\(", text)
    assert state(client, "lastState")["terminated"]["exitCode"] == 3
    assert shown(client) == "CrashLoopBackOff"


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("policy", "script", "phase", "status"),
    [
        ("Never", "exit 0", "Succeeded", "Completed"),
        ("Never", "exit 3", "Failed", "Error"),
        ("OnFailure", "exit 0", "Succeeded", "Completed"),
    ],
)
def test_a_pod_that_is_not_restarted(client: Client, policy: str, script: str, phase: str, status: str) -> None:
    client.apply(pod(NAME, busybox("a", script), restartPolicy=policy))
    eventually(lambda: client.json("get", "pod", NAME)["status"].get("phase") == phase, f"phase {phase}")
    assert shown(client) == status
    assert client.json("get", "pod", NAME)["status"]["containerStatuses"][0]["restartCount"] == 0


@pytest.mark.usefixtures("untouched")
@pytest.mark.behaviour("security/run-as-nonroot")
def test_run_as_non_root_with_a_root_image(client: Client) -> None:
    client.apply(pod(NAME, busybox("a", "sleep 1000"), securityContext={"runAsNonRoot": True}))
    text = waiting(client, "CreateContainerConfigError")
    assert text.startswith('container has runAsNonRoot and image will run as root (pod: "bad_default(')


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("kind", "text"), [("Directory", "is not a directory"), ("Socket", "is not a socket file"), ("BlockDevice", "is not a block device")]
)
def test_a_host_path_of_another_type(client: Client, kind: str, text: str) -> None:
    volume = {"name": "v", "hostPath": {"path": "/etc/hostname", "type": kind}}
    client.apply(pod(NAME, busybox("a", "sleep 1000", volumeMounts=[{"name": "v", "mountPath": "/v"}]), volumes=[volume]))
    wanted = f'MountVolume.SetUp failed for volume "v" : hostPath type check failed: /etc/hostname {text}'
    eventually(lambda: _event(client, "FailedMount") == wanted, wanted)
    assert shown(client) == "ContainerCreating"


def _event(client: Client, reason: str) -> str:
    uid = client.json("get", "pod", NAME)["metadata"]["uid"]
    found = client.json("get", "events", f"--field-selector=involvedObject.uid={uid},reason={reason}")["items"]
    return str(found[-1]["message"]) if found else ""


# --- policy Always --------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def tagged(node: Node, image: str) -> Iterator[None]:
    """busybox under another name, as if it had been pulled from a registry that is gone."""
    archive = node.root.parent / "tagged.tar"
    command = ["skopeo", "copy", "-q", "--insecure-policy", f"oci-archive:{ARCHIVES / 'busybox.tar'}", f"docker-archive:{archive}:{image}"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    try:
        node.polong("images", "import", str(archive))
        yield
    finally:
        archive.unlink()
        node.polong.try_("images", "rm", image)


@pytest.mark.usefixtures("untouched")
def test_policy_always_uses_the_local_image_when_nobody_answers(node: Node, polong: Client) -> None:
    image = f"127.0.0.1:{free_port()}/box:1"
    with tagged(node, image):
        polong.apply(pod(NAME, busybox("a", "sleep 1000") | {"image": image, "imagePullPolicy": "Always"}))
        polong.ready(NAME)
        eventually(lambda: "its registry cannot be reached" in _event(polong, "Pulled"), "an Event that says so")
        polong.delete(NAME)


@pytest.mark.usefixtures("untouched")
def test_policy_always_obeys_a_registry_that_answers(node: Node, polong: Client, registry: str) -> None:
    image = f"{registry}/box:1"
    with tagged(node, image):
        polong.apply(pod(NAME, busybox("a", "sleep 1000") | {"image": image, "imagePullPolicy": "Always"}))
        waiting(polong, "ErrImagePull")
        polong.delete(NAME)


@pytest.fixture
def black_hole() -> Iterator[str]:
    """`127.0.0.1:PORT` that swallows connections, as a firewall does: the kernel drops what asks a full backlog."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filling = stack.enter_context(socket.socket())
            filling.setblocking(False)
            filling.connect_ex(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.usefixtures("untouched")
def test_a_registry_that_is_silent_delays_one_pod_and_within_a_bound(node: Node, polong: Client, black_hole: str) -> None:
    took = []
    for name in ("one", "two"):
        image = f"{black_hole}/{name}:1"
        with tagged(node, image):
            polong.apply(pod(NAME, busybox("a", "sleep 1000") | {"image": image, "imagePullPolicy": "Always"}))
            started = time.monotonic()
            polong.ready(NAME)
            took.append(time.monotonic() - started)
            polong.delete(NAME)
    assert 3 < took[0] < 8
    assert took[1] < 3


# --- the order of what happened -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("untouched")
def test_events_of_one_second_stand_in_their_order(client: Client) -> None:
    client.apply(pod(NAME, busybox("a", "sleep 1000")))
    client.ready(NAME)
    wanted = ["Scheduled", "Pulled", "Created", "Started"]
    about = f"--field-selector=involvedObject.uid={client.json('get', 'pod', NAME)['metadata']['uid']}"

    def listed() -> list[str]:
        return client("get", "events", about, "-o", "custom-columns=R:.reason", "--no-headers").split()

    eventually(lambda: listed() == wanted, "the Pod's events")
    told = client("describe", "pod", NAME).partition("\nEvents:\n")[2].splitlines()[2:]
    assert [line.split()[1] for line in told] == wanted
