"""Links as lines of JSON, which `export` writes and `import` reads."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn, TypeVar

import msgspec

from statefulroute.api.vocabulary import TWO_PODS_MESSAGE
from statefulroute.cli.cluster import Object
from statefulroute.cli.objects import link_expire_time, parse_zoned_time
from statefulroute.domain.errors import InvalidParameterError
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import expire_time
from statefulroute.domain.operations import Binding
from statefulroute.domain.validation import validate_pod, validate_route, validate_ttl_seconds, validate_uid

T = TypeVar("T")

_FIELDS = ("routeName", "uid", "podIndex", "podName", "ttlSeconds", "renewTime")


class InvalidRecordError(Exception):
    """A line is not a valid link; the message says why."""


@dataclass(frozen=True, slots=True)
class LinkRecord:
    """One link.

    Attributes:
        route: the name of its route.
        uid: its user.
        binding: its pod and its lifetime.
    """

    route: str
    uid: str
    binding: Binding

    def has_expired(self, now: datetime) -> bool:
        """Returns whether the link has expired: it is then treated as absent."""
        expires = expire_time(now, self.binding.renew_time, self.binding.ttl_seconds)
        return expires is not None and expires <= now


def encode_record(link: Object, now: datetime) -> bytes | None:
    """Returns the line of a PodLink, with its newline.

    None if the link has expired, names another namespace, or binds a slot: the operator creates the links of slots.
    """
    expires = link_expire_time(link)
    if (expires is not None and expires <= now) or "slot" in link["spec"]:
        return None
    if link["spec"].get("namespace") not in (None, link["metadata"]["namespace"]):
        return None
    spec = {field: link["spec"][field] for field in _FIELDS if link["spec"].get(field) is not None}
    if "ttlSeconds" in spec and parse_zoned_time(spec.get("renewTime")) is None:
        # Without it, the TTL would restart when the link is imported.
        spec["renewTime"] = link["metadata"]["creationTimestamp"]
    return msgspec.json.encode(spec) + b"\n"


def decode_record(line: bytes) -> LinkRecord:
    """Returns the link of a line.

    Raises:
        InvalidRecordError: the line is not a valid link.
    """
    fields = _decode_object(line)
    if "metadata" in fields:
        _reject("is a complete object: a line has only the fields of its spec")
    for field in fields:
        if field not in _FIELDS:
            _reject(f"has an unknown field {field[:60]!r}: there are {', '.join(_FIELDS)}")
    for field in ("routeName", "uid"):
        if fields.get(field) is None:
            _reject(f"lacks {field}")
    return LinkRecord(
        route=_validated("routeName", fields["routeName"], validate_route),
        uid=_validated("uid", fields["uid"], validate_uid),
        binding=_binding(fields),
    )


def _binding(fields: dict[str, Any]) -> Binding:
    ttl_seconds = _validated("ttlSeconds", fields.get("ttlSeconds"), validate_ttl_seconds)
    renew_text = fields.get("renewTime")
    if renew_text is not None and ttl_seconds is None:
        _reject("has a renewTime, which needs ttlSeconds: a persistent link is not renewed")
    renew_time = parse_zoned_time(renew_text)
    if renew_text is not None and renew_time is None:
        _reject("renewTime must be a time like 2026-01-01T00:00:00Z")
    return Binding(_pod(fields), ttl_seconds, renew_time)


def _pod(fields: dict[str, Any]) -> PodKey | None:
    index, name = fields.get("podIndex"), fields.get("podName")
    if index is not None and name is not None:
        _reject(TWO_PODS_MESSAGE)
    if isinstance(index, str):
        _reject("podIndex must be a whole number, not a string")
    if name is not None and not isinstance(name, str):
        _reject("podName must be a string")
    if index is not None:
        return _validated("podIndex", index, validate_pod)
    return None if name is None else _validated("podName", name, validate_pod)


def _decode_object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line.decode(), object_pairs_hook=_reject_duplicates)
    except UnicodeDecodeError:
        _reject("is not UTF-8")
    except RecursionError:
        _reject("is nested too deeply")
    except json.JSONDecodeError as error:
        _reject(f"is not JSON: {error.msg} at column {error.colno}")
    except ValueError as error:
        _reject(f"is not JSON: {error}")
    if not isinstance(value, dict):
        _reject('is not an object: a link is {"routeName": ..., "uid": ..., ...}')
    return value


def _reject_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        _reject("has a field twice")
    return fields


def _validated(field: str, value: object, validate: Callable[[object], T]) -> T:
    try:
        return validate(value)
    except InvalidParameterError as error:
        _reject(f"{field}{str(error).removeprefix(error.field)}")


def _reject(message: str) -> NoReturn:
    raise InvalidRecordError(message)
