"""`-f`: objects from files, directories, URLs and standard input, YAML or JSON, Lists taken apart."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from polong.cli.errors import Failure

Json = dict[str, Any]

_SUFFIXES = (".json", ".yaml", ".yml")
_LIMIT = 16 << 20
_URL_TIMEOUT = 30
_METADATA: dict[str, type] = {"name": str, "generateName": str, "namespace": str, "labels": dict, "annotations": dict}


@dataclass(frozen=True)
class Manifest:
    """One object and where it came from, as kubectl names it in messages."""

    source: str
    object: Json


def filename_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """-f (several, or separated by commas) and -R."""
    names = click.option(
        "-f", "--filename", "filenames", multiple=True, metavar="FILE", help="File, directory, URL or - that holds the objects."
    )
    recursive = click.option("-R", "--recursive", is_flag=True, help="Descend into directories below those of -f.")
    return names(recursive(function))


def read(filenames: Sequence[str], *, recursive: bool = False) -> list[Manifest]:
    """All objects, in order. Failure names the source and what is wrong with it."""
    found = [item for text in filenames for name in _split(text) for item in _read_one(name, recursive)]
    if not found:
        raise Failure("no objects passed to apply" if filenames else "must specify one of -f and -k")
    return found


def _split(text: str) -> list[str]:
    return [text] if "://" in text or Path(text).exists() else [part for part in text.split(",") if part]


def _read_one(name: str, recursive: bool) -> Iterator[Manifest]:
    if name == "-":
        yield from _parse("STDIN", sys.stdin.buffer.read(_LIMIT + 1))
    elif name.startswith(("http://", "https://")):
        yield from _parse(name, _fetch(name))
    else:
        path = Path(name)
        if not path.exists():
            raise Failure(f'the path "{name}" does not exist')
        if path.is_dir():
            files = sorted(
                item for item in (path.rglob("*") if recursive else path.iterdir()) if item.suffix in _SUFFIXES and item.is_file()
            )
            if not files:
                raise Failure(f"error reading [{name}]: recognized file extensions are [.json .yaml .yml]")
            for file in files:
                yield from _parse(str(file), _bytes(file))
        else:
            yield from _parse(name, _bytes(path))


def _bytes(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_LIMIT + 1)


def _fetch(url: str) -> bytes:
    from urllib.error import HTTPError, URLError
    from urllib.request import urlopen

    try:
        with urlopen(url, timeout=_URL_TIMEOUT) as answer:  # the scheme was checked by the caller
            body: bytes = answer.read(_LIMIT + 1)
            return body
    except HTTPError as error:
        raise Failure(f'unable to read URL "{url}", server reported {error.code} {error.reason}, status code={error.code}') from error
    except (URLError, OSError, ValueError) as error:
        raise Failure(f'unable to read URL "{url}": {getattr(error, "reason", error)}') from error


def _parse(source: str, data: bytes) -> Iterator[Manifest]:
    from polong.kit.errors import PolongError
    from polong.objects import yaml

    if len(data) > _LIMIT:
        raise Failure(f"{source} is larger than {_LIMIT >> 20} MiB")
    try:
        documents = yaml.load_all(data, source)
    except PolongError as error:
        raise Failure(error.message) from error
    for document in documents:
        yield from _objects(source, document.value)


def _objects(source: str, document: object) -> Iterator[Manifest]:
    if not isinstance(document, dict):
        raise Failure(f"error parsing {source}: expected an object, found {type(document).__name__}")
    missing = [field for field in ("kind", "apiVersion") if not isinstance(document.get(field), str) or not document[field]]
    if missing:
        words = {"kind": "kind not set", "apiVersion": "apiVersion not set"}
        raise Failure(f'error validating "{source}": error validating data: [{", ".join(words[field] for field in reversed(missing))}]')
    if document["kind"] == "List" and not isinstance(document.get("items") or [], list):
        raise Failure(f'error validating "{source}": error validating data: items: expected a list')
    if document["kind"].endswith("List") and isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from _objects(source, item)
    else:
        _check_metadata(source, document.get("metadata"))
        yield Manifest(source, document)


def _check_metadata(source: str, metadata: object) -> None:
    """What commands read of an object themselves; all the rest the server checks. Failure in the words of Go's decoder."""
    if metadata is None:
        return
    if not isinstance(metadata, dict):
        text = f"json: cannot unmarshal {_json_type(metadata)} into Go struct field .metadata of type v1.ObjectMeta"
        raise Failure(f'unable to decode "{source}": {text}')
    for name, wanted in _METADATA.items():
        value = metadata.get(name)
        if value is not None and not isinstance(value, wanted):
            go = "string" if wanted is str else "map[string]string"
            text = f"json: cannot unmarshal {_json_type(value)} into Go struct field ObjectMeta.metadata.{name} of type {go}"
            raise Failure(f'unable to decode "{source}": {text}')


def _json_type(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    names: dict[type, str] = {dict: "object", list: "array", str: "string"}
    return names.get(type(value), "number")
