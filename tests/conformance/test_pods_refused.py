"""What a Pod may not say: refused on a real node in Kubernetes' words; and images of a registry that wants to know who asks."""

from __future__ import annotations

import base64
import json
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.cluster import Cluster, Refused
from tests.e2e.cluster import ARCHIVES, busybox, pod
from tests.fixtures.registry import free_port

Json = dict[str, Any]

SLEEP = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


def causes(cluster: Cluster, obj: Json) -> dict[str, str]:
    with pytest.raises(Refused) as refused:
        cluster.create("pods", obj)
    assert (refused.value.code, refused.value.reason) == (422, "Invalid")
    return {cause["field"]: cause["message"] for cause in refused.value.causes}


@pytest.mark.behaviour("sysctls/invalid")
def test_sysctls_are_named(cluster: Cluster) -> None:
    names = ("foo-", "kernel.shmmax", "safe-and-unsafe", "bar..")
    sysctls = [{"name": name, "value": "1"} for name in names]
    found = causes(cluster, pod("p", busybox("app", SLEEP), securityContext={"sysctls": sysctls}))
    assert {field.removeprefix("spec.securityContext.") for field in found} == {"sysctls[0].name", "sysctls[3].name"}
    assert 'Invalid value: "foo-"' in found["spec.securityContext.sysctls[0].name"]
    assert 'Invalid value: "bar.."' in found["spec.securityContext.sysctls[3].name"]


