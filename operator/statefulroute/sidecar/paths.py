"""Parses the paths of requests."""

from enum import Enum
from typing import NamedTuple
from urllib.parse import unquote

from statefulroute.rest.uids import decode_uid


class PathKind(Enum):
    """The kind of resource that a path names; the value is its path in the OpenAPI document."""

    SERVER = "/v1/server"
    START = "/v1/server/start"
    STOP = "/v1/server/stop"
    LOAD_STATE = "/v1/load-state"
    WAITING_TASKS = "/v1/waiting-tasks"
    ROUTING_STATE = "/v1/routing-state"
    USERS = "/v1/users"
    USER = "/v1/users/{uid}"
    TOKEN = "/v1/users/{uid}/token"  # noqa: S105 - a path
    SLOTS = "/v1/slots"
    EVENTS = "/v1/events"
    LINKS = "/v1/links/{uid}"
    LINK = "/v1/routes/{route}/links/{uid}"
    CLAIM = "/v1/routes/{route}/links/{uid}/claim"
    ADDRESS = "/v1/routes/{route}/links/{uid}/address"
    LEAVING_STATE = "/v1/hand-overs/{id}/state"
    SLOT_USER_STATE = "/v1/hand-overs/{id}/users/{uid}/state"
    CONFIRM_LEAVING = "/v1/hand-overs/{id}/confirm"
    ARRIVING_STATE = "/v1/arrivals/{id}/state"
    CONFIRM_ARRIVING = "/v1/arrivals/{id}/confirm"
    REFUSE_ARRIVING = "/v1/arrivals/{id}/refuse"
    OPENAPI = "/openapi.json"


class RequestPath(NamedTuple):
    """A parsed path.

    Attributes:
        kind: the kind of resource.
        route: the name of the route; empty if the path has none.
        quoted_uid: the percent-encoded uid; empty if the path has none.
        hand_over_id: the id of the hand-over; empty if the path has none.
    """

    kind: PathKind
    route: str = ""
    quoted_uid: str = ""
    hand_over_id: str = ""

    @property
    def uid(self) -> str:
        """The decoded uid. Raises as `decode_uid` does."""
        return decode_uid(self.quoted_uid)


_Template = tuple[PathKind, list[str]]


def _templates_by_length() -> dict[int, list[_Template]]:
    """Returns the parts of the path of each kind, by their number."""
    templates: dict[int, list[_Template]] = {}
    for kind in PathKind:
        parts = kind.value.split("/")
        templates.setdefault(len(parts), []).append((kind, parts))
    return templates


_TEMPLATES = _templates_by_length()


def parse_path(path: str) -> RequestPath | None:
    """Parses the raw path of a request; returns None for an unknown path.

    Uids are decoded later, strictly. The fixed parts are not decoded: nothing in them needs an encoding.
    """
    parts = path.split("/", max(_TEMPLATES))
    for kind, template in _TEMPLATES.get(len(parts), ()):
        values = _match(template, parts)
        if values is not None:
            return RequestPath(kind, unquote(values.get("route", "")), values.get("uid", ""), values.get("id", ""))
    return None


def _match(template: list[str], parts: list[str]) -> dict[str, str] | None:
    """Returns the parts in the places of a template; None if others differ, or if one of them is empty."""
    values = {}
    for expected, part in zip(template, parts, strict=True):
        if expected.startswith("{") and part:
            values[expected.strip("{}")] = part
        elif expected != part:
            return None
    return values
