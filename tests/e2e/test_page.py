"""The nine statements of Kubernetes' page "Share Process Namespace between Containers in a Pod", against real containers.

The page's own Pod runs once for the module; what needs another Pod makes it. Numbers in test names are the statements'.
"""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator

import pytest
from tests.e2e.cluster import EXAMPLES, Client, busybox, eventually, nginx, pod
from tools.demo.page import Process, processes
from tools.terminal import Terminal

PAGE = EXAMPLES / "share-process-namespace.yaml"
PTRACE = {"capabilities": {"add": ["SYS_PTRACE"]}}

pytestmark = pytest.mark.kubectl


@pytest.fixture(scope="module")
def page(kubectl: Client) -> Iterator[str]:
    """Name of the page's Pod, running."""
    kubectl("apply", "-f", str(PAGE))
    try:
        kubectl.ready("nginx")
        yield "nginx"
    finally:
        kubectl.delete("nginx")


def attach(client: Client, name: str = "nginx", container: str = "shell") -> Terminal:
    terminal = client.terminal("attach", "-it", name, "-c", container)
    try:
        terminal.send("\r")
        terminal.until_prompt()
    except BaseException:
        terminal.close()
        raise
    return terminal


def seen(terminal: Terminal) -> list[Process]:
    return processes(terminal.command("ps ax"))


def pid_of(found: list[Process], words: str) -> int:
    (pid,) = [each.pid for each in found if each.command.startswith(words)]
    return pid


def master_and_worker(terminal: Terminal) -> tuple[int, int]:
    found = seen(terminal)
    return pid_of(found, "nginx: master process"), pid_of(found, "nginx: worker process")


def test_1_apply_from_a_file_and_from_a_url(kubectl: Client, polong: Client) -> None:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(EXAMPLES))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/{PAGE.name}"
        try:
            for client in (kubectl, polong):
                assert client("apply", "-f", str(PAGE)).strip() == "pod/nginx created"
                assert client("apply", "-f", url).strip() in {"pod/nginx unchanged", "pod/nginx configured"}
                client.ready("nginx")
                states = client.json("get", "pod", "nginx")["status"]["containerStatuses"]
                assert sorted((each["name"], *each["state"]) for each in states) == [("nginx", "running"), ("shell", "running")]
                client.delete("nginx")
        finally:
            server.shutdown()


@pytest.mark.behaviour("pid-page/processes")
def test_2_attach_gives_a_prompt_after_enter(page: str, client: Client) -> None:
    with attach(client) as terminal:
        assert terminal.command("echo $((40 + 2))").startswith("42\n")


@pytest.mark.behaviour("pid-page/processes")
def test_3_ps_shows_exactly_the_five_processes(page: str, client: Client) -> None:
    with attach(client) as terminal:
        found = seen(terminal)
    assert found[0] == Process(1, "root", "/pause")
    assert sorted((each.user, each.command) for each in found[1:]) == [
        ("101", "nginx: worker process"),
        ("root", "nginx: master process nginx -g daemon off;"),
        ("root", "ps ax"),
        ("root", "sh"),
    ]


@pytest.mark.behaviour("pid-page/signal")
def test_4_hup_replaces_the_worker_and_keeps_the_master(page: str, client: Client) -> None:
    with attach(client) as terminal:
        master, worker = master_and_worker(terminal)
        terminal.command(f"kill -HUP {master}")

        def replaced() -> bool:
            found = seen(terminal)
            workers = [each.pid for each in found if each.command == "nginx: worker process"]
            return pid_of(found, "nginx: master") == master and len(workers) == 1 and worker not in {each.pid for each in found}

        eventually(replaced, "a new worker, the same master")
    states = client.json("get", "pod", page)["status"]["containerStatuses"]
    assert [each["restartCount"] for each in states] == [0, 0]


@pytest.mark.behaviour("pid-page/root")
def test_5_a_file_of_the_other_container(page: str, client: Client) -> None:
    with attach(client) as terminal:
        master, worker = master_and_worker(terminal)
        lines = terminal.command(f"head /proc/{master}/root/etc/nginx/nginx.conf")
        assert "worker_processes" in lines
        # The worker has another user: the capability is what opens its root.
        assert "nginx.conf" in terminal.command(f"ls /proc/{worker}/root/etc/nginx")


def test_5_without_sys_ptrace_the_kernel_refuses(client: Client) -> None:
    client.apply(pod("no-ptrace", nginx(), busybox("shell", "sleep 1000"), shareProcessNamespace=True))
    try:
        client.ready("no-ptrace")
        found = processes(client("exec", "no-ptrace", "-c", "shell", "--", "ps", "ax"))
        worker = pid_of(found, "nginx: worker process")
        refused = client.try_("exec", "no-ptrace", "-c", "shell", "--", "ls", f"/proc/{worker}/root/")
        assert refused.returncode != 0
        assert "Permission denied" in refused.stderr + refused.stdout
        # Signals need no such right: the shell is root and may kill.
        client("exec", "no-ptrace", "-c", "shell", "--", "kill", "-0", str(worker))
    finally:
        client.delete("no-ptrace")


