"""Addresses of Services on the real kernel: they lead to Pods, are refused where they lead nowhere, and outlive a restart of the daemon."""

import pytest
from tests.integration.cni.conftest import ask, make, pod

from polong.cni.services import ServicePort

pytestmark = pytest.mark.root


async def said(kind: str, host: str, port: int) -> str:
    """Whose answer it is."""
    return (await ask(None, kind, host, port)).partition(" ")[0]


@pytest.mark.parametrize("kind", ["tcp", "udp"])
async def test_a_service_leads_to_its_pods_and_outlives_a_restart(network, tmp_path, node_id, number, serve, kind):
    services = f"10.99.{number}"
    served = make(tmp_path, node_id, number, service_cidr=f"{services}.0/24")
    await served.setup()
    targets = []
    for name in ("a", "b"):
        _, pin, address = await pod(served)
        await serve(pin, 8080, name)
        targets.append((address, 8080))
    both = ServicePort(f"{services}.1", kind, 80, tuple(targets))
    sticky = ServicePort(f"{services}.2", kind, 80, tuple(targets), sticky=True)
    nobody = ServicePort(f"{services}.3", kind, 80, ())
    await served.serve([both, sticky, nobody])
    assert {await said(kind, both.address, 80) for _ in range(16)} == {"a", "b"}
    assert len({await said(kind, sticky.address, 80) for _ in range(6)}) == 1
    assert await said(kind, nobody.address, 80) == await said(kind, f"{services}.9", 80) == ""
    # The next run leads them before anybody tells it to.
    later = make(tmp_path, node_id, number, service_cidr=f"{services}.0/24")
    await later.setup()
    assert await said(kind, both.address, 80) in {"a", "b"}
    await later.serve([])
    assert await said(kind, both.address, 80) == ""
    (tmp_path / "state" / "services.json").write_text("damaged")
    await make(tmp_path, node_id, number, service_cidr=f"{services}.0/24").setup()


async def test_from_pod_to_pod_the_peer_is_the_gateway(network, tmp_path, node_id, number, serve):
    served = make(tmp_path, node_id, number, service_cidr=f"10.99.{number}.0/24")
    await served.setup()
    (_, first, a), (_, second, _) = await pod(served), await pod(served)
    await serve(first, 8080, "a")
    port = ServicePort(f"10.99.{number}.1", "tcp", 80, ((a, 8080),))
    await served.serve([port])
    for pin in (first, second):
        assert await ask(pin, "tcp", port.address, 80) == f"a 10.213.{number}.1"
