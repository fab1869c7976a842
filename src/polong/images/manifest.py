"""Documents of an image: index, manifest, configuration. Parsed strictly, because each comes from a registry or an archive.

OCI image specification 1.1 and Docker's schema 2 twins. One document is either an index or a manifest (CVE-2021-41190); foreign layers
are refused by name.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from polong.images.digest import Digest
from polong.images.model import ImageConfig
from polong.kit.errors import Invalid, NotFound, TooLarge, Unsupported

Json = dict[str, Any]

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_INDEX})
MANIFEST_TYPES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})

MANIFEST_LIMIT = 4 << 20
CONFIG_LIMIT = 8 << 20
LAYERS_LIMIT = 500
LAYER_SIZE_LIMIT = 64 << 30
_INDEX_ENTRIES = 1000

_CONFIG_TYPES = frozenset({"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"})
_LAYER_COMPRESSION = {
    "application/vnd.oci.image.layer.v1.tar": "",
    "application/vnd.oci.image.layer.v1.tar+gzip": "gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd": "zstd",
    "application/vnd.docker.image.rootfs.diff.tar": "",
    "application/vnd.docker.image.rootfs.diff.tar.gzip": "gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd": "zstd",
}
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


@dataclass(frozen=True)
class Descriptor:
    """Where content is and what it is; `size` in bytes is what the content must weigh."""

    media_type: str
    digest: Digest
    size: int
    architecture: str = ""
    os: str = ""
    variant: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def compression(self) -> str:
        """Of a layer: "", "gzip" or "zstd"."""
        return _LAYER_COMPRESSION[self.media_type]


@dataclass(frozen=True)
class Manifest:
    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True)
class Index:
    media_type: str
    manifests: tuple[Descriptor, ...]


@dataclass(frozen=True)
class Configuration:
    """An image configuration: what runs, and the digests of the uncompressed layers, lowest first."""

    config: ImageConfig
    diff_ids: tuple[Digest, ...]
    created: str
    architecture: str
    os: str


def host_architecture() -> str:
    """In OCI's (Go's) words."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


def parse(content: bytes, media_type: str) -> Manifest | Index:
    """`media_type` is what the transport (Content-Type) or the descriptor said; the document must agree with it. Invalid, TooLarge."""
    document = _document(content, MANIFEST_LIMIT, "manifest")
    if document.get("schemaVersion") == 1 or media_type.startswith("application/vnd.docker.distribution.manifest.v1"):
        raise Unsupported("image manifest is of Docker's schema 1, which is not supported; push the image again with a current tool")
    if document.get("schemaVersion") != 2:
        raise Invalid("image manifest has no schemaVersion 2")
    if "manifests" in document and ("layers" in document or "config" in document):
        raise Invalid("image manifest claims to be an index and a manifest at once")
    own = document.get("mediaType", media_type)
    if own != media_type:
        raise Invalid(f"image manifest calls itself {_short(own)}, but was served as {_short(media_type)}")
    if media_type in INDEX_TYPES:
        entries = _sequence(document.get("manifests"), "manifests", _INDEX_ENTRIES)
        return Index(media_type, tuple(_descriptor(entry) for entry in entries))
    if media_type in MANIFEST_TYPES:
        return _manifest(document, media_type)
    raise Unsupported(f"image manifest has the unsupported media type {_short(media_type)}")


def _manifest(document: Json, media_type: str) -> Manifest:
    config = _descriptor(document.get("config"))
    if config.media_type not in _CONFIG_TYPES:
        raise Unsupported(f"not a container image: its configuration is of type {_short(config.media_type)}")
    if config.size > CONFIG_LIMIT:
        raise TooLarge(f"image configuration is larger than {CONFIG_LIMIT >> 20} MiB")
    layers = tuple(_layer(entry) for entry in _sequence(document.get("layers"), "layers", LAYERS_LIMIT))
    return Manifest(media_type, config, layers)


def _layer(value: object) -> Descriptor:
    layer = _descriptor(value)
    if "foreign" in layer.media_type or "nondistributable" in layer.media_type or (isinstance(value, dict) and value.get("urls")):
        raise Unsupported("image has a foreign layer (content at other addresses), which is refused")
    if layer.media_type not in _LAYER_COMPRESSION:
        raise Unsupported(f"image layer has the unsupported media type {_short(layer.media_type)}")
    if layer.size > LAYER_SIZE_LIMIT:
        raise TooLarge(f"image layer is larger than {LAYER_SIZE_LIMIT >> 30} GiB")
    return layer


