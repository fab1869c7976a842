"""Images: references, registries, content, layers, root file systems, archives. Satisfies `cri.ports.ImageStore` and `api.ports.Images`.

    service.ImageService     what the CRI service uses (pull, get, images, delete, usage, mount_rootfs, release_rootfs, rootfs_keys)
    admin.ImageAdmin         what `polong images` uses, over the same service (list, pull, import, export, remove, prune)

Layout under the root (0700): `blobs/sha256/` content by digest, `ingest/` unfinished downloads, `layers/` one directory a chain of
layers, `init/` the directories laid over an image, `rootfs/KEY/` containers, `index.json` names and images.

All that comes from a registry or an archive is hostile: documents are parsed strictly (`manifest`), blobs are hashed while they are
written and published by rename (`content`), layers are unpacked by a killable worker in its own mount and network namespace,
changed-root into the layer (`worker`, `unpack`). Source: OCI distribution 1.1 and image 1.1 specifications.
"""
