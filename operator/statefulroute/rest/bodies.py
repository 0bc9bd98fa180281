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
    """Decodes a body. As in JSON Schema, an integer may be written as 5.0.

    Raises:
        ProblemError: it is invalid.
    """
    try:
        try:
            return decoder.decode(data)
        except msgspec.ValidationError:
            return msgspec.convert(_with_integers.decode(data), decoder.type)
    except (ValueError, RecursionError) as error:  # includes invalid UTF-8
        raise ProblemError(ProblemKind.MALFORMED, f"the body is invalid: {error}") from error


def _number(literal: str) -> int | float:
    """Returns the number that is written with a decimal point or an exponent."""
    number = float(literal)
    return int(number) if number.is_integer() else number


_with_integers = msgspec.json.Decoder(float_hook=_number)
