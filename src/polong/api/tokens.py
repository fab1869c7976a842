"""Signed tokens (JWT, RFC 7519) of one issuer: ES256 with the node's own key, and nothing else. Knows no ServiceAccount.

The algorithm is this file's, never the token's: a header may only repeat it. `cryptography` is loaded with the first token (20 ms, 9 MiB
that a node without tokens need not carry), in a thread.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

from polong.kit.errors import Internal, Unauthorized

Json = dict[str, Any]

ALGORITHM = "ES256"
MAX_TOKEN = 16 * 1024
_SIZE = 32
_READ = 1024


def encode(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """ValueError for anything but the one way to write these bytes."""
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encode(data) != text:
        raise ValueError("no canonical base64url")
    return data


class Tokens:
    """`key` is a PEM file with a P-256 key (`<root>/pki/sa.key`); without one a key is made that lives as long as this object."""

    def __init__(self, issuer: str, key: Path | None = None) -> None:
        self.issuer = issuer
        self._path = key
        self._key: Any = None
        self._kid = ""
        self._lock = asyncio.Lock()
        self._known: OrderedDict[bytes, Json] = OrderedDict()

    async def sign(self, claims: Json) -> str:
        """The token with these claims and this issuer."""
        await self._ready()
        header = {"alg": ALGORITHM, "kid": self._kid}
        text = ".".join(encode(json.dumps(part, separators=(",", ":")).encode()) for part in (header, {"iss": self.issuer, **claims}))
        return f"{text}.{encode(self._signature(text.encode()))}"

    async def read(self, token: str) -> Json:
        """The claims of a token that this issuer signed; whether they still hold is the caller's to see. Unauthorized."""
        if len(token) > MAX_TOKEN:
            raise Unauthorized("the token is too long")
        await self._ready()
        digest = hashlib.sha256(token.encode(errors="replace")).digest()
        claims = self._known.get(digest)
        if claims is None:
            claims = self._verified(token)
            self._known[digest] = claims
            if len(self._known) > _READ:
                self._known.popitem(last=False)
        return claims

    async def jwks(self) -> Json:
        """The key that others verify with, as a JSON Web Key Set (RFC 7517)."""
        await self._ready()
        numbers = self._key.public_key().public_numbers()
        x, y = (encode(number.to_bytes(_SIZE, "big")) for number in (numbers.x, numbers.y))
        return {"keys": [{"use": "sig", "kty": "EC", "kid": self._kid, "crv": "P-256", "alg": ALGORITHM, "x": x, "y": y}]}

    async def _ready(self) -> None:
        if self._key is None:
            async with self._lock:
                if self._key is None:
                    self._key, self._kid = await asyncio.to_thread(_load, self._path)

    def _signature(self, data: bytes) -> bytes:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        r, s = decode_dss_signature(self._key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(_SIZE, "big") + s.to_bytes(_SIZE, "big")

    def _verified(self, token: str) -> Json:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

        try:
            head, body, signature = token.split(".")
            header, claims, raw = json.loads(decode(head)), json.loads(decode(body)), decode(signature)
            if not isinstance(header, dict) or not isinstance(claims, dict) or len(raw) != 2 * _SIZE:
                raise ValueError("not a token")
            if header.get("alg") != ALGORITHM or header.get("kid") != self._kid or "crit" in header:
                raise ValueError("signed by another key")
            pair = encode_dss_signature(*(int.from_bytes(half, "big") for half in (raw[:_SIZE], raw[_SIZE:])))
            self._key.public_key().verify(pair, f"{head}.{body}".encode(), ec.ECDSA(hashes.SHA256()))
        except (ValueError, binascii.Error, RecursionError, InvalidSignature):
            raise Unauthorized("invalid bearer token") from None
        if claims.get("iss") != self.issuer:
            raise Unauthorized("invalid bearer token")
        return claims


def _load(path: Path | None) -> tuple[Any, str]:
    """The private key and its id: the SHA-256 of the public key, as Kubernetes makes it."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    if path is None:
        key: Any = ec.generate_private_key(ec.SECP256R1())
    else:
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), None)
        except (OSError, ValueError) as error:
            raise Internal(f"cannot read the key that signs tokens, {path.name}: {error}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise Internal("the key that signs tokens is no P-256 key")
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public = key.public_key().public_bytes(serialization.Encoding.DER, form)
    return key, encode(hashlib.sha256(public).digest())
