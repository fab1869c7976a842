"""`logs` over a real API server."""

from .conftest import Api, Run


def test_logs(api: Api, polong: Run) -> None:
    api.pod()
    assert polong("logs", "nginx", "-c", "shell", "--tail=2").out == "shell line 19\nshell line 20\n"
    assert polong("logs", "nginx", "--all-containers", "--prefix", "--tail=1").out == (
        "[pod/nginx/nginx] nginx line 20\n[pod/nginx/shell] shell line 20\n"
    )
    assert polong("logs", "nginx", "shell", "--tail", "-1").out.count("\n") == 20
    assert "container nope not found in pod nginx; it has: nginx, shell" in polong("logs", "nginx", "-c", "nope").err


def test_logs_by_label_show_the_last_ten(api: Api, polong: Run) -> None:
    api.pod("nginx", "one")
    polong("label", "pod", "nginx", "a=b")
    assert polong("logs", "-l", "a=b").out.count("\n") == 10


def test_a_near_name_is_offered(api: Api, polong: Run) -> None:
    api.pod("nginx")
    assert "did you mean 'nginx'?" in polong("logs", "nginxx").err
