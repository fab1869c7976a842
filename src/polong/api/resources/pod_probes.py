"""Probes and lifecycle hooks. Source: pkg/apis/core/validation/validation.go (validateProbe, validateHandler, validateLifecycle)."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from typing import Any

from polong.api.resources import fields
from polong.kit.errors import Cause
from polong.objects import names

Json = dict[str, Any]

PROBES = ("livenessProbe", "readinessProbe", "startupProbe")

_NUMBERS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
_HEADER = re.compile(r"[-A-Za-z0-9]+")
_HEADER_TEXT = (
    "a valid HTTP header must consist of alphanumeric characters or '-' "
    "(e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')"
)
_PORT_TEXT = "must be between 1 and 65535, inclusive"
_SIGNALS = sorted({one.name for one in signal.Signals} - {"SIGCLD"} | {"SIGRTMIN", "SIGRTMAX"})


def validate(container: Json, path: str, grace: int | None) -> Iterator[Cause]:
    """`grace` is the Pod's terminationGracePeriodSeconds: a sleep cannot be longer."""
    yield from _lifecycle(container.get("lifecycle") or {}, f"{path}.lifecycle", grace)
    for name in PROBES:
        probe = container.get(name)
        if probe is not None:
            yield from _probe(name, probe, f"{path}.{name}", grace)


def _probe(name: str, probe: Json, path: str, grace: int | None) -> Iterator[Cause]:
    yield from _handler(probe, path, grace)
    for field in _NUMBERS:
        if probe.get(field, 0) < 0:
            yield fields.invalid(f"{path}.{field}", probe[field], "must be greater than or equal to 0")
    own_grace = probe.get("terminationGracePeriodSeconds")
    if own_grace is not None and own_grace <= 0:
        yield fields.invalid(f"{path}.terminationGracePeriodSeconds", own_grace, "must be greater than 0")
    if name == "readinessProbe":
        if own_grace is not None:
            yield fields.invalid(f"{path}.terminationGracePeriodSeconds", own_grace, "must not be set for readinessProbes")
    elif probe.get("successThreshold", 1) != 1:
        yield fields.invalid(f"{path}.successThreshold", probe["successThreshold"], "must be 1")


def _lifecycle(lifecycle: Json, path: str, grace: int | None) -> Iterator[Cause]:
    for name in ("postStart", "preStop"):
        if lifecycle.get(name) is not None:
            yield from _handler(lifecycle[name], f"{path}.{name}", grace)


def stop_signal(container: Json, path: str, os_name: str) -> Iterator[Cause]:
    wanted = (container.get("lifecycle") or {}).get("stopSignal")
    if wanted is None:
        return
    path = f"{path}.lifecycle.stopSignal"
    if not os_name:
        yield fields.forbidden(path, "may not be set for containers with empty `spec.os.name`")
    elif not re.fullmatch(r"SIGRTMIN\+([1-9]|1[0-5])|SIGRTMAX-([1-9]|1[0-4])", wanted) and wanted not in _SIGNALS:
        yield fields.unsupported(path, wanted, _SIGNALS)


def _handler(handler: Json, path: str, grace: int | None) -> Iterator[Cause]:
    seen = False
    for kind, check in (("exec", _exec), ("httpGet", _http_get), ("tcpSocket", _tcp_socket), ("grpc", _grpc)):
        action = handler.get(kind)
        if action is None:
            continue
        if seen:
            yield fields.forbidden(f"{path}.{kind}", "may not specify more than 1 handler type")
        else:
            seen = True
            yield from check(action, f"{path}.{kind}")
    if (sleep := handler.get("sleep")) is not None:
        if seen:
            yield fields.forbidden(f"{path}.sleep", "may not specify more than 1 handler type")
        else:
            seen = True
            seconds = sleep.get("seconds", 0)
            if grace is not None and not 0 <= seconds <= grace:
                text = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
                yield fields.invalid(f"{path}.sleep", seconds, text)
    if not seen:
        yield fields.required(path, "must specify a handler type")


def _exec(action: Json, path: str) -> Iterator[Cause]:
    if not action.get("command"):
        yield fields.required(f"{path}.command")


def _http_get(action: Json, path: str) -> Iterator[Cause]:
    yield from _port(action.get("port", 0), f"{path}.port")
    if action.get("scheme") not in ("HTTP", "HTTPS"):
        yield fields.unsupported(f"{path}.scheme", action.get("scheme", ""), ("HTTP", "HTTPS"))
    for header in action.get("httpHeaders") or ():
        if not _HEADER.fullmatch(header.get("name", "")):
            yield fields.invalid(f"{path}.httpHeaders", header.get("name", ""), _HEADER_TEXT)


def _tcp_socket(action: Json, path: str) -> Iterator[Cause]:
    yield from _port(action.get("port", 0), f"{path}.port")


def _grpc(action: Json, path: str) -> Iterator[Cause]:
    yield from _port(action.get("port", 0), f"{path}.port")


def _port(port: int | str, path: str) -> Iterator[Cause]:
    if isinstance(port, str):
        for error in names.port_name_errors(port):
            yield fields.invalid(path, port, error)
    elif not 0 < port < 65536:
        yield fields.invalid(path, port, _PORT_TEXT)
