"""Where a request says whose it is."""

from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from statefulroute.domain.errors import InvalidParameterError
from statefulroute.resolver.uid_sources import UidSource, find_uid


@dataclass
class Request:
    """A request that a gateway was sent."""

    headers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    query: str = ""

    def header(self, name: str) -> Sequence[str]:
        return self.headers.get(name, ())


def claims(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def token(text: str) -> str:
    return f"Bearer e30.{claims(text)}.c2ln"


def find(source: str, query: str = "", **headers: str | Sequence[str]) -> str | None:
    asked = {name.replace("_", "-"): (value,) if isinstance(value, str) else value for name, value in headers.items()}
    return find_uid([UidSource.parse(source)], Request(asked, query))


@pytest.mark.parametrize(
    ("source", "headers", "uid"),
    [
        ("header:X-User", {"x_user": "alice"}, "alice"),
        ("header:x-user", {"x_user": "Guest 7"}, "Guest 7"),
        ("header:x-user", {"x_user": ""}, None),
        ("header:x-user", {}, None),
        ("cookie:uid", {"cookie": "uid=alice"}, "alice"),
        ("cookie:uid", {"cookie": "xuid=bob; uid=alice; uid2=carol"}, "alice"),
        ("cookie:uid", {"cookie": ["a=b", "uid=a=b"]}, "a=b"),
        ("cookie:uid", {"cookie": 'uid="alice"'}, "alice"),
        ("cookie:uid", {"cookie": "UID=alice"}, None),
        ("cookie:uid", {"cookie": "uid"}, None),
        ("jwt:sub", {"authorization": token('{"sub": "alice"}')}, "alice"),
        ("jwt:sub", {"authorization": token('{"sub": 7}')}, "7"),
        ("jwt:sub", {"authorization": token('{"sub": true}')}, None),
        ("jwt:sub", {"authorization": token('{"sub": ["a"]}')}, None),
        ("jwt:sub", {"authorization": token("[]")}, None),
        ("jwt:sub", {"authorization": "Bearer e30.%%%.c2ln"}, None),
        ("jwt:sub", {"authorization": "Basic YWxpY2U6cHc="}, None),
        ("jwt:sub", {"authorization": "Bearer e30.gICA.c2ln"}, None),
        ("jwt:sub", {"authorization": token('{"sub":' * 5_000)}, None),
        ("jwt:sub", {}, None),
        # A gateway looks for `Bearer ` and verifies what follows; what it does not see, anybody may have written.
        ("jwt:sub", {"authorization": token('{"sub": "alice"}').replace("Bearer", "bearer")}, None),
        ("jwt:sub", {"authorization": token('{"sub": "alice"}').removeprefix("Bearer ")}, None),
        ("jwt:sub", {"authorization": "Basic " + claims('{"sub": "alice"}')}, None),
        ("jwt:sub", {"authorization": "Bearer " + claims('{"sub": "alice"}')}, None),
        ("jwt:sub", {"authorization": "Bearer a.b.c " + token('{"sub": "alice"}').removeprefix("Bearer ")}, None),
        ("jwt:sub", {"authorization": "Bearer  e30.e30.c2ln," + token('{"sub": "alice"}')}, None),
        ("jwt:sub@x-token", {"x_token": token('{"sub": "alice"}')}, "alice"),
        ("jwt:sub@x-token", {"x_token": token('{"sub": "alice"}').removeprefix("Bearer ")}, "alice"),
        ("jwt:sub@x-claims", {"x_claims": claims('{"sub": "bob"}') + "="}, "bob"),
        ("jwt:sub@x-claims", {"x_claims": "x " + claims('{"sub": "bob"}')}, None),
        ("jwt:email@X-Claims", {"x_claims": claims('{"email": "a@b"}')}, "a@b"),
    ],
)
def test_a_uid_is_found_or_not(source: str, headers: Mapping[str, str], uid: str | None) -> None:
    assert find(source, **headers) == uid


@pytest.mark.parametrize(
    ("query", "uid"),
    [("uid=alice", "alice"), ("a=1&uid=G%20%2B+7", "G + 7"), ("uid=", None), ("", None), ("UID=alice", None)],
)
def test_a_parameter_is_decoded(query: str, uid: str | None) -> None:
    assert find("query:uid", query) == uid


@pytest.mark.parametrize(
    ("source", "query", "headers", "named"),
    [
        ("header:x-user", "", {"x_user": ["alice", "bob"]}, "the header x-user"),
        ("cookie:uid", "", {"cookie": "uid=alice; uid=bob"}, "the cookie uid"),
        ("query:uid", "uid=alice&uid=bob", {}, "the parameter uid"),
        ("jwt:sub", "", {"authorization": ["Bearer a.b.c", "Bearer d.e.f"]}, "the header authorization"),
    ],
)
def test_two_are_refused_for_nobody_can_say_which_counts(
    source: str, query: str, headers: Mapping[str, str], named: str
) -> None:
    with pytest.raises(InvalidParameterError, match=f"^uid occurs 2 times in the request: {named} may occur once$"):
        find(source, query, **headers)


def test_what_no_link_can_bind_is_refused() -> None:
    with pytest.raises(InvalidParameterError, match="uid must not hold control characters"):
        find("query:uid", "uid=a%0Ab")


def test_the_first_place_that_has_one_counts() -> None:
    sources = [UidSource.parse(each) for each in ("header:x-user", "cookie:uid", "query:uid")]
    request = Request({"cookie": ["uid=bob"]}, "uid=carol")
    assert find_uid(sources, request) == "bob"
    assert find_uid(sources[::-1], request) == "carol"
    assert find_uid([], request) is None


@pytest.mark.parametrize("text", ["", "x-user", "header:", "body:uid", ":uid", "Header:uid"])
def test_a_place_that_is_none_is_refused_with_what_one_looks_like(text: str) -> None:
    with pytest.raises(ValueError, match="is not a source of the uid: write header:NAME, cookie:NAME, query:NAME"):
        UidSource.parse(text)


@pytest.mark.parametrize("text", ["jwt:@x", "jwt:sub@"])
def test_a_claim_needs_a_name_and_a_header(text: str) -> None:
    with pytest.raises(ValueError, match="must name a claim and the header of its token, as jwt:CLAIM@HEADER"):
        UidSource.parse(text)
