"""A PersistentVolumeClaim as `kubectl get` shows it. Source: printers.go (printPersistentVolumeClaim)."""

from __future__ import annotations

from typing import Any

from polong.api.tables.columns import AGE, NAME, Column

Json = dict[str, Any]

_SHORT = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _status(claim: Json) -> str:
    return "Terminating" if claim["metadata"].get("deletionTimestamp") else str((claim.get("status") or {}).get("phase", ""))


def _bound(claim: Json) -> Json:
    """What only a bound claim shows."""
    return (claim.get("status") or {}) if (claim.get("spec") or {}).get("volumeName") else {}


def _spec(claim: Json, field: str, absent: str) -> str:
    return str((claim.get("spec") or {}).get(field) or absent)


COLUMNS = (
    NAME,
    Column("Status", lambda claim, _: _status(claim), description="Pending, Bound or Lost."),
    Column("Volume", lambda claim, _: _spec(claim, "volumeName", ""), description="The volume that it is bound to."),
    Column("Capacity", lambda claim, _: str((_bound(claim).get("capacity") or {}).get("storage", "")), description="As it was asked for."),
    Column(
        "Access Modes",
        lambda claim, _: ",".join(_SHORT.get(mode, mode) for mode in _bound(claim).get("accessModes") or ()),
        description="Who may use it at a time.",
    ),
    Column("StorageClass", lambda claim, _: _spec(claim, "storageClassName", ""), description="Where the storage comes from."),
    Column("VolumeAttributesClass", lambda claim, _: _spec(claim, "volumeAttributesClassName", "<unset>"), description="Not used."),
    AGE,
    Column("VolumeMode", lambda claim, _: _spec(claim, "volumeMode", "<unset>"), priority=1, description="Filesystem: a directory."),
)
