"""`files POD ls|cat|tail|cp`: the files of a container, also of one whose image has neither shell nor tar."""

from __future__ import annotations

import stat
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from polong.cli import files_copy, files_edit, files_send, output, pods
from polong.cli.api import Api
from polong.cli.errors import Failure
from polong.cli.escape import cell
from polong.cli.flags import api_options, command, flag
from polong.cli.tabular import Table
from polong.cli.target import Target
from polong.client.transport import Call
from polong.objects import podfiles

Json = dict[str, Any]

_GROUP = "/apis/polong.dev/v1alpha1"
_LETTERS = {"directory": "d", "link": "l", "fifo": "p", "socket": "s", "character-device": "c", "block-device": "b"}

_OPERATIONS = ("ls", "cat", "tail", "cp", "edit")

_EXAMPLES = """
polong files nginx ls /etc/nginx
polong files nginx -c nginx cat /etc/nginx/nginx.conf
polong files nginx tail -f /var/log/nginx/access.log
polong files nginx edit /etc/nginx/nginx.conf
polong files nginx cp :/etc/nginx ./nginx-configuration
polong files nginx cp ./site :/usr/share/nginx/html
"""

_HELP = "List, print, follow, copy and edit files of a container; needs no shell and no tar in its image."


@command("files", help=_HELP, examples=_EXAMPLES)
@click.argument("pod")
@click.argument("operation", required=False, default="", metavar="ls|cat|tail|cp|edit")
@click.argument("paths", nargs=-1, metavar="PATH...")
@click.option("-c", "--container", metavar="NAME", help="Container (default: the first).")
@click.option("-l", "--lines", type=click.IntRange(0, 1_000_000), default=10, metavar="N", help="Of tail: the last N lines.")
@flag("-f", "--follow", help="Of tail: go on with what is added.")
@click.option("-o", "--output", "form", metavar="FORMAT", help="Of ls: one of json|yaml.")
@api_options
def files(
    target: Target,
    pod: str,
    operation: str,
    paths: tuple[str, ...],
    container: str | None,
    lines: int,
    follow: bool,
    form: str | None,
) -> None:
    if operation not in _OPERATIONS:
        raise Failure(f"after the Pod comes what to do: {', '.join(_OPERATIONS)}{f', not {cell(operation)}' if operation else ''}")
    chosen = output.parse(form)
    if form and (operation != "ls" or chosen.kind not in {"json", "yaml"}):
        raise Failure("-o json and -o yaml are for ls alone")
    words = list(paths) or (["/"] if operation == "ls" else [])
    if not words or (operation == "cp" and len(words) != 2):
        raise Failure(f"{operation} needs " + ("a source and a destination: one of them :PATH, in the container" if words else "a path"))
    more = [("tail", str(lines)), *([("follow", "true")] if follow else [])] if operation == "tail" else []
    target.run(lambda api: _files(Files(api), pod, container, (operation, words, more, chosen)))


async def _files(files: Files, name: str, container: str | None, what: tuple[str, list[str], list[tuple[str, str]], output.Format]) -> None:
    operation, words, more, form = what
    await files.choose(name, container)
    if operation == "cp":
        await _copy(files, *words)
        return
    if operation == "edit":
        for word in words:
            await files_edit.edit(files, word)
        return
    for place, word in enumerate(words):
        if operation == "ls":
            found = await files.get("list", word)
            output.emit(output.document(found, form, first=not place) if not form.table else _listed(found, word if len(words) > 1 else ""))
        else:
            await _print(files.read(word, more))


class Files:
    """The files of one container, over the API. Paths are absolute in the container."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._path = ""
        self._container = ""

    async def choose(self, name: str, container: str | None) -> None:
        pod = await pods.find(self._api, name)
        self._container = pods.choose(pod, container)
        self._path = f"{_GROUP}/namespaces/{self._api.namespace}/pods/{pod['metadata']['name']}/files"

    def _query(self, op: str, path: str) -> list[tuple[str, str]]:
        path = path.removeprefix(":")
        return [("container", self._container), podfiles.encoded(path if path.startswith("/") else f"/{path}"), ("op", op)]

    async def get(self, op: str, path: str) -> Json:
        return await self._api.get(self._path, self._query(op, path))

    def read(self, path: str, more: list[tuple[str, str]] | None = None) -> AsyncIterator[bytes]:
        return self._api.chunks(Call("GET", self._path, [*self._query("read", path), *(more or [])], {"accept": "*/*"}))

    def archive(self, path: str) -> AsyncIterator[bytes]:
        return self._api.chunks(Call("GET", self._path, self._query("archive", path), {"accept": "*/*"}))

    async def extract(self, path: str, pieces: AsyncIterator[bytes]) -> Json:
        call = Call("POST", self._path, self._query("extract", path), body=pieces, content_type="application/x-tar")
        async with await self._api.raw(call) as answer:
            return await answer.json()

    async def write(self, path: str, mode: int, pieces: AsyncIterator[bytes], expected: str = "") -> None:
        query = [*self._query("", path)[:2], ("mode", f"{mode:04o}"), *([("expected", expected)] if expected else [])]
        call = Call("POST", self._path, query, body=pieces, content_type="application/octet-stream")
        async with await self._api.raw(call) as answer:
            await answer.json()


async def _copy(files: Files, source: str, goal: str) -> None:
    if source.startswith(":") == goal.startswith(":"):
        raise Failure("one of source and destination is :PATH, in the container, and the other a path here")
    into = goal.startswith(":")
    skipped = await (files_send.into(files, source, goal) if into else files_copy.out(files, source, Path(goal)))
    for text in skipped:
        click.echo(f"Warning: {cell(text)}", err=True)


async def _print(chunks: AsyncIterator[bytes]) -> None:
    """As it is into a pipe or file; on a terminal, what would steer the terminal is made visible."""
    rest = b""
    async for chunk in chunks:
        if not sys.stdout.isatty():
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
            continue
        whole, newline, rest = (rest + chunk).rpartition(b"\n")
        output.emit(visible(whole + newline))
    if rest:
        output.emit(visible(rest) + "\n")


def visible(data: bytes) -> str:
    """Text for a terminal: lines and tabs stay, other control characters become escapes."""
    text = data.decode("utf-8", "backslashreplace")
    return "\n".join("\t".join(cell(part) for part in line.split("\t")) for line in text.split("\n"))


def _listed(found: Json, heading: str) -> str:
    table = Table(("MODE", "UID", "GID", "SIZE", "MODIFIED", "NAME"))
    lines = [f"{cell(heading)}:"] if heading else []
    lines += table.lines([_row(item) for item in found.get("items") or []])
    if found.get("truncated"):
        lines.append("... and more: only the first entries are shown")
    return "\n".join(lines) + "\n"


def _row(item: Json) -> list[object]:
    letter = _LETTERS.get(item["type"], "-")
    bits = stat.filemode(int(item["mode"], 8))[1:]
    when = datetime.fromtimestamp(min(max(item["modified"], 0), 1 << 35), UTC).strftime("%Y-%m-%d %H:%M")
    arrow = f" -> {item['target']}" if item.get("target") is not None else ""
    return [letter + bits, item["uid"], item["gid"], item["sizeBytes"], when, item["name"] + arrow]
