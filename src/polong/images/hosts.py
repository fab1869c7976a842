"""Which servers answer for a registry, and how they may be reached: containerd's `DIRECTORY/HOST[:PORT]/hosts.toml` layout.

TLS always, but for hosts named as plain http by the configuration (a `http://` address in a hosts.toml, or `plain_http`). There is no
fall-back from TLS to http, and no unverified TLS.
"""

from __future__ import annotations

import ipaddress
import ssl
import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from yarl import URL

from polong.kit.errors import Invalid, Unsupported

_DOCKER_HUB = "registry-1.docker.io"


@dataclass(frozen=True)
class Server:
    """One address to try. `url` ends before `/v2/` (or where `override_path` says that it is complete)."""

    url: URL
    resolve: bool = True
    ca: Path | None = None
    complete_path: bool = False

    def endpoint(self, path: str) -> URL:
        """`path` such as `library/nginx/manifests/latest`: made of validated parts alone."""
        base = str(self.url).rstrip("/")
        return URL(f"{base}/{path}" if self.complete_path else f"{base}/v2/{path}")

    def tls(self) -> ssl.SSLContext | None:
        """A context with the configured authority beside the system's; None for the default."""
        if self.ca is None:
            return None
        context = ssl.create_default_context()
        context.load_verify_locations(cafile=self.ca)
        return context


class Hosts:
    """`directory` may be absent. `plain_http` names `HOST:PORT` that speak http; with `loopback_http` every loopback address does."""

    def __init__(self, directory: Path | None = None, *, plain_http: Collection[str] = (), loopback_http: bool = False) -> None:
        self._directory = directory
        self._plain = frozenset(plain_http)
        self._loopback = loopback_http

    def servers(self, domain: str) -> list[Server]:
        """Mirrors in the order of the file, then the registry itself."""
        host = _DOCKER_HUB if domain == "docker.io" else domain
        own = URL(f"{'http' if self._is_plain(domain) else 'https'}://{host}")
        for name in (domain, "_default"):
            path = self._directory / name / "hosts.toml" if self._directory else None
            if path is not None and path.is_file():
                return _read(path, own)
        return [Server(own)]

    def allows_plain(self, url: URL) -> bool:
        """Whether http to this address is what the configuration wants (for realms and redirects)."""
        return self._is_plain(url.authority)

    def _is_plain(self, domain: str) -> bool:
        return domain in self._plain or (self._loopback and is_loopback(URL(f"http://{domain}").host or ""))


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_forbidden(host: str) -> bool:
    """Link-local and unspecified addresses: where clouds keep their metadata, and nobody an image."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_link_local or address.is_unspecified or address.is_multicast


def _read(path: Path, own: URL) -> list[Server]:
    try:
        document = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise Invalid(f"cannot read {path}: {error}") from None
    hosts = document.get("host", {})
    if not isinstance(hosts, dict):
        raise Invalid(f"{path}: host is no table")
    servers = [_server(path, address, settings) for address, settings in hosts.items()]
    last = document.get("server")
    if isinstance(last, str):
        servers.append(_server(path, last, document))
    elif last is None:
        servers.append(Server(own))
    return servers


def _server(path: Path, address: str, settings: object) -> Server:
    if not isinstance(settings, dict):
        raise Invalid(f"{path}: the settings of {address} are no table")
    url = URL(address if "://" in address else f"https://{address}")
    if url.scheme not in {"http", "https"} or not url.host or url.query_string or url.fragment or url.user:
        raise Invalid(f"{path}: {address!r} is no address of a registry")
    if settings.get("skip_verify"):
        raise Unsupported(f"{path}: skip_verify is refused; name the registry's authority with `ca`")
    for key in ("client", "header", "dial_timeout"):
        if key in settings:
            raise Unsupported(f"{path}: {key} is not supported")
    capabilities = settings.get("capabilities", ["pull", "resolve"])
    ca = settings.get("ca")
    if isinstance(ca, list):
        raise Unsupported(f"{path}: ca must be one file")
    complete = bool(settings.get("override_path", False))
    base = URL(str(url).rstrip("/").removesuffix("/v2")) if not complete else url
    return Server(base, "resolve" in capabilities, (path.parent / ca) if isinstance(ca, str) else None, complete)
