"""One plugin run: variables, names."""

from pathlib import Path

import pytest

from polong.cni.invoke import Plugins
from polong.kit.errors import Unavailable

TARGET = {"container": "c", "netns": "/n", "ifname": "eth0", "args": "A=b"}


def script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


async def test_variables_and_input(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "1")
    script(tmp_path / "p", f"env > {tmp_path}/env; cat > {tmp_path}/in; echo '{{}}'")
    assert await Plugins([tmp_path], timeout=10).add({"type": "p"}, TARGET) == {}
    variables = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
    assert {key: value for key, value in variables.items() if key.startswith("CNI_")} == {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "c",
        "CNI_NETNS": "/n",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": "A=b",
        "CNI_PATH": str(tmp_path),
    }
    assert "SECRET" not in variables
    assert (tmp_path / "in").read_text() == '{"type": "p"}'


@pytest.mark.parametrize("name", ["../p", "/bin/sh", "", "P", "a b", "missing"])
async def test_only_plain_names_that_are_there(tmp_path, name):
    plugins = Plugins([tmp_path / "none", tmp_path])
    assert plugins.find(name) is None
    with pytest.raises(Unavailable, match="install containernetworking-plugins"):
        await plugins.delete({"type": name}, TARGET)
