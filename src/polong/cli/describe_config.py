"""`describe` of ConfigMaps and Secrets: of a Secret the keys and how long their values are, never the values."""

from __future__ import annotations

import base64
from typing import Any

from polong.cli.describe_text import Text, labels, pairs

Json = dict[str, Any]


def config_map(obj: Json) -> Text:
    text = _head(obj)
    _title(text, "Data")
    for key, value in sorted((obj.get("data") or {}).items()):
        text.line(0, f"{key}:")
        text.line(0, "----")
        for line in str(value).split("\n"):
            text.line(0, line.replace("\t", "    "))
        text.line(0, "")
    text.line(0, "")
    _title(text, "BinaryData")
    _sizes(text, obj.get("binaryData") or {})
    text.line(0, "")
    return text


def secret(obj: Json) -> Text:
    text = _head(obj)
    text.line(0, f"Type:\t{obj.get('type', '')}")
    text.line(0, "")
    _title(text, "Data")
    _sizes(text, obj.get("data") or {})
    return text


def _head(obj: Json) -> Text:
    metadata, text = obj.get("metadata", {}), Text()
    text.line(0, f"Name:\t{metadata.get('name', '')}")
    text.line(0, f"Namespace:\t{metadata.get('namespace', '')}")
    labels(text, "Labels", metadata.get("labels"))
    pairs(text, "Annotations", metadata.get("annotations"))
    text.line(0, "")
    return text


def _title(text: Text, title: str) -> None:
    text.line(0, title)
    text.line(0, "====")


def _sizes(text: Text, data: dict[str, str]) -> None:
    for key, encoded in sorted(data.items()):
        text.line(0, f"{key}:\t{len(base64.b64decode(encoded))} bytes")
