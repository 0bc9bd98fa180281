"""Finds the uid of a request: in a header, a cookie, a query parameter, a parameter of MCP, or a claim of a token."""

import binascii
import re
from base64 import b64decode, b64encode, urlsafe_b64decode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, Self
from urllib.parse import unquote_plus

import msgspec

from statefulroute.domain.errors import InvalidParameterError
from statefulroute.domain.validation import validate_uid

_AUTHORIZATION = "authorization"

#: The scheme of a token, in the case that gateways expect. A gateway does not verify a token in any other form.
_SCHEME = "Bearer "

#: A signed token (RFC 7515): header, claims and signature, and nothing else, for the same reason.
_TOKEN = re.compile(r"[\w-]+\.(?P<claims>[\w-]+)\.[\w-]*", re.ASCII)

#: A percent sign that begins no encoded byte. Python's decoder keeps it, and other decoders drop or reject it.
_NO_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")

#: A gateway may have joined several headers with cookies by commas, which no cookie contains (RFC 6265).
_COOKIE_SEPARATORS = re.compile("[;,]")

#: Stands for bytes that are not UTF-8, in texts that were decoded before.
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

#: What stands for bytes that are not UTF-8: Python's surrogates, or the replacement of another decoder.
_NOT_UTF_8 = re.compile(f"[\ud800-\udfff{REPLACEMENT}]")

#: Only the claims of a token; some gateways pad them.
_CLAIMS = re.compile(r"[\w-]+={0,2}", re.ASCII)


#: The start of the name of a header with an argument of a tool: MCP 2026-07-28, Streamable HTTP, custom headers.
_MCP_PARAM_PREFIX = "mcp-param-"

#: The rest of its name: a token of HTTP (RFC 9110). The ranges are `#$%&'` and "^_`" with the lower-case letters.
MCP_PARAM_NAME = "[!#-'*+.0-9A-Z^-z|~-]+"

_mcp_param_name = re.compile(MCP_PARAM_NAME)

#: What encloses the base64 of a value that a header cannot have as it is.
_BASE64_START, _BASE64_END = "=?base64?", "?="

#: What the value of a header may consist of (RFC 9110). A client of MCP must encode everything else.
_PLAIN = re.compile(r"[\t\x20-\x7e]*")


class SourceRequest(Protocol):
    """A client's request to a gateway."""

    def header(self, name: str) -> Sequence[str]:
        """Returns the values of a header; the name is case-insensitive."""

    @property
    def query(self) -> str:
        """The query string of the URL; empty if it has none."""


class UidLocation(StrEnum):
    """The part of a request that has the uid."""

    HEADER = "header"
    """The value of a header."""
    COOKIE = "cookie"
    """The value of a cookie."""
    QUERY = "query"
    """The decoded value of a query parameter."""
    MCP_PARAM = "mcp-param"
    """The decoded value of a header `Mcp-Param-NAME`, into which a client of MCP copies an argument of a tool."""
    JWT = "jwt"
    """A claim of a token. The gateway must verify the token; the resolver does not."""


