"""Build hook: what the package carries that is not Python. Works for wheels, editable installs and `make setup`.

- `buildhooks/native.py` compiles `/pause` and the little programs beside it into bin/ of their packages.
- `buildhooks/schema.py` extracts Kubernetes' schema from kubernetes-validate into src/polong/objects/schema.json.
"""

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent))

from buildhooks import native, schema


class PackageData(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        made = [*native.build(root), *schema.build(root)]
        build_data["artifacts"] += [str(path.relative_to(root)) for path in made]
        build_data["pure_python"] = False
        build_data["infer_tag"] = False
        build_data["tag"] = f"py3-none-{native.platform_tag()}"
