"""`kubeconfig`: print the node's, or merge it into the user's own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from polong.cli.errors import Failure
from polong.cli.flags import command, flag, root_option
from polong.cli.node import NodeDir

Json = dict[str, Any]

_EXAMPLES = """
export KUBECONFIG=/var/lib/polong/kubeconfig
polong kubeconfig > kubeconfig
polong kubeconfig --merge
"""


@command("kubeconfig", help="Print the node's kubeconfig, or merge it into your own.", examples=_EXAMPLES)
@flag("--merge", help="Write it into $KUBECONFIG or ~/.kube/config, and make it the current context.")
@flag("--remove", help="Take it out of there again.")
@click.option("--name", default="polong", metavar="NAME", help="With --merge and --remove: name of the context.")
@root_option
def kubeconfig(merge: bool, remove: bool, name: str, root: str | None) -> None:
    node = NodeDir(root)
    if remove:
        _change(_own(), lambda document: without(document, name))
        click.echo(f'context "{name}" removed from {_own()}')
        return
    try:
        text = node.kubeconfig.read_text()
    except FileNotFoundError:
        raise Failure(f"there is no node at {node.root}: start one with `polong up{node.describe()}`") from None
    if not merge:
        click.echo(text, nl=False)
        return
    from polong.objects import yaml

    mine = yaml.load_one(text)
    _change(_own(), lambda document: merged(document, mine, name))
    click.echo(f'context "{name}" merged into {_own()} and made current')


def _own() -> Path:
    listed = [part for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return Path(listed[0]) if listed else Path("~/.kube/config").expanduser()


def _change(path: Path, change: Any) -> None:  # noqa: ANN401 - Json to Json
    from polong.cli import yamldump
    from polong.objects import yaml

    document = yaml.load_one(path.read_bytes(), str(path)) if path.exists() and path.stat().st_size else {}
    if not isinstance(document, dict):
        raise Failure(f"{path} is no kubeconfig")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".polong")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(yamldump.dump(change(document)))
    temporary.rename(path)


def without(document: Json, name: str) -> Json:
    """A kubeconfig without context, cluster and user of that name."""
    gone = {"clusters": {name}, "contexts": {name}, "users": {f"{name}-admin"}}
    out = {**document, **{key: [item for item in document.get(key) or [] if item.get("name") not in names] for key, names in gone.items()}}
    if out.get("current-context") == name:
        out["current-context"] = ""
    return out


def merged(document: Json, node: Json, name: str) -> Json:
    """The user's kubeconfig with the node's cluster, user and context under `name`."""
    base = without({"apiVersion": "v1", "kind": "Config", **document}, name)
    cluster, user = node["clusters"][0]["cluster"], node["users"][0]["user"]
    return {
        **base,
        "clusters": [*base["clusters"], {"name": name, "cluster": cluster}],
        "users": [*base["users"], {"name": f"{name}-admin", "user": user}],
        "contexts": [*base["contexts"], {"name": name, "context": {"cluster": name, "user": f"{name}-admin"}}],
        "current-context": name,
    }
