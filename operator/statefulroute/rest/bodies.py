"""Reads and decodes the bodies of requests."""

import asyncio
from typing import TypeVar

import msgspec
from aiohttp import web

from statefulroute.rest.problems import ProblemError, ProblemKind

B = TypeVar("B")

#: How long the body of a request may take.
_BODY_TIMEOUT_SECONDS = 10.0


async def read_body(request: web.BaseRequest) -> bytes:
    """Returns the body; empty if the request has none.

    Raises:
        ProblemError: the body is not JSON by its type, or does not arrive in time.
        web.HTTPException: the body is too large.
    """
    if not request.can_read_body:
        return b""
    try:
        async with asyncio.timeout(_BODY_TIMEOUT_SECONDS):
            data = await request.read()
    except TimeoutError as error:
        raise ProblemError(
            ProblemKind.TOO_SLOW, f"the body did not arrive within {_BODY_TIMEOUT_SECONDS:g} s"
        ) from error
    if data and request.content_type != "application/json":
        raise ProblemError(ProblemKind.NOT_JSON, "send the body as application/json")
    return data


def decode(data: bytes, decoder: msgspec.json.Decoder[B]) -> B:
    """Decodes a body.

    Raises:
        ProblemError: it is invalid.
    """
    try:
        return decoder.decode(data)
    except ValueError as error:  # includes invalid UTF-8
        raise ProblemError(ProblemKind.MALFORMED, f"the body is invalid: {error}") from error
