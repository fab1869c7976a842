"""Variables by which client libraries find the API."""

from __future__ import annotations

from polong.kubelet import services
from polong.kubelet.environment import Sources, environment


def test_variables_as_of_any_service():
    assert services.variables("10.0.0.1", 443) == {
        "KUBERNETES_SERVICE_HOST": "10.0.0.1",
        "KUBERNETES_SERVICE_PORT": "443",
        "KUBERNETES_SERVICE_PORT_HTTPS": "443",
        "KUBERNETES_PORT": "tcp://10.0.0.1:443",
        "KUBERNETES_PORT_443_TCP": "tcp://10.0.0.1:443",
        "KUBERNETES_PORT_443_TCP_PROTO": "tcp",
        "KUBERNETES_PORT_443_TCP_PORT": "443",
        "KUBERNETES_PORT_443_TCP_ADDR": "10.0.0.1",
    }
    assert services.variables("", 443) == {}


def test_a_container_may_say_otherwise_and_refer_to_them():
    sources = Sources(services=services.variables("10.0.0.1", 443))
    container = {"env": [{"name": "KUBERNETES_SERVICE_HOST", "value": "x"}, {"name": "URL", "value": "$(KUBERNETES_SERVICE_PORT)"}]}
    values = environment({}, container, sources)
    assert (values["KUBERNETES_SERVICE_HOST"], values["URL"]) == ("x", "443")
