"""`-o`: yaml, json, name, jsonpath, custom-columns. Raw streams of data: nothing is escaped here but names."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from polong.cli.errors import Failure
from polong.cli.tabular import Table

Json = dict[str, Any]

FORMATS = ("json", "yaml", "name", "wide", "jsonpath", "jsonpath-as-json", "jsonpath-file", "custom-columns", "custom-columns-file")


class Format(NamedTuple):
    """`kind` is one of FORMATS or empty (a table); `template` what stands behind `=`."""

    kind: str = ""
    template: str = ""

    @property
    def table(self) -> bool:
        return self.kind in {"", "wide"}


def parse(text: str | None) -> Format:
    """Failure where the format is unknown or its template is missing."""
    kind, _, template = (text or "").partition("=")
    if not kind:
        return Format()
    if kind not in FORMATS:
        raise Failure(f'unable to match a printer suitable for the output format "{text}", allowed formats are: {",".join(FORMATS)}')
    if kind.endswith("-file"):
        path = Path(template)
        if not path.is_file():
            raise Failure(f"error reading --template {template}, open {template}: no such file or directory")
        body = path.read_text()
        return Format(kind.removesuffix("-file"), ",".join(body.split("\n")) if kind.startswith("custom") else body)
    if kind in {"jsonpath", "jsonpath-as-json", "custom-columns"} and not template:
        raise Failure(
            f"{kind} format specified but no template given, such as -o {kind}="
            + ("NAME:.metadata.name" if "custom" in kind else "{.metadata.name}")
        )
    return Format(kind, template)


def without_managed_fields(obj: Json) -> Json:
    """kubectl hides managedFields unless asked for."""
    metadata = obj.get("metadata")
    if isinstance(metadata, dict) and "managedFields" in metadata:
        obj = {**obj, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}
    if isinstance(obj.get("items"), list):
        obj = {**obj, "items": [without_managed_fields(item) for item in obj["items"]]}
    return obj


def as_list(objects: Sequence[Json]) -> Json:
    return {"apiVersion": "v1", "items": list(objects), "kind": "List", "metadata": {"resourceVersion": ""}}


def document(obj: Json, form: Format, *, first: bool = True) -> str:
    """One object (or List) as text; `first` is False for what follows in a stream of yaml documents."""
    if form.kind == "json":
        return json.dumps(obj, indent=4, ensure_ascii=False, sort_keys=True) + "\n"
    if form.kind == "yaml":
        from polong.cli import yamldump

        return ("" if first else "---\n") + yamldump.dump(obj)
    if form.kind == "jsonpath-as-json":
        return json.dumps(_jsonpath_values(obj, form.template), indent=4, ensure_ascii=False) + "\n"
    return _jsonpath(obj, form.template)


def _jsonpath(obj: Json, template: str) -> str:
    from polong.objects import jsonpath

    try:
        return jsonpath.render(relaxed(template), obj)
    except ValueError as error:
        raise Failure(f"error parsing jsonpath {template}, {error}") from error


def _jsonpath_values(obj: Json, template: str) -> list[Any]:
    from polong.objects import jsonpath

    try:
        return list(jsonpath.values(relaxed(template), obj))
    except ValueError as error:
        raise Failure(f"error parsing jsonpath {template}, {error}") from error


def relaxed(template: str) -> str:
    """kubectl takes `.metadata.name` and `metadata.name` for `{.metadata.name}`."""
    if "{" in template:
        return template
    return "{" + (template if template.startswith((".", "[")) else f".{template}") + "}"


def custom_columns(template: str, objects: Sequence[Json], *, headers: bool = True) -> list[str]:
    """`NAME:.metadata.name,IP:.status.podIP` → lines of a table."""
    columns = [part.partition(":") for part in template.split(",") if part]
    if not columns or any(not name or not path for name, _, path in columns):
        raise Failure(f"unexpected custom-columns spec: {template}, expected <header>:<json-path-expr>")
    table = Table([name for name, _, _ in columns], headers=headers)
    return table.lines([_custom(obj, path) for _, _, path in columns] for obj in objects)


def _custom(obj: Json, path: str) -> str:
    found = _jsonpath_values(obj, path)
    return ",".join(str(value) for value in found) if found else "<none>"


def columns() -> int | None:
    """Of the terminal that it goes to; None where it goes elsewhere, and nothing may be cut off."""
    if not sys.stdout.isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns


def screen() -> bool:
    """Whether it goes to a terminal that can be drawn on."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def emit(text: str) -> None:
    """Out at once. Ends the command with 141, as a signal would, where the reader is gone (`polong ps -w | head -1`)."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise SystemExit(141) from None
