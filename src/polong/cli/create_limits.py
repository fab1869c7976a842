"""`create quota`, `create priorityclass`."""

from __future__ import annotations

from typing import Any

import click

from polong.cli.create_words import generator, pairs
from polong.cli.flags import flag

Json = dict[str, Any]


@generator(
    "quota",
    "Create a ResourceQuota.",
    "polong create quota q --hard=pods=10,requests.cpu=2\npolong create quota q --hard=pods=5 --scopes=BestEffort",
    click.option("--hard", default="", metavar="NAME=AMOUNT,...", help="What may be used at most."),
    click.option("--scopes", default="", metavar="SCOPE,...", help="Which Pods count."),
)
def quota(name: str, hard: str, scopes: str) -> Json:
    spec: Json = {"hard": pairs(hard, "--hard=pods=10,cpu=2")}
    if chosen := [scope for scope in scopes.split(",") if scope]:
        spec["scopes"] = chosen
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": spec}


@generator(
    "priorityclass",
    "Create a PriorityClass.",
    'polong create priorityclass high --value=1000 --description="before all others"',
    click.option("--value", default=0, type=int, metavar="NUMBER", help="The priority of its Pods."),
    click.option("--description", default="", metavar="TEXT", help="When to use it."),
    click.option("--preemption-policy", "policy", default="PreemptLowerPriority", metavar="POLICY", help="Or Never."),
    flag("--global-default", help="Pods that name no class are of this one."),
)
def priorityclass(name: str, value: int, description: str, policy: str, global_default: bool) -> Json:
    made: Json = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value}
    made |= {"description": description} if description else {}
    made |= {"globalDefault": True} if global_default else {}
    return made | {"preemptionPolicy": policy}


COMMANDS = (quota, priorityclass)
