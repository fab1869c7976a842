"""`tree [POD]`: processes under their containers, with what each container has in all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from polong.cli import output, processes
from polong.cli.api import Api
from polong.cli.escape import cell
from polong.cli.flags import api_options, command
from polong.cli.processes import Wanted
from polong.cli.ps_tree import command as words
from polong.cli.ps_tree import cpu, size, user, walk
from polong.cli.target import Target

Json = dict[str, Any]

_EXAMPLES = """
polong tree nginx
polong tree -A
"""


@command("tree", help="Show the processes of a Pod as trees, container by container.", examples=_EXAMPLES)
@processes.choice
@api_options
def tree(target: Target, **flags: Any) -> None:  # noqa: ANN401
    wish = processes.wanted(flags)
    target.ask(lambda api: _tree(api, wish))


async def _tree(api: Api, wish: Wanted) -> None:
    listings = await processes.fetch(api, wish)
    if not wish.form.table:
        output.emit(processes.document(listings, wish))
        return
    width = None if wish.form.kind == "wide" else output.columns()
    for listing in listings:
        for line in lines(listing, wide=wish.form.kind == "wide"):
            output.emit((line if width is None else line[:width]) + "\n")


def lines(listing: Json, *, wide: bool = False) -> Iterator[str]:
    """The Pod, then each container with its trees: a process stands under its parent where that is of the same container."""
    metadata, items = listing.get("metadata") or {}, listing.get("items") or []
    yield f"{cell(metadata.get('namespace', ''))}/{cell(metadata.get('name', ''))}  {_totals(items)}"
    groups: dict[str, list[Json]] = {}
    for item in items:
        groups.setdefault(item.get("container", ""), []).append(item)
    for place, (container, group) in enumerate(groups.items()):
        last = place == len(groups) - 1
        title = f"{cell(container)}  {_totals(group)}" if container else "the pod itself"
        yield ("└─ " if last else "├─ ") + title
        below = "   " if last else "│  "
        for item, lead in walk(group):
            yield f"{below}{lead}{_process(item, wide=wide)}"


def _totals(items: Sequence[Json]) -> str:
    count, dead = len(items), sum(1 for item in items if item.get("zombie"))
    parts = [f"{count} process{'es' if count != 1 else ''}"]
    if dead:
        parts.append(f"{dead} zombie{'s' if dead != 1 else ''}")
    parts.append(f"CPU {cpu(sum(item.get('cpuSeconds') or 0 for item in items))}")
    parts.append(f"RSS {size(sum(item.get('rssBytes') or 0 for item in items))}")
    return ", ".join(parts)


def _process(item: Json, *, wide: bool) -> str:
    text = f"{item.get('pid', '')} {words(item)}"
    if not wide:
        return text
    return f"{text}  [host PID {item.get('hostPID', '')}, {cell(user(item))}, {item.get('state', '')}, RSS {size(item.get('rssBytes'))}]"
