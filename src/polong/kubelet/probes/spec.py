"""A container's probes as the Pod gives them. Pure. Source: core/v1 Probe (defaults are the API's)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Json = dict[str, Any]

Kind = Literal["startup", "liveness", "readiness"]
KINDS: tuple[Kind, ...] = ("startup", "liveness", "readiness")


@dataclass(frozen=True)
class Probe:
    """Times are seconds; `action` is the object that holds exec, httpGet, tcpSocket or grpc. `grace` is the probe's own
    terminationGracePeriodSeconds, None where the Pod's holds."""

    kind: Kind
    action: Json
    delay: int = 0
    timeout: int = 1
    period: int = 10
    successes: int = 1
    failures: int = 3
    grace: int | None = None


def probes_of(container: Json) -> Mapping[Kind, Probe]:
    return {kind: _probe(kind, given) for kind in KINDS if (given := container.get(f"{kind}Probe"))}


def _probe(kind: Kind, given: Json) -> Probe:
    """The API refuses what is below 1; a Pod that came by another way must not make a task spin."""
    return Probe(
        kind,
        given,
        delay=max(int(given.get("initialDelaySeconds") or 0), 0),
        timeout=max(int(given.get("timeoutSeconds") or 1), 1),
        period=max(int(given.get("periodSeconds") or 10), 1),
        successes=max(int(given.get("successThreshold") or 1), 1),
        failures=max(int(given.get("failureThreshold") or 3), 1),
        grace=given.get("terminationGracePeriodSeconds"),
    )
