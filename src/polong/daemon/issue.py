"""Issues a node's certificates: `python -m polong.daemon.issue DIR HOST…`, a child of the daemon (see `pki`)."""

from __future__ import annotations

import ipaddress
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from polong.daemon.pki import write_private

_CA_LIFE = timedelta(days=3650)
_LIFE = timedelta(days=365)
_SKEW = timedelta(minutes=5)


class _Pair:
    """A key and its certificate, in two files."""

    def __init__(self, directory: Path, name: str) -> None:
        self.cert_path = directory / f"{name}.crt"
        self.key_path = directory / f"{name}.key"

    def load(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None:
        """None where a file is missing, damaged, or the two do not belong together."""
        try:
            certificate = x509.load_pem_x509_certificate(self.cert_path.read_bytes())
            key = serialization.load_pem_private_key(self.key_path.read_bytes(), None)
        except (OSError, ValueError):
            return None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate.public_key() != key.public_key():
            return None
        return certificate, key

    def save(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        pem = serialization.PrivateFormat.PKCS8
        write_private(self.key_path, key.private_bytes(serialization.Encoding.PEM, pem, serialization.NoEncryption()))
        write_private(self.cert_path, certificate.public_bytes(serialization.Encoding.PEM))


def _fresh(certificate: x509.Certificate) -> bool:
    """More than a third of its life is left."""
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return start <= datetime.now(UTC) < end - (end - start) / 3


def _name(common: str, organisation: str = "") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation)] if organisation else []
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, life: timedelta) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def authority(directory: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    pair = _Pair(directory, "ca")
    found = pair.load()
    if found and _fresh(found[0]):
        return found
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("polong-ca")
    certificate = (
        _builder(name, name, key, _CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    pair.save(certificate, key)
    return certificate, key


def _leaf(
    directory: Path,
    name: str,
    subject: x509.Name,
    alternatives: list[x509.GeneralName],
    issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey],
) -> None:
    """Keep the certificate `name` where it is fresh, of this authority and for these names; else issue it anew."""
    ca, ca_key = issuer
    pair = _Pair(directory, name)
    found = pair.load()
    if found and _fresh(found[0]) and _issued_by(found[0], ca) and _alternatives(found[0]) == alternatives:
        return
    key = ec.generate_private_key(ec.SECP256R1())
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if alternatives else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        _builder(subject, ca.subject, key, _LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    pair.save(builder.sign(ca_key, hashes.SHA256()), key)


def _issued_by(certificate: x509.Certificate, ca: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(ca)
    except Exception:  # cryptography raises several kinds; each means "not by this authority"
        return False
    return True


def _alternatives(certificate: x509.Certificate) -> list[x509.GeneralName]:
    try:
        return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _signing_key(path: Path) -> None:
    """The key of ServiceAccounts' tokens: kept for ever, since tokens outlive a start."""
    try:
        if isinstance(serialization.load_pem_private_key(path.read_bytes(), None), ec.EllipticCurvePrivateKey):
            return
    except (OSError, ValueError):
        pass  # missing or damaged: tokens of the old one are worth nothing, whatever is done
    key = ec.generate_private_key(ec.SECP256R1())
    form = serialization.PrivateFormat.PKCS8
    write_private(path, key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))


def main(directory: Path, hosts: list[str]) -> None:
    issuer = authority(directory)
    _leaf(directory, "server", _name("polong"), [_general_name(host) for host in hosts], issuer)
    _signing_key(directory / "sa.key")
    _leaf(directory, "admin", _name("polong-admin", "system:masters"), [], issuer)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
