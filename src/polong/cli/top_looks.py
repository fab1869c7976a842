"""What `top` saw at its last look, to tell what was used since; and how it sorts and draws that. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polong.cli import processes
from polong.cli.processes import Wanted
from polong.cli.ps_tree import POD, cpu, size, user
from polong.cli.ps_tree import command as words
from polong.cli.tabular import Table

Json = dict[str, Any]

_COLUMNS = ("CONTAINER", "PID", "HOSTPID", "USER", "STAT", "%CPU", "RSS", "THREADS", "CPU", "COMMAND")
_WIDE = (*_COLUMNS[:-1], "PSS", "SWAP", "FILES", "COMMAND")
_KEYS = {"c": "cpu", "C": "cpu", "P": "cpu", "m": "memory", "M": "memory", "t": "time", "T": "time", "p": "pid", "N": "pid"}


class Top:
    """What was seen last, to tell what was used since; and how it is sorted."""

    def __init__(self, wish: Wanted, sort: str) -> None:
        self.wish = wish
        self.sort = sort
        self._seen: dict[tuple[int, int], float] = {}
        self._at = 0.0

    def add(self, listings: Sequence[Json], now: float) -> list[Json]:
        """The listings with `cpuPercent` in each item: of one CPU, since the last look (0 for what is new), sorted."""
        passed = now - self._at
        seen: dict[tuple[int, int], float] = {}
        told = []
        for listing in listings:
            items = []
            for item in listing.get("items") or ():
                key = (item.get("hostPID", 0), item.get("startTicks", 0))
                seen[key] = used = float(item.get("cpuSeconds") or 0)
                percent = (used - self._seen.get(key, used)) / passed * 100 if passed > 0 else 0.0
                items.append({**item, "cpuPercent": round(max(percent, 0.0), 1)})
            told.append({**listing, "items": self._sorted(items)})
        self._seen, self._at = seen, now
        return told

    def _sorted(self, items: list[Json]) -> list[Json]:
        field, sign = {"cpu": ("cpuPercent", -1), "memory": ("rssBytes", -1), "time": ("cpuSeconds", -1), "pid": ("pid", 1)}[self.sort]
        return sorted(items, key=lambda item: (sign * (item.get(field) or 0), item.get("pid") or 0))

    def key(self, pressed: str) -> bool:
        """False for the key that ends it."""
        self.sort = _KEYS.get(pressed, self.sort)
        return pressed not in "qQ\x1b\x03"

    def lines(self, listings: Sequence[Json]) -> list[str]:
        table = Table(self.columns, headers=self.wish.headers)
        return table.lines(map(self.row, self.items(listings)))

    @property
    def columns(self) -> tuple[str, ...]:
        return (*processes.place_columns(self.wish), *(_WIDE if self.wish.form.kind == "wide" else _COLUMNS))

    def row(self, item: Json) -> list[object]:
        """Cells under `columns`."""
        place = [item.get(name.lower(), "") for name in processes.place_columns(self.wish)]
        return [*place, *_row(item, self.wish.form.kind == "wide")]

    def items(self, listings: Sequence[Json]) -> list[Json]:
        """All of them as one list, sorted."""
        items = processes.items_of(listings)
        return items if self.wish.pod else self._sorted(items)

    def summary(self, items: Sequence[Json]) -> str:
        states = [item.get("state") for item in items]
        cpu_now = sum(item.get("cpuPercent") or 0.0 for item in items)
        memory = size(sum(item.get("rssBytes") or 0 for item in items))
        name = self.wish.pod or f"{len({(item.get('namespace'), item.get('pod')) for item in items})} pods"
        return (
            f"{name}: {len(items)} process{'es' * (len(items) != 1)}, {states.count('R')} running, {states.count('Z')} zombies;"
            f" CPU {cpu_now:.1f}%, RSS {memory}; by {self.sort}"
        )


def _row(item: Json, wide: bool) -> list[object]:
    cells: list[object] = [
        item.get("container") or POD,
        item.get("pid", ""),
        item.get("hostPID", ""),
        user(item),
        item.get("state", ""),
        f"{item.get('cpuPercent') or 0.0:.1f}",
        size(item.get("rssBytes")),
        item.get("threads", ""),
        cpu(item.get("cpuSeconds")),
    ]
    if wide:
        files = item.get("openFiles")
        cells += [size(item.get("pssBytes")) or "-", size(item.get("swapBytes")) or "-", "-" if files is None else files]
    return [*cells, words(item)]
