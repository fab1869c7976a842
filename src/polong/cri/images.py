"""An image of the store, as CRI tells of it. Pure."""

from __future__ import annotations

from polong.cri import users
from polong.cri.ports import Image, RegistryAuth
from polong.criapi.wire import v1
from polong.kit.errors import Invalid


def to_cri(image: Image) -> v1.Image:
    """`uid` where the image's User is a number, `username` where it is a name: the kubelet's runAsNonRoot looks at both. An image
    without User has neither: the kubelet then takes root."""
    result = v1.Image(id=image.id, repo_tags=image.repo_tags, repo_digests=image.repo_digests, size=image.size)
    user = image.config.user.partition(":")[0]
    try:
        number = users.number(user)
    except Invalid:
        number = None
    if number is not None:
        result.uid.value = number
    elif user:
        result.username = user
    result.spec.image = image.id
    return result


def auth(config: v1.AuthConfig) -> RegistryAuth | None:
    """None where there is nothing to log in with."""
    result = RegistryAuth(
        username=config.username,
        password=config.password,
        auth=config.auth,
        identity_token=config.identity_token,
        registry_token=config.registry_token,
        server_address=config.server_address,
    )
    return None if result == RegistryAuth(server_address=config.server_address) else result
