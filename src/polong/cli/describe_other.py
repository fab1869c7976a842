"""`describe` of nodes, namespaces and of whatever else: kubectl's sections where there are any, else the fields themselves."""

from __future__ import annotations

from typing import Any

from polong.cli.describe_text import Text, labels, pairs, value_or
from polong.cli.durations import rfc1123

Json = dict[str, Any]


def node(obj: Json, pods: list[Json]) -> Text:
    """A node and the Pods on it."""
    metadata, spec, status = obj.get("metadata", {}), obj.get("spec", {}), obj.get("status", {})
    text = Text()
    text.line(0, f"Name:\t{metadata.get('name', '')}")
    roles = sorted(key.rpartition("/")[2] for key in metadata.get("labels") or {} if key.startswith("node-role.kubernetes.io/"))
    text.line(0, f"Roles:\t{','.join(roles) or '<none>'}")
    labels(text, "Labels", metadata.get("labels"))
    pairs(text, "Annotations", metadata.get("annotations"))
    text.line(0, f"CreationTimestamp:\t{rfc1123(metadata.get('creationTimestamp'))}")
    taints = [
        f"{item.get('key')}{'=' + item['value'] if item.get('value') else ''}:{item.get('effect')}" for item in spec.get("taints") or []
    ]
    text.line(0, f"Taints:\t{', '.join(taints) or '<none>'}")
    text.line(0, f"Unschedulable:\t{'true' if spec.get('unschedulable') else 'false'}")
    if status.get("conditions"):
        text.line(0, "Conditions:")
        text.line(1, "Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage")
        text.line(1, "----\t------\t-----------------\t------------------\t------\t-------")
        for item in status["conditions"]:
            times = f"{rfc1123(item.get('lastHeartbeatTime'))} \t{rfc1123(item.get('lastTransitionTime'))} "
            text.line(1, f"{item.get('type')} \t{item.get('status')} \t{times}\t{item.get('reason', '')} \t{item.get('message', '')}")
    text.line(0, "Addresses:")
    for item in status.get("addresses") or []:
        text.line(1, f"{item.get('type')}:\t{item.get('address')}")
    for title in ("Capacity", "Allocatable"):
        if status.get(title.lower()):
            text.line(0, f"{title}:")
            for name, amount in sorted(status[title.lower()].items()):
                text.line(1, f"{name}:\t{amount}")
    _system_info(text, status.get("nodeInfo") or {})
    if spec.get("podCIDR"):
        text.line(0, f"PodCIDR:\t{spec['podCIDR']}")
        text.line(0, f"PodCIDRs:\t{','.join(spec.get('podCIDRs') or [spec['podCIDR']])}")
    text.line(0, f"Non-terminated Pods:\t({len(pods)} in total)")
    if pods:
        text.line(1, "Namespace\tName\tStatus\tContainers")
        text.line(1, "---------\t----\t------\t----------")
        for pod in pods:
            names = ", ".join(str(item.get("name")) for item in pod.get("spec", {}).get("containers") or [])
            text.line(
                1, f"{pod['metadata'].get('namespace')}\t{pod['metadata'].get('name')}\t{pod.get('status', {}).get('phase', '')}\t{names}"
            )
    return text


_SYSTEM_INFO = {
    "Machine ID": "machineID",
    "System UUID": "systemUUID",
    "Boot ID": "bootID",
    "Kernel Version": "kernelVersion",
    "OS Image": "osImage",
    "Operating System": "operatingSystem",
    "Architecture": "architecture",
    "Container Runtime Version": "containerRuntimeVersion",
    "Kubelet Version": "kubeletVersion",
}


def _system_info(text: Text, info: Json) -> None:
    text.line(0, "System Info:")
    for title, key in _SYSTEM_INFO.items():
        text.line(1, f"{title}:\t{info.get(key, '')}")


def anything(obj: Json) -> Text:
    """kubectl's generic describer: metadata first, then every field, titled."""
    metadata = obj.get("metadata", {})
    text = Text()
    text.line(0, f"Name:\t{metadata.get('name', '')}")
    text.line(0, f"Namespace:\t{metadata.get('namespace', '')}")
    labels(text, "Labels", metadata.get("labels"))
    pairs(text, "Annotations", metadata.get("annotations"))
    text.line(0, f"API Version:\t{obj.get('apiVersion', '')}")
    text.line(0, f"Kind:\t{obj.get('kind', '')}")
    _fields(text, 0, {key: value for key, value in obj.items() if key not in {"metadata", "apiVersion", "kind"}})
    return text


def _fields(text: Text, level: int, value: Json) -> None:
    for key in sorted(value):
        item = value[key]
        title = key[:1].upper() + "".join(" " + char if char.isupper() else char for char in key[1:])
        if isinstance(item, dict):
            text.line(level, f"{title}:")
            _fields(text, level + 1, item)
        elif isinstance(item, list):
            text.line(level, f"{title}:")
            for entry in item:
                if isinstance(entry, dict):
                    _fields(text, level + 1, entry)
                else:
                    text.line(level + 1, str(entry))
        else:
            text.line(level, f"{title}:\t{value_or(item, '')}")
