"""Responses, and parts of them, that a fault proxy sends instead of the API server's."""

import json
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
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
    return web.json_response(_status(code), status=code, headers=headers)


def error_event(code: int) -> bytes:
    """Returns a watch event for an error."""
    return json.dumps({"type": "ERROR", "object": _status(code)}).encode() + b"\n"


def skewed_date(date: str, seconds: float) -> str:
    """Returns a `Date` header with these seconds added."""
    return format_datetime(parsedate_to_datetime(date) + timedelta(seconds=seconds), usegmt=True)


def _status(code: int) -> dict[str, Any]:
    message = _TOO_OLD if code == HTTPStatus.GONE else "the fault proxy has answered, and not the API server"
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": _REASONS.get(code, ""),
        "code": code,
    }
