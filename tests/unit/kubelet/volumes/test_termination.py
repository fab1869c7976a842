import os
from pathlib import Path

from polong.kubelet.volumes import termination


def test_what_was_written_is_read_from_its_end(tmp_path: Path) -> None:
    path = termination.create(tmp_path / "app", 0)
    assert path.stat().st_mode & 0o777 == 0o666
    path.write_text("a" * 5000 + "end")
    text = termination.read(tmp_path / "app", 0)
    assert (len(text), text[-3:]) == (4096, "end")


def test_a_sparse_giant_costs_nothing(tmp_path: Path) -> None:
    with termination.create(tmp_path / "app", 0).open("wb") as file:
        file.truncate(1 << 40)
    assert len(termination.read(tmp_path / "app", 0)) == 4096


def test_only_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "app").mkdir()
    (tmp_path / "app/0").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "app/1")
    assert [termination.read(tmp_path / "app", each) for each in range(3)] == ["", "", ""]


def test_files_of_old_instances_go(tmp_path: Path) -> None:
    for attempt in range(5):
        termination.create(tmp_path / "app", attempt)
    assert sorted(each.name for each in (tmp_path / "app").iterdir()) == ["3", "4"]
