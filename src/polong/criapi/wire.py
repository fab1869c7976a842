"""CRI v1 messages, from PyPI's container-runtime-interface-api (CRI as of 0.35).

Only `api_pb2` is wanted: the package's own `__init__` imports grpcio (60 ms, 8 threads), so its name is registered here as a
plain namespace before the generated module is imported.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from types import ModuleType


def _register(name: str, path: list[str] | None) -> list[str]:
    spec = PathFinder.find_spec(name, path)
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError(f"{name} is not installed: pip install container-runtime-interface-api")
    module = ModuleType(name)
    module.__path__ = list(spec.submodule_search_locations)
    sys.modules.setdefault(name, module)
    return list(spec.submodule_search_locations)


if "cri_api" not in sys.modules:
    _register("cri_api", None)

from cri_api.v1 import api_pb2 as v1  # noqa: E402

__all__ = ["set_image_ref", "v1"]

# ImageSpec.image_ref of CRI 0.36 (KEP-5365), which this package's messages do not name yet: number 20, a string.
_IMAGE_REF = 20 << 3 | 2


def set_image_ref(spec: v1.ImageSpec, reference: str) -> None:
    """Tell in an ImageSpec which image was really used, in a field that protobuf carries whether it knows it or not."""
    text = reference.encode()
    spec.MergeFromString(_varint(_IMAGE_REF) + _varint(len(text)) + text)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
