"""What the path of a request names."""

from enum import Enum, auto
from typing import NamedTuple
from urllib.parse import unquote

from statefulroute.domain.errors import InvalidParameterError
from statefulroute.domain.keys import RouteKey

#: What stands in front of the namespace, the route and what is asked of it.
ROUTE_PATH = "/v1/namespaces/{namespace}/routes/{route}"


class PathKind(Enum):
    """A kind of thing that can be asked for."""

    LINK = auto()
    LINKS = auto()
    """Many links at once."""
    MOVES = auto()
    ROUTE = auto()
    EXT_AUTHZ = auto()
    """Where a gateway's request goes, whatever its path."""
    OPENAPI = auto()
    """The API itself, in OpenAPI."""


class RequestPath(NamedTuple):
    """What a path names.

    Attributes:
        kind: what kind of thing.
        route: the service; empty where there is none.
        quoted_uid: the user, as the path has it; empty where there is none.
    """

    kind: PathKind
    route: RouteKey = RouteKey("", "")
    quoted_uid: str = ""

    @property
    def uid(self) -> str:
        """The user.

        Raises:
            InvalidParameterError: its bytes are no text; they would be taken for the uid of these very characters.
        """
        if "%" not in self.quoted_uid:
            return self.quoted_uid
        try:
            return unquote(self.quoted_uid, errors="strict")
        except UnicodeDecodeError as error:
            raise InvalidParameterError("uid", "must be percent-encoded UTF-8") from error


#: What follows the name of a route, and names no uid.
_ROUTE_SUBPATHS = {(): PathKind.ROUTE, ("links:batchGet",): PathKind.LINKS, ("moves",): PathKind.MOVES}


def parse_path(path: str) -> RequestPath | None:
    """What a path names, as it was sent; None is nothing."""
    sent = path.split("/", 8)
    match [unquote(part) for part in sent] if "%" in path else sent:
        case "", "v1", "namespaces", namespace, "routes", route, "links", uid if uid:
            return RequestPath(PathKind.LINK, RouteKey(namespace, route), sent[7])
        case "", "v1", "namespaces", namespace, "routes", route, *rest if tuple(rest) in _ROUTE_SUBPATHS:
            return RequestPath(_ROUTE_SUBPATHS[tuple(rest)], RouteKey(namespace, route))
        case "", "authorize", namespace, route, *_:
            return RequestPath(PathKind.EXT_AUTHZ, RouteKey(namespace, route))
        case "", "openapi.json":
            return RequestPath(PathKind.OPENAPI)
    return None
