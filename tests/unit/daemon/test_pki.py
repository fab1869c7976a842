"""Certificates: private files, a chain that verifies, reuse, renewal."""

import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from polong.daemon import issue, kubeconfig, pki
from polong.kit.errors import Internal

HOSTS = ("localhost", "127.0.0.1", "node")


def test_all_files_are_private(tmp_path: Path) -> None:
    pki.ensure(tmp_path / "pki", HOSTS)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "pki").iterdir()} == {0o600}
    assert (tmp_path / "pki").stat().st_mode & 0o777 == 0o700


def test_the_chain_verifies_and_names_the_hosts(tmp_path: Path) -> None:
    made = pki.ensure(tmp_path, HOSTS)
    ca, server, admin = (x509.load_pem_x509_certificate(path.read_bytes()) for path in (made.ca, made.server_cert, made.admin_cert))
    server.verify_directly_issued_by(ca)
    admin.verify_directly_issued_by(ca)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "node"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert admin.subject.rfc4514_string() == "CN=polong-admin,O=system:masters"
    ssl.create_default_context(cafile=str(made.ca)).load_cert_chain(made.admin_cert, made.admin_key)


def test_what_is_good_is_kept(tmp_path: Path) -> None:
    pki.ensure(tmp_path, HOSTS)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    pki.ensure(tmp_path, HOSTS)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_other_names_renew_the_serving_certificate_alone(tmp_path: Path) -> None:
    made = pki.ensure(tmp_path, HOSTS)
    before = {path: path.read_bytes() for path in (made.ca, made.server_cert, made.admin_cert)}
    pki.ensure(tmp_path, (*HOSTS, "other"))
    assert [path for path, data in before.items() if path.read_bytes() != data] == [made.server_cert]


def test_a_stale_certificate_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issue, "_LIFE", timedelta(minutes=1))
    issue.main(tmp_path, list(HOSTS))
    before = (tmp_path / "server.crt").read_bytes()
    ca = (tmp_path / "ca.crt").read_bytes()
    monkeypatch.setattr(issue, "_SKEW", timedelta(minutes=5))
    monkeypatch.undo()
    issue.main(tmp_path, list(HOSTS))
    assert (tmp_path / "server.crt").read_bytes() != before
    assert (tmp_path / "ca.crt").read_bytes() == ca


@pytest.mark.parametrize("name", ["ca.crt", "server.key", "admin.crt"])
def test_a_damaged_file_is_replaced(tmp_path: Path, name: str) -> None:
    pki.ensure(tmp_path, HOSTS)
    (tmp_path / name).write_bytes(b"damaged")
    made = pki.ensure(tmp_path, HOSTS)
    ssl.create_default_context(cafile=str(made.ca)).load_cert_chain(made.server_cert, made.server_key)


def test_a_directory_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "ca.crt.new").mkdir()
    with pytest.raises(Internal, match="cannot issue certificates") as caught:
        pki.ensure(tmp_path, HOSTS)
    assert "\n" not in str(caught.value)


def test_the_kubeconfig_is_private_and_only_written_when_it_changes(tmp_path: Path) -> None:
    made = pki.ensure(tmp_path / "pki", HOSTS)
    path = tmp_path / "kubeconfig"
    kubeconfig.write(path, "https://127.0.0.1:6443", made)
    first = path.stat()
    kubeconfig.write(path, "https://127.0.0.1:6443", made)
    assert path.stat().st_ino == first.st_ino
    assert first.st_mode & 0o777 == 0o600
    kubeconfig.write(path, "https://127.0.0.1:7443", made)
    assert b"7443" in path.read_bytes()
