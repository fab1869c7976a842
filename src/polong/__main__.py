"""`python -m polong` and the `polong` command. What stands before the import of everything else is there for the start time alone."""

import gc
import sys
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

# A command makes many objects and few circles, and ends: looking for those after every 700th object costs a tenth of its time.
gc.set_threshold(50_000, 20, 20)


class _WhenUsed(ModuleType):
    """A module of the standard library that is read when something of it is first used. (importlib.util.LazyLoader would be the same,
    but before Python 3.12 the import statement itself counts as a use.)"""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the module has
        self.__class__ = ModuleType  # type: ignore[assignment]
        assert self.__spec__ is not None
        assert self.__spec__.loader is not None
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)


# What click, dataclasses, pathlib, socket and urllib name for something that a command does not come to. The first, with all that it needs
# itself, takes longer to read than click.
for _name in ("inspect", "ipaddress", "ntpath", "selectors"):
    if _name not in sys.modules and (_spec := PathFinder.find_spec(_name)) is not None:
        sys.modules[_name] = _WhenUsed(_name)
        sys.modules[_name].__spec__ = _spec

from polong.cli.app import main  # noqa: E402

__all__ = ["main"]

if __name__ == "__main__":
    main()
