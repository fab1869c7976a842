import pytest

from polong.kit.errors import Invalid
from polong.kubelet.volumes import hosts


def test_the_file_of_a_pod() -> None:
    text = hosts.managed(["10.0.0.2"], "web", "", [{"ip": "10.1.1.1", "hostnames": ["a", "b.test"]}])
    assert text.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert text.endswith("fe00::2\tip6-allrouters\n10.0.0.2\tweb\n\n# Entries added by HostAliases.\n10.1.1.1\ta\tb.test\n")


def test_a_subdomain_gives_the_full_name_first() -> None:
    assert "10.0.0.2\tweb.sub.default.svc.cluster.local\tweb\n" in hosts.managed(["10.0.0.2"], "web", "sub.default.svc.cluster.local", [])


def test_the_hosts_own() -> None:
    assert hosts.of_host("127.0.0.1 here\n", []) == "# Kubernetes-managed hosts file (host network).\n127.0.0.1 here\n"


@pytest.mark.parametrize("name", ["a\nb", "a b", "a\tb", "a\0", "", "\x1b[2J", "a\u2028b", "a#b"])
def test_a_name_is_one_word(name: str) -> None:
    with pytest.raises(Invalid):
        hosts.managed(["10.0.0.2"], "web", "", [{"ip": "10.1.1.1", "hostnames": [name]}])


def test_an_address_is_an_address() -> None:
    with pytest.raises(Invalid):
        hosts.managed([], "web", "", [{"ip": "1.2.3.4\n5.6.7.8", "hostnames": ["a"]}])


def test_services_are_a_part_of_their_own():
    base = hosts.managed(["10.0.0.2"], "p", "", ())
    one = hosts.services([("10.0.0.3", ["web.default.svc", "web"])])
    assert "10.0.0.3\tweb.default.svc\tweb\n" in one
    assert hosts.with_services(base + one + "1.2.3.4 mine\n", hosts.services([])) == base + hosts.services([]) + "1.2.3.4 mine\n"
    assert hosts.with_services("1.2.3.4 alone\n", one) == "1.2.3.4 alone\n"
