"""OCI archives that skopeo, podman, containerd, docker and Polong read: an image layout plus docker-save's manifest.json in one tar."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Json = dict[str, Any]

_EPOCH = "1970-01-01T00:00:00Z"


def write(path: Path, name: str, layers: Sequence[bytes], config: Json, architecture: str) -> str:
    """Write the archive of one image called `name` (fully qualified, with tag) by rename; the manifest's digest."""
    blobs: dict[str, bytes] = {}

    def blob(media_type: str, content: bytes) -> Json:
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        blobs[digest] = content
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    packed = [blob("application/vnd.oci.image.layer.v1.tar+gzip", gzip.compress(layer, 6, mtime=0)) for layer in layers]
    configuration = blob(
        "application/vnd.oci.image.config.v1+json",
        _json(
            {
                "created": _EPOCH,
                "architecture": architecture,
                "os": "linux",
                "config": config,
                "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]},
                "history": [{"created": _EPOCH, "created_by": "polong make images"} for _ in layers],
            }
        ),
    )
    manifest_type = "application/vnd.oci.image.manifest.v1+json"
    manifest = blob(manifest_type, _json({"schemaVersion": 2, "mediaType": manifest_type, "config": configuration, "layers": packed}))
    annotations = {"org.opencontainers.image.ref.name": name, "io.containerd.image.name": name}
    index_type = "application/vnd.oci.image.index.v1+json"
    platform = {"architecture": architecture, "os": "linux"}
    index = {"schemaVersion": 2, "mediaType": index_type, "manifests": [{**manifest, "platform": platform, "annotations": annotations}]}
    saved = [
        {"Config": _blob_path(configuration["digest"]), "RepoTags": [name], "Layers": [_blob_path(layer["digest"]) for layer in packed]}
    ]
    files = {_blob_path(digest): content for digest, content in sorted(blobs.items())}
    files |= {"index.json": _json(index), "manifest.json": _json(saved), "oci-layout": _json({"imageLayoutVersion": "1.0.0"})}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as stream, tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for member, content in files.items():
            info = tarfile.TarInfo(member)
            info.size, info.mode = len(content), 0o644
            tar.addfile(info, io.BytesIO(content))
    partial.rename(path)
    return str(manifest["digest"])


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _blob_path(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")
