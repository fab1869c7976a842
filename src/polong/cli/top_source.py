"""What the screen of `top` shows, and does to what it shows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from polong.cli import processes, whose
from polong.cli import signal as signalling
from polong.cli.api import Api
from polong.cli.errors import Failure
from polong.cli.top_looks import Top

Json = dict[str, Any]


class Looks:
    """`top_app.Source` over the API."""

    def __init__(self, api: Api, shown: Top) -> None:
        self._api = api
        self._shown = shown

    @property
    def sort(self) -> str:
        return self._shown.sort

    @sort.setter
    def sort(self, by: str) -> None:
        self._shown.sort = by

    @property
    def columns(self) -> Sequence[str]:
        return self._shown.columns

    async def look(self) -> list[Json]:
        listings = self._shown.add(await processes.fetch(self._api, self._shown.wish), time.monotonic())
        return self._shown.items(listings)

    def row(self, item: Json) -> list[object]:
        return self._shown.row(item)

    def summary(self, items: Sequence[Json]) -> str:
        return self._shown.summary(items)

    async def closer(self, item: Json) -> Sequence[str]:
        return whose.lines(await self._api.get(f"{processes.GROUP}/hostprocesses/{item['hostPID']}"))

    async def signal(self, item: Json, name: str) -> str:
        """What the screen shows may be some seconds old: whoever has the number now must be who was chosen."""
        path = processes.path_of(item["namespace"] or self._api.namespace, item["pod"], "processes")
        now = (await self._api.get(path))["items"]
        if not any((each["hostPID"], each["startTicks"]) == (item["hostPID"], item["startTicks"]) for each in now):
            raise Failure(f"PID {item['pid']} has ended")
        body = {"kind": "Signal", "apiVersion": "polong.dev/v1alpha1", "signal": name, "pid": item["pid"], "container": item["container"]}
        answer = await self._api.post(path.removesuffix("processes") + "signal", body)
        return "\n".join(signalling.lines(answer))
