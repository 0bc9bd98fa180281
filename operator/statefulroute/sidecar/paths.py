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
    TOKEN = "/v1/users/{uid}/token"  # noqa: S105 - a path
    EVENTS = "/v1/events"
    LINKS = "/v1/links/{uid}"
    LINK = "/v1/routes/{route}/links/{uid}"
    CLAIM = "/v1/routes/{route}/links/{uid}/claim"
    ADDRESS = "/v1/routes/{route}/links/{uid}/address"
    OPENAPI = "/openapi.json"


class RequestPath(NamedTuple):
    """A parsed path.

    Attributes:
        kind: the kind of resource.
        route: the name of the route; empty if the path has none.
        quoted_uid: the percent-encoded uid; empty if the path has none.
    """

    kind: PathKind
    route: str = ""
    quoted_uid: str = ""

    @property
    def uid(self) -> str:
        """The decoded uid. Raises as `decode_uid` does."""
        return decode_uid(self.quoted_uid)


_FIXED = {kind.value: kind for kind in PathKind if "{" not in kind.value}

#: The last part of a path that follows a uid.
_LINK_SUBPATHS = {"claim": PathKind.CLAIM, "address": PathKind.ADDRESS}


def parse_path(path: str) -> RequestPath | None:
    """Parses the raw path of a request; returns None for an unknown path.

    Only uids are decoded: nothing else in a path needs an encoding.
    """
    fixed = _FIXED.get(path)
    if fixed is not None:
        return RequestPath(fixed)
    match path.split("/", 8):
        case "", "v1", "users", uid, "token" if uid:
            return RequestPath(PathKind.TOKEN, quoted_uid=uid)
        case "", "v1", "links", uid if uid:
            return RequestPath(PathKind.LINKS, quoted_uid=uid)
        case "", "v1", "routes", route, "links", uid if uid:
            return RequestPath(PathKind.LINK, unquote(route), uid)
        case "", "v1", "routes", route, "links", uid, last if uid and last in _LINK_SUBPATHS:
            return RequestPath(_LINK_SUBPATHS[last], unquote(route), uid)
    return None
