"""Makes the responses of the API."""

from collections.abc import Mapping

import msgspec
from aiohttp import web

_encode = msgspec.json.Encoder().encode

_HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-store"}


def json_response(body: msgspec.Struct | Mapping[str, str]) -> web.Response:
    """Returns a response with a body."""
    return web.Response(body=_encode(body), headers=_HEADERS)


def no_content() -> web.Response:
    """Returns the response of an operation without a result."""
    return web.Response(status=204)
