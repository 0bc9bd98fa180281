"""Links as lines of JSON: what `export` writes and `import` reads."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeVar

import msgspec

from statefulroute.api.vocabulary import TWO_PODS_MESSAGE
from statefulroute.cli.cluster import Object
from statefulroute.domain.errors import InvalidParameterError
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import expire_time
from statefulroute.domain.operations import Binding
from statefulroute.domain.validation import validate_pod, validate_route, validate_ttl_seconds, validate_uid

T = TypeVar("T")

_FIELDS = ("routeName", "uid", "podIndex", "podName", "ttlSeconds", "renewTime")


class InvalidRecordError(Exception):
    """Why a line is no link, as a sentence."""


@dataclass(frozen=True, slots=True)
class LinkRecord:
    """One link.

    Attributes:
        route: its route's name.
        uid: whom it binds.
        binding: where, and for how long.
    """

    route: str
    uid: str
    binding: Binding

    def has_expired(self, now: datetime) -> bool:
        """Whether its time is over: such a link counts as absent."""
        ends = expire_time(now, self.binding.renew_time, self.binding.ttl_seconds)
        return ends is not None and ends <= now


def link_expire_time(link: Object) -> datetime | None:
    """When a PodLink ends; None where it is persistent."""
    created = _time(link["metadata"]["creationTimestamp"])
    if created is None:  # no API server writes such a time
        return None
    return expire_time(created, _time(link["spec"].get("renewTime")), link["spec"].get("ttlSeconds"))


def encode_record(link: Object, now: datetime) -> bytes | None:
    """A PodLink as a line, its end included; None where it counts as absent."""
    ends = link_expire_time(link)
    if ends is not None and ends <= now:
        return None
    if link["spec"].get("namespace") not in (None, link["metadata"]["namespace"]):
        return None
    spec = {field: link["spec"][field] for field in _FIELDS if link["spec"].get(field) is not None}
    if "ttlSeconds" in spec and _time(spec.get("renewTime")) is None:
        # Else it would begin anew wherever it is created next.
        spec["renewTime"] = link["metadata"]["creationTimestamp"]
    return msgspec.json.encode(spec) + b"\n"


def decode_record(line: bytes) -> LinkRecord:
    """The link of a line.

    Raises:
        RefusedLineError: it is none.
    """
    fields = _object(line)
    if "metadata" in fields:
        _refuse("is a whole object: only the fields of its spec belong here")
    for field in fields:
        if field not in _FIELDS:
            _refuse(f"has an unknown field {field[:60]!r}: there are {', '.join(_FIELDS)}")
    for field in ("routeName", "uid"):
        if fields.get(field) is None:
            _refuse(f"lacks {field}")
    return LinkRecord(
        route=_checked("routeName", fields["routeName"], validate_route),
        uid=_checked("uid", fields["uid"], validate_uid),
        binding=_binding(fields),
    )


def _binding(fields: dict[str, Any]) -> Binding:
    ttl_seconds = _checked("ttlSeconds", fields.get("ttlSeconds"), validate_ttl_seconds)
    renewed = fields.get("renewTime")
    if renewed is not None and ttl_seconds is None:
        _refuse("has a renewTime, which needs ttlSeconds: a persistent link is not renewed")
    renew_time = _time(renewed)
    if renewed is not None and renew_time is None:
        _refuse("renewTime must be a time as 2026-01-01T00:00:00Z")
    return Binding(_pod(fields), ttl_seconds, renew_time)


def _pod(fields: dict[str, Any]) -> PodKey | None:
    index, name = fields.get("podIndex"), fields.get("podName")
    if index is not None and name is not None:
        _refuse(TWO_PODS_MESSAGE)
    if isinstance(index, str):
        _refuse("podIndex must be a whole number, not a text")
    if name is not None and not isinstance(name, str):
        _refuse("podName must be a text")
    if index is not None:
        return _checked("podIndex", index, validate_pod)
    return None if name is None else _checked("podName", name, validate_pod)


def _object(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line.decode(), object_pairs_hook=_once_each)
    except UnicodeDecodeError:
        _refuse("is not UTF-8")
    except RecursionError:
        _refuse("is nested too deeply")
    except json.JSONDecodeError as error:
        _refuse(f"is no JSON: {error.msg} at column {error.colno}")
    except ValueError as error:
        _refuse(f"is no JSON: {error}")
    if not isinstance(found, dict):
        _refuse('is no object: a link is {"routeName": ..., "uid": ..., ...}')
    return found


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        _refuse("says a field twice")
    return fields


def _time(text: object) -> datetime | None:
    """A time that says its zone; None where it is none."""
    if not isinstance(text, str):
        return None
    try:
        time = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        return None
    return time.astimezone(UTC) if time.tzinfo else None


def _checked(field: str, value: object, check: Callable[[object], T]) -> T:
    try:
        return check(value)
    except InvalidParameterError as error:
        _refuse(f"{field}{str(error).removeprefix(error.field)}")


def _refuse(why: str) -> NoReturn:
    raise InvalidRecordError(why)
