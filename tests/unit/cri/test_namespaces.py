from __future__ import annotations

import pytest

from polong.cri import namespaces
from polong.cri.namespaces import SandboxNamespaces
from polong.cri.records.container import ContainerRecord
from polong.criapi.wire import v1
from polong.kit.errors import FailedPrecondition, Invalid, Unsupported
from polong.oci.spec.model import NEW, NODE

SANDBOX = SandboxNamespaces("s1", 100, "/run/netns/s1")


def options(**modes: object) -> v1.NamespaceOption:
    return v1.NamespaceOption(**modes)


def record(mode: int = v1.CONTAINER, *, sandbox: str = "s1", running: bool = True) -> ContainerRecord:
    config = v1.ContainerConfig()
    config.linux.security_context.namespace_options.pid = mode
    return ContainerRecord(
        id="c1",
        sandbox_id=sandbox,
        config=config.SerializeToString(),
        pid=200,
        created_at=1,
        started_at=2,
        finished_at=0 if running else 3,
    )


def none(_: str) -> None:
    return None


def test_pod_mode_joins_everything_of_pause() -> None:
    found = namespaces.for_container(options(pid=v1.POD), SANDBOX, none)
    assert (found.pid, found.ipc, found.uts) == ("/proc/100/ns/pid", "/proc/100/ns/ipc", "/proc/100/ns/uts")
    assert found.network == "/run/netns/s1"
    assert found.cgroup == NEW


def test_unset_means_pod_as_the_protocol_says() -> None:
    assert namespaces.for_container(v1.NamespaceOption(), SANDBOX, none).pid == "/proc/100/ns/pid"


def test_container_mode_is_a_namespace_of_its_own() -> None:
    assert namespaces.for_container(options(pid=v1.CONTAINER), SANDBOX, none).pid == NEW


def test_node_modes_keep_the_hosts_and_the_hosts_name_with_its_network() -> None:
    found = namespaces.for_container(options(pid=v1.NODE, ipc=v1.NODE, network=v1.NODE), SandboxNamespaces("s1", 10, ""), none)
    assert (found.pid, found.ipc, found.network, found.uts) == (NODE, NODE, NODE, NODE)
    found = namespaces.for_sandbox(options(pid=v1.NODE, ipc=v1.NODE, network=v1.NODE), "")
    assert (found.pid, found.ipc, found.network, found.uts) == (NODE, NODE, NODE, NODE)


@pytest.mark.parametrize("mode", [v1.POD, v1.CONTAINER])
def test_a_sandbox_has_its_own_pid_namespace_in_both_modes(mode: int) -> None:
    found = namespaces.for_sandbox(options(pid=mode), "/run/netns/s1")
    assert (found.pid, found.ipc, found.uts, found.network) == (NEW, NEW, NEW, "/run/netns/s1")


def test_target_joins_what_the_target_sees() -> None:
    target = options(pid=v1.TARGET, target_id="c1")
    for mode in (v1.CONTAINER, v1.POD, v1.TARGET):
        assert namespaces.for_container(target, SANDBOX, lambda _, mode=mode: record(mode)).pid == "/proc/200/ns/pid"
    assert namespaces.for_container(target, SANDBOX, lambda _: record(v1.NODE)).pid == NODE


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, 'container "c1" does not exist'),
        (record(sandbox="s2"), 'container "c1" (sandbox s2) does not belong to sandbox s1'),
        (record(running=False), 'container "c1" is not running - in state CONTAINER_EXITED'),
    ],
)
def test_target_errors_in_containerds_words(found: ContainerRecord | None, words: str) -> None:
    with pytest.raises(FailedPrecondition) as error:
        namespaces.for_container(options(pid=v1.TARGET, target_id="c1"), SANDBOX, lambda _: found)
    assert words in error.value.message


def test_a_sandbox_has_no_target() -> None:
    with pytest.raises(Invalid, match="TARGET"):
        namespaces.check_sandbox(options(pid=v1.TARGET))


def test_a_pods_user_namespace_is_joined_by_its_sandbox_and_by_every_container() -> None:
    assert namespaces.for_sandbox(options(), "/run/netns/s1", "/pins/user").user == "/pins/user"
    where = SandboxNamespaces("s1", 10, "/run/netns/s1", "/pins/user")
    assert namespaces.for_container(options(), where, none).user == "/pins/user"
    assert namespaces.for_container(options(), SANDBOX, none).user == NODE


def test_the_network_is_the_sandboxes_whatever_a_container_says() -> None:
    assert namespaces.for_container(options(network=v1.NODE), SANDBOX, none).network == SANDBOX.netns
    assert namespaces.for_container(options(network=v1.POD), SandboxNamespaces("s1", 10, ""), none).network == NODE


def test_network_and_ipc_modes_that_do_not_exist_are_refused() -> None:
    with pytest.raises(Unsupported, match="network"):
        namespaces.for_container(options(network=v1.CONTAINER), SANDBOX, none)
    with pytest.raises(Unsupported, match="ipc"):
        namespaces.for_container(options(ipc=v1.TARGET), SANDBOX, none)
    assert namespaces.for_container(options(ipc=v1.CONTAINER), SANDBOX, none).ipc == NEW
