"""kubeconfig: where the API is and who asks. Merged over several files as kubectl does, then turned into a transport.

https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from polong.kit import errors

if TYPE_CHECKING:
    import ssl

    from polong.client.direct import DirectTransport
    from polong.client.http import HTTPTransport

Json = dict[str, Any]

MAX_BYTES = 4 * 1024 * 1024
# What would change who asks or where, and is not done here: refused by name rather than ignored.
_REFUSED_USER = ("exec", "auth-provider", "as", "as-uid", "as-groups", "as-user-extra")
_REFUSED_CLUSTER = ("proxy-url",)


class Credentials(NamedTuple):
    """PEM texts or a token or a name and password; all empty: nobody."""

    certificate: bytes = b""
    key: bytes = b""
    token: str = ""
    username: str = ""
    password: str = ""

    def __repr__(self) -> str:
        """Nothing that opens a door."""
        return f"Credentials(username={self.username!r})"

    def headers(self) -> dict[str, str]:
        if self.token:
            return {"authorization": f"Bearer {self.token}"}
        if self.username:
            import base64

            pair = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
            return {"authorization": f"Basic {pair}"}
        return {}


class Access(NamedTuple):
    """One context, resolved. `namespace` is the context's ("default" where it names none); `ca` PEM text, empty for the system's."""

    server: str
    context: str = ""
    namespace: str = "default"
    ca: bytes = b""
    insecure: bool = False
    server_name: str = ""
    credentials: Credentials = Credentials()

    def transport(self, *, timeout: float = 60.0) -> HTTPTransport:
        """A transport to the server. BadRequest where certificates cannot be read."""
        from polong.client.http import HTTPTransport

        tls = self._tls() if self.server.startswith("https://") else None
        return HTTPTransport(self.server, tls=tls, server_name=self.server_name, headers=self.credentials.headers(), timeout=timeout)

    def direct(self, *, timeout: float = 60.0) -> DirectTransport:
        """The same for work that asks and ends, without an event loop."""
        from polong.client.direct import DirectTransport

        tls = self._tls() if self.server.startswith("https://") else None
        return DirectTransport(self.server, tls=tls, server_name=self.server_name, headers=self.credentials.headers(), timeout=timeout)

    def _tls(self) -> ssl.SSLContext:
        import ssl

        try:
            context = ssl.create_default_context(cadata=self.ca.decode("ascii") if self.ca else None)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.set_alpn_protocols(["http/1.1"])
            if self.insecure:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if self.credentials.certificate:
                _load_pair(context, self.credentials)
        except (ssl.SSLError, UnicodeDecodeError, ValueError) as error:
            text = (error.reason if isinstance(error, ssl.SSLError) else None) or str(error)
            raise errors.BadRequest(f"cannot use the certificates of the kubeconfig: {text}") from error
        return context


def paths(explicit: str = "", environment: Mapping[str, str] | None = None) -> list[Path]:
    """The files that kubectl would read: --kubeconfig, else $KUBECONFIG (a list), else ~/.kube/config."""
    environment = os.environ if environment is None else environment
    if explicit:
        return [Path(explicit)]
    listed = [Path(part) for part in environment.get("KUBECONFIG", "").split(os.pathsep) if part]
    return listed or [Path(environment.get("HOME") or "/root") / ".kube" / "config"]


def load(files: Sequence[Path], *, context: str = "", must_exist: bool = False) -> Access | None:
    """The context that is asked for, else the current one; None where no file says anything. Earlier files win.

    BadRequest where a file cannot be read or the context is wrong; files that are absent are skipped unless `must_exist`.
    """
    merged = _merge([document for path in files if (document := _read(path, must_exist)) is not None])
    name = context or merged.current
    if not name:
        return None if not merged.contexts else _fail("kubeconfig has no current-context; choose one with --context")
    chosen = merged.contexts.get(name)
    if chosen is None:
        known = ", ".join(merged.contexts) or "none"
        _fail(f"context {name!r} does not exist in the kubeconfig; it has {known}")
    cluster = merged.clusters.get(chosen.text("cluster"))
    if cluster is None:
        _fail(f"cluster {chosen.text('cluster')!r} of context {name!r} does not exist in the kubeconfig")
    server = cluster.text("server")
    if not server:
        _fail(f"cluster {chosen.text('cluster')!r} of the kubeconfig names no server")
    cluster.refuse(_REFUSED_CLUSTER)
    insecure = cluster.values.get("insecure-skip-tls-verify") is True
    ca = cluster.data("certificate-authority-data", "certificate-authority")
    if insecure and ca:
        _fail("specifying a root certificates file with the insecure flag is not allowed")
    credentials = _credentials(merged.users.get(chosen.text("user")), chosen.text("user"))
    namespace = chosen.text("namespace") or "default"
    return Access(server, name, namespace, ca, insecure, cluster.text("tls-server-name"), credentials)


def contexts(files: Sequence[Path]) -> list[str]:
    """Names of all contexts, in the order of the files. BadRequest."""
    return list(_merge([document for path in files if (document := _read(path, False)) is not None]).contexts)


class _Entry(NamedTuple):
    """One named entry and the directory that its relative paths start from."""

    what: str
    values: Json
    base: Path

    def text(self, name: str) -> str:
        value = self.values.get(name)
        if value is not None and not isinstance(value, str):
            _fail(f"{self.what}: {name} is not text")
        return value or ""

    def data(self, inline: str, file: str) -> bytes:
        """The bytes that stand inline (base64), or in a file."""
        if text := self.text(inline):
            import base64

            try:
                return base64.b64decode(text, validate=True)
            except ValueError:
                _fail(f"{self.what}: {inline} is not base64")
        if path := self.text(file):
            return self.file(path)
        return b""

    def file(self, path: str) -> bytes:
        try:
            return (self.base / path).read_bytes()
        except OSError as error:
            _fail(f"{self.what}: cannot read {self.base / path}: {error.strerror}")

    def refuse(self, names: Sequence[str]) -> None:
        for name in names:
            if self.values.get(name):
                raise errors.Unsupported(f"{self.what}: {name} is not supported; use a certificate or a token")


class _Merged:
    """The entries of all files, by name."""

    def __init__(self) -> None:
        self.current = ""
        self.clusters: dict[str, _Entry] = {}
        self.users: dict[str, _Entry] = {}
        self.contexts: dict[str, _Entry] = {}


def _read(path: Path, must_exist: bool) -> tuple[Path, Json] | None:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        if must_exist:
            _fail(f"cannot read kubeconfig {path}: no such file")
        return None
    except OSError as error:
        _fail(f"cannot read kubeconfig {path}: {error.strerror}")
    if len(text) > MAX_BYTES:
        _fail(f"cannot read kubeconfig {path}: it is larger than {MAX_BYTES >> 20} MiB")
    document = _json(text)
    if document is None:
        import yaml  # 14 ms that our own kubeconfigs, which are JSON, do not cost

        try:
            document = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            _fail(f"cannot read kubeconfig {path}: {' '.join(str(error).split())[:300]}")
    if document is None:
        return None
    if not isinstance(document, dict):
        _fail(f"cannot read kubeconfig {path}: it is no mapping")
    return path, document


def _json(text: bytes) -> Json | None:
    if not text.startswith(b"{"):
        return None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _merge(documents: Sequence[tuple[Path, Json]]) -> _Merged:
    merged = _Merged()
    for path, document in documents:
        merged.current = merged.current or str(document.get("current-context") or "")
        for plural, singular, into in (
            ("clusters", "cluster", merged.clusters),
            ("users", "user", merged.users),
            ("contexts", "context", merged.contexts),
        ):
            for entry in document.get(plural) or ():
                if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
                    _fail(f"cannot read kubeconfig {path}: an entry of {plural} has no name")
                values = entry.get(singular) or {}
                if not isinstance(values, dict):
                    _fail(f"cannot read kubeconfig {path}: {singular} {entry['name']!r} is no mapping")
                into.setdefault(entry["name"], _Entry(f"{singular} {entry['name']!r} of {path}", values, path.parent))
    return merged


def _credentials(user: _Entry | None, name: str) -> Credentials:
    if user is None:
        return Credentials() if not name else _fail(f"user {name!r} does not exist in the kubeconfig")
    user.refuse(_REFUSED_USER)
    token = user.text("token")
    if not token and (path := user.text("tokenFile")):
        token = user.file(path).decode("utf-8", "replace").strip()
    certificate = user.data("client-certificate-data", "client-certificate")
    key = user.data("client-key-data", "client-key")
    if bool(certificate) != bool(key):
        _fail(f"{user.what}: client-certificate and client-key must be given together")
    return Credentials(certificate, key, token, user.text("username"), user.text("password"))


def _load_pair(context: ssl.SSLContext, credentials: Credentials) -> None:
    """OpenSSL reads the pair from a file alone: one in memory, which no other process can open by name."""
    descriptor = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, credentials.certificate + b"\n" + credentials.key)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _fail(message: str) -> NoReturn:
    raise errors.BadRequest(message)
