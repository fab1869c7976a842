"""The memory of attached sandboxes."""

import pytest

from polong.cni.attachments import Attached, Attachments
from polong.cni.types import PortMapping
from polong.kit.errors import Invalid


def test_kept_replaced_and_forgotten(tmp_path):
    store = Attachments(tmp_path / "a")
    first = Attached("s1", "/n", "A=b", ({"type": "bridge"},))
    store.put(first)
    assert Attachments(tmp_path / "a").get("s1") == first
    done = Attached("s1", "/n", "A=b", ({"type": "bridge"},), {"ips": []})
    store.put(done)
    assert store.get("s1") == done
    assert store.ids() == {"s1"}
    store.remove("s1")
    store.remove("s1")
    assert store.get("s1") is None


def test_host_ports_are_kept(tmp_path):
    store = Attachments(tmp_path)
    with_ports = Attached("s1", "/n", "", ({"type": "bridge"},), None, (PortMapping(80, 8080, "udp", "127.0.0.1"),))
    store.put(Attached("s0", "/n", "", ({"type": "bridge"},)))
    store.put(with_ports)
    assert Attachments(tmp_path).with_ports() == [with_ports]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"netns":1,"args":2,"chain":3,"result":4}'])
def test_damage_is_none(tmp_path, content):
    store = Attachments(tmp_path)
    (tmp_path / "s1.json").write_text(content)
    assert store.get("s1") is None


@pytest.mark.parametrize("sandbox", ["../x", "", "a/b", "."])
def test_ids_are_plain(tmp_path, sandbox):
    with pytest.raises(Invalid):
        Attachments(tmp_path).get(sandbox)
