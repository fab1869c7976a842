"""Request bodies to objects: media types, field validation, DeleteOptions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from polong.api import protobuf, status
from polong.api.paths import is_true
from polong.api.resources import fields
from polong.api.verbs.call import Call
from polong.kit.errors import BadRequest, Invalid
from polong.objects import decode, yaml

Json = dict[str, Any]

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
_MODES = ("Ignore", "Strict", "Warn")
_POLICIES = ("Foreground", "Background", "Orphan")


def media_type(call: Call) -> str:
    return call.request.headers.get("content-type", JSON).partition(";")[0].strip().lower() or JSON


def raw(call: Call) -> bytes | Json:
    body = call.request.body
    if isinstance(body, AsyncIterator):
        raise BadRequest("this resource takes no stream")
    if body is None or body == b"":
        raise BadRequest("cannot read the request: the body is empty")
    return body


def document(call: Call) -> Any:  # noqa: ANN401 - any JSON value
    """The decoded body, whatever it is about."""
    body = raw(call)
    if isinstance(body, dict):
        return body
    media = media_type(call)
    if media == JSON:
        return decode.parse_json(body)
    if media == YAML:
        return yaml.load_one(body)
    if media == PROTOBUF:
        return protobuf.decode(body)
    raise status.unsupported_media(
        f"the body of the request was in an unknown format - accepted media types include: {JSON}, {YAML}, {PROTOBUF}"
    )


def read_object(call: Call) -> Json:
    return checked(call, document(call))


def checked(call: Call, given: Any, *, repeated: Sequence[str] = ()) -> Json:  # noqa: ANN401 - any JSON value
    """The object in `given`, validated field by field as the query's fieldValidation says (Warn where it says nothing). `repeated` are
    problems found before."""
    mode = call.query.get("fieldValidation") or "Warn"
    if mode not in _MODES:
        raise BadRequest(f'fieldValidation: Unsupported value: "{mode}": supported values: "Ignore", "Strict", "Warn"')
    resource = call.kind.resource
    decoded = decode.decode_object(given, resource.api_version, resource.kind)
    problems = [*repeated, *decoded.problems]
    if problems and mode == "Strict":
        what = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'
        raise BadRequest(f"{what}: strict decoding error: {', '.join(problems)}")
    if mode == "Warn":
        call.warnings.extend(problems)
    decoded.obj["metadata"].pop("selfLink", None)
    return decoded.obj


def _check_delete_options(options: Json) -> None:
    """Source: apimachinery pkg/apis/meta/v1/validation ValidateDeleteOptions."""
    causes = []
    policy = options.get("propagationPolicy")
    if policy and "orphanDependents" in options:
        causes.append(fields.invalid("propagationPolicy", policy, "orphanDependents and deletionPropagation cannot be both set"))
    elif policy and policy not in _POLICIES:
        causes.append(fields.unsupported("propagationPolicy", policy, (*_POLICIES, "nil")))
    causes += [fields.unsupported("dryRun", given, ("All",)) for given in options.get("dryRun") or () if given != "All"]
    if causes:
        text = ", ".join(f"{cause.field}: {cause.message}" for cause in causes)
        raise Invalid(f'DeleteOptions.meta.k8s.io "" is invalid: {text}', causes=causes)


def delete_options(call: Call) -> Json:
    """DeleteOptions of the body, overlaid by the query's."""
    options: Json = {}
    if call.request.body:
        options = document(call)
        if not isinstance(options, dict):
            raise BadRequest("cannot decode DeleteOptions: the body must be an object")
        if options.get("kind") not in (None, "", "DeleteOptions"):
            raise BadRequest(f"the object provided is unrecognized (must be of type DeleteOptions): it is a {options['kind']}")
        options = decode.decode_object({**options, "apiVersion": "v1"}, "v1", "DeleteOptions").obj
    grace = call.number("gracePeriodSeconds")
    if grace is not None:
        options["gracePeriodSeconds"] = grace
    for name in ("propagationPolicy", "orphanDependents"):
        if given := call.query.get(name):
            options[name] = given if name == "propagationPolicy" else is_true(given)
    _check_delete_options(options)
    if call.dry_run:
        options["dryRun"] = ["All"]
    return options
