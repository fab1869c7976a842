"""What plugins answer (CNI spec 1.0.0, section 5). Pure, and suspicious: plugins are foreign programs."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

from polong.cni.types import Attachment
from polong.kit.errors import Unavailable

Json = dict[str, Any]
_REASON = "NetworkNotReady"


def document(output: bytes, plugin: str) -> Json:
    """The JSON object a successful ADD prints. Unavailable where it is none."""
    try:
        parsed = json.loads(output)
    except (ValueError, RecursionError) as error:
        raise Unavailable(f"network plugin {plugin} answered no JSON", reason=_REASON) from error
    if not isinstance(parsed, dict):
        raise Unavailable(f"network plugin {plugin} answered no object", reason=_REASON)
    return parsed


def failure(output: bytes, stderr: bytes, code: int) -> str:
    """The plugin's own words in one line, from its error object (`msg`, `details`) or, failing that, from what it printed."""
    try:
        parsed = json.loads(output)
        words = ": ".join(str(parsed[key]) for key in ("msg", "details") if parsed.get(key))
    except (ValueError, AttributeError, TypeError, RecursionError):
        words = (stderr or output).decode("utf-8", "replace")
    line = " ".join("".join(char if char.isprintable() else " " for char in words).split())[:512]
    return line or f"exit status {code}"


def attachment(result: Json) -> Attachment:
    """The addresses of the Pod, first the primary one. Unavailable where there is none."""
    found: list[str] = []
    entries = result.get("ips")
    for entry in entries if isinstance(entries, list) else []:
        try:
            found.append(str(ipaddress.ip_interface(entry["address"]).ip))
        except (KeyError, TypeError, ValueError) as error:
            raise Unavailable(f"network plugin answered a malformed address: {str(entry)[:80]}", reason=_REASON) from error
    if not found:
        raise Unavailable("network plugin gave the Pod no address", reason=_REASON)
    return Attachment(tuple(found))
