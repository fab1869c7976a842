"""Volumes of a Pod. Source: pkg/apis/core/validation/validation.go (ValidateVolumes, validateVolumeSource, validateProjectionSources)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from polong.api.resources import fields
from polong.api.resources import pod_references as references
from polong.kit.errors import Cause
from polong.objects import names, quantity

Json = dict[str, Any]
Check = Callable[[Json, str], Iterator[Cause]]

_HOST_PATH_TYPES = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")
_PULL = ("Always", "IfNotPresent", "Never")
_MORE_THAN_ONE = "may not specify more than 1 volume type"
_SHORTEST_TOKEN, _LONGEST_TOKEN = 600, 1 << 32


def validate(volumes: list[Json]) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, volume in enumerate(volumes):
        path, name = fields.at("spec.volumes", index), volume.get("name", "")
        given = [source for source in (*_SOURCES, *volume) if source != "name" and volume.get(source) is not None]
        given = list(dict.fromkeys(given))
        for extra in given[1:]:
            yield fields.forbidden(f"{path}.{extra}", _MORE_THAN_ONE)
        check = _SOURCES.get(given[0]) if given else None
        if check is not None:
            yield from check(volume[given[0]], f"{path}.{given[0]}")
        if not given:
            yield fields.required(path, "must specify a volume type")
        if not name:
            yield fields.required(f"{path}.name")
        else:
            for error in names.dns_label_errors(name):
                yield fields.invalid(f"{path}.name", name, error)
            if name in seen:
                yield fields.duplicate(f"{path}.name", name)
        seen.add(name)


def _empty_dir(source: Json, path: str) -> Iterator[Cause]:
    limit = source.get("sizeLimit")
    if limit is None:
        return
    try:
        negative = quantity.parse(limit) < 0
    except ValueError as error:
        yield fields.invalid(f"{path}.sizeLimit", limit, str(error))
    else:
        if negative:
            yield fields.forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")


def _host_path(source: Json, path: str) -> Iterator[Cause]:
    if not source.get("path"):
        yield fields.required(f"{path}.path")
        return
    if ".." in source["path"].split("/"):
        yield fields.invalid(f"{path}.path", source["path"], "must not contain '..'")
    if source.get("type", "") not in _HOST_PATH_TYPES:
        yield fields.unsupported(f"{path}.type", source["type"], _HOST_PATH_TYPES)


def _secret(source: Json, path: str) -> Iterator[Cause]:
    if not source.get("secretName"):
        yield fields.required(f"{path}.secretName")
    yield from references.mode(source.get("defaultMode"), f"{path}.defaultMode")
    yield from _items(source, path)


def _config_map(source: Json, path: str) -> Iterator[Cause]:
    if not source.get("name"):
        yield fields.required(f"{path}.name")
    yield from references.mode(source.get("defaultMode"), f"{path}.defaultMode")
    yield from _items(source, path)


def _items(source: Json, path: str) -> Iterator[Cause]:
    """KeyToPath."""
    for index, item in enumerate(source.get("items") or ()):
        where = f"{path}.items[{index}]"
        if not item.get("key"):
            yield fields.required(f"{where}.key")
        if not item.get("path"):
            yield fields.required(f"{where}.path")
        yield from references.unreserved(item.get("path", ""), f"{where}.path")
        yield from references.mode(item.get("mode"), f"{where}.mode")


def _downward(source: Json, path: str) -> Iterator[Cause]:
    yield from references.mode(source.get("defaultMode"), f"{path}.defaultMode")
    for item in source.get("items") or ():
        yield from _downward_file(item, path)


def _downward_file(item: Json, path: str) -> Iterator[Cause]:
    """Kubernetes names the source, not the item, in these."""
    if not item.get("path"):
        yield fields.required(f"{path}.path")
    yield from references.unreserved(item.get("path", ""), f"{path}.path")
    field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
    if field is not None:
        yield from references.field_ref(field, f"{path}.fieldRef", references.VOLUME_FIELDS)
        if resource is not None:
            yield fields.invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
    elif resource is not None:
        yield from references.resource_field_ref(resource, f"{path}.resourceFieldRef", volume=True)
    else:
        yield fields.required(path, "one of fieldRef and resourceFieldRef is required")
    yield from references.mode(item.get("mode"), f"{path}.mode")


def _claim(source: Json, path: str) -> Iterator[Cause]:
    if not source.get("claimName"):
        yield fields.required(f"{path}.claimName")


def _image(source: Json, path: str) -> Iterator[Cause]:
    reference = source.get("reference", "")
    if not reference:
        yield fields.required(f"{path}.reference")
    elif reference != reference.strip():
        yield fields.invalid(f"{path}.reference", reference, "must not have leading or trailing whitespace")
    if source.get("pullPolicy") not in _PULL:
        yield fields.unsupported(f"{path}.pullPolicy", source.get("pullPolicy", ""), _PULL)


def _projected(source: Json, path: str) -> Iterator[Cause]:
    yield from references.mode(source.get("defaultMode"), f"{path}.defaultMode")
    taken: set[str] = set()
    for index, projection in enumerate(source.get("sources") or ()):
        where = f"{path}.sources[{index}]"
        given = [kind for kind in _PROJECTIONS if projection.get(kind) is not None]
        for extra in given[1:]:
            yield fields.forbidden(f"{where}.{extra}", _MORE_THAN_ONE)
        for kind in given[:1]:
            one = projection[kind]
            yield from _PROJECTIONS[kind](one, f"{where}.{kind}")
            files = [one] if kind == "serviceAccountToken" else one.get("items") or ()
            for file in files:
                target = file.get("path", "")
                if target and target in taken:
                    yield fields.invalid(path, one.get("name") or target, "conflicting duplicate paths")
                taken.add(target)


def _named(source: Json, path: str) -> Iterator[Cause]:
    if not source.get("name"):
        yield fields.required(f"{path}.name")
    yield from _items(source, path)


def _token(source: Json, path: str) -> Iterator[Cause]:
    seconds = source.get("expirationSeconds", 3600)
    if seconds < _SHORTEST_TOKEN:
        yield fields.invalid(f"{path}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
    if seconds > _LONGEST_TOKEN:
        yield fields.invalid(f"{path}.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")
    if not source.get("path"):
        yield fields.required(f"{path}.path")
    yield from references.unreserved(source.get("path", ""), f"{path}.path")


# In the order in which Kubernetes counts them: the first one is the volume's, the others are too many.
_SOURCES: dict[str, Check] = {
    "emptyDir": _empty_dir,
    "hostPath": _host_path,
    "secret": _secret,
    "persistentVolumeClaim": _claim,
    "downwardAPI": _downward,
    "configMap": _config_map,
    "projected": _projected,
    "image": _image,
}
_PROJECTIONS: dict[str, Check] = {
    "secret": _named,
    "configMap": _named,
    "downwardAPI": _downward,
    "serviceAccountToken": _token,
}
