"""`describe pod`: kubectl's sections in kubectl's layout. Pure: the object in, text with tabs out (aligned by `tabular`).

One line more than kubectl's: `Process Namespace`, for who sees whose processes is what Polong is about.
"""

from __future__ import annotations

from typing import Any

from polong.cli.describe_text import Text, labels, pairs, value_or
from polong.cli.durations import rfc1123

Json = dict[str, Any]


def pod(obj: Json) -> Text:
    """Everything but the events."""
    metadata, spec, status = obj.get("metadata", {}), obj.get("spec", {}), obj.get("status", {})
    text = Text()
    _head(text, metadata, spec, status)
    _containers(text, "Init Containers", spec.get("initContainers"), status.get("initContainerStatuses"), status)
    _containers(text, "Containers", spec.get("containers"), status.get("containerStatuses"), status)
    _containers(text, "Ephemeral Containers", spec.get("ephemeralContainers"), status.get("ephemeralContainerStatuses"), status)
    _conditions(text, status.get("conditions"))
    _volumes(text, spec.get("volumes"))
    text.line(0, f"QoS Class:\t{status.get('qosClass', '')}")
    labels(text, "Node-Selectors", spec.get("nodeSelector"))
    tolerations = [_toleration(item) for item in spec.get("tolerations") or []]
    text.line(0, f"Tolerations:\t{tolerations[0] if tolerations else '<none>'}")
    for item in tolerations[1:]:
        text.line(0, f"\t{item}")
    return text


def _head(text: Text, metadata: Json, spec: Json, status: Json) -> None:
    text.line(0, f"Name:\t{metadata.get('name', '')}")
    text.line(0, f"Namespace:\t{metadata.get('namespace', '')}")
    text.line(0, f"Priority:\t{spec.get('priority', 0)}")
    if spec.get("serviceAccountName"):
        text.line(0, f"Service Account:\t{spec['serviceAccountName']}")
    node = spec.get("nodeName")
    text.line(0, "Node:\t" + (f"{node}/{status.get('hostIP', '')}" if node else "<none>"))
    if status.get("startTime"):
        text.line(0, f"Start Time:\t{rfc1123(status['startTime'])}")
    labels(text, "Labels", metadata.get("labels"))
    pairs(text, "Annotations", metadata.get("annotations"))
    if metadata.get("deletionTimestamp"):
        text.line(0, f"Status:\tTerminating (since {rfc1123(metadata['deletionTimestamp'])})")
        text.line(0, f"Termination Grace Period:\t{metadata.get('deletionGracePeriodSeconds', 0)}s")
    else:
        text.line(0, f"Status:\t{status.get('phase', '')}")
    for name in ("reason", "message"):
        if status.get(name):
            text.line(0, f"{name.title()}:\t{status[name]}")
    text.line(0, f"Process Namespace:\t{_process_namespace(spec)}")
    text.line(0, f"IP:\t{status.get('podIP', '')}")
    ips = status.get("podIPs") or []
    text.line(0, "IPs:" if ips else "IPs:\t<none>")
    for item in ips:
        text.line(1, f"IP:\t{item.get('ip', '')}")


def _process_namespace(spec: Json) -> str:
    if spec.get("hostPID"):
        return "host"
    return "shared by all containers, PID 1 is /pause" if spec.get("shareProcessNamespace") else "one per container"


def _containers(text: Text, title: str, containers: list[Json] | None, statuses: list[Json] | None, status: Json) -> None:
    if not containers:
        return
    by_name = {item.get("name"): item for item in statuses or []}
    text.line(0, f"{title}:")
    for container in containers:
        text.line(1, f"{container.get('name', '')}:")
        found = by_name.get(container.get("name"))
        _identity(text, container, found or {})
        _commands(text, container)
        if found is not None:
            _state(text, "State", found.get("state") or {})
            if found.get("lastState"):
                _state(text, "Last State", found["lastState"])
            text.line(2, f"Ready:\t{'True' if found.get('ready') else 'False'}")
            text.line(2, f"Restart Count:\t{found.get('restartCount', 0)}")
        _resources(text, container.get("resources") or {})
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            if container.get(probe):
                text.line(2, f"{probe.removesuffix('Probe').title()}:\t{_probe(container[probe])}")
        _environment(text, container, status)
        _mounts(text, container.get("volumeMounts"))


