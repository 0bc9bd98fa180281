"""Where a request says whose it is: in a header, a cookie, a parameter of its query, or a claim of its token."""

import binascii
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, Self
from urllib.parse import parse_qs

import msgspec

from statefulroute.domain.errors import InvalidParameterError
from statefulroute.domain.validation import validate_uid

_AUTHORIZATION = "authorization"

#: What stands before a token: the scheme in the letters in which gateways look for it. A token that a gateway does not
#: see is one that it has not verified.
_SCHEME = "Bearer "

#: A signed token, RFC 7515: header, claims and signature. Nothing else may stand beside it, for the same reason.
_TOKEN = re.compile(r"[\w-]+\.(?P<claims>[\w-]+)\.[\w-]*", re.ASCII)

#: Claims alone; some gateways pad them.
_CLAIMS = re.compile(r"[\w-]+={0,2}", re.ASCII)


class SourceRequest(Protocol):
    """A request that a gateway has been sent."""

    def header(self, name: str) -> Sequence[str]:
        """The values of a header, in any case of its name; none where it has none."""

    @property
    def query(self) -> str:
        """What follows the `?` of its URL; empty where nothing does."""


class UidLocation(StrEnum):
    """Where in a request a uid may stand."""

    HEADER = "header"
    """A header, as it is."""
    COOKIE = "cookie"
    """A cookie, as it is."""
    QUERY = "query"
    """A parameter of the query, decoded."""
    JWT = "jwt"
    """A claim of a token that the gateway has verified: it is not verified here."""


@dataclass(frozen=True, slots=True)
class UidSource:
    """One place where a uid is looked for.

    Attributes:
        location: what kind of place.
        name: of the header, cookie, parameter or claim.
        claims_header: the header that the token or its claims are in, of a claim.
    """

    location: UidLocation
    name: str
    claims_header: str = _AUTHORIZATION

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `header:NAME`, `cookie:NAME`, `query:NAME`, `jwt:CLAIM` or `jwt:CLAIM@HEADER`.

        Raises:
            ValueError: it is none; the sentence says what one looks like.
        """
        place, _, name = text.partition(":")
        try:
            kind = UidLocation(place)
        except ValueError:
            kind = None
        if kind is None or not name:
            raise ValueError(
                f"{text!r} says not where the uid stands: write header:NAME, cookie:NAME, query:NAME, jwt:CLAIM or "
                "jwt:CLAIM@HEADER; for example header:x-user-id"
            )
        claim, at, header = name.partition("@")
        if kind is UidLocation.JWT and at:
            if not claim or not header:
                raise ValueError(f"{text!r} must name a claim and the header of its token, as jwt:CLAIM@HEADER")
            return cls(kind, claim, header.lower())
        return cls(kind, name.lower() if kind is UidLocation.HEADER else name)

    def find(self, request: SourceRequest) -> str | None:
        """The uid, or None where there is none.

        Raises:
            InvalidParameterError: there are several, and nobody can say which counts.
        """
        return _FINDERS[self.location](self, request)


def find_uid(sources: Sequence[UidSource], request: SourceRequest) -> str | None:
    """The uid that the first of the places has where there is one; None where there is none.

    Raises:
        InvalidParameterError: it cannot be a uid, or a place has several.
    """
    for source in sources:
        if uid := source.find(request):
            return validate_uid(uid)
    return None


def _single_value(values: Sequence[str], named: str) -> str | None:
    """Two would let a client put one of its own beside the gateway's."""
    if len(values) > 1:
        raise InvalidParameterError("uid", f"stands {len(values)} times in the request: {named} may be there once")
    return values[0] if values else None


def _in_header(source: UidSource, request: SourceRequest) -> str | None:
    return _single_value(request.header(source.name), f"the header {source.name}")


def _in_cookie(source: UidSource, request: SourceRequest) -> str | None:
    pairs = (pair.partition("=") for line in request.header("cookie") for pair in line.split(";"))
    found = [value.strip().strip('"') for name, _, value in pairs if name.strip() == source.name]
    return _single_value(found, f"the cookie {source.name}")


def _in_query(source: UidSource, request: SourceRequest) -> str | None:
    return _single_value(parse_qs(request.query).get(source.name, ()), f"the parameter {source.name}")


def _in_claims(source: UidSource, request: SourceRequest) -> str | None:
    said = _single_value(request.header(source.claims_header), f"the header {source.claims_header}")
    encoded = None if said is None else _encoded_claims(said, is_credential=source.claims_header == _AUTHORIZATION)
    if encoded is None:
        return None
    value = _claims(encoded).get(source.name)
    return value if isinstance(value, str) else None if value is None or isinstance(value, bool) else _number(value)


def _encoded_claims(header_value: str, *, is_credential: bool) -> str | None:
    """The claims are the middle of a token, or a header of their own, as gateways forward them; else None."""
    if is_credential and not header_value.startswith(_SCHEME):
        return None
    if token := _TOKEN.fullmatch(header_value.removeprefix(_SCHEME)):
        return token["claims"]
    return header_value if not is_credential and _CLAIMS.fullmatch(header_value) else None


def _number(value: object) -> str | None:
    return str(value) if isinstance(value, int) else None


def _claims(encoded: str) -> dict[str, Any]:
    """A token's claims; none where it is no token: the gateway has let it pass, and whose request it is nobody says."""
    try:
        claims = msgspec.json.decode(urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except (binascii.Error, ValueError, RecursionError):  # brackets in brackets
        return {}
    return claims if isinstance(claims, dict) else {}


_FINDERS: dict[UidLocation, Callable[[UidSource, SourceRequest], str | None]] = {
    UidLocation.HEADER: _in_header,
    UidLocation.COOKIE: _in_cookie,
    UidLocation.QUERY: _in_query,
    UidLocation.JWT: _in_claims,
}
