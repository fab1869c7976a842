"""`describe` of a ServiceAccount."""

from __future__ import annotations

from typing import Any

from polong.cli.describe_text import Text, labels, pairs

Json = dict[str, Any]


def service_account(obj: Json, secrets: set[str]) -> Text:
    """`secrets` are the names of those that are there."""
    metadata, text = obj.get("metadata", {}), Text()
    text.line(0, f"Name:\t{metadata.get('name', '')}")
    text.line(0, f"Namespace:\t{metadata.get('namespace', '')}")
    labels(text, "Labels", metadata.get("labels"))
    pairs(text, "Annotations", metadata.get("annotations"))
    for title, field in (("Image pull secrets:", "imagePullSecrets"), ("Mountable secrets: ", "secrets")):
        found = [str(one.get("name", "")) for one in obj.get(field) or ()]
        names = [name if name in secrets else f"{name} (not found)" for name in found] or ["<none>"]
        for index, name in enumerate(names):
            text.line(0, f"{title if not index else ' ' * len(title)}\t{name}")
    # Tokens are asked for (`polong create token`), none is kept as a Secret.
    text.line(0, "Tokens:            \t<none>")
    return text