def _identity(text: Text, container: Json, found: Json) -> None:
    text.line(2, f"Container ID:\t{found.get('containerID', '')}")
    text.line(2, f"Image:\t{container.get('image', '')}")
    text.line(2, f"Image ID:\t{found.get('imageID', '')}")
    ports = container.get("ports") or []
    plural = "s" if len(ports) > 1 else ""
    text.line(2, f"Port{plural}:\t" + (", ".join(_port(item, "containerPort") for item in ports) or "<none>"))
    text.line(2, f"Host Port{plural}:\t" + (", ".join(_port(item, "hostPort") for item in ports) or "<none>"))


def _port(item: Json, key: str) -> str:
    name = f" ({item['name']})" if key == "containerPort" and item.get("name") else ""
    return f"{item.get(key, 0)}/{item.get('protocol', 'TCP')}{name}"


def _commands(text: Text, container: Json) -> None:
    for title, key in (("Command", "command"), ("Args", "args")):
        if container.get(key):
            text.line(2, f"{title}:")
            for word in container[key]:
                for part in str(word).split("\n"):
                    text.line(3, part)


def _state(text: Text, title: str, state: Json) -> None:
    kind, body = next(iter(state.items()), ("waiting", Json()))
    text.line(2, f"{title}:\t{kind.title()}")
    if body.get("reason"):
        text.line(3, f"Reason:\t{body['reason']}")
    if body.get("message"):
        text.line(3, f"Message:\t{body['message']}")
    if kind == "running":
        text.line(3, f"Started:\t{rfc1123(body.get('startedAt'))}")
    if kind == "terminated":
        text.line(3, f"Exit Code:\t{body.get('exitCode', 0)}")
        if body.get("signal"):
            text.line(3, f"Signal:\t{body['signal']}")
        text.line(3, f"Started:\t{rfc1123(body.get('startedAt'))}")
        text.line(3, f"Finished:\t{rfc1123(body.get('finishedAt'))}")


def _resources(text: Text, resources: Json) -> None:
    for title, key in (("Limits", "limits"), ("Requests", "requests")):
        if resources.get(key):
            text.line(2, f"{title}:")
            for name, amount in sorted(resources[key].items()):
                text.line(3, f"{name}:\t{amount}")


def _probe(probe: Json) -> str:
    times = (
        f"delay={probe.get('initialDelaySeconds', 0)}s timeout={probe.get('timeoutSeconds', 1)}s period={probe.get('periodSeconds', 10)}s "
        f"#success={probe.get('successThreshold', 1)} #failure={probe.get('failureThreshold', 3)}"
    )
    if "exec" in probe:
        return f"exec [{' '.join(probe['exec'].get('command') or [])}] {times}"
    if "httpGet" in probe:
        get = probe["httpGet"]
        path = "/" + str(get.get("path", "")).lstrip("/")
        return f"http-get {str(get.get('scheme', 'HTTP')).lower()}://{get.get('host', '')}:{get.get('port', '')}{path} {times}"
    if "tcpSocket" in probe:
        return f"tcp-socket {probe['tcpSocket'].get('host', '')}:{probe['tcpSocket'].get('port', '')} {times}"
    if "grpc" in probe:
        return f"grpc <pod>:{probe['grpc'].get('port', '')} {probe['grpc'].get('service') or ''} {times}"
    return f"unknown {times}"


def _environment(text: Text, container: Json, status: Json) -> None:
    sources = container.get("envFrom") or []
    if sources:
        text.line(2, "Environment Variables from:")
        for source in sources:
            kind = "ConfigMap" if "configMapRef" in source else "Secret"
            reference = source.get("configMapRef") or source.get("secretRef") or {}
            prefix = f" with prefix '{source['prefix']}'" if source.get("prefix") else ""
            text.line(3, f"{reference.get('name', '')}\t{kind}{prefix}\tOptional: {'true' if reference.get('optional') else 'false'}")
    variables = container.get("env") or []
    text.line(2, "Environment:" if variables else "Environment:\t<none>")
    for variable in variables:
        text.line(3, f"{variable.get('name', '')}:\t{_variable(variable, status)}")


