"""The screen of `top`, through Textual's own pilot."""

from collections.abc import Sequence
from typing import Any

import pytest

from polong.kit.errors import Forbidden, Unavailable

textual = pytest.importorskip("textual", reason="the extra polong[tui] is not installed")

from polong.cli.top_app import Ask, Details, TopApp  # noqa: E402

Json = dict[str, Any]


class Source:
    """`top_app.Source` of made-up processes."""

    columns = ("CONTAINER", "PID", "COMMAND")

    def __init__(self, *items: Json) -> None:
        self.sort = "cpu"
        self.items = list(items)
        self.sent: list[tuple[int, str]] = []
        self.problem: Exception | None = None

    async def look(self) -> list[Json]:
        if self.problem is not None:
            raise self.problem
        return sorted(self.items, key=lambda item: item["pid"], reverse=self.sort == "memory")

    def row(self, item: Json) -> list[object]:
        return [item["container"], item["pid"], " ".join(item["command"])]

    def summary(self, items: Sequence[Json]) -> str:
        return f"{len(items)} shown by {self.sort}"

    async def closer(self, item: Json) -> Sequence[str]:
        return [f"Container: {item['container']}", "Command: \x1b[2J[bold]no markup[/]"]

    async def signal(self, item: Json, name: str) -> str:
        if name == "NONE":
            raise Forbidden("it would be /pause")
        self.sent.append((item["pid"], name))
        return f"SIG{name} sent to PID {item['pid']}"


def process(pid: int, container: str, *command: str) -> Json:
    return {"pid": pid, "hostPID": pid + 100, "startTicks": 1, "container": container, "command": list(command)}


@pytest.fixture
def source() -> Source:
    return Source(
        process(1, "", "/pause"), process(2, "web", "nginx: master"), process(3, "web", "nginx: worker"), process(4, "shell", "sh")
    )


def shown(app: TopApp) -> list[str]:
    table = app._table
    return [str(table.get_row_at(row)[2]) for row in range(table.row_count)]


def summary(app: TopApp) -> str:
    return str(app._summary.render())


async def test_it_lists_sorts_and_keeps_the_cursor_on_its_process(source: Source) -> None:
    app = TopApp(source, 60)
    async with app.run_test() as pilot:
        assert shown(app) == ["/pause", "nginx: master", "nginx: worker", "sh"]
        await pilot.press("down", "down", "m")
        assert (source.sort, summary(app)) == ("memory", "4 shown by memory")
        assert shown(app)[0] == "sh"
        assert app._chosen()["pid"] == 3
        source.items = source.items[1:]
        await pilot.press("t")
        assert (app._chosen()["pid"], source.sort) == (3, "time")
        source.items = [each for each in source.items if each["pid"] != 3]
        await pilot.press("p")
        assert app._chosen()["pid"] in (2, 4)
        await pilot.press("q")
    assert app.return_code == 0


async def test_a_filter_shows_some(source: Source) -> None:
    app = TopApp(source, 60)
    async with app.run_test() as pilot:
        await pilot.press("slash", *"Worker", "enter")
        assert shown(app) == ["nginx: worker"]
        assert "only 'Worker'" in summary(app)
        await pilot.press("escape")
        assert len(shown(app)) == 4


async def test_a_signal_goes_to_the_chosen_one_and_a_refusal_is_told(source: Source) -> None:
    app = TopApp(source, 60)
    async with app.run_test() as pilot:
        await pilot.press("down", "s")
        assert isinstance(app.screen, Ask)
        await pilot.press(*"HUP", "enter")
        await pilot.pause()
        assert source.sent == [(2, "HUP")]
        await pilot.press("k", "escape")
        assert not isinstance(app.screen, Ask)
        await pilot.press("s", *"NONE", "enter")
        await pilot.pause()
        assert source.sent == [(2, "HUP")]
        assert [each.message for each in app._notifications] == [
            "SIGHUP sent to PID 2",
            "Error from server (Forbidden): it would be /pause",
        ]


async def test_details_are_text_alone(source: Source) -> None:
    app = TopApp(source, 60)
    async with app.run_test() as pilot:
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, Details)
        text = str(app.screen.query_one("Static").render())
        assert "\\x1b[2J[bold]no markup[/]" in text
        await pilot.press("escape")
        assert not isinstance(app.screen, Details)


async def test_pause_holds_the_picture(source: Source) -> None:
    app = TopApp(source, 0.05)
    async with app.run_test() as pilot:
        await pilot.press("space")
        assert "paused" in summary(app)
        source.items = []
        await pilot.pause(0.3)
        assert len(shown(app)) == 4
        await pilot.press("space")
        await pilot.pause(0.3)
        assert shown(app) == []
        await pilot.press("s", "enter")  # nobody is chosen: nothing happens
        assert source.sent == []


async def test_errors_between_are_waited_out_and_the_first_one_ends_it(source: Source) -> None:
    app = TopApp(source, 0.05)
    async with app.run_test() as pilot:
        source.problem = Unavailable("the server went")
        await pilot.pause(0.3)
        assert "the server went" in summary(app)
        source.problem = None
        await pilot.pause(0.3)
        assert summary(app) == "4 shown by cpu"
    source.problem = Unavailable("nobody there")
    lost = TopApp(source, 60)
    async with lost.run_test() as pilot:
        await pilot.pause()
    assert lost.failure is source.problem


async def test_a_thousand_rows_are_drawn_in_time(source: Source) -> None:
    source.items = [process(pid, "web", f"worker {pid}") for pid in range(1, 1001)]
    app = TopApp(source, 60)
    async with app.run_test() as pilot:
        await pilot.press("end", "m")
        assert (len(shown(app)), app._chosen()["pid"]) == (1000, 1000)
