"""`images`: the node's image store, through the API group polong.dev/v1alpha1."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from polong.cli import output
from polong.cli.api import Api
from polong.cli.durations import age
from polong.cli.errors import Failure
from polong.cli.escape import cell
from polong.cli.flags import api_options, command, flag
from polong.cli.images_progress import Progress
from polong.cli.tabular import Table
from polong.cli.target import Target
from polong.client.transport import Call

Json = dict[str, Any]

_GROUP = "/apis/polong.dev/v1alpha1"
_CHUNK = 1 << 20
_HELP = "List, pull, import, export and remove images."


@click.group("images", help=_HELP, short_help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
def images() -> None:
    pass


@command("ls", help="List the images of the node.", examples="polong images ls\npolong images ls -o json")
@click.option("-o", "--output", "form", metavar="FORMAT", help="One of wide|json|yaml|name.")
@flag("--no-headers", help="No heading line.")
@api_options
def ls(target: Target, form: str | None, no_headers: bool) -> None:
    chosen = output.parse(form)
    items = target.run(_list)
    if chosen.kind == "name":
        output.emit("".join(f"{name}\n" for item in items for name in item.get("repoTags") or [item["id"]]))
    elif not chosen.table:
        output.emit(output.document({"apiVersion": "polong.dev/v1alpha1", "kind": "ImageList", "items": items}, chosen))
    else:
        lines = rows(items, wide=chosen.kind == "wide")
        table = Table(
            ["IMAGE", "TAG", "IMAGE ID", "SIZE", "CREATED", *(["DIGEST"] if chosen.kind == "wide" else [])], headers=not no_headers
        )
        if lines:
            output.emit("\n".join(table.lines(lines)) + "\n")
        else:
            click.echo("No images. `polong images pull NAME` or `polong images import FILE` brings some.", err=True)


async def _list(api: Api) -> list[Json]:
    return list((await api.get(f"{_GROUP}/images")).get("items") or [])


def rows(items: list[Json], *, wide: bool) -> list[list[object]]:
    """One row a tag; untagged images once."""
    now = datetime.now(UTC)
    found: list[list[object]] = []
    for item in items:
        short = str(item.get("id", "")).removeprefix("sha256:")[:12]
        made = item.get("created")
        when = f"{age(made, now)} ago" if made and not str(made).startswith(("0001", "1970")) else "<unknown>"
        for name in item.get("repoTags") or ["<none>:<none>"]:
            repository, _, tag = name.rpartition(":")
            digests = [text.partition("@")[2] for text in item.get("repoDigests") or [] if text.partition("@")[0] == repository]
            found.append(
                [repository, tag, short, size(item.get("size", 0)), when, *([digests[0] if digests else "<none>"] if wide else [])]
            )
    return sorted(found, key=lambda row: (str(row[0]), str(row[1])))


def size(count: int) -> str:
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.3g}{unit}"
        value /= 1000
    return f"{value:.3g}GB"


@command(
    "pull", help="Pull images from their registries.", examples="polong images pull busybox:1.28\npolong images pull -u me ghcr.io/me/app"
)
@click.argument("names", nargs=-1, required=True, metavar="IMAGE...")
@click.option(
    "-u", "--username", default="", metavar="NAME", help="User at the registry; the password is asked for, or read from standard input."
)
@flag("-q", "--quiet", help="No progress.")
@api_options
def pull(target: Target, names: tuple[str, ...], username: str, quiet: bool) -> None:
    password = ""
    if username:
        password = click.prompt("Password", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    for name in names:
        body: Json = {"image": name}
        if username:
            body |= {"username": username, "password": password}
        target.run(lambda api, body=body: _follow(api, Call("POST", f"{_GROUP}/imagepulls", body=body), quiet))  # type: ignore[misc]


@command(
    "import",
    help="Import OCI archives or docker-save tars.",
    examples="polong images import nginx.tar\nskopeo ... | polong images import -",
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...|-")
@flag("-q", "--quiet", help="No progress.")
@api_options
def import_(target: Target, files: tuple[str, ...], quiet: bool) -> None:
    for name in files:
        if name != "-" and not Path(name).is_file():
            raise Failure(f'the path "{name}" does not exist')
        target.run(lambda api, name=name: _import(api, name, quiet))  # type: ignore[misc]


async def _import(api: Api, name: str, quiet: bool) -> None:
    descriptor = 0 if name == "-" else os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        body = _pieces(descriptor)
        await _follow(api, Call("POST", f"{_GROUP}/imageimports", body=body, content_type="application/x-tar"), quiet)
    finally:
        if descriptor:
            os.close(descriptor)


async def import_archive(api: Api, file: Path) -> None:
    """Without a word."""
    with file.open("rb") as stream:
        call = Call("POST", f"{_GROUP}/imageimports", body=_pieces(stream.fileno()), content_type="application/x-tar")
        async for item in api.lines(call):
            _raise_failure(item)


def _raise_failure(item: Json) -> None:
    from polong.objects.status import error_of

    if item.get("kind") == "Status" and item.get("status") == "Failure":
        raise error_of(int(item.get("code") or 500), item)


async def _pieces(descriptor: int) -> AsyncIterator[bytes]:
    while data := await asyncio.to_thread(os.read, descriptor, _CHUNK):
        yield data


async def _follow(api: Api, call: Call, quiet: bool) -> None:
    """Show progress until the last word; a failure in the stream is raised as what it is."""
    names: list[str] = []
    with Progress(visible=not quiet and sys.stderr.isatty()) as progress:
        async for item in api.lines(call):
            _raise_failure(item)
            if item.get("status") == "done" and item.get("image"):
                names += names_of(item["image"])
            else:
                progress.show(item)
    for name in names:
        click.echo(cell(name))


def names_of(image: object) -> list[str]:
    """Tags of an image as the store describes it, its id where it has none."""
    if not isinstance(image, dict):
        return [str(image)]
    return [str(name) for name in image.get("repoTags") or [image.get("id", "")]]


@command(
    "export",
    help="Write images into an OCI archive.",
    examples="polong images export nginx -o nginx.tar\npolong images export nginx busybox:1.28 > both.tar",
)
@click.argument("names", nargs=-1, required=True, metavar="IMAGE...")
@click.option("-o", "--output", "file", metavar="FILE", help="Where to (default: standard output, unless that is a terminal).")
@api_options
def export(target: Target, names: tuple[str, ...], file: str | None) -> None:
    if file is None and sys.stdout.isatty():
        raise Failure("refusing to write an archive to a terminal: give -o FILE or redirect the output")
    target.run(lambda api: _export(api, names, file))


async def _export(api: Api, names: tuple[str, ...], file: str | None) -> None:
    call = Call("GET", f"{_GROUP}/imageexports", [("image", name) for name in names], {"accept": "*/*"})
    if file is None:
        async for chunk in api.chunks(call):
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        return
    temporary = Path(file + ".part")
    try:
        with temporary.open("wb") as stream:  # noqa: ASYNC230 - only the writes may be slow, and they run in threads
            async for chunk in api.chunks(call):
                await asyncio.to_thread(stream.write, chunk)
        temporary.rename(file)
    finally:
        temporary.unlink(missing_ok=True)


@command("rm", help="Remove images.", examples="polong images rm nginx\npolong images rm sha256:1a2b3c")
@click.argument("names", nargs=-1, required=True, metavar="IMAGE...")
@api_options
def rm(target: Target, names: tuple[str, ...]) -> None:
    target.run(lambda api: _remove(api, names))


async def _remove(api: Api, names: tuple[str, ...]) -> None:
    for name in names:
        await api.delete(f"{_GROUP}/images", query=[("image", name)])
        click.echo(f"{cell(name)} removed")


@command("prune", help="Remove every image that no container uses.", examples="polong images prune\npolong images prune --root /srv/polong")
@api_options
def prune(target: Target) -> None:
    found = target.run(lambda api: api.post(f"{_GROUP}/imageprunes"))
    items = found.get("items") or []
    for item in items:
        for name in item.get("repoTags") or [item.get("id", "")]:
            click.echo(f"{cell(name)} removed")
    click.echo(
        f"{len(items)} image{'s' if len(items) != 1 else ''} removed, {size(sum(int(item.get('size') or 0) for item in items))} freed"
    )


for _command in (ls, pull, import_, export, rm, prune):
    images.add_command(_command)
