"""Build what is not up to date: a stamp holds the hash of the recipes and what each archive weighs."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

from tools.images import archive, debian
from tools.images.recipes import RECIPES, Recipe


def ensure(directory: Path, *, refresh: bool = False, say: Callable[[str], None] = lambda line: None) -> dict[str, Path]:
    """Image name to archive, all of them present afterwards. `refresh` takes newer packages. Raises debian.BuildError."""
    cache = directory / "packages"
    if refresh:
        for deb in cache.glob("*.deb"):
            deb.unlink()
    stamp = directory / "stamp.json"
    sources = _sources()
    known = _read(stamp)
    for recipe in RECIPES:
        path = directory / recipe.archive
        if not refresh and path.exists() and known.get(recipe.archive) == [sources, path.stat().st_size]:
            say(f"images: {recipe.name} is up to date ({path.name})")
            continue
        started = time.monotonic()
        versions = _build(recipe, cache, path)
        known[recipe.archive] = [sources, path.stat().st_size]
        partial = stamp.with_suffix(".partial")
        partial.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
        partial.rename(stamp)
        made = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
        say(f"images: built {recipe.name} into {path.name} in {time.monotonic() - started:.1f} s from {made}")
    return {recipe.name: directory / recipe.archive for recipe in RECIPES}


def _build(recipe: Recipe, cache: Path, path: Path) -> dict[str, str]:
    layers, config, versions = recipe.build(cache)
    archive.write(path, recipe.name, layers, config, debian.architecture())
    return versions


def _sources() -> str:
    """Hash of this package: a changed recipe is a stale archive."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _read(stamp: Path) -> dict[str, list[object]]:
    try:
        value = json.loads(stamp.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
