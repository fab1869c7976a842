"""`check`: the doctor."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from polong.cli import output
from polong.cli.errors import Failure
from polong.cli.flags import command, root_option
from polong.cli.node import NodeDir
from polong.cli.probes import Finding, Host, all_findings
from polong.cli.tabular import Table

_EXAMPLES = """
polong check
polong check -o json --root /srv/polong
"""


@command("check", help="Examine the machine: what is there, what is missing, what it means, how to mend it.", examples=_EXAMPLES)
@click.option("-o", "--output", "form", type=click.Choice(["json"]), help="json.")
@click.option("--runtime", metavar="crun|runc|PATH", help="OCI runtime to look for (default: the node's, else crun).")
@root_option
def check(root: str | None, form: str | None, runtime: str | None) -> int:
    """Exit code 0 where a node can run, 1 where something needed is missing."""
    node = NodeDir(root)
    settings = node.settings()
    try:
        running = node.pid() is not None
    except Failure:
        running = False
    findings = all_findings(Host(state=node.root, runtime=runtime or settings.runtime, port=settings.port, running=running))
    if form:
        output.emit(json.dumps([asdict(item) for item in findings], indent=2) + "\n")
    else:
        output.emit("\n".join(render(findings)) + "\n")
    return 1 if any(item.level == "fail" for item in findings) else 0


def render(findings: list[Finding]) -> list[str]:
    """The table, then for all that is not well what it means and how to mend it, then the verdict."""
    lines = Table(["CHECK", "STATUS", "FOUND"]).lines((item.name, item.level, item.found) for item in findings)
    for item in findings:
        if item.level != "ok":
            lines += ["", f"{item.level}: {item.name}: {item.found}", f"  means: {item.means}", f"  mend:  {item.mend}"]
    failed = sum(item.level == "fail" for item in findings)
    warned = sum(item.level == "warn" for item in findings)
    verdict = f"{failed} missing: a node cannot run well here" if failed else "A node can run here"
    return [*lines, "", verdict + (f"; {warned} warning{'s' if warned != 1 else ''}." if warned else ".")]
