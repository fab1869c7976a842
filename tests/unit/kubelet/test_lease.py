"""The node's lease is renewed in time; its status is written where it changed."""

from __future__ import annotations

from typing import Any

from tests.unit.kubelet.doubles import FakeApi, FakeClock, settle

from polong.kubelet.lease import DURATION, NodeLease


async def test_lease_is_made_for_the_node_and_renewed() -> None:
    api, clock = FakeApi(), FakeClock()
    await api.create_node({"metadata": {"name": "node", "uid": "u1"}})
    lease = NodeLease(api, "node", clock)
    await lease.renew()
    made = api.leases["node"]
    assert made["metadata"]["namespace"] == "kube-node-lease"
    assert [each["kind"] for each in made["metadata"]["ownerReferences"]] == ["Node"]
    assert made["spec"] == {"holderIdentity": "node", "leaseDurationSeconds": DURATION, "renewTime": "2026-01-02T03:04:05.000000Z"}
    await clock.advance(10)
    await lease.renew()
    assert api.leases["node"]["spec"]["renewTime"] == "2026-01-02T03:04:15.000000Z"


async def test_a_deleted_lease_is_made_again(bench: Any) -> None:
    await settle()
    assert "node" in bench.api.leases
    bench.api.leases.clear()
    await bench.clock.advance(DURATION / 4)
    assert "node" in bench.api.leases


async def test_an_unchanged_status_is_not_written_again_until_it_is_due(bench: Any) -> None:
    node = bench.kubelet._node
    written = bench.api.node_writes
    await node.beat()
    assert bench.api.node_writes == written
    bench.images.present.add("nginx:1")
    await node.beat()
    assert bench.api.node_writes == written + 1
    await bench.clock.advance(301)
    await node.beat()
    assert bench.api.node_writes == written + 2
