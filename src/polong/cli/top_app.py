"""`top` where Textual is installed (`pip install polong[tui]`): scroll, search, sort, look closer at a process, signal it.

Imported for a terminal alone: Textual takes half a second to read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar, Protocol

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Input, Static

from polong.cli.errors import explain
from polong.cli.escape import block, cell

Json = dict[str, Any]
Key = tuple[int, int]

_RIGHT = frozenset({"PID", "HOSTPID", "%CPU", "RSS", "THREADS", "CPU", "PSS", "SWAP", "FILES", "PERCENT"})


class Source(Protocol):
    """Where it all comes from: what `top` knows without a screen."""

    sort: str

    @property
    def columns(self) -> Sequence[str]: ...

    async def look(self) -> list[Json]:
        """Every process now, sorted; `kit.errors`."""
        ...

    def row(self, item: Json) -> list[object]:
        """Cells under `columns`."""
        ...

    def summary(self, items: Sequence[Json]) -> str: ...

    async def closer(self, item: Json) -> Sequence[str]:
        """Lines about one process."""
        ...

    async def signal(self, item: Json, name: str) -> str:
        """Send it; what became of it."""
        ...


class Details(ModalScreen[None]):
    """One process, line by line."""

    BINDINGS: ClassVar = [Binding("escape,q,enter", "dismiss", "Back")]
    CSS = "Details { align: center middle; } Details Static { width: auto; max-width: 95%; height: auto; border: round; padding: 0 1; }"

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__()
        self._lines = lines

    def compose(self) -> ComposeResult:
        yield Static(Text(block("\n".join(self._lines))))


class Ask(ModalScreen[str]):
    """One line of text; the empty one is a change of mind."""

    BINDINGS: ClassVar = [Binding("escape", "leave", "Back")]
    CSS = "Ask { align: center middle; } Ask Static { width: 80; height: auto; } Ask Input { width: 80; }"

    def __init__(self, question: str, answer: str) -> None:
        super().__init__()
        self._question, self._answer = question, answer

    def compose(self) -> ComposeResult:
        yield Static(Text(cell(self._question)))
        yield Input(self._answer, select_on_focus=True)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        _ = self.dismiss(event.value.strip())

    def action_leave(self) -> None:
        _ = self.dismiss("")


class TopApp(App[None]):
    """`return_code` is 0 after q. An error of the server ends it and is raised by `run`; one in between is told and waited out."""

    ENABLE_COMMAND_PALETTE = False
    CSS = "#summary { height: 1; } #filter { display: none; } #filter.open { display: block; } DataTable { height: 1fr; }"
    BINDINGS: ClassVar = [
        Binding("q", "quit", "Quit"),
        Binding("c", "sort('cpu')", "CPU"),
        Binding("m", "sort('memory')", "Memory"),
        Binding("t", "sort('time')", "Time"),
        Binding("p", "sort('pid')", "PID"),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("s,k", "signal", "Signal", key_display="s"),
        Binding("enter", "closer", "Details", priority=False),
        Binding("space", "pause", "Pause"),
        Binding("escape", "clear", "All", show=False),
    ]

    def __init__(self, source: Source, interval: float) -> None:
        super().__init__()
        self._source = source
        self._interval = interval
        self._items: list[Json] = []
        self._shown: list[Json] = []
        self._pattern = ""
        self._paused = False
        self._looking = False
        self.failure: Exception | None = None

    def compose(self) -> ComposeResult:
        yield Static("", id="summary")
        table: DataTable[Text] = DataTable(cursor_type="row", zebra_stripes=False)
        yield table
        yield Input(placeholder="part of a command, container, user or pod", id="filter")
        yield Footer()

    @property
    def _table(self) -> DataTable[Text]:
        found: DataTable[Text] = self.query_one(DataTable)
        return found

    async def on_mount(self) -> None:
        for name in self._source.columns:
            self._table.add_column(Text(name, justify="right" if name in _RIGHT else "left"))
        self._table.focus()
        await self._look(first=True)
        self.set_interval(self._interval, self._look)

    async def _look(self, *, first: bool = False) -> None:
        if self._looking or (self._paused and not first):
            return
        found: Exception | None = None
        self._looking = True
        try:
            self._items = await self._source.look()
        except Exception as error:
            found = error
        finally:
            self._looking = False
        if not self.query(DataTable):  # somebody has pressed q meanwhile
            return
        if found is None:
            self._draw()
        elif first:
            self.failure = found
            self.exit()
        else:
            self._summary.update(Text(block(explain(found)), style="bold red"))

    @property
    def _summary(self) -> Static:
        return self.query_one("#summary", Static)

    def _draw(self) -> None:
        """Anew, with the cursor on the process where it was."""
        table = self._table
        chosen, place, scrolled = self._chosen(), table.cursor_row, table.scroll_y
        self._shown = [each for each in self._items if _matches(each, self._pattern)]
        table.clear()
        rows = ([self._cell(name, value) for name, value in self._cells(each)] for each in self._shown)
        for row in rows:
            table.add_row(*row)
        keys = [_key(each) for each in self._shown]
        at = keys.index(_key(chosen)) if chosen is not None and _key(chosen) in keys and place else min(place, max(0, len(keys) - 1))
        table.move_cursor(row=at, scroll=False)
        table.scroll_to(y=scrolled, animate=False)
        marks = f"; only {self._pattern!r}" * bool(self._pattern) + "; paused" * self._paused
        self._summary.update(Text(cell(self._source.summary(self._shown) + marks), style="bold"))

    def _cells(self, item: Json) -> list[tuple[str, object]]:
        return list(zip(self._source.columns, self._source.row(item), strict=True))

    @staticmethod
    def _cell(name: str, value: object) -> Text:
        return Text(cell(value), justify="right" if name in _RIGHT else "left")

    def _chosen(self) -> Json | None:
        row = self._table.cursor_row
        return self._shown[row] if 0 <= row < len(self._shown) else None

    async def action_sort(self, by: str) -> None:
        self._source.sort = by
        await self._look()

    def action_pause(self) -> None:
        self._paused = not self._paused
        self._draw()

    def action_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.add_class("open")
        field.focus()

    def action_clear(self) -> None:
        self._pattern = ""
        field = self.query_one("#filter", Input)
        field.value = ""
        field.remove_class("open")
        self._table.focus()
        self._draw()

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input.id == "filter":
            self._pattern = event.value.strip()
            self._draw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.input.id == "filter":
            event.input.remove_class("open")
            self._table.focus()

    async def on_data_table_row_selected(self, _event: DataTable.RowSelected) -> None:
        await self.action_closer()

    async def action_closer(self) -> None:
        item = self._chosen()
        if item is not None:
            lines = await self._told(lambda: self._source.closer(item))
            if lines is not None:
                _ = self.push_screen(Details(lines))

    def action_signal(self) -> None:
        item = self._chosen()
        if item is None:
            return
        words = " ".join(item.get("command") or ()) or item.get("name", "")
        question = f"Signal to PID {item['pid']} of {item.get('container') or 'the pod itself'}: {words[:60]}"

        async def send(name: str | None) -> None:
            if name:
                done = await self._told(lambda: self._source.signal(item, name))
                if done is not None:
                    self.notify(block(done), markup=False)
                await self._look()

        _ = self.push_screen(Ask(question, "TERM"), send)

    async def _told(self, work: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401 - whatever the work gives
        """The result; None after an error, which is shown."""
        try:
            return await work()
        except Exception as error:
            self.notify(block(explain(error)), severity="error", markup=False)
            return None


def _key(item: Json) -> Key:
    return item.get("hostPID", 0), item.get("startTicks", 0)


def _matches(item: Json, pattern: str) -> bool:
    fields = (
        item.get("container"),
        item.get("user"),
        item.get("pod"),
        item.get("namespace"),
        item.get("name"),
        *(item.get("command") or ()),
    )
    return not pattern or pattern.lower() in " ".join(str(each) for each in fields if each).lower()


async def run(source: Source, interval: float) -> None:
    """Until q. What the first look could not get is raised."""
    app = TopApp(source, interval)
    await app.run_async()
    if app.failure is not None:
        raise app.failure
