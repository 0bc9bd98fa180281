"""Recognizes the API server's response if a kind of this project is not installed."""

import re

from statefulroute.api.group import API_VERSION, POD_LINK, STATEFUL_ROUTE
from statefulroute.cluster.errors import APIError, KindNotInstalledError

_PATH = re.compile(rf"/apis/{re.escape(API_VERSION)}(?:/namespaces/[^/]+)?/([^/?]+)")
_KINDS = {kind.plural: kind.kind for kind in (POD_LINK, STATEFUL_ROUTE)}

_NOT_FOUND = 404

#: In the message for a kind that the API server does not know in a group that it knows. For an object that does not
#: exist, the message has its name.
_NO_RESOURCE = "could not find the requested resource"

#: The response for a group that the API server does not know. It has no reason, as the pages of proxies have none.
NO_GROUP = "404 page not found"


def explain_missing_kind(error: APIError, path: str) -> APIError:
    """Returns an error that names the kind of a request if it is not installed; else the error as it is.

    Args:
        error: the error in the response.
        path: the path of the request.
    """
    match = _PATH.match(path)
    kind = None if match is None else _KINDS.get(match[1])
    is_missing = _NO_RESOURCE in error.message if error.reason else error.message.strip() == NO_GROUP
    if kind is None or error.status != _NOT_FOUND or not is_missing:
        return error
    return KindNotInstalledError(error.status, "NotFound", f"kind {kind} is not installed: kubectl apply -f crds")
