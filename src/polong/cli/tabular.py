"""Columns as kubectl prints them: Go's text/tabwriter (elastic tab stops), reduced to what kubectl uses.

`align` lays out whole texts (describe: padding 2); `Table` prints rows and remembers its widths from one batch to the next (get -w).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from polong.cli.escape import cell

_GET_MINIMUM = 6
_GET_PADDING = 3


def align(text: str, *, minimum: int = 0, padding: int = 2) -> str:
    """Expand tabs so that cells of neighbouring lines stand under each other. A cell ends with a tab; the last of a line does not."""
    lines = [line.split("\t") for line in text.split("\n")]
    out: list[str] = []
    _format(lines, 0, len(lines), [], out, minimum, padding)
    return "\n".join(out)


def _format(lines: list[list[str]], first: int, end: int, widths: list[int], out: list[str], minimum: int, padding: int) -> None:
    column = len(widths)
    at = first
    while at < end:
        if column >= len(lines[at]) - 1:
            at += 1
            continue
        _write(lines[first:at], widths, out)
        first, width = at, minimum
        while at < end and column < len(lines[at]) - 1:
            width = max(width, len(lines[at][column]) + padding)
            at += 1
        widths.append(width)
        _format(lines, first, at, widths, out, minimum, padding)
        widths.pop()
        first = at
    _write(lines[first:end], widths, out)


def _write(lines: list[list[str]], widths: list[int], out: list[str]) -> None:
    for cells in lines:
        padded = [text.ljust(widths[index]) if index < len(widths) and index < len(cells) - 1 else text for index, text in enumerate(cells)]
        out.append("".join(padded))


class Table:
    """Rows under columns, three spaces apart, no column narrower than six. Widths only grow, so that later batches keep in line."""

    def __init__(self, columns: Sequence[str], *, headers: bool = True) -> None:
        self._columns = [cell(name).upper() for name in columns]
        self._widths = [0] * len(columns)
        self._headers = headers

    def lines(self, rows: Iterable[Sequence[object]]) -> list[str]:
        """The next lines to print; the heading comes with the first."""
        listed = [*([self._columns] if self._headers else []), *rows]
        self._headers = False
        # Column by column: one look tells of a thousand cells that nothing in them needs an escape.
        columns = [_escaped(column) for column in zip(*listed, strict=True)]
        for index, column in enumerate(columns):
            self._widths[index] = max(self._widths[index], max(map(len, column)) + _GET_PADDING, _GET_MINIMUM)
        form = "".join(f"{{:<{width}}}" for width in self._widths[:-1]) + "{}"
        return [form.format(*row).rstrip() for row in zip(*columns, strict=True)]


def _escaped(column: Sequence[object]) -> list[str]:
    texts = [value if isinstance(value, str) else str(value) for value in column]
    return texts if "".join(texts).isprintable() else [cell(text) for text in texts]