def choose(index: Index, architecture: str | None = None) -> Descriptor:
    """The Linux image of this architecture (arm: the highest variant); NotFound with what there is otherwise."""
    wanted = architecture or host_architecture()
    fitting = [entry for entry in index.manifests if entry.os in {"linux", ""} and entry.architecture in {wanted, ""}]
    exact = [entry for entry in fitting if entry.architecture == wanted] or fitting
    if not exact:
        there = sorted({f"{entry.os}/{entry.architecture}" for entry in index.manifests if entry.os != "unknown"})
        raise NotFound(f"no match for platform linux/{wanted} in manifest: not found (there is {', '.join(there[:12]) or 'nothing'})")
    return max(exact, key=lambda entry: entry.variant) if wanted == "arm" else exact[0]


def parse_configuration(content: bytes, layers: int | None = None) -> Configuration:
    """`layers`: how many the manifest lists; the configuration must know as many. Invalid, TooLarge, Unsupported."""
    document = _document(content, CONFIG_LIMIT, "configuration")
    rootfs = document.get("rootfs")
    if not isinstance(rootfs, dict) or rootfs.get("type", "layers") != "layers":
        raise Invalid("image configuration has no rootfs of layers")
    try:
        diff_ids = tuple(Digest.parse(value) for value in _sequence(rootfs.get("diff_ids") or [], "rootfs.diff_ids", LAYERS_LIMIT))
    except ValueError as error:
        raise Invalid(f"image configuration: diff_ids: {error}") from None
    if layers is not None and len(diff_ids) != layers:
        raise Invalid(f"image configuration lists {len(diff_ids)} layers, its manifest {layers}")
    created = document.get("created")
    return Configuration(
        _config(document.get("config") or {}),
        diff_ids,
        created if isinstance(created, str) and len(created) < 64 and created.isascii() else "",
        str(document.get("architecture", ""))[:64],
        str(document.get("os", ""))[:64],
    )


def _config(value: object) -> ImageConfig:
    if not isinstance(value, dict):
        raise Invalid("image configuration: config is no object")
    labels = value.get("Labels") or {}
    volumes = value.get("Volumes") or {}
    if not isinstance(labels, dict) or not isinstance(volumes, dict):
        raise Invalid("image configuration: Labels and Volumes must be objects")
    return ImageConfig(
        user=_text(value, "User"),
        env=_texts(value, "Env"),
        entrypoint=_texts(value, "Entrypoint"),
        cmd=_texts(value, "Cmd"),
        working_dir=_text(value, "WorkingDir"),
        stop_signal=_text(value, "StopSignal"),
        volumes=tuple(sorted(volumes)),
        labels={key: text for key, text in labels.items() if isinstance(text, str)},
    )


def _text(value: Json, key: str) -> str:
    text = value.get(key) or ""
    if not isinstance(text, str) or "\0" in text:
        raise Invalid(f"image configuration: {key} is no plain string")
    return text


def _texts(value: Json, key: str) -> tuple[str, ...]:
    texts = value.get(key) or []
    if not isinstance(texts, list) or not all(isinstance(text, str) and "\0" not in text for text in texts):
        raise Invalid(f"image configuration: {key} is no list of plain strings")
    return tuple(texts)


def _document(content: bytes, limit: int, what: str) -> Json:
    if len(content) > limit:
        raise TooLarge(f"image {what} is larger than {limit >> 20} MiB")
    try:
        document = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Invalid(f"image {what} is no JSON document: {error}") from None
    if not isinstance(document, dict):
        raise Invalid(f"image {what} is no JSON object")
    return document


def _sequence(value: object, what: str, limit: int) -> list[object]:
    if not isinstance(value, list):
        raise Invalid(f"image document: {what} is no list")
    if len(value) > limit:
        raise TooLarge(f"image document: {what} has more than {limit} entries")
    return value


def _descriptor(value: object) -> Descriptor:
    if not isinstance(value, dict):
        raise Invalid("image document: a descriptor is no object")
    media_type, size = value.get("mediaType"), value.get("size")
    if not isinstance(media_type, str) or not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise Invalid("image document: a descriptor lacks mediaType or size")
    try:
        digest = Digest.parse(value.get("digest"))
    except ValueError as error:
        raise Invalid(f"image document: {error}") from None
    where = value.get("platform")
    where = where if isinstance(where, dict) else {}
    notes = value.get("annotations")
    notes = notes if isinstance(notes, dict) else {}
    architecture, system, variant = (str(where.get(key, ""))[:64] for key in ("architecture", "os", "variant"))
    annotations = {key: text for key, text in notes.items() if isinstance(text, str)}
    return Descriptor(media_type, digest, size, architecture, system, variant, annotations)


def _short(value: object) -> str:
    return repr(str(value)[:100])
