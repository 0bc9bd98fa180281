"""Parses the paths of requests."""

from enum import Enum, auto
from typing import NamedTuple
from urllib.parse import unquote

from statefulroute.domain.keys import RouteKey
from statefulroute.rest.uids import decode_uid

#: The path of a route; the paths of its links and moves start with it.
ROUTE_PATH = "/v1/namespaces/{namespace}/routes/{route}"


class PathKind(Enum):
    """The kind of resource that a path names."""

    LINK = auto()
    RENEWAL = auto()
    """The renewal of a link."""
    CLAIM = auto()
    """A claim of a user for a pod."""
    LINKS = auto()
    """A batch of links."""
    MOVES = auto()
    ROUTE = auto()
    EXT_AUTHZ = auto()
    """The ext_authz check of a gateway's request; the path of that request follows."""
    OPENAPI = auto()
    """The OpenAPI document of the API."""


class RequestPath(NamedTuple):
    """A parsed path.

    Attributes:
        kind: the kind of resource.
        route: the route; empty if the path has none.
        quoted_uid: the percent-encoded uid; empty if the path has none.
        caller: the name of the caller if it was authenticated or counted; otherwise empty.
    """

    kind: PathKind
    route: RouteKey = RouteKey("", "")
    quoted_uid: str = ""
    caller: str = ""

    @property
    def uid(self) -> str:
        """The decoded uid.

        Raises:
            InvalidParameterError: its bytes are not UTF-8; a lenient decoding could yield another user's uid.
        """
        return decode_uid(self.quoted_uid)


#: The last part of a path that follows a uid.
_LINK_SUBPATHS = {"renew": PathKind.RENEWAL, "claim": PathKind.CLAIM}

#: The parts of a path after the name of the route, for paths without a uid.
_ROUTE_SUBPATHS = {(): PathKind.ROUTE, ("links:batchGet",): PathKind.LINKS, ("moves",): PathKind.MOVES}


def parse_path(path: str) -> RequestPath | None:
    """Parses the raw path of a request; returns None for an unknown path."""
    raw_parts = path.split("/", 8)
    match [unquote(part) for part in raw_parts] if "%" in path else raw_parts:
        case "", "v1", "namespaces", namespace, "routes", route, "links", uid if uid:
            return RequestPath(PathKind.LINK, RouteKey(namespace, route), raw_parts[7])
        case "", "v1", "namespaces", namespace, "routes", route, "links", uid, last if uid and last in _LINK_SUBPATHS:
            return RequestPath(_LINK_SUBPATHS[last], RouteKey(namespace, route), raw_parts[7])
        case "", "v1", "namespaces", namespace, "routes", route, *rest if tuple(rest) in _ROUTE_SUBPATHS:
            return RequestPath(_ROUTE_SUBPATHS[tuple(rest)], RouteKey(namespace, route))
        case "", "authorize", namespace, route, *_:
            return RequestPath(PathKind.EXT_AUTHZ, RouteKey(namespace, route))
        case "", "openapi.json":
            return RequestPath(PathKind.OPENAPI)
    return None
