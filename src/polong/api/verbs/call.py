"""What a verb works with: the request's target, query, negotiated form and the services behind the API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from polong.api.admission.chain import Attempt, Chain
from polong.api.negotiate import Form
from polong.api.objectstore import ObjectStore
from polong.api.paths import Target, is_true
from polong.api.resources.kind import Context, Kind
from polong.api.service import Request
from polong.api.stored import OF_HEAD, Stored
from polong.kit.clock import Clock, rfc3339
from polong.kit.errors import BadRequest, Cause, Invalid
from polong.objects.selectors import FieldSelector, LabelSelector, SelectorError, parse_field_selector, parse_label_selector

Json = dict[str, Any]


@dataclass(frozen=True)
class Selection:
    """Which objects of a collection are meant."""

    labels: LabelSelector
    fields: FieldSelector

    def __bool__(self) -> bool:
        return bool(self.labels) or bool(self.fields)

    def matches(self, kind: Kind, obj: Json) -> bool:
        return self.labels.matches(obj["metadata"].get("labels")) and (not self.fields or self.fields.matches(kind.fields(obj)))

    def chooses(self, kind: Kind, stored: Stored) -> bool:
        """`matches`, without decoding more than it takes."""
        labels, fields = stored.head()
        if not self.labels.matches(labels):
            return False
        if OF_HEAD.issuperset(self.fields.fields):
            return self.fields.matches(fields)
        return self.fields.matches(kind.fields(stored.object()))


async def _permit(verb: str) -> None:
    """For calls that come from within."""


@dataclass
class Call:
    """One request, understood. `warnings` go out as Warning headers. `authorize` asks again, for another verb (Forbidden)."""

    request: Request
    verb: str
    target: Target
    kind: Kind
    query: Mapping[str, str]
    form: Form
    store: ObjectStore
    clock: Clock
    node_name: str
    admission: Chain
    warnings: list[str] = field(default_factory=list)
    authorize: Callable[[str], Awaitable[None]] = _permit

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def context(self) -> Context:
        return Context(rfc3339(self.now), self.node_name, self.warnings, self.request.notes)

    def attempt(self, obj: Json, context: Context, old: Json | None = None) -> Attempt:
        """The write of `obj`, as admission sees it."""
        verb = "create" if old is None else "update"
        return Attempt(verb, self.kind, obj, old, self.target.subresource, self.request.user, self.store, context, self.dry_run)

    @property
    def dry_run(self) -> bool:
        """dryRun=All, the only value there is."""
        given = self.query.get("dryRun", "")
        if given not in ("", "All"):
            cause = Cause("FieldValueNotSupported", f'Unsupported value: "{given}": supported values: "All"', "dryRun")
            raise Invalid(f"{self.verb} options are invalid: dryRun: {cause.message}", causes=(cause,))
        return given == "All"

    def flag(self, name: str) -> bool:
        """A boolean of the query; given without value counts as true."""
        return name in self.query and (not self.query[name] or is_true(self.query[name]))

    def number(self, name: str) -> int | None:
        """A non-negative integer of the query. BadRequest."""
        text = self.query.get(name, "")
        if not text:
            return None
        if not text.isascii() or not text.isdigit() or len(text) > 18:
            raise BadRequest(f'cannot read query parameter {name}="{text[:40]}": it must be a non-negative integer')
        return int(text)

    def selection(self) -> Selection:
        try:
            labels = parse_label_selector(self.query.get("labelSelector", ""))
            fields = parse_field_selector(self.query.get("fieldSelector", ""))
        except SelectorError as error:
            raise BadRequest(str(error)) from None
        for name in fields.fields:
            if name not in self.kind.selectable:
                raise BadRequest(
                    f'Unable to find "{self.kind.resource.api_version}, Resource={self.kind.resource.plural}" '
                    f'that match label selector "{self.query.get("labelSelector", "")}", field selector '
                    f'"{self.query.get("fieldSelector", "")}": field label not supported: {name}'
                )
        return Selection(labels, fields)
