"""What `check` looks at. Each probe is a pure function of a `Host`, so that any machine can be examined from a directory in a test."""

from polong.cli.probes.host import Finding, Host

__all__ = ["Finding", "Host", "all_findings"]


def all_findings(host: Host) -> list[Finding]:
    """Every probe, in the order in which a node would need what it looks for."""
    from polong.cli.probes import cgroups, kernel, network, security, storage, tools

    return [
        finding for module in (kernel, cgroups, tools, network, storage, security) for probe in module.PROBES for finding in probe(host)
    ]
