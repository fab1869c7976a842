"""Layout as Go's text/tabwriter makes it for kubectl."""

from polong.cli.tabular import Table, align


def test_get_columns_are_three_apart_and_at_least_six_wide() -> None:
    table = Table(["Name", "Ready", "Status"])
    assert table.lines([["nginx", "2/2", "Running"]]) == ["NAME    READY   STATUS", "nginx   2/2     Running"]


def test_narrow_columns_have_the_minimum_width() -> None:
    assert Table(["A", "B"]).lines([["x", "y"]]) == ["A     B", "x     y"]


def test_widths_are_remembered_and_the_heading_comes_once() -> None:
    table = Table(["NAME", "X"])
    table.lines([["a-rather-long-name", "1"]])
    assert table.lines([["b", "2"]]) == ["b" + " " * 20 + "2"]


def test_cells_are_escaped() -> None:
    assert Table(["NAME"], headers=False).lines([["a\x1b[2J"]]) == ["a\\x1b[2J"]


def test_describe_aligns_neighbouring_lines_only() -> None:
    text = "Name:\tx\nNamespace:\ty\nContainers:\n  c:\n    Image:\tz\n    ID:\tw"
    assert align(text).split("\n") == ["Name:       x", "Namespace:  y", "Containers:", "  c:", "    Image:  z", "    ID:     w"]


def test_a_second_column_has_its_own_block() -> None:
    assert align("a\tb\tc\nlong\tlonger\td") == "a     b       c\nlong  longer  d"


def test_empty_first_cell_keeps_its_column() -> None:
    assert align("Labels:\ta=1\n\tb=2") == "Labels:  a=1\n         b=2"
