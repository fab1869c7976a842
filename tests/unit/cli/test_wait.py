"""`wait` over a real API server."""

import threading

from .conftest import Api, Run
from .data import RUNNING


def test_wait_for_conditions_values_and_nothing(api: Api, polong: Run) -> None:
    api.pod()
    late = threading.Timer(0.3, api.status, ["nginx"], RUNNING)
    late.start()
    assert polong("wait", "pod/nginx", "--for=condition=Ready", "--timeout=5s").out == "pod/nginx condition met\n"
    late.join()
    assert polong("wait", "pod/nginx", "--for=jsonpath={.status.phase}=Running").out == "pod/nginx condition met\n"
    result = polong("wait", "pod/nginx", "--for=condition=Ready=false", "--timeout=200ms")
    assert (result.code, result.err) == (1, "error: timed out waiting for the condition on pods/nginx\n")
    assert polong("wait", "pod/gone", "--for=delete").code == 0
    assert "unrecognized condition" in polong("wait", "pod/nginx", "--for=tea").err
    assert polong("wait", "pods", "--all", "-n", "kube-system", "--for=condition=Ready").err == "error: no matching resources found\n"
