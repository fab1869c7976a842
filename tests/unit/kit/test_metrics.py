"""Metrics as text, read back by Prometheus' own library."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families as parse

from polong.kit import metrics
from polong.kit.metrics import Histogram


def test_values_come_back_as_they_were() -> None:
    requests = metrics.counter("requests_total", "Requests.\nOf all kinds.", "verb", "path")
    requests.add("GET", 'a "quoted" \\ path\nwith a line')
    requests.add("GET", 'a "quoted" \\ path\nwith a line', by=2)
    requests.add("PUT", "")
    load = metrics.gauge("load", "Load.")
    load.set(0.25)
    found = {each.name: each for each in parse(metrics.text([requests, load]))}
    assert {(each.labels["verb"], each.labels["path"]): each.value for each in found["requests"].samples} == {
        ("GET", 'a "quoted" \\ path\nwith a line'): 3.0,
        ("PUT", ""): 1.0,
    }
    assert found["requests"].type == "counter"
    assert [(each.labels, each.value) for each in found["load"].samples] == [({}, 0.25)]


def test_a_histogram_counts_what_lies_below_each_bound() -> None:
    times = Histogram("seconds", "Time.", ("verb",), (0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        times.observe(value, "GET")
    (family,) = parse(metrics.text([times]))
    assert family.type == "histogram"
    assert {each.labels["le"]: each.value for each in family.samples if each.name == "seconds_bucket"} == {"0.1": 2, "1": 3, "+Inf": 4}
    assert {each.name: each.value for each in family.samples if "le" not in each.labels} == {"seconds_sum": 7.65, "seconds_count": 4}


def test_the_number_of_series_is_bounded() -> None:
    wild = metrics.counter("wild_total", "Made by clients.", "word")
    times = Histogram("wild_seconds", "Made by clients.", ("word",))
    for number in range(10_100):
        wild.add(str(number))
        times.observe(1.0, str(number))
    wild.add("0")
    assert len(wild.values) == 10_000
    assert wild.values["0",] == 2
    assert sum(line.startswith("wild_seconds_count") for line in times.lines()) == 10_000


def test_what_has_no_value_yet_has_its_name() -> None:
    assert metrics.text([metrics.counter("none_total", "None.")]) == "# HELP none_total None.\n# TYPE none_total counter\n"
