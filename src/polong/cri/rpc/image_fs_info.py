"""ImageFsInfo: where images and containers' writable layers live, and how much they use."""

from __future__ import annotations

from polong.cri.engine import Engine
from polong.criapi.wire import v1


async def image_fs_info(engine: Engine, _request: v1.ImageFsInfoRequest) -> v1.ImageFsInfoResponse:
    path, used, inodes = await engine.images.usage()
    usage = v1.FilesystemUsage(
        timestamp=engine.now(),
        fs_id=v1.FilesystemIdentifier(mountpoint=str(path)),
        used_bytes=v1.UInt64Value(value=used),
        inodes_used=v1.UInt64Value(value=inodes),
    )
    return v1.ImageFsInfoResponse(image_filesystems=[usage], container_filesystems=[usage])
