"""Progress of pulls and imports: bars on a terminal (rich, imported only then), silence elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from polong.cli.escape import cell

Json = dict[str, Any]


class Progress:
    """A context manager; `show` takes `{status, layer?, current?, total?}`."""

    def __init__(self, *, visible: bool) -> None:
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}
        if visible:
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
            from rich.progress import Progress as Bars

            columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
            self._bars = Bars(*columns, console=Console(stderr=True), transient=False)

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self._bars is not None:
            self._bars.stop()

    def show(self, item: Json) -> None:
        if self._bars is None:
            return
        layer = str(item.get("layer") or "")
        name = layer.removeprefix("sha256:")[:12]
        title = cell(f"{name} {item.get('status', '')}".strip()).ljust(26)
        if layer not in self._tasks:
            self._tasks[layer] = self._bars.add_task(title, total=item.get("total"))
        self._bars.update(self._tasks[layer], description=title, completed=item.get("current") or 0, total=item.get("total"))