def _variable(variable: Json, status: Json) -> str:
    source = variable.get("valueFrom")
    if not source:
        return str(variable.get("value", ""))
    if "fieldRef" in source:
        path = source["fieldRef"].get("fieldPath", "")
        known = {"status.podIP": status.get("podIP"), "status.hostIP": status.get("hostIP")}.get(path) or ""
        return f"{known} ({source['fieldRef'].get('apiVersion', 'v1')}:{path})"
    if "resourceFieldRef" in source:
        return f"({source['resourceFieldRef'].get('resource', '')})"
    for key, kind in (("secretKeyRef", "secret"), ("configMapKeyRef", "config map")):
        if key in source:
            optional = "true" if source[key].get("optional") else "false"
            return f"<set to the key '{source[key].get('key', '')}' of {kind} '{source[key].get('name', '')}'>\tOptional: {optional}"
    return ""


def _mounts(text: Text, mounts: list[Json] | None) -> None:
    text.line(2, "Mounts:" if mounts else "Mounts:\t<none>")
    for mount in sorted(mounts or [], key=lambda item: str(item.get("mountPath", ""))):
        flags = "ro" if mount.get("readOnly") else "rw"
        if mount.get("subPath"):
            flags += f',path="{mount["subPath"]}"'
        text.line(3, f"{mount.get('mountPath', '')} from {mount.get('name', '')} ({flags})")


def _conditions(text: Text, conditions: list[Json] | None) -> None:
    if conditions:
        text.line(0, "Conditions:")
        text.line(1, "Type\tStatus")
        for item in conditions:
            text.line(1, f"{item.get('type', '')} \t{item.get('status', '')} ")


_VOLUMES = {
    "emptyDir": (
        "EmptyDir (a temporary directory that shares a pod's lifetime)",
        (("Medium", "medium", ""), ("SizeLimit", "sizeLimit", "<unset>")),
    ),
    "hostPath": ("HostPath (bare host directory volume)", (("Path", "path", ""), ("HostPathType", "type", ""))),
    "configMap": ("ConfigMap (a volume populated by a ConfigMap)", (("Name", "name", ""), ("Optional", "optional", "false"))),
    "secret": ("Secret (a volume populated by a Secret)", (("SecretName", "secretName", ""), ("Optional", "optional", "false"))),
    "projected": ("Projected (a volume that contains injected data from multiple sources)", ()),
    "downwardAPI": ("DownwardAPI (a volume populated by information about the pod)", ()),
    "persistentVolumeClaim": (
        "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)",
        (("ClaimName", "claimName", ""), ("ReadOnly", "readOnly", "false")),
    ),
    "image": ("Image (a container image or OCI artifact)", (("Reference", "reference", ""), ("PullPolicy", "pullPolicy", ""))),
}


def _volumes(text: Text, volumes: list[Json] | None) -> None:
    text.line(0, "Volumes:" if volumes else "Volumes:\t<none>")
    for volume in volumes or []:
        text.line(1, f"{volume.get('name', '')}:")
        kind = next((key for key in volume if key in _VOLUMES), None)
        if kind is None:
            text.line(2, "Type:\t<unknown>")
            continue
        title, fields = _VOLUMES[kind]
        text.line(2, f"Type:\t{title}")
        for name, key, absent in fields:
            text.line(2, f"{name}:\t{value_or((volume[kind] or {}).get(key), absent)}")
        for source in (volume[kind] or {}).get("sources") or []:
            _projected(text, source)
        if kind == "downwardAPI" and (items := (volume[kind] or {}).get("items")):
            text.line(2, "Items:")
            for item in items:
                from_ = (item.get("fieldRef") or {}).get("fieldPath") or (item.get("resourceFieldRef") or {}).get("resource", "")
                text.line(3, f"{from_} -> {item.get('path', '')}")


def _projected(text: Text, source: Json) -> None:
    """One of a projected volume's sources."""
    for kind, heading in (("secret", "SecretName"), ("configMap", "ConfigMapName")):
        if kind in source:
            text.line(2, f"{heading}:\t{source[kind].get('name', '')}")
            text.line(2, f"Optional:\t{str(bool(source[kind].get('optional'))).lower()}")
    if "downwardAPI" in source:
        text.line(2, "DownwardAPI:\ttrue")
    if "serviceAccountToken" in source:
        text.line(2, f"TokenExpirationSeconds:\t{source['serviceAccountToken'].get('expirationSeconds', '')}")


def _toleration(item: Json) -> str:
    text = str(item.get("key", ""))
    if item.get("value"):
        text += f"={item['value']}"
    if item.get("effect"):
        text += f":{item['effect']}"
    if item.get("operator") == "Exists" and not item.get("value"):
        text = f"{text} op=Exists" if text else "op=Exists"
    if item.get("tolerationSeconds") is not None:
        text += f" for {item['tolerationSeconds']}s"
    return text
