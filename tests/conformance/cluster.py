"""The API as Kubernetes' own tests use it: through the official client, objects as they are on the wire (dicts)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes.client
import kubernetes.config
from kubernetes.stream import stream
from tests.e2e.cluster import eventually

Json = dict[str, Any]

_PATCHES = {
    "strategic": "application/strategic-merge-patch+json",
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
}


class Refused(AssertionError):  # noqa: N818
    """A Status that is no success; `code`, `reason`, `message` and `causes` as the API gave them."""

    def __init__(self, status: Json) -> None:
        self.code: int = status.get("code", 0)
        self.reason: str = status.get("reason", "")
        self.message: str = status.get("message", "")
        self.causes: list[Json] = (status.get("details") or {}).get("causes") or []
        super().__init__(f"{self.code} {self.reason}: {self.message}")


@dataclass(frozen=True)
class Ran:
    code: int
    stdout: str
    stderr: str


class Cluster:
    """One namespace of one API. Paths of objects are built from the plural: `pods`, `configmaps`, `node.k8s.io/v1/runtimeclasses`."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self.kubeconfig = kubeconfig
        self.namespace = namespace
        self.api = kubernetes.config.new_client_from_config(str(kubeconfig))
        self.core = kubernetes.client.CoreV1Api(self.api)

    def close(self) -> None:
        self.api.close()

    def path(self, plural: str, name: str = "", subresource: str = "", *, namespaced: bool = True) -> str:
        group, _, kind = plural.rpartition("/")
        parts = ["apis", *group.split("/")] if group else ["api", "v1"]
        parts += ["namespaces", self.namespace] if namespaced else []
        parts += [part for part in (kind, name, subresource) if part]
        return "/" + "/".join(parts)

    def request(self, method: str, path: str, body: Any = None, *, media: str = "application/json", **query: Any) -> Any:
        """The decoded answer; text where it is no JSON; Refused where it is no success."""
        headers = {"Accept": "application/json", "Content-Type": media}
        sent = self.api.param_serialize(method, path, query_params=list(query.items()), header_params=headers, body=body)
        answer = self.api.call_api(*sent, _request_timeout=120)
        text = answer.read().decode()
        if answer.status >= 400:
            raise Refused(_status(answer.status, text))
        try:
            return json.loads(text)
        except ValueError:
            return text

    # --- any kind --------------------------------------------------------------------------------------------------------------

    def create(self, plural: str, obj: Json, *, namespaced: bool = True, **query: Any) -> Json:
        made: Json = self.request("POST", self.path(plural, namespaced=namespaced), obj, **query)
        return made

    def get(self, plural: str, name: str, subresource: str = "", *, namespaced: bool = True) -> Json:
        found: Json = self.request("GET", self.path(plural, name, subresource, namespaced=namespaced))
        return found

    def list(self, plural: str, *, namespaced: bool = True, **query: Any) -> list[Json]:
        items: list[Json] = self.request("GET", self.path(plural, namespaced=namespaced), **query)["items"]
        return items

    def replace(self, plural: str, obj: Json, subresource: str = "", *, namespaced: bool = True) -> Json:
        path = self.path(plural, obj["metadata"]["name"], subresource, namespaced=namespaced)
        stored: Json = self.request("PUT", path, obj)
        return stored

    def patch(
        self, plural: str, name: str, change: Any, subresource: str = "", *, kind: str = "strategic", namespaced: bool = True
    ) -> Json:
        path = self.path(plural, name, subresource, namespaced=namespaced)
        stored: Json = self.request("PATCH", path, change, media=_PATCHES[kind])
        return stored

    def delete(self, plural: str, name: str, *, grace: int | None = None, namespaced: bool = True) -> Json:
        query = {} if grace is None else {"gracePeriodSeconds": grace}
        answer: Json = self.request("DELETE", self.path(plural, name, namespaced=namespaced), **query)
        return answer

    def gone(self, plural: str, name: str, timeout: float = 60, *, namespaced: bool = True) -> None:
        def missing() -> bool:
            try:
                self.get(plural, name, namespaced=namespaced)
            except Refused as error:
                return error.code == 404
            return False

        eventually(missing, f"{plural} {name} is gone", timeout)

    # --- Pods ------------------------------------------------------------------------------------------------------------------

    def pod(self, name: str) -> Json:
        return self.get("pods", name)

    def run(self, obj: Json, timeout: float = 60) -> Json:
        """Create a Pod and wait until it is Running with all containers ready."""
        self.create("pods", obj)
        return self.ready(obj["metadata"]["name"], timeout)

    def ready(self, name: str, timeout: float = 60) -> Json:
        return self.until(name, lambda pod: condition(pod, "Ready") == "True", "is ready", timeout)

    def phase(self, name: str, *phases: str, timeout: float = 60) -> Json:
        return self.until(name, lambda pod: pod["status"].get("phase") in phases, f"is {' or '.join(phases)}", timeout)

    def until(self, name: str, check: Callable[[Json], Any], what: str, timeout: float = 60) -> Json:
        """The Pod, once `check` is true of it."""
        last: Json = {}

        def look() -> bool:
            nonlocal last
            last = self.pod(name)
            return bool(check(last))

        try:
            eventually(look, f"Pod {name} {what}", timeout)
        except AssertionError as error:
            told = "\n".join(f"{each['reason']}: {each['message']}" for each in self.events(name))
            raise AssertionError(f"{error}\n{json.dumps(last.get('status'), indent=1)}\n{told}") from None
        return last

    def logs(self, name: str, container: str = "", **query: Any) -> str:
        """Text of /log; query words as the API has them (tailLines, previous …)."""
        if container:
            query["container"] = container
        answer = self.core.read_namespaced_pod_log(name, self.namespace, _preload_content=False, **_snaked(query))
        text: str = answer.data.decode()
        return text

    def exec(self, name: str, container: str, *command: str, timeout: float = 30) -> Ran:
        """Run a command to its end, over WebSocket."""
        session = stream(
            self.core.connect_get_namespaced_pod_exec,
            name,
            self.namespace,
            container=container,
            command=list(command),
            stdin=False,
            stdout=True,
            stderr=True,
            tty=False,
            _preload_content=False,
        )
        try:
            session.run_forever(timeout=timeout)
            return Ran(session.returncode, session.read_stdout() or "", session.read_stderr() or "")
        finally:
            session.close()
            # A session that the server ended is not closed by close().
            session.sock.shutdown()

    def sh(self, name: str, container: str, script: str) -> str:
        """Standard output of a shell script that must end with 0."""
        ran = self.exec(name, container, "sh", "-c", script)
        assert ran.code == 0, f"{script}: {ran}"
        return ran.stdout.strip()

    def events(self, name: str) -> list[Json]:
        return self.list("events", fieldSelector=f"involvedObject.name={name}")

    def event(self, name: str, reason: str, timeout: float = 30) -> Json:
        """The first Event of this reason about an object."""
        found: Json = eventually(
            lambda: next((each for each in self.events(name) if each["reason"] == reason), None), f"{reason} of {name}", timeout
        )
        return found


def condition(pod: Json, kind: str) -> str:
    """Status of a condition; empty where there is none."""
    return next((each["status"] for each in pod["status"].get("conditions") or () if each["type"] == kind), "")


def statuses(pod: Json, kind: str = "containerStatuses") -> dict[str, Json]:
    """Container statuses by name; `kind` may be initContainerStatuses or ephemeralContainerStatuses."""
    return {each["name"]: each for each in pod["status"].get(kind) or ()}


def entry(pod: Json, name: str) -> Json:
    """The status of one container of any kind; before there is one, that of a container that waits."""
    kinds = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
    found = next((each for kind in kinds for each in pod["status"].get(kind) or () if each["name"] == name), None)
    return found or {"name": name, "state": {"waiting": {}}, "lastState": {}, "ready": False, "restartCount": 0}


def _status(code: int, body: str) -> Json:
    try:
        decoded = json.loads(body)
    except ValueError:
        decoded = {"message": body}
    return {"code": code, **decoded}


def _snaked(query: Json) -> Json:
    return {"".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in key): value for key, value in query.items()}
