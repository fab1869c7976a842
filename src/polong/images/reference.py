"""Image references: `nginx`, `localhost:5000/a/b:tag`, `name@sha256:…`, normalised as Docker and containerd do.

Grammar: github.com/distribution/reference. A reference with tag and digest is pulled by digest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from polong.images.digest import Digest
from polong.kit.errors import BadRequest

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"

_DOMAIN_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_DOMAIN_LABEL}(?:\.{_DOMAIN_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?", re.ASCII)
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}", re.ASCII)
_HEX_64 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_NAME_LIMIT = 255


@dataclass(frozen=True)
class Reference:
    """`domain` with port where given, `path` without domain; `tag` is empty only where there is a digest."""

    domain: str
    path: str
    tag: str
    digest: Digest | None = None

    @property
    def name(self) -> str:
        """`docker.io/library/nginx`."""
        return f"{self.domain}/{self.path}"

    @property
    def target(self) -> str:
        """What a registry is asked for: the digest, else the tag."""
        return str(self.digest) if self.digest else self.tag

    def __str__(self) -> str:
        """Canonical: by digest where there is one, else by tag."""
        return f"{self.name}@{self.digest}" if self.digest else f"{self.name}:{self.tag}"


def parse(text: str) -> Reference:
    """BadRequest with reason InvalidImageName where `text` is no reference."""
    rest, at, digest_text = text.partition("@")
    digest = None
    if at:
        try:
            digest = Digest.parse(digest_text)
        except ValueError:
            raise _bad(text, "invalid digest format") from None
    domain, path, tag = _split(rest)
    if tag is not None and not _TAG.fullmatch(tag):
        raise _bad(text)
    if path.lower() != path:
        raise _bad(text, "repository name must be lowercase")
    if not _DOMAIN.fullmatch(domain) or not _PATH.fullmatch(path) or _HEX_64.fullmatch(rest):
        raise _bad(text)
    if len(domain) + 1 + len(path) > _NAME_LIMIT:
        raise _bad(text, f"repository name must not be more than {_NAME_LIMIT} characters")
    return Reference(domain, path, "" if digest else tag or DEFAULT_TAG, digest)


def _split(text: str) -> tuple[str, str, str | None]:
    """Domain (defaulted), path (with `library/` where Docker adds it) and tag."""
    head, slash, tail = text.partition("/")
    named = bool(slash) and ("." in head or ":" in head or head == "localhost" or head.lower() != head)
    domain, rest = (head, tail) if named else (DEFAULT_DOMAIN, text)
    path, colon, tag = rest.partition(":")
    if domain == "index.docker.io":
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = f"library/{path}"
    return domain, path, tag if colon else None


def _bad(text: str, cause: str = "invalid reference format") -> BadRequest:
    shown = text if len(text) <= 300 else text[:300] + "…"
    return BadRequest(f'couldn\'t parse image name "{shown.encode("unicode_escape").decode()}": {cause}', reason="InvalidImageName")
