"""The values that cross the seam to the CRI service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class ImageConfig:
    """The `config` of an OCI image configuration: data from outside, never merged with our own metadata."""

    user: str = ""
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    working_dir: str = ""
    stop_signal: str = ""
    volumes: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Image:
    """`id` is the digest of the configuration ("sha256:…"); tags and digests are fully qualified; `size` in bytes."""

    id: str
    repo_tags: tuple[str, ...]
    repo_digests: tuple[str, ...]
    size: int
    config: ImageConfig


@dataclass(frozen=True)
class MappedIds:
    """The ids of a user namespace: its id 0 is `host` on the host. The namespace itself is pinned at `path`."""

    host: int
    path: Path


@dataclass(frozen=True)
class RegistryAuth:
    """CRI's AuthConfig, as far as it is used."""

    username: str = ""
    password: str = ""
    auth: str = ""
    identity_token: str = ""
    registry_token: str = ""
    server_address: str = ""

    def __repr__(self) -> str:
        """Without secrets: it may end in a log."""
        return f"RegistryAuth(server_address={self.server_address!r})"
