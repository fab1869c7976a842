"""Counters, gauges and histograms, and their text for Prometheus (exposition format 0.0.4). Single-threaded: all from the event loop.

Written here rather than taken from prometheus-client, which costs each start of the daemon a tenth of a second and some MiB for
exporters, threads and processes that it does not have; the tests read the text with that library's parser.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

# What a client can make: a family never has more series than this, what comes later is dropped.
_MOST_SERIES = 10_000

Labels = tuple[str, ...]


@dataclass
class Family:
    """One metric, with a value for each set of label values. `kind` is counter or gauge."""

    name: str
    help: str
    kind: str
    labels: Labels = ()
    values: dict[Labels, float] = field(default_factory=dict)

    def add(self, *labels: str, by: float = 1.0) -> None:
        if labels in self.values or len(self.values) < _MOST_SERIES:
            self.values[labels] = self.values.get(labels, 0.0) + by

    def set(self, value: float, *labels: str) -> None:
        if labels in self.values or len(self.values) < _MOST_SERIES:
            self.values[labels] = value

    def lines(self) -> Iterator[str]:
        yield from _head(self.name, self.help, self.kind)
        for labels, value in self.values.items():
            yield f"{self.name}{_labels(zip(self.labels, labels, strict=True))} {_number(value)}"


@dataclass
class Histogram:
    """How often a value fell below each of `buckets`."""

    name: str
    help: str
    labels: Labels = ()
    buckets: Sequence[float] = SECONDS
    _counts: dict[Labels, list[float]] = field(default_factory=dict)

    def observe(self, value: float, *labels: str) -> None:
        counts = self._counts.get(labels)
        if counts is None:
            if len(self._counts) >= _MOST_SERIES:
                return
            counts = self._counts[labels] = [0.0] * (len(self.buckets) + 2)
        for place, bound in enumerate(self.buckets):
            counts[place] += value <= bound
        counts[-2] += 1
        counts[-1] += value

    def lines(self) -> Iterator[str]:
        yield from _head(self.name, self.help, "histogram")
        for labels, counts in self._counts.items():
            pairs = list(zip(self.labels, labels, strict=True))
            for bound, count in zip([*(_number(each) for each in self.buckets), "+Inf"], counts, strict=False):
                yield f"{self.name}_bucket{_labels([*pairs, ('le', bound)])} {_number(count)}"
            yield f"{self.name}_sum{_labels(pairs)} {_number(counts[-1])}"
            yield f"{self.name}_count{_labels(pairs)} {_number(counts[-2])}"


def counter(name: str, help: str, *labels: str) -> Family:  # noqa: A002 - the format's own word
    return Family(name, help, "counter", labels)


def gauge(name: str, help: str, *labels: str) -> Family:  # noqa: A002
    return Family(name, help, "gauge", labels)


def text(families: Iterable[Family | Histogram]) -> str:
    """Families that have no values yet are told all the same: a query finds their names."""
    return "".join(line + "\n" for each in families for line in each.lines())


def _head(name: str, help: str, kind: str) -> Iterator[str]:  # noqa: A002
    escaped = help.replace("\\", "\\\\").replace("\n", "\\n")
    yield f"# HELP {name} {escaped}"
    yield f"# TYPE {name} {kind}"


def _labels(pairs: Iterable[tuple[str, str]]) -> str:
    inner = ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs)
    return f"{{{inner}}}" if inner else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))
