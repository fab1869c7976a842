"""YAML as kubectl prints it: block style, keys sorted, strings quoted where YAML 1.1 would read something else."""

from __future__ import annotations

from typing import Any

import yaml

from polong.objects.yaml import resolve

_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_WIDE = 1 << 20
_STRING = "tag:yaml.org,2002:str"


class _Dumper(_DUMPER):  # type: ignore[misc, valid-type]
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401 - PyYAML's signature
        return True


def _text(dumper: Any, value: str) -> Any:  # noqa: ANN401
    style = None
    if "\n" in value.rstrip("\n") or (value.endswith("\n") and len(value) > 1):
        style = "|"
    elif resolve(value) != value or dumper.resolve(yaml.ScalarNode, value, (True, False)) != _STRING:
        style = '"'
    return dumper.represent_scalar(_STRING, value, style=style)


_Dumper.add_representer(str, _text)


def dump(value: Any) -> str:  # noqa: ANN401 - any JSON
    """One document, without `---`."""
    text: str = yaml.dump(value, Dumper=_Dumper, default_flow_style=False, sort_keys=True, allow_unicode=True, width=_WIDE)
    return text
