"""Logs are put aside, compressed, counted; a writer goes on in a new file; nothing is lost when that fails."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.kubelet.conftest import Bench
from tests.unit.kubelet.doubles import UID, pod

from polong.kit.errors import Unavailable
from polong.kubelet.logrotation import LogRotation, rotation, stale

STAMPS = ("20260102-030405", "20260102-030406", "20260102-030407", "20260102-030408")


@pytest.mark.parametrize(
    ("others", "most", "remove", "compress"),
    [
        ([], 5, (), ()),
        ([f"0.log.{STAMPS[0]}"], 5, (), (f"0.log.{STAMPS[0]}",)),
        ([f"0.log.{STAMPS[0]}.gz", f"0.log.{STAMPS[1]}"], 5, (), (f"0.log.{STAMPS[1]}",)),
        ([f"0.log.{each}.gz" for each in STAMPS], 5, (f"0.log.{STAMPS[0]}.gz",), ()),
        ([f"0.log.{STAMPS[0]}"], 2, (f"0.log.{STAMPS[0]}",), ()),
        ([f"0.log.{STAMPS[0]}.tmp", f"0.log.{STAMPS[0]}"], 5, (f"0.log.{STAMPS[0]}.tmp",), (f"0.log.{STAMPS[0]}",)),
        ([f"0.log.{STAMPS[0]}.gz", f"0.log.{STAMPS[0]}"], 5, (f"0.log.{STAMPS[0]}.gz",), (f"0.log.{STAMPS[0]}",)),
        (["1.log", f"1.log.{STAMPS[0]}", "10.log"], 2, (), ()),
    ],
)
def test_rotation(others: list[str], most: int, remove: tuple[str, ...], compress: tuple[str, ...]) -> None:
    found = rotation("0.log", others, most)
    assert (found.remove, found.compress) == (remove, compress)


@given(st.sets(st.sampled_from([f"0.log.{each}{end}" for each in STAMPS for end in ("", ".gz", ".tmp")])), st.integers(2, 6))
def test_no_more_files_than_allowed_and_none_both_removed_and_compressed(others: set[str], most: int) -> None:
    found = rotation("0.log", others, most)
    left = others - set(found.remove)
    assert len(left) <= most - 2
    assert not set(found.compress) & set(found.remove)
    assert not [each for each in left if each.endswith(".tmp")]


def test_logs_of_forgotten_instances_are_stale() -> None:
    assert stale(["0.log", "0.log.x.gz", "1.log", "2.log", "10.log", "foreign"], [2, 10]) == ["0.log", "0.log.x.gz", "1.log"]
    assert stale(["0.log"], []) == []


async def _running(bench: Bench) -> tuple[Path, LogRotation]:
    bench.api.create(pod())
    await bench.until(lambda: bench.runtime.live("app"))
    config = replace(bench.config, log_size=100, log_files=3)
    directory = config.log_dir / f"default_web_{UID}" / "app"
    directory.mkdir(parents=True, exist_ok=True)
    return directory, LogRotation(config, bench.runtime, bench.clock)


async def test_a_log_over_its_limit_is_put_aside_and_older_ones_compressed(bench: Bench) -> None:
    directory, logs = await _running(bench)
    log = directory / "0.log"
    for turn in range(5):
        log.write_text(f"{turn}" * 101)
        await logs.rotate()
        assert not log.exists(), "the runtime makes it again"
        await bench.clock.advance(1)
    left = sorted(each.name for each in directory.iterdir())
    assert left == ["0.log.20260102-030408.gz", "0.log.20260102-030409"]
    assert gzip.decompress((directory / left[0]).read_bytes()) == b"3" * 101
    assert (directory / left[1]).read_text() == "4" * 101


async def test_a_log_below_its_limit_stays(bench: Bench) -> None:
    directory, logs = await _running(bench)
    (directory / "0.log").write_text("short")
    await logs.rotate()
    assert [each.name for each in directory.iterdir()] == ["0.log"]


async def test_where_the_runtime_does_not_reopen_the_log_keeps_its_name(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    directory, logs = await _running(bench)
    (directory / "0.log").write_text("x" * 101)

    async def refuse(request: object) -> None:
        raise Unavailable("no")

    monkeypatch.setattr(bench.runtime, "reopen_container_log", refuse)
    with pytest.raises(Unavailable):
        await logs.rotate()
    assert [each.name for each in directory.iterdir()] == ["0.log"]
