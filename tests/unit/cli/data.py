"""Objects that several of these tests need."""

from .conftest import Api

RUNNING = {
    "phase": "Running",
    "podIP": "10.0.0.9",
    "conditions": [{"type": "Ready", "status": "True"}],
    "containerStatuses": [
        {
            "name": "nginx",
            "image": "nginx:1",
            "imageID": "sha256:0",
            "containerID": "polong://1",
            "ready": True,
            "restartCount": 1,
            "state": {"running": {"startedAt": "2026-01-02T03:04:05Z"}},
            "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-01-02T03:04:04Z"}},
        }
    ],
}


def event(api: Api, name: str, reason: str, message: str, kind: str = "Normal") -> None:
    about = {
        "kind": "Pod",
        "name": name,
        "namespace": "default",
        "uid": api.request("GET", f"/api/v1/namespaces/default/pods/{name}")["metadata"]["uid"],
    }
    times = {"firstTimestamp": "2026-01-02T03:04:05Z", "lastTimestamp": "2026-01-02T03:04:05Z", "count": 1}
    body = {
        "metadata": {"generateName": "e-", "namespace": "default"},
        "involvedObject": about,
        "type": kind,
        "reason": reason,
        "message": message,
    }
    api.request("POST", "/api/v1/namespaces/default/events", {**body, **times, "source": {"component": "kubelet"}})
