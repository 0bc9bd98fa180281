"""Responses in JSON, and the error that becomes one."""

from http import HTTPStatus

import msgspec
from aiohttp import web

_encoder = msgspec.json.Encoder()


class RequestError(Exception):
    """A request cannot be served; the message says why.

    Attributes:
        status: the status of the response.
    """

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


def json_response(value: object, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """Returns a response with a value in JSON."""
    return web.Response(body=_encoder.encode(value), status=status, content_type="application/json", charset="utf-8")


def error_response(status: int, message: str) -> web.Response:
    """Returns a response with the message of an error."""
    return json_response({"message": message}, HTTPStatus(status))
