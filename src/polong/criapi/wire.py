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

__all__ = ["v1"]