@pytest.mark.behaviour("pid-page/not-pid-1", "pid-pause/signals")
def test_6_no_container_process_is_pid_1_and_hup_to_it_harms_nothing(page: str, client: Client) -> None:
    with attach(client) as terminal:
        before = seen(terminal)
        assert len(terminal.command("kill -HUP 1").splitlines()) == 1, "only the next prompt"
        after = seen(terminal)
    assert [each.command for each in before if each.pid == 1] == ["/pause"]
    stable = [each for each in before if each.command != "ps ax"]
    assert [each for each in after if each.command != "ps ax"] == stable
    states = client.json("get", "pod", page)["status"]["containerStatuses"]
    assert [each["restartCount"] for each in states] == [0, 0]


# Not `$$`: Kubernetes makes one `$` of it.
INSIST = 'read me rest </proc/self/stat; [ "$me" = 1 ] || { echo "must run as PID 1, not $me" >&2; exit 3; }; echo I am init; sleep 1000'


@pytest.mark.behaviour("pid-page/not-pid-1")
def test_6_an_image_that_insists_on_pid_1_fails_with_a_status_that_says_why(client: Client) -> None:
    fallback = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    client.apply(pod("insists", busybox("init", INSIST, **fallback), shareProcessNamespace=True, restartPolicy="Never"))
    try:
        status = eventually(
            lambda: (found := client.json("get", "pod", "insists")["status"])["phase"] == "Failed" and found, "the Pod to be Failed"
        )
        ended = status["containerStatuses"][0]["state"]["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (3, "Error")
        assert "must run as PID 1" in ended["message"]
        assert "must run as PID 1" in client("logs", "insists")
        assert "Error" in client("get", "pod", "insists")
    finally:
        client.delete("insists")


def test_6_the_same_image_runs_in_an_isolated_pod(client: Client) -> None:
    client.apply(pod("insists-alone", busybox("init", INSIST)))
    try:
        client.ready("insists-alone")
        eventually(lambda: client("logs", "insists-alone") == "I am init\n", "its log")
    finally:
        client.delete("insists-alone")


@pytest.mark.behaviour("pid-page/proc-visible")
def test_7_arguments_and_environments_are_visible_guarded_by_users_alone(client: Client) -> None:
    secret = {"env": [{"name": "PASSWORD", "value": "melati"}]}
    client.apply(
        pod(
            "visible",
            busybox("app", "exec sleep 4711", **secret),
            busybox("peer", "sleep 1000"),
            busybox("other", "sleep 1000", securityContext={"runAsUser": 1000}),
            shareProcessNamespace=True,
        )
    )
    try:
        client.ready("visible")
        found = processes(client("exec", "visible", "-c", "other", "--", "ps", "ax"))
        app = pid_of(found, "sleep 4711")
        # Arguments: anybody's to read. Environment: the same user's.
        assert "4711" in client("exec", "visible", "-c", "other", "--", "cat", f"/proc/{app}/cmdline")
        assert "PASSWORD=melati" in client("exec", "visible", "-c", "peer", "--", "cat", f"/proc/{app}/environ")
        refused = client.try_("exec", "visible", "-c", "other", "--", "cat", f"/proc/{app}/environ")
        assert refused.returncode != 0
        assert "Permission denied" in refused.stderr + refused.stdout
    finally:
        client.delete("visible")


def test_8_file_systems_are_visible_through_proc_root(page: str, client: Client) -> None:
    with attach(client) as terminal:
        master, _ = master_and_worker(terminal)
        own = pid_of(seen(terminal), "sh")
        assert "index.html" in terminal.command(f"ls /proc/{master}/root/usr/share/nginx/html")
        terminal.command("echo from the shell > /tmp/note")
        assert "No such file" in terminal.command(f"cat /proc/{master}/root/tmp/note")
        terminal.command(f"cp /tmp/note /proc/{master}/root/tmp/note")
        assert terminal.command(f"cat /proc/{own}/root/tmp/note").startswith("from the shell\n")
    assert client("exec", page, "-c", "nginx", "--", "cat", "/tmp/note") == "from the shell\n"
    client("exec", page, "-c", "nginx", "--", "rm", "/tmp/note")


@pytest.mark.parametrize("field", [{}, {"shareProcessNamespace": False}], ids=["without-the-field", "false"])
@pytest.mark.behaviour("security/isolated-pid-1", "pid-api/modes")
def test_9_isolated_containers_are_pid_1_in_namespaces_of_their_own(client: Client, field: dict[str, bool]) -> None:
    client.apply(pod("isolated", nginx(), busybox("shell", "exec sleep 1000"), **field))
    try:
        client.ready("isolated")
        found = {name: processes(client("exec", "isolated", "-c", name, "--", "ps", "ax")) for name in ("nginx", "shell")}
        assert [each.command for each in found["shell"]] == ["sleep 1000", "ps ax"]
        assert found["shell"][0].pid == 1
        assert (found["nginx"][0].pid, found["nginx"][0].command) == (1, "nginx: master process nginx -g daemon off;")
        assert {each.command for each in found["nginx"][1:]} == {"nginx: worker process", "ps ax"}
        namespaces = {client("exec", "isolated", "-c", name, "--", "readlink", "/proc/self/ns/pid") for name in found}
        assert len(namespaces) == 2
    finally:
        client.delete("isolated")


@pytest.mark.behaviour("security/shared-see-each-other", "pid-api/modes")
def test_9_shared_containers_are_in_one_namespace(page: str, client: Client) -> None:
    namespaces = {client("exec", page, "-c", name, "--", "readlink", "/proc/self/ns/pid") for name in ("nginx", "shell")}
    assert len(namespaces) == 1
