"""A client of the OCI distribution API (pull side): manifests, and blobs as streams that resume.

Redirects are followed by hand: at most five, never from https to http, without credentials once the origin changes. A connection must
stand within seconds, so that an unreachable registry is known at once; an answer that stalls is given up as well.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import urllib.request
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType

import aiohttp
from yarl import URL

from polong.images import auth, manifest
from polong.images.hosts import Hosts, Server, is_forbidden, is_loopback
from polong.images.manifest import Descriptor
from polong.images.model import RegistryAuth
from polong.images.reference import Reference
from polong.kit.errors import Forbidden, Invalid, NotFound, PolongError, TooLarge, Unauthorized, Unavailable

_ACCEPT = ", ".join(sorted(manifest.INDEX_TYPES | manifest.MANIFEST_TYPES))
_REDIRECTS = 5
_ATTEMPTS = 4
_RETRY_AFTER_LIMIT = 5.0
_CHUNK = 1 << 20
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
_REASON = "ErrImagePull"
UNREACHABLE = "RegistryUnreachable"
"""The reason where no connection to the registry came about: the name unknown, nobody there, no answer to the connection in time. The
kubelet may then use what is local (decision 0008); whatever answers, with an error or a wrong certificate, has another reason."""


@dataclass(frozen=True)
class Timeouts:
    """Seconds: until a connection stands (name look-up included), and between two pieces of an answer."""

    connect: float = 5.0
    read: float = 30.0


@dataclass(frozen=True)
class Fetched:
    """A manifest as served."""

    content: bytes
    media_type: str
    digest: str


class Registry:
    """One pull's conversation with the servers of one repository. Use as an async context."""

    def __init__(
        self, reference: Reference, hosts: Hosts, credentials: RegistryAuth | None = None, *, timeouts: Timeouts | None = None
    ) -> None:
        self._reference = reference
        self._hosts = hosts
        self._credentials = credentials
        self._timeouts = timeouts or Timeouts()
        self._servers = hosts.servers(reference.domain)
        self._authorization: dict[tuple[str, str, int | None], str] = {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Registry:
        timeout = aiohttp.ClientTimeout(
            total=None, connect=self._timeouts.connect, sock_connect=self._timeouts.connect, sock_read=self._timeouts.read
        )
        connector = aiohttp.TCPConnector(resolver=_Resolver(), limit=8)
        # Neither cookies nor the environment's netrc: what is sent is decided here alone.
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            read_bufsize=_CHUNK,
            headers={"User-Agent": "polong"},
            trust_env=False,
        )
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._session is not None
        await self._session.close()

    async def manifest(self, target: str) -> Fetched:
        """By tag or digest, from the first server that answers. NotFound, Unauthorized, Unavailable, Invalid, TooLarge."""
        failure: PolongError | None = None
        for server in [server for server in self._servers if server.resolve or target.startswith("sha256:")] or self._servers[-1:]:
            try:
                return await self._retrying(server, target)
            except (NotFound, Unavailable, Unauthorized, Forbidden) as error:
                # The registry's own word (the last server) counts for more than a mirror's.
                failure = error
        assert failure is not None
        raise failure

    async def _manifest(self, server: Server, target: str) -> Fetched:
        url = server.endpoint(f"{self._reference.path}/manifests/{target}")
        async with self._get(server, url, {"Accept": _ACCEPT}) as answer:
            await self._require(answer, 200)
            media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip()
            content = await _bounded(answer, manifest.MANIFEST_LIMIT, "image manifest")
            return Fetched(content, media_type, answer.headers.get("Docker-Content-Digest", ""))

    async def blob(self, descriptor: Descriptor, offset: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """Pieces of a blob with the offset of each, from about `offset` on: a server that cannot continue starts again at 0.
        Errors as for `manifest`; the caller resumes after Unavailable."""
        failure: PolongError | None = None
        for server in self._servers:
            begun = False
            try:
                async with aclosing(self._blob(server, descriptor, offset)) as pieces:
                    async for piece in pieces:
                        begun = True
                        yield piece
                return
            except (NotFound, Unauthorized, Forbidden) as error:
                failure = error
            except Unavailable as error:
                # A mirror that does not answer is passed by; one that breaks off is asked to go on.
                if begun:
                    raise
                failure = error
        assert failure is not None
        raise failure

    async def _blob(self, server: Server, descriptor: Descriptor, offset: int) -> AsyncGenerator[tuple[int, bytes], None]:
        url = server.endpoint(f"{self._reference.path}/blobs/{descriptor.digest}")
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        async with self._get(server, url, headers) as answer:
            await self._require(answer, 200, 206)
            position = offset if answer.status == 206 and _starts_at(answer, offset) else 0
            if answer.status == 206 and position != offset:
                raise Invalid(f"registry answered another range than was asked for of {descriptor.digest}", reason=_REASON)
            try:
                async for data in answer.content.iter_chunked(_CHUNK):
                    yield position, data
                    position += len(data)
            except (aiohttp.ClientError, TimeoutError) as error:
                raise Unavailable(f"connection to {url.host} broke off: {_cause(error)}", reason=_REASON) from None
            if position < descriptor.size:
                raise Invalid(
                    f"content of {descriptor.digest} is {position} bytes long, its descriptor says {descriptor.size}", reason=_REASON
                )

    # --- one request --------------------------------------------------------------------------------------------------------

    async def _retrying(self, server: Server, target: str) -> Fetched:
        for left in range(_ATTEMPTS - 1, -1, -1):
            try:
                return await self._manifest(server, target)
            except _Transient as error:
                if not left:
                    raise Unavailable(error.message, reason="RegistryUnavailable") from None
                await asyncio.sleep(error.after or 0.1 * 2 ** (_ATTEMPTS - 1 - left))
        raise AssertionError

    @asynccontextmanager
    async def _get(self, server: Server, url: URL, headers: dict[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """The final answer, after redirects and at most one round of authentication."""
        origin = _origin(url)
        answer = await self._follow(server, url, headers)
        if answer.status == 401 and _origin(answer.url) == origin:
            header = answer.headers.get("WWW-Authenticate", "")
            answer.close()
            if not await self._authenticate(server, origin, auth.parse_challenge(header)):
                raise self._denied("no credentials for it were given")
            answer = await self._follow(server, url, headers)
        try:
            yield answer
        finally:
            answer.close()

    async def _follow(self, server: Server, url: URL, headers: dict[str, str]) -> aiohttp.ClientResponse:
        for _ in range(_REDIRECTS + 1):
            authorization = self._authorization.get(_origin(url))
            sent = {**headers, "Authorization": authorization} if authorization else headers
            own = _origin(url) == _origin(server.url)
            answer = await self._request(url, sent, server.tls() if own else None, UNREACHABLE if own else _REASON)
            if answer.status not in {301, 302, 303, 307, 308}:
                return answer
            location = answer.headers.get("Location", "")
            answer.close()
            url = self._redirected(url, location)
        raise Invalid(f"registry {self._reference.domain} redirects more than {_REDIRECTS} times", reason=_REASON)

    def _redirected(self, url: URL, location: str) -> URL:
        try:
            target = url.join(URL(location))
        except ValueError:
            target = URL()
        if target.scheme not in {"http", "https"} or not target.host or is_forbidden(target.host):
            raise Invalid(f"registry {self._reference.domain} redirects to {location[:200]!r}, which is refused", reason=_REASON)
        if target.scheme == "http" and not self._hosts.allows_plain(target):
            raise Invalid(f"registry {self._reference.domain} redirects to plain http, which is refused", reason=_REASON)
        return target.with_user(None)

    async def _request(
        self,
        url: URL,
        headers: dict[str, str],
        tls: ssl.SSLContext | None,
        unreachable: str = _REASON,
        *,
        form: Mapping[str, str] | None = None,
    ) -> aiohttp.ClientResponse:
        """GET, or POST of a `form`. `unreachable` is the reason where no connection comes about: other hosts than the registry are spoken
        to by its own word."""
        assert self._session is not None
        try:
            verified = tls if tls is not None else True
            method = "GET" if form is None else "POST"
            return await self._session.request(
                method, url, headers=headers, data=form, allow_redirects=False, ssl=verified, proxy=_proxy(url)
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = unreachable if _not_connected(error) else _REASON
            raise Unavailable(f"cannot reach registry {url.host}: {_cause(error)}", reason=reason) from None

    async def _authenticate(self, server: Server, origin: tuple[str, str, int | None], challenge: auth.Challenge) -> bool:
        # A mirror is another party: what the user gave for the registry is not for it.
        credentials = self._credentials if server == self._servers[-1] else None
        basic = auth.basic(credentials)
        if challenge.scheme == "basic":
            if basic:
                self._authorization[origin] = basic
            return bool(basic)
        if challenge.scheme != "bearer":
            return False
        if credentials and credentials.registry_token:
            self._authorization[origin] = f"Bearer {credentials.registry_token}"
            return True
        url = auth.token_url(challenge, self._reference.path, self._hosts)
        # The token server is the registry's choice; it gets the credentials by that registry's word, over TLS, and only in this request.
        if credentials and credentials.identity_token:
            answer = await self._request(url.with_query(None), {}, server.tls(), form=auth.refresh_form(url, credentials))
        else:
            answer = await self._request(url, {"Authorization": basic} if basic else {}, server.tls())
        try:
            if answer.status != 200:
                raise self._denied(f"its token server answered {answer.status}")
            document = json.loads(await _bounded(answer, auth.TOKEN_LIMIT, "token"))
        except ValueError:
            raise self._denied("its token server answered no token") from None
        finally:
            answer.close()
        token = (document.get("token") or document.get("access_token")) if isinstance(document, dict) else None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise self._denied("its token server answered no token")
        self._authorization[origin] = f"Bearer {token}"
        return True

    async def _require(self, answer: aiohttp.ClientResponse, *wanted: int) -> None:
        if answer.status in wanted:
            return
        if answer.status == 404:
            raise NotFound(f"{self._reference}: not found", reason=_REASON)
        if answer.status in {401, 403}:
            raise self._denied(f"server message: {await _server_message(answer)}")
        message = f"registry {answer.url.host} answered {answer.status} {answer.reason or ''}".rstrip()
        if answer.status in _TRANSIENT:
            raise _Transient(message, _retry_after(answer))
        raise Unavailable(message, reason=_REASON)

    def _denied(self, detail: str) -> Unauthorized:
        return Unauthorized(f"pull access denied, repository does not exist or may require authorization: {detail}", reason=_REASON)


class _Transient(Unavailable):
    """Worth another try after `after` seconds (0: the usual back-off)."""

    def __init__(self, message: str, after: float) -> None:
        super().__init__(message, reason="RegistryUnavailable")
        self.after = after


class _Resolver(aiohttp.ThreadedResolver):
    """Names that lead to link-local addresses lead nowhere."""

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[aiohttp.abc.ResolveResult]:
        found = await super().resolve(host, port, family)
        allowed = [result for result in found if not is_forbidden(result["host"])]
        if not allowed:
            raise OSError(f"{host} resolves to a refused address")
        return allowed


def _not_connected(error: Exception) -> bool:
    """Refused, no route, name unknown, or silent until the deadline for connecting. TLS begins when somebody has answered."""
    if isinstance(error, aiohttp.ClientSSLError):
        return False
    return isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)


def _proxy(url: URL) -> str | None:
    """From the environment (https_proxy, http_proxy, no_proxy); never for this host itself."""
    if url.host is None or is_loopback(url.host) or urllib.request.proxy_bypass(url.host):
        return None
    return urllib.request.getproxies().get(url.scheme)


def _origin(url: URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host or "", url.port


def _starts_at(answer: aiohttp.ClientResponse, offset: int) -> bool:
    return answer.headers.get("Content-Range", "").startswith(f"bytes {offset}-")


def _retry_after(answer: aiohttp.ClientResponse) -> float:
    text = answer.headers.get("Retry-After", "")
    return min(float(text), _RETRY_AFTER_LIMIT) if text.isascii() and text.isdigit() else 0.0


async def _bounded(answer: aiohttp.ClientResponse, limit: int, what: str) -> bytes:
    content = bytearray()
    try:
        async for data in answer.content.iter_chunked(1 << 16):
            content += data
            if len(content) > limit:
                raise TooLarge(f"{what} is larger than {limit} bytes", reason=_REASON)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Unavailable(f"connection to {answer.url.host} broke off: {_cause(error)}", reason=_REASON) from None
    return bytes(content)


async def _server_message(answer: aiohttp.ClientResponse) -> str:
    """The registry's own first error, made fit for one line."""
    try:
        document = json.loads(await _bounded(answer, 1 << 16, "error"))
        first = document["errors"][0]
        text = f"{first.get('code', '')}: {first.get('message', '')}"
    except (PolongError, ValueError, LookupError, TypeError, AttributeError):
        text = f"{answer.status} {answer.reason or ''}"
    return "".join(character if character.isprintable() else " " for character in text)[:200].strip()


def _cause(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not trusted: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return str(error.os_error.strerror or error.os_error)
    return str(error) or type(error).__name__
