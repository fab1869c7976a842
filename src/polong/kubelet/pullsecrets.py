"""Credentials of registries from image pull secrets: which of them are for an image. Pure.

Source: Kubernetes docs "Pull an Image from a Private Registry"; pkg/credentialprovider (config.go, keyring.go).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

Json = dict[str, Any]

_FILES = {"kubernetes.io/dockerconfigjson": ".dockerconfigjson", "kubernetes.io/dockercfg": ".dockercfg"}
_DOCKER = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})


@dataclass(frozen=True)
class Credential:
    """As `docker login` writes it; `auth` is the base64 of user and password."""

    username: str = ""
    password: str = ""
    auth: str = ""
    identity_token: str = ""
    registry_token: str = ""


def credentials(image: str, secrets: Iterable[Json]) -> list[Credential]:
    """Those that `secrets` have for the image, the most specific first; each once. What is damaged has none."""
    wanted = _split(_qualified(image))
    found = [(key, credential) for secret in secrets for key, credential in _entries(secret) if _matches(_split(key), wanted)]
    # A longer path is a more specific one: sorting backwards puts it first.
    return list(dict.fromkeys(credential for _, credential in sorted(found, key=lambda entry: entry[0], reverse=True)))


def _entries(secret: Json) -> Iterator[tuple[str, Credential]]:
    file = _FILES.get(secret.get("type", ""), "")
    try:
        document = json.loads(base64.b64decode((secret.get("data") or {}).get(file, ""), validate=True))
    except (ValueError, binascii.Error, RecursionError):
        return
    entries = document.get("auths") if isinstance(document, dict) and file == ".dockerconfigjson" else document
    for key, entry in entries.items() if isinstance(entries, dict) else ():
        if isinstance(entry, dict):
            names = ("username", "password", "auth", "identitytoken", "registrytoken")
            yield _bare(key), Credential(*(value if isinstance(value := entry.get(name), str) else "" for name in names))


def _bare(key: str) -> str:
    """`https://index.docker.io/v1/` and `registry.example:5000/team` without scheme and version."""
    bare = key.partition("://")[2] or key
    host, _, path = bare.partition("/")
    path = path.strip("/")
    path = "" if path in ("v1", "v2") else path
    host = "docker.io" if host in _DOCKER else host
    return f"{host}/{path}" if path else host


def _qualified(image: str) -> str:
    """Host and path of an image, without tag and digest."""
    name = image.partition("@")[0]
    first, slash, rest = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        first, rest = "docker.io", name if slash else f"library/{name}"
    elif first in _DOCKER:
        first = "docker.io"
    return f"{first}/{rest.partition(':')[0]}"


def _split(address: str) -> tuple[list[str], str, str]:
    """(labels of the host, port, path)."""
    host, _, path = address.partition("/")
    name, _, port = host.partition(":")
    return name.split("."), port, path


def _matches(key: tuple[list[str], str, str], wanted: tuple[list[str], str, str]) -> bool:
    """Stars stand for a part of one label of the host; a path covers what is beneath it."""
    if len(key[0]) != len(wanted[0]) or key[1] != wanted[1]:
        return False
    if not all(fnmatchcase(label, pattern) for pattern, label in zip(key[0], wanted[0], strict=True)):
        return False
    return not key[2] or wanted[2] == key[2] or wanted[2].startswith(f"{key[2]}/")
