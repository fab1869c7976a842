"""A GET request to a container. Redirects within the same host are followed, others are not: a Pod must not send the node elsewhere.

Certificates are not verified, no proxy is asked, connections are not kept, cookies are not held, and of the body only a piece is read.

Source: kubelet pkg/probe/http (request.go, http.go), pkg/kubelet/lifecycle/handlers.go.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

import aiohttp
from yarl import URL

from polong.kubelet.handlers.target import MAX_OUTPUT, VERSION, Answer, Json, Result, Target, authority, cut, port_number, quoted
from polong.kubelet.handlers.tcp import refusal

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 10
# Characters of a path that stand in a URL as they are (RFC 3986 pchar and "/"), and "%" of what is escaped already.
_PATH = "/%!$&'()*+,;=:@-._~"

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Request:
    url: URL
    headers: Headers


@dataclass(frozen=True)
class Response:
    """`body` is cut."""

    status: int
    body: str


class TooManyRedirects(Exception):  # noqa: N818
    pass


class Unencrypted(Exception):  # noqa: N818
    """HTTP was spoken where HTTPS was asked for."""


def request(action: Json, target: Target, agent: str) -> Request:
    """What an HTTPGetAction asks for. `agent`: probe or lifecycle. Invalid where its port does not resolve."""
    port = port_number(target, action["port"])
    scheme = str(action.get("scheme") or "HTTP").lower()
    # A path may bring its query along.
    parts = urlsplit(str(action.get("path") or "/"))
    path = quote(parts.path, safe=_PATH)
    where = authority(action.get("host") or target.ip, port)
    text = urlunsplit((scheme, where, path if path.startswith("/") else f"/{path}", parts.query, ""))
    return Request(URL(text, encoded=True), _headers(action, agent))


def _headers(action: Json, agent: str) -> Headers:
    given = [(str(each["name"]), str(each.get("value") or "")) for each in action.get("httpHeaders") or ()]
    names = {name.lower() for name, _ in given}
    own = (("User-Agent", f"kube-{agent}/{VERSION}"), ("Accept", "*/*"))
    # An empty one of these says that it is not to be sent.
    sent = [each for each in given if each[1] or each[0].lower() not in ("user-agent", "accept")]
    return (*sent, *(each for each in own if each[0].lower() not in names))


def plain(wanted: Request) -> Request:
    """The same without TLS."""
    return Request(wanted.url.with_scheme("http"), wanted.headers)


class Http:
    """One client for all handlers of a node; made when it is first needed, inside of the event loop."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            tls.check_hostname = False
            tls.verify_mode = ssl.CERT_NONE
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=tls, force_close=True, limit=0, use_dns_cache=False),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
                max_line_size=65_536,
                max_field_size=65_536,
            )
        return self._session

    async def aclose(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def get(self, first: Request, timeout: float | None) -> Response:
        """The last answer of the chain. TimeoutError, OSError, aiohttp.ClientError, TooManyRedirects."""
        async with asyncio.timeout(timeout):
            url, headers, hops = first.url, first.headers, 0
            while True:
                status, location, body = await self._once(url, headers)
                following = _following(url, first.url, location) if status in _REDIRECTS else None
                if following is None:
                    return Response(status, body)
                hops += 1
                if hops >= _MOST_REDIRECTS:
                    raise TooManyRedirects(f"stopped after {_MOST_REDIRECTS} redirects")
                if urlsplit(location).netloc:
                    # Only a relative redirect keeps the Host that the Pod's author chose.
                    headers = tuple(each for each in headers if each[0].lower() != "host")
                url = following

    async def _once(self, url: URL, headers: Headers) -> tuple[int, str, str]:
        unlimited = aiohttp.ClientTimeout(total=None)
        try:
            async with self._client().get(url, headers=headers, allow_redirects=False, timeout=unlimited) as answer:
                chunks = bytearray()
                while len(chunks) < MAX_OUTPUT and (chunk := await answer.content.read(MAX_OUTPUT - len(chunks))):
                    chunks += chunk
                return answer.status, answer.headers.get("Location", ""), cut(bytes(chunks))
        except aiohttp.ClientConnectorSSLError as error:
            # OpenSSL's words for a first record that is none: "wrong version number", in newer ones "record layer failure".
            if getattr(error.os_error, "reason", "") in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"):
                raise Unencrypted("http: server gave HTTP response to HTTPS client") from error
            raise

    async def probe(self, wanted: Request, timeout: float) -> Answer:
        try:
            answer = await self.get(wanted, timeout)
        except TimeoutError:
            return _failure(wanted, "context deadline exceeded (Client.Timeout exceeded while awaiting headers)")
        except (aiohttp.ClientError, OSError, TooManyRedirects, Unencrypted, ValueError) as error:
            return _failure(wanted, words(error))
        if 200 <= answer.status < 300:
            return Answer(Result.SUCCESS, answer.body)
        if 300 <= answer.status < 400:
            return Answer(Result.WARNING, f"Probe terminated redirects, Response body: {answer.body}")
        # The body may hold what an Event must not show.
        return Answer(Result.FAILURE, f"HTTP probe failed with statuscode: {answer.status}")


def _failure(wanted: Request, text: str) -> Answer:
    return Answer(Result.FAILURE, f"Get {quoted(str(wanted.url))}: {text}")


def _following(current: URL, first: URL, location: str) -> URL | None:
    """Where a redirect leads; None where it leads away from the host that was asked first, or nowhere."""
    if not location:
        return None
    try:
        following = current.join(URL(location, encoded=True))
        return following if following.scheme in ("http", "https") and following.host == first.host else None
    except ValueError:
        return None


def words(error: Exception) -> str:
    """One line of what went wrong, as Go's client says it where it is one of the usual things."""
    if isinstance(error, aiohttp.ClientConnectorError):
        where = f"dial tcp {authority(str(error.host), int(error.port or 0))}"
        return f"{where}: {refusal(error.os_error)}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "EOF"
    if isinstance(error, OSError) and error.errno:
        return refusal(error)
    return (str(error) or type(error).__name__).splitlines()[0][:500]
