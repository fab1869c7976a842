"""`create configmap`, `create secret`: from files, directories, literals and files of assignments, as kubectl reads them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from polong.cli.create_words import generator
from polong.cli.errors import Failure
from polong.cli.flags import Group
from polong.objects import names

Json = dict[str, Any]

_LITERAL = click.option("--from-literal", "literals", multiple=True, metavar="KEY=VALUE", help="A key and its value. Repeatable.")
_FILE = click.option("--from-file", "files", multiple=True, metavar="[KEY=]FILE", help="A file, or every file of a directory. Repeatable.")
_ENV = click.option("--from-env-file", "env_files", multiple=True, metavar="FILE", help="A file of KEY=VALUE lines. Repeatable.")
_MAX = 8 * 1024 * 1024


@generator(
    "configmap",
    "Create a ConfigMap.",
    "polong create configmap c --from-literal=level=debug --from-file=nginx.conf\npolong create configmap c --from-env-file=.env",
    _LITERAL,
    _FILE,
    _ENV,
)
def configmap(name: str, literals: Sequence[str], files: Sequence[str], env_files: Sequence[str]) -> Json:
    data, binary = {}, {}
    for key, value in _collect(f'ConfigMap "{name}"', literals, files, env_files).items():
        try:
            data[key] = value.decode()
        except UnicodeDecodeError:
            binary[key] = base64.b64encode(value).decode()
    made: Json = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    return made | ({"data": data} if data else {}) | ({"binaryData": binary} if binary else {})


_TYPE = click.option("--type", "kind", default="", metavar="TYPE", help="The type of the Secret (default Opaque).")


@generator(
    "generic",
    "Create a Secret from files, literals or assignments.",
    "polong create secret generic s --from-literal=password=hunter2 --from-file=key.pem",
    _LITERAL,
    _FILE,
    _ENV,
    _TYPE,
)
def generic(name: str, literals: Sequence[str], files: Sequence[str], env_files: Sequence[str], kind: str) -> Json:
    return _secret(name, _collect(f'Secret "{name}"', literals, files, env_files), kind)


@generator(
    "tls",
    "Create a Secret from a certificate and its key.",
    "polong create secret tls s --cert=tls.crt --key=tls.key",
    click.option("--cert", required=True, metavar="FILE", help="The certificate, PEM."),
    click.option("--key", required=True, metavar="FILE", help="Its private key, PEM."),
)
def tls(name: str, cert: str, key: str) -> Json:
    return _secret(name, {"tls.crt": _read(Path(cert)), "tls.key": _read(Path(key))}, "kubernetes.io/tls")


@generator(
    "docker-registry",
    "Create a Secret by which images are pulled.",
    "polong create secret docker-registry r --docker-server=registry.example.com --docker-username=me --docker-password=hunter2",
    click.option("--docker-server", "registry", default="https://index.docker.io/v1/", metavar="HOST", help="The registry."),
    click.option("--docker-username", "username", default="", metavar="NAME", help="Who pulls."),
    click.option("--docker-password", "password", default="", metavar="TEXT", help="Their password or token."),
    click.option("--docker-email", "email", default="", metavar="TEXT", help="Their address; registries do without."),
    _FILE,
)
def docker_registry(name: str, registry: str, username: str, password: str, email: str, files: Sequence[str]) -> Json:
    kind = "kubernetes.io/dockerconfigjson"
    if files:
        return _secret(name, _collect(f'Secret "{name}"', (), files, ()), kind)
    if not username or not password:
        raise Failure("either --from-file or the combination of --docker-username, --docker-password and --docker-server is required")
    entry = {"username": username, "password": password, **({"email": email} if email else {})}
    entry["auth"] = base64.b64encode(f"{username}:{password}".encode()).decode()
    return _secret(name, {".dockerconfigjson": json.dumps({"auths": {registry: entry}}, separators=(",", ":")).encode()}, kind)


@click.group("secret", cls=Group, help="Create a Secret.", short_help="Create a Secret.")
def secret() -> None:
    pass


for _each in (docker_registry, generic, tls):
    secret.add_command(_each)

COMMANDS = (configmap, secret)


def _secret(name: str, data: dict[str, bytes], kind: str) -> Json:
    made: Json = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
    if data:
        made["data"] = {key: base64.b64encode(value).decode() for key, value in data.items()}
    return made | ({"type": kind} if kind else {})


def _collect(what: str, literals: Sequence[str], files: Sequence[str], env_files: Sequence[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    if env_files and (literals or files):
        raise Failure("from-env-file cannot be combined with from-file or from-literal")
    for source in (*map(_literal, literals), *(pair for each in files for pair in _file(each)), *(p for e in env_files for p in _env(e))):
        key, value = source
        if errors := names.config_key_errors(key):
            raise Failure(f'"{key}" is not a valid key name for {what}: {";".join(errors)}')
        if key in found:
            raise Failure(f'cannot add key "{key}", another key by that name already exists in Data for {what}')
        found[key] = value
    return found


def _literal(text: str) -> tuple[str, bytes]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise Failure(f"invalid literal source {text}, expected key=value")
    return key, value.encode()


def _file(text: str) -> Iterator[tuple[str, bytes]]:
    key, equals, name = text.rpartition("=")
    path = Path(name)
    if equals and not key:
        raise Failure(f"key name for file path {name} missing")
    if not path.is_dir():
        yield key or path.name, _read(path)
        return
    if key:
        raise Failure("cannot give a key name for a directory path")
    for each in sorted(path.iterdir()):
        if each.is_file() and not names.config_key_errors(each.name):
            yield each.name, _read(each)


def _env(name: str) -> Iterator[tuple[str, bytes]]:
    import os

    for line in _read(Path(name)).decode(errors="replace").lstrip("\ufeff").splitlines():
        text = line.lstrip()
        if not text or text.startswith("#"):
            continue
        key, equals, value = text.partition("=")
        # A bare name stands for what this shell has under it.
        yield key, (value if equals else os.environ.get(key, "")).encode()


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX + 1)
    except OSError as error:
        raise Failure(f"error reading {path}: {error.strerror}") from error
    if len(data) > _MAX:
        raise Failure(f"{path} is larger than a ConfigMap or Secret can be")
    return data
