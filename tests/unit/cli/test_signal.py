"""`signal`: what is sent to the API, what is said of the answer."""

import json

from polong.objects.podsignal import SignalOptions

from .conftest import Api, Run


def test_signal(api: Api, polong: Run) -> None:
    api.pod()
    api.node.outcome = "sent"
    shown = polong("signal", "nginx", "-c", "nginx", "HUP")
    assert (shown.code, shown.out) == (0, "SIGHUP sent to PID 7 of container nginx (host PID 70): nginx: master\\x1b\n")
    assert api.node.signalled == SignalOptions(1, "nginx")
    assert "would be sent to PID 7" in polong("signal", "nginx", "--match", "ngi*", "--dry-run", "usr1").out
    assert api.node.signalled == SignalOptions(10, match="ngi*", dry_run=True)
    assert json.loads(polong("signal", "nginx", "--pid", "7", "-o", "json", "9").out)["receivers"][0]["pid"] == 7


def test_nobody_got_it(api: Api, polong: Run) -> None:
    api.pod()
    for outcome, text in (("vanished", "not sent, it has just ended: PID 7"), ("refused: no", "not sent, refused: no: PID 7")):
        api.node.outcome = outcome
        shown = polong("signal", "nginx", "--all", "TERM")
        assert shown.code == 1
        assert text in shown.out


def test_pods_by_their_labels(api: Api, polong: Run) -> None:
    api.node.outcome = "sent"
    for name in ("one", "two"):
        api.pod(name)
        path = f"/api/v1/namespaces/default/pods/{name}"
        api.request("PATCH", path, {"metadata": {"labels": {"app": "web"}}}, "application/merge-patch+json")
    shown = polong("signal", "-l", "app=web", "-c", "nginx", "HUP")
    assert shown.code == 0
    assert [line.partition(": ")[0] for line in shown.out.splitlines()] == ["pod one", "pod two"]
    assert api.node.signalled == SignalOptions(1, "nginx")
    assert len(json.loads(polong("signal", "-l", "app=web", "HUP", "-o", "json").out)["items"]) == 2
    refused = polong("signal", "-l", "app=web", "HUPP")
    assert (refused.code, refused.out, refused.err.count("did you mean 'HUP'?")) == (1, "", 2)
    assert "no pod in namespace default has the labels app=none" in polong("signal", "-l", "app=none", "HUP").err
    assert "not both" in polong("signal", "one", "HUP", "-l", "app=web").err
    assert polong("signal", "-l", "app=web").code == polong("signal").code == 2


def test_wrong_use(api: Api, polong: Run) -> None:
    api.pod()
    assert "choose by one of" in polong("signal", "nginx", "--pid", "1", "--all", "HUP").err
    assert "unknown signal 'HUPP'; did you mean 'HUP'?" in polong("signal", "nginx", "HUPP").err
    assert "unknown signal 'X': one of HUP, INT" in polong("signal", "nginx", "X").err
    assert "did you mean 'nginx'" in polong("signal", "ngin", "HUP").err
    assert polong("signal", "nginx").code == 2
