"""A KubeletConfiguration (kubelet.config.k8s.io/v1beta1) over the defaults. What this kubelet does not know is refused by name. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from polong.kit.errors import Invalid
from polong.kubelet import pressure
from polong.kubelet.config import DnsConfig, KubeletConfig
from polong.objects import quantity, sysctls

Json = dict[str, Any]

API_VERSION, KIND = "kubelet.config.k8s.io/v1beta1", "KubeletConfiguration"
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def _number(least: int, most: int) -> Callable[[Any, str], int]:
    def read(value: Any, path: str) -> int:  # noqa: ANN401 - any JSON value
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise Invalid(f"{path}: {value!r} must be an integer between {least} and {most}")
        return value

    return read


def _size(value: Any, path: str) -> int:  # noqa: ANN401 - any JSON value
    try:
        return quantity.value(str(value))
    except ValueError:
        raise Invalid(f"{path}: {value!r} is not a quantity, such as 10Mi") from None


def duration(value: Any, path: str) -> float:  # noqa: ANN401 - any JSON value
    """Go's: `1m30s`, `500ms`; seconds."""
    text, total = str(value), 0.0
    digits = unit = ""
    for letter in [*text, "0"]:
        if (letter.isascii() and letter.isdigit()) or letter == ".":
            if unit:
                if unit not in _UNITS or not digits.replace(".", "", 1).isdigit():
                    break
                total += float(digits) * _UNITS[unit]
                digits = unit = ""
            digits += letter
        else:
            unit += letter
    else:
        if digits == "0" and text:
            return total
    raise Invalid(f"{path}: {value!r} is not a duration, such as 1m30s")


def _texts(value: Any, path: str) -> tuple[str, ...]:  # noqa: ANN401 - any JSON value
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise Invalid(f"{path}: must be a list of strings")
    return tuple(value)


def _hard(value: Any, path: str) -> Mapping[str, str]:  # noqa: ANN401 - any JSON value
    if not isinstance(value, dict):
        raise Invalid(f"{path}: must be a map of signals, such as memory.available, to quantities or percentages")
    return pressure.thresholds(value, path)


def _sysctls(value: Any, path: str) -> tuple[str, ...]:  # noqa: ANN401 - any JSON value
    found = _texts(value, path)
    for each in found:
        if error := sysctls.pattern_error(each):
            raise Invalid(f"{path}: {each!r} {error}")
    return found


def _pids(value: Any, path: str) -> int:  # noqa: ANN401 - any JSON value
    """-1 is Kubernetes' word for the default."""
    return 0 if value == -1 else _number(1, 2**22)(value, path)


def _path(value: Any, path: str) -> Path | None:  # noqa: ANN401 - any JSON value
    if not isinstance(value, str) or "\0" in value:
        raise Invalid(f"{path}: must be a path")
    return Path(value) if value else None


_FIELDS: Mapping[str, tuple[str, Callable[[Any, str], Any]]] = {
    "allowedUnsafeSysctls": ("allowed_unsafe_sysctls", _sysctls),
    "containerLogMaxFiles": ("log_files", _number(2, 1_000)),
    "containerLogMaxSize": ("log_size", _size),
    "containerLogMonitorInterval": ("log_period", duration),
    "evictionHard": ("eviction_hard", _hard),
    "evictionPressureTransitionPeriod": ("pressure_transition", duration),
    "fileCheckFrequency": ("static_period", duration),
    "imageGCHighThresholdPercent": ("image_gc_high", _number(0, 100)),
    "imageGCLowThresholdPercent": ("image_gc_low", _number(0, 100)),
    "imageMinimumGCAge": ("image_min_age", duration),
    "maxPods": ("max_pods", _number(1, 1_000)),
    "nodeStatusReportFrequency": ("report", duration),
    "nodeStatusUpdateFrequency": ("heartbeat", duration),
    "podPidsLimit": ("pod_pids", _pids),
    "staticPodPath": ("static_pods", _path),
}


_SHUTDOWN = ("shutdownGracePeriod", "shutdownGracePeriodByPodPriority", "shutdownGracePeriodCriticalPods")


def _shutdown(document: Json) -> tuple[tuple[int, int], ...]:
    """(from this priority on, seconds), lowest first; nothing where nothing was said."""
    total, by_priority, critical = (document.get(name) for name in _SHUTDOWN)
    if by_priority:
        if total or critical:
            raise Invalid(f"{_SHUTDOWN[1]}: cannot be set together with {_SHUTDOWN[0]} or {_SHUTDOWN[2]}")
        return _periods(by_priority, _SHUTDOWN[1])
    whole, last = duration(total or "0s", _SHUTDOWN[0]), duration(critical or "0s", _SHUTDOWN[2])
    if last > whole:
        raise Invalid(f"{_SHUTDOWN[2]}: must not be longer than {_SHUTDOWN[0]}")
    return ((0, int(whole - last)), (pressure.CRITICAL, int(last))) if whole else ()


def _periods(value: Any, path: str) -> tuple[tuple[int, int], ...]:  # noqa: ANN401 - any JSON value
    if not isinstance(value, list):
        raise Invalid(f"{path}: must be a list of priority and shutdownGracePeriodSeconds")
    found: dict[int, int] = {}
    for index, each in enumerate(value):
        if not isinstance(each, dict) or set(each) != {"priority", "shutdownGracePeriodSeconds"}:
            raise Invalid(f"{path}[{index}]: must have priority and shutdownGracePeriodSeconds, and nothing else")
        least = _number(-(2**31), 2**31 - 1)(each["priority"], f"{path}[{index}].priority")
        if least in found:
            raise Invalid(f"{path}[{index}].priority: {least} is already there")
        found[least] = _number(0, 2**31 - 1)(each["shutdownGracePeriodSeconds"], f"{path}[{index}].shutdownGracePeriodSeconds")
    return tuple(sorted(found.items()))


def configured(defaults: KubeletConfig, document: Any) -> KubeletConfig:  # noqa: ANN401 - any YAML value
    """Invalid with the field's path where the document is none, or has what is not known here."""
    if not isinstance(document, dict) or (document.get("apiVersion"), document.get("kind")) != (API_VERSION, KIND):
        raise Invalid(f"not a kubelet configuration: it must say apiVersion: {API_VERSION} and kind: {KIND}")
    changes: Json = {}
    for name, value in document.items():
        if name in ("apiVersion", "kind"):
            continue
        if name == "clusterDNS":
            changes["dns"] = replace(changes.get("dns", DnsConfig()), servers=_texts(value, name))
        elif name == "clusterDomain":
            changes["dns"] = replace(changes.get("dns", DnsConfig()), searches=(str(value),))
        elif name in _SHUTDOWN:
            continue
        elif name not in _FIELDS:
            known = sorted([*_FIELDS, *_SHUTDOWN, "clusterDNS", "clusterDomain"])
            raise Invalid(f"{name}: Polong has no such setting: there are {', '.join(known)}")
        else:
            field, read = _FIELDS[name]
            changes[field] = read(value, name)
    if shutdown_periods := _shutdown(document):
        changes["shutdown"] = shutdown_periods
    result = replace(defaults, **changes)
    if result.image_gc_low >= result.image_gc_high:
        raise Invalid(
            f"imageGCLowThresholdPercent: {result.image_gc_low} must be less than imageGCHighThresholdPercent {result.image_gc_high}"
        )
    return result