@dataclass(frozen=True, slots=True)
class UidSource:
    """A source of the uid.

    Attributes:
        location: the part of the request.
        name: the name of the header, cookie, parameter or claim; of a parameter of MCP, the name of its header.
        claims_header: for a claim, the header with the token or its claims.
    """

    location: UidLocation
    name: str
    claims_header: str = _AUTHORIZATION

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parses `header:NAME`, `cookie:NAME`, `query:NAME`, `mcp-param:NAME`, `jwt:CLAIM` or `jwt:CLAIM@HEADER`.

        Raises:
            ValueError: the text has none of these forms; the message lists them.
        """
        place, _, name = text.partition(":")
        try:
            kind = UidLocation(place)
        except ValueError:
            kind = None
        if kind is None or not name:
            raise ValueError(
                f"{text!r} is not a source of the uid: write header:NAME, cookie:NAME, query:NAME, "
                "mcp-param:NAME, jwt:CLAIM or jwt:CLAIM@HEADER; for example header:x-user-id"
            )
        if kind is UidLocation.MCP_PARAM:
            if not _mcp_param_name.fullmatch(name):
                raise ValueError(f"{text!r} must name what follows Mcp-Param- in the name of a header")
            return cls(kind, _MCP_PARAM_PREFIX + name.lower())
        claim, at, header = name.partition("@")
        if kind is UidLocation.JWT and at:
            if not claim or not header:
                raise ValueError(f"{text!r} must name a claim and the header of its token, as jwt:CLAIM@HEADER")
            return cls(kind, claim, header.lower())
        return cls(kind, name.lower() if kind is UidLocation.HEADER else name)

    def find(self, request: SourceRequest) -> str | None:
        """Returns the uid, or None if the source has none.

        Raises:
            InvalidParameterError: the source has several values, or one that is not encoded as it must be.
        """
        return _FINDERS[self.location](self, request)


def find_uid(sources: Sequence[UidSource], request: SourceRequest) -> str | None:
    """Returns the uid from the first source that has one, or None.

    Raises:
        InvalidParameterError: the uid is invalid, or a source has several values, or one that is not encoded as it
            must be.
    """
    for source in sources:
        if uid := source.find(request):
            if _NOT_UTF_8.search(uid):
                raise InvalidParameterError("uid", "must be UTF-8: other bytes could name two users alike")
            return validate_uid(uid)
    return None


def split_joined(name: str, value: str) -> Sequence[str]:
    """Returns the values of a header that a gateway may have joined by commas.

    A comma then counts as several values, except in cookies, because one of the values may come from the client instead
    of the gateway.
    """
    return (value,) if name == "cookie" or "," not in value else value.split(",")


def _single_value(values: Sequence[str], source: str) -> str | None:
    """Returns the only value. Rejects several, because one of them may be from the client instead of the gateway."""
    if len(values) > 1:
        raise InvalidParameterError("uid", f"occurs {len(values)} times in the request: {source} may occur once")
    return values[0] if values else None


def _in_header(source: UidSource, request: SourceRequest) -> str | None:
    return _single_value(request.header(source.name), f"the header {source.name}")


def _in_cookie(source: UidSource, request: SourceRequest) -> str | None:
    lines = request.header("cookie")
    values = _cookie_values(source.name, (pair for line in lines for pair in line.split(";")))
    if any("," in line for line in lines):
        pairs = (pair for line in lines for pair in _COOKIE_SEPARATORS.split(line))
        if _cookie_values(source.name, pairs) != values:
            raise InvalidParameterError("uid", f"must be in a cookie {source.name} without a comma before or in it")
    return _single_value(values, f"the cookie {source.name}")


def _cookie_values(name: str, pairs: Iterable[str]) -> list[str]:
    parts = (pair.partition("=") for pair in pairs)
    return [value.strip().strip('"') for known, _, value in parts if known.strip() == name]


def _in_query(source: UidSource, request: SourceRequest) -> str | None:
    pairs = (pair.partition("=") for pair in request.query.split("&"))
    values = [value for name, _, value in pairs if unquote_plus(name) == source.name]
    value = _single_value(values, f"the parameter {source.name}")
    return None if value is None else _decode_parameter(value)


def _decode_parameter(value: str) -> str:
    """Returns a decoded value. A lenient decoding could yield the uid of another user."""
    try:
        if _NO_ESCAPE.search(value) is None:
            return unquote_plus(value, errors="strict")
    except UnicodeDecodeError:
        pass
    raise InvalidParameterError("uid", "must be percent-encoded UTF-8")


def _in_mcp_param(source: UidSource, request: SourceRequest) -> str | None:
    value = _in_header(source, request)
    return None if value is None else _decode_mcp_param(source.name, value)


def _decode_mcp_param(header: str, value: str) -> str:
    """Returns a decoded value. A lenient decoding could yield the uid of another user."""
    if not (value.startswith(_BASE64_START) and value.endswith(_BASE64_END)):
        if _PLAIN.fullmatch(value):
            return value
    else:
        encoded = value.removeprefix(_BASE64_START).removesuffix(_BASE64_END)
        try:
            decoded = b64decode(encoded, validate=True)
            if b64encode(decoded).decode() == encoded:  # some encodings differ only in bits that no decoder reads
                return decoded.decode()
        except ValueError:
            pass
    raise InvalidParameterError(
        "uid", f"must be plain ASCII in the header {header}, or =?base64?...?= with the padded base64 of its UTF-8"
    )


def _in_claims(source: UidSource, request: SourceRequest) -> str | None:
    text = _single_value(request.header(source.claims_header), f"the header {source.claims_header}")
    encoded = None if text is None else _encoded_claims(text, is_credential=source.claims_header == _AUTHORIZATION)
    if encoded is None:
        return None
    value = _claims(encoded).get(source.name)
    return value if isinstance(value, str) else None if value is None or isinstance(value, bool) else _number(value)


def _encoded_claims(header_value: str, *, is_credential: bool) -> str | None:
    """Returns the encoded claims of a token, or of a header that has only the claims; None if the value is neither."""
    if is_credential and not header_value.startswith(_SCHEME):
        return None
    if token := _TOKEN.fullmatch(header_value.removeprefix(_SCHEME)):
        return token["claims"]
    return header_value if not is_credential and _CLAIMS.fullmatch(header_value) else None


def _number(value: object) -> str | None:
    return str(value) if isinstance(value, int) else None


def _claims(encoded: str) -> dict[str, Any]:
    """Returns the decoded claims, or none if they are invalid: the request then has no uid."""
    try:
        claims = msgspec.json.decode(urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except (binascii.Error, ValueError, RecursionError):  # RecursionError: deeply nested JSON
        return {}
    return claims if isinstance(claims, dict) else {}


_FINDERS: dict[UidLocation, Callable[[UidSource, SourceRequest], str | None]] = {
    UidLocation.HEADER: _in_header,
    UidLocation.COOKIE: _in_cookie,
    UidLocation.QUERY: _in_query,
    UidLocation.MCP_PARAM: _in_mcp_param,
    UidLocation.JWT: _in_claims,
}
