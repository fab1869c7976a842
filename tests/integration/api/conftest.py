"""A real API server on loopback TLS, its certificates, and every kubectl that this machine has."""

from __future__ import annotations

import asyncio
import base64
import datetime
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from polong.api.app import Service
from polong.api.http import Server
from polong.api.ports import Images, Node
from polong.kit.errors import BadRequest, NotFound
from polong.kit.stdio import Stdio
from polong.objects.podlogs import PodLogOptions
from polong.store.memory import MemoryStorage

Json = dict[str, Any]

NODE = "testnode"


class FakeNode:
    """A node of which tests decide what it says."""

    def __init__(self) -> None:
        self.logs_started = True

    async def exec(self, pod: Json, container: str, command: Sequence[str], stdio: Stdio) -> int:
        if stdio.stdout is not None:
            await stdio.stdout.write((" ".join(command) + f" in {container}\n").encode())
        return 7 if command[0] == "false" else 0

    async def attach(self, pod: Json, container: str, stdio: Stdio) -> None:
        return None

    async def port_forward(self, pod: Json, port: int, stdio: Stdio) -> None:
        return None

    async def logs(self, pod: Json, container: str, options: PodLogOptions) -> AsyncIterator[bytes]:
        if not self.logs_started:
            raise BadRequest(f'container "{container}" in pod "{pod["metadata"]["name"]}" is waiting to start: ContainerCreating')
        yield f"hello from {container} tail={options.tail_lines}\n".encode()
        while options.follow:
            await asyncio.sleep(0.05)
            yield b"more\n"

    async def processes(self, pod: Json, *, full: bool = False) -> Json:
        return {"kind": "ProcessList", "apiVersion": "polong.dev/v1alpha1", "metadata": {}, "items": []}


class FakeImages:
    def __init__(self) -> None:
        self.names = ["docker.io/library/nginx:latest"]
        self.imported = 0

    async def list(self) -> Sequence[Json]:
        return [{"id": "sha256:00", "repoTags": [name], "repoDigests": [], "size": 1, "created": ""} for name in self.names]

    async def command(self, reference: str) -> tuple[Sequence[str], Sequence[str]] | None:
        return None

    async def pull(self, reference: str, *, username: str = "", password: str = "") -> AsyncIterator[Json]:
        yield {"status": "pulling"}
        if reference == "bad":
            raise NotFound("cannot pull bad: no such image", reason="ErrImagePull")
        yield {"status": "done", "image": reference}

    async def import_archive(self, archive: AsyncIterator[bytes]) -> AsyncIterator[Json]:
        async for chunk in archive:
            self.imported += len(chunk)
        yield {"status": "done", "image": "x"}

    async def export_archive(self, references: Sequence[str]) -> AsyncIterator[bytes]:
        if references[0] not in self.names:
            raise NotFound(f"no image {references[0]}")
        yield b"tar" * 1000
        yield b"end"

    async def remove(self, reference: str) -> None:
        if reference not in self.names:
            raise NotFound(f"no image {reference}")
        self.names.remove(reference)

    async def prune(self) -> Sequence[Json]:
        return []


_node: type[Node] = FakeNode
_images: type[Images] = FakeImages


def _name(common: str, organisation: str = "") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organisation:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name(parts)


@dataclass
class Authority:
    """A throw-away CA that writes PEM files into `folder`."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(cls, folder: Path, name: str = "ca") -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _sign(_name(name), _name(name), key, key, ca=True)
        (folder / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return cls(folder, key, certificate)

    def issue(self, file: str, common: str, organisation: str = "") -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _sign(_name(common, organisation), self.certificate.subject, key, self.key, ca=False)
        crt, pem = self.folder / f"{file}.crt", self.folder / f"{file}.key"
        crt.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        pem.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        return crt, pem


def _sign(subject: x509.Name, issuer: x509.Name, key: Any, signer: Any, *, ca: bool) -> x509.Certificate:
    import ipaddress

    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=2))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
    )
    return builder.sign(signer, hashes.SHA256())


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("pki")
    made = Authority.make(folder)
    made.issue("server", "polong")
    made.issue("admin", "admin", "system:masters")
    made.issue("bob", "bob", "people")
    return made


@dataclass
class Api:
    """A running server and how to reach it."""

    service: Service
    server: Server
    port: int
    authority: Authority
    node: FakeNode
    images: FakeImages

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def kubeconfig(self, folder: Path, user: str = "admin") -> Path:
        pki = self.authority.folder

        def inline(name: str) -> str:
            return base64.b64encode((pki / name).read_bytes()).decode()

        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "p", "cluster": {"server": self.url, "certificate-authority-data": inline("ca.crt")}}],
            "users": [
                {
                    "name": user,
                    "user": {"client-certificate-data": inline(f"{user}.crt"), "client-key-data": inline(f"{user}.key")},
                }
            ],
            "contexts": [{"name": "p", "context": {"cluster": "p", "user": user, "namespace": "default"}}],
            "current-context": "p",
        }
        path = folder / f"kubeconfig-{user}"
        path.write_text(yaml.safe_dump(config))
        return path


@pytest.fixture
async def api(authority: Authority) -> AsyncIterator[Api]:
    storage = MemoryStorage()
    node, images = FakeNode(), FakeImages()
    service = Service(storage, node_name=NODE, node=node, images=images)
    await service.start()
    server = Server(service)
    pki = authority.folder
    port = await server.start("127.0.0.1", 0, certificate=pki / "server.crt", key=pki / "server.key", client_ca=pki / "ca.crt")
    try:
        yield Api(service, server, port, authority, node, images)
    finally:
        await server.stop()
        await service.aclose()
        await storage.aclose()


def _kubectls() -> Iterator[Any]:
    """kubectl.1.27 … kubectl.1.33 lie beside the real file of the kubectl on PATH."""
    found = shutil.which("kubectl")
    folder = Path(os.path.realpath(found)).parent if found else None
    for minor in range(27, 34):
        path = folder / f"kubectl.1.{minor}" if folder else None
        missing = path is None or not path.exists()
        skip = pytest.mark.skip(reason=f"no kubectl.1.{minor} beside the kubectl on PATH")
        yield pytest.param(path, id=f"1.{minor}", marks=[pytest.mark.kubectl, *([skip] if missing else [])])


KUBECTLS = list(_kubectls())


@dataclass
class Kubectl:
    binary: Path
    kubeconfig: Path
    home: Path

    async def __call__(self, *arguments: str, stdin: str = "", code: int | None = 0, timeout: float = 30) -> str:
        """Its standard output; standard error is kept in `error`. Checks the exit code unless `code` is None."""
        done = await asyncio.to_thread(
            subprocess.run,
            [self.binary, "--kubeconfig", self.kubeconfig, *arguments],
            input=stdin.encode(),
            capture_output=True,
            timeout=timeout,
            check=False,
            env={"HOME": str(self.home), "PATH": "/usr/bin:/bin"},
        )
        self.error = done.stderr.decode()
        output = done.stdout.decode()
        assert code is None or done.returncode == code, f"kubectl {' '.join(arguments)}: {done.returncode}\n{output}{self.error}"
        return output


@pytest.fixture(params=KUBECTLS)
def kubectl(request: pytest.FixtureRequest, api: Api, tmp_path: Path) -> Kubectl:
    return Kubectl(request.param, api.kubeconfig(tmp_path), tmp_path)
