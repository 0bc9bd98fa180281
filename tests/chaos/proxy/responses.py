"""Responses that a fault proxy sends instead of the API server."""

import json
from http import HTTPStatus
from typing import Any

from aiohttp import web

_REASONS = {
    401: "Unauthorized",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}

_TOO_OLD = "too old resource version: 1 (2)"


def error_response(code: int, retry_after: float = 0) -> web.Response:
    """Returns an error like the API server's.

    Args:
        code: the HTTP status.
        retry_after: the seconds of Retry-After; 0 omits it.
    """
    headers = {"Retry-After": f"{retry_after:.0f}"} if retry_after else {}
    message = _TOO_OLD if code == HTTPStatus.GONE else "the fault proxy has answered, and not the API server"
    return web.json_response(_status(code, message), status=code, headers=headers)


def expired_event() -> bytes:
    """Returns the watch event for a resource version that is too old."""
    return json.dumps({"type": "ERROR", "object": _status(HTTPStatus.GONE, _TOO_OLD)}).encode() + b"\n"


def _status(code: int, message: str) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": _REASONS.get(code, ""),
        "code": code,
    }
