"""Who asks: client certificates to users. What they may: `polong.api.authorization`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polong.api.service import User


def user_of_certificate(certificate: Mapping[str, Any] | None) -> User | None:
    """CN is the name, each O a group, of a certificate that TLS has verified (`SSLObject.getpeercert()`). None for none or no CN."""
    name = ""
    groups = []
    for relative_name in (certificate or {}).get("subject", ()):
        for key, value in relative_name:
            if key == "commonName":
                name = value
            elif key == "organizationName":
                groups.append(value)
    return User(name, (*groups, "system:authenticated")) if name else None