@pytest.mark.behaviour("sysctls/safe")
def test_a_safe_sysctl_is_set(cluster: Cluster) -> None:
    context = {"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]}
    cluster.run(pod("safe", busybox("app", SLEEP), securityContext=context))
    assert cluster.sh("safe", "app", "cat /proc/sys/kernel/shm_rmid_forced") == "1"


@pytest.mark.behaviour("sysctls/unsafe")
def test_an_unsafe_sysctl_is_refused_by_the_node(cluster: Cluster) -> None:
    context = {"sysctls": [{"name": "kernel/shm_rmid_forced", "value": "1"}]}
    cluster.run(pod("slashed", busybox("app", SLEEP), securityContext=context))
    assert cluster.sh("slashed", "app", "cat /proc/sys/kernel/shm_rmid_forced") == "1"
    for name in ("kernel.msgmax", "net/core/somaxconn"):
        made = pod(f"unsafe-{name[:3]}", busybox("app", SLEEP), securityContext={"sysctls": [{"name": name, "value": "10000"}]})
        cluster.create("pods", made)
        told = cluster.phase(made["metadata"]["name"], "Failed")["status"]
        dotted = name.replace("/", ".")
        assert (told["reason"], told["message"]) == ("SysctlForbidden", f'Pod was rejected: forbidden sysctl: "{dotted}" not allowlisted')
        assert cluster.event(made["metadata"]["name"], "SysctlForbidden")["message"] == f'forbidden sysctl: "{dotted}" not allowlisted'
        assert not told.get("containerStatuses") or "running" not in told["containerStatuses"][0]["state"]


@pytest.mark.behaviour("ephemeral/forbidden-on-create")
def test_no_debugger_from_the_beginning(cluster: Cluster) -> None:
    found = causes(cluster, pod("p", busybox("app", SLEEP), ephemeralContainers=[busybox("d", SLEEP)]))
    assert found == {"spec.ephemeralContainers": "Forbidden: cannot be set on create"}


@pytest.mark.behaviour("ephemeral/immutable", "ephemeral/names", "ephemeral/fields")
def test_what_a_debugger_may_not(cluster: Cluster) -> None:
    cluster.run(pod("debugged", busybox("app", SLEEP), volumes=[{"name": "v", "emptyDir": {}}]))
    debugger = {"name": "d", "image": "busybox:1.28", "command": ["sleep", "1000"], "targetContainerName": "app"}

    def added(**fields: Any) -> str:
        with pytest.raises(Refused) as refused:
            cluster.patch("pods", "debugged", {"spec": {"ephemeralContainers": [{**debugger, **fields}]}}, "ephemeralcontainers")
        return refused.value.message

    path = "spec.ephemeralContainers[0]"
    assert f'{path}.targetContainerName: Not found: "none"' in added(targetContainerName="none")
    assert f'{path}.name: Duplicate value: "app"' in added(name="app")
    for field, value in {
        "ports": [{"containerPort": 1}],
        "livenessProbe": {"exec": {"command": ["x"]}},
        "lifecycle": {"preStop": {"exec": {"command": ["x"]}}},
        "resources": {"limits": {"cpu": "1"}},
    }.items():
        assert f"{path}.{field}: Forbidden: cannot be set for an Ephemeral Container" in added(**{field: value})
    cluster.patch("pods", "debugged", {"spec": {"ephemeralContainers": [debugger]}}, "ephemeralcontainers")
    assert 'existing ephemeral containers "d" may not be changed' in added(image="nginx")
    held = cluster.get("pods", "debugged", "ephemeralcontainers")
    del held["spec"]["ephemeralContainers"]
    held["metadata"].pop("resourceVersion")
    with pytest.raises(Refused, match='existing ephemeral containers "d" may not be removed'):
        cluster.replace("pods", held, "ephemeralcontainers")


# --- a registry that wants credentials -------------------------------------------------------------------------------------------------

_CONFIGURATION = """\
version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: {directory}/data}}
http:
  addr: 127.0.0.1:{port}
auth:
  htpasswd: {{realm: test, path: {directory}/htpasswd}}
"""


# bcrypt of "pw".
_HTPASSWD = "me:$2b$04$MChkGJVnOIqfwQHnCIc9g.ZCO6MrJ1K2/VxppRZr4umi7Rw2v7hDm\n"


@pytest.fixture(scope="module")
def private_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`127.0.0.1:PORT` of a real registry that knows `me` with the password `pw`, with busybox as `team/app:1`."""
    program = shutil.which("docker-registry")
    if program is None or shutil.which("skopeo") is None:
        pytest.skip("docker-registry or skopeo is not installed")
    directory = tmp_path_factory.mktemp("private")
    port = free_port()
    (directory / "config.yml").write_text(_CONFIGURATION.format(directory=directory, port=port))
    (directory / "htpasswd").write_text(_HTPASSWD)
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(directory / "config.yml")], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        _await(f"http://127.0.0.1:{port}/v2/")
        _push(ARCHIVES / "busybox.tar", f"127.0.0.1:{port}/team/app:1")
        yield f"127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def _await(url: str) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=1):
                raise AssertionError("it lets anybody in")
        except urllib.error.HTTPError as error:
            if error.code == 401:
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the registry did not start")


def _push(archive: Path, destination: str) -> None:
    command = ["skopeo", "copy", "-q", "--insecure-policy", "--dest-tls-verify=false", "--dest-creds=me:pw"]
    for kind in ("oci-archive", "docker-archive"):
        done = subprocess.run(
            [*command, f"{kind}:{archive}", f"docker://{destination}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        if done.returncode == 0:
            return
    raise AssertionError(done.stderr.decode())


def pull_secret(name: str, registry: str, password: str) -> Json:
    auth = base64.b64encode(f"me:{password}".encode()).decode()
    document = json.dumps({"auths": {registry: {"auth": auth}}})
    kind = "kubernetes.io/dockerconfigjson"
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind, "stringData": {".dockerconfigjson": document}}


@pytest.mark.behaviour("exit/pull-secrets")
def test_an_image_that_is_not_for_everybody(cluster: Cluster, private_registry: str) -> None:
    image = f"{private_registry}/team/app:1"
    for name, password in (("wrong", "no"), ("right", "pw")):
        cluster.create("secrets", pull_secret(name, private_registry, password))
    own = busybox("app", SLEEP, image=image, imagePullPolicy="Always")
    cluster.create("pods", pod("nobody", own, imagePullSecrets=[{"name": "missing"}]))

    def waits(held: Json) -> bool:
        state = (held["status"].get("containerStatuses") or [{}])[0].get("state", {})
        return (state.get("waiting") or {}).get("reason") in ("ErrImagePull", "ImagePullBackOff")

    cluster.until("nobody", waits, "cannot pull")
    assert "(missing)" in cluster.event("nobody", "FailedToRetrieveImagePullSecret")["message"]
    # The first secret is wrong, the second one will do.
    cluster.run(pod("somebody", own, imagePullSecrets=[{"name": "wrong"}, {"name": "right"}]), timeout=90)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "puller"}, "imagePullSecrets": [{"name": "right"}]}
    cluster.create("serviceaccounts", account)
    cluster.run(pod("by-account", own, serviceAccountName="puller"), timeout=90)
