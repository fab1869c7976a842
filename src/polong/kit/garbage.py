"""The collector of cycles, told what a server is: much that stays, much that comes and goes, hardly any cycles."""

import gc

# By default a collection follows every 700 containers more, and decoding one list of Pods makes half a million.
_YOUNG, _MIDDLE, _OLD = 50_000, 20, 20


def settle() -> None:
    """What start-up made stays for good: keep the collector from walking over it, and from copying its pages in forks."""
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
    gc.collect()
    gc.freeze()
