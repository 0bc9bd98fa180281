"""Tests the sources of the uid of a request."""

import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statefulroute.domain.errors import InvalidParameterError
from statefulroute.domain.validation import validate_uid
from statefulroute.resolver.grpc.ext_authz_messages import CheckedHttpRequest
from statefulroute.resolver.grpc.extauthz_pb2 import CheckedRequest
from statefulroute.resolver.uid_sources import UidSource, find_uid, split_joined


@dataclass
class Request:
    """A request to a gateway."""

    headers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    query: str = ""

    def header(self, name: str) -> Sequence[str]:
        return self.headers.get(name, ())


def claims(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def token(text: str) -> str:
    return f"Bearer e30.{claims(text)}.c2ln"


def find(source: str, query: str = "", **headers: str | Sequence[str]) -> str | None:
    values = {name.replace("_", "-"): (value,) if isinstance(value, str) else value for name, value in headers.items()}
    return find_uid([UidSource.parse(source)], Request(values, query))


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
        ("mcp-param:Notebook", {"mcp_param_notebook": "n-1"}, "n-1"),
        ("mcp-param:notebook", {"mcp_param_notebook": "two words!"}, "two words!"),
        ("mcp-param:notebook", {"mcp_param_notebook": "=?base64?SGVsbG8sIOS4lueVjA==?="}, "Hello, \u4e16\u754c"),
        ("mcp-param:notebook", {"mcp_param_notebook": "=?base64?IHBhZGRlZCA=?="}, " padded "),
        ("mcp-param:notebook", {"mcp_param_notebook": "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="}, "=?base64?literal?="),
        ("mcp-param:notebook", {"mcp_param_notebook": "=?base64?YWxpY2U=?="}, "alice"),
        # Only what has both marks, exactly as they are, is encoded.
        ("mcp-param:notebook", {"mcp_param_notebook": "=?base64?YWxpY2U="}, "=?base64?YWxpY2U="),
        ("mcp-param:notebook", {"mcp_param_notebook": "=?BASE64?YWxpY2U=?="}, "=?BASE64?YWxpY2U=?="),
        ("mcp-param:notebook", {"mcp_param_notebook": ""}, None),
        ("mcp-param:notebook", {"mcp_param_notebook": "=?base64??="}, None),
        ("mcp-param:notebook", {"notebook": "n-1"}, None),
        ("header:mcp-param-notebook", {"mcp_param_notebook": "=?base64?YWxpY2U=?="}, "=?base64?YWxpY2U=?="),
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
        # A gateway verifies only what follows `Bearer `; the client may have written anything else.
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
def test_uid_of_each_source(source: str, headers: Mapping[str, str], uid: str | None) -> None:
    assert find(source, **headers) == uid


@pytest.mark.parametrize(
    ("query", "uid"),
    [("uid=alice", "alice"), ("a=1&uid=G%20%2B+7", "G + 7"), ("uid=", None), ("", None), ("UID=alice", None)],
)
def test_query_parameter_is_decoded(query: str, uid: str | None) -> None:
    assert find("query:uid", query) == uid


@pytest.mark.parametrize(
    ("source", "query", "headers", "named"),
    [
        ("header:x-user", "", {"x_user": ["alice", "bob"]}, "the header x-user"),
        ("cookie:uid", "", {"cookie": "uid=alice; uid=bob"}, "the cookie uid"),
        ("query:uid", "uid=alice&uid=bob", {}, "the parameter uid"),
        ("query:uid", "uid=&u%69d=alice", {}, "the parameter uid"),
        ("mcp-param:x", "", {"mcp_param_x": ["alice", "=?base64?YWxpY2U=?="]}, "the header mcp-param-x"),
        ("jwt:sub", "", {"authorization": ["Bearer a.b.c", "Bearer d.e.f"]}, "the header authorization"),
    ],
)
def test_rejects_two_values_of_a_source(source: str, query: str, headers: Mapping[str, str], named: str) -> None:
    with pytest.raises(InvalidParameterError, match=f"^uid occurs 2 times in the request: {named} may occur once$"):
        find(source, query, **headers)


@pytest.mark.parametrize("cookies", ["a=1,uid=bob", "uid=alice,uid=bob", "uid=alice,a=1", "uid=alice; a=1,uid=bob"])
def test_rejects_cookies_that_may_be_joined(cookies: str) -> None:
    with pytest.raises(InvalidParameterError, match=r"^uid must be in a cookie uid without a comma before or in it$"):
        find("cookie:uid", cookie=cookies)


def test_other_cookies_may_have_commas() -> None:
    assert find("cookie:uid", cookie="a=1,2; uid=alice; b=3,c") == "alice"


@pytest.mark.parametrize(
    ("name", "value", "values"),
    [
        ("x-user-id", "alice", ["alice"]),
        ("x-user-id", "alice,bob", ["alice", "bob"]),
        ("x-user-id", ",alice", ["", "alice"]),
        ("cookie", "a,b", ["a,b"]),
    ],
)
def test_comma_in_a_header_counts_as_several_values(name: str, value: str, values: Sequence[str]) -> None:
    assert [*split_joined(name, value)] == values


def encode_mcp_param(value: str) -> str:
    """Encodes the value of a header as a client of MCP must, by the rules of the revision 2026-07-28."""
    is_plain = all("\x20" <= character <= "\x7e" or character == "\t" for character in value)
    is_marked = value.startswith("=?base64?") and value.endswith("?=")
    return value if is_plain and value == value.strip(" \t") and not is_marked else enclose(value.encode())


def enclose(value: bytes) -> str:
    return f"=?base64?{b64encode(value).decode()}?="


PIECES = ["=?base64?", "?=", "=", "YWxpY2U=", "YR==", "\t", " ", "a", "\u00e9", "\udcff", "\ufffd", "\x7f"]

hostile_texts = st.lists(st.sampled_from(PIECES)).map("".join) | st.text()


def find_mcp_param(value: str) -> str | None:
    return find("mcp-param:notebook", mcp_param_notebook=value)


@given(st.text() | st.lists(st.sampled_from([each for each in PIECES if each != "\udcff"])).map("".join))
def test_mcp_parameter_is_the_value_that_a_client_encodes(value: str) -> None:
    try:
        expected = validate_uid(value) if value and "\ufffd" not in value else None
    except InvalidParameterError:
        expected = None
    try:
        found = find_mcp_param(encode_mcp_param(value))
    except InvalidParameterError:
        found = None
    assert found == expected


@given(hostile_texts | hostile_texts.map(lambda text: f"=?base64?{text}?="))
def test_mcp_parameter_has_no_other_encoding(value: str) -> None:
    try:
        uid = find_mcp_param(value)
    except InvalidParameterError:
        return
    assert value in ({"", "=?base64??="} if uid is None else {uid, enclose(uid.encode())})


@pytest.mark.parametrize(
    "value",
    [
        "=?base64?YWxpY2U?=",  # without padding
        "=?base64?YWxpY2U==?=",  # with too much of it
        "=?base64?YWxpY2V=?=",  # the last bits of the last letter are not zero: lenient decoders read `alice`
        "=?base64?YWxp Y2U=?=",
        "=?base64?YWxp\tY2U=?=",
        "=?base64?YWxpY2U=YWxpY2U=?=",
        "=?base64?_-_-?=",  # the alphabet of URLs
        "=?base64?YWxpY2U=\u00e9?=",
        "=?base64?=",
        "=?base64?gICA?=",  # not UTF-8
        "=?base64?7aCA?=",  # a surrogate
        "=?base64?wIA=?=",  # an overlong zero
        "caf\u00e9",
        "a\x7fb",
        b"a\xff".decode(errors="surrogateescape"),
    ],
)
def test_rejects_mcp_parameter_that_is_not_encoded_as_it_must_be(value: str) -> None:
    message = (
        "uid must be plain ASCII in the header mcp-param-notebook, or =?base64?...?= with the padded base64 of its "
        "UTF-8"
    )
    with pytest.raises(InvalidParameterError, match=f"^{re.escape(message)}$"):
        find_mcp_param(value)


@pytest.mark.parametrize("value", ["=?base64?bGluZTEKbGluZTI=?=", "=?base64?YQA=?="])
def test_rejects_mcp_parameter_that_no_link_can_have(value: str) -> None:
    with pytest.raises(InvalidParameterError, match="uid must not hold control characters"):
        find_mcp_param(value)


def test_rejects_malformed_mcp_parameter_though_another_source_has_a_uid() -> None:
    sources = [UidSource.parse("mcp-param:x"), UidSource.parse("header:mcp-session-id")]
    with pytest.raises(InvalidParameterError, match="uid must be plain ASCII in the header mcp-param-x"):
        find_uid(sources, Request({"mcp-param-x": ["=?base64?YWxpY2U?="], "mcp-session-id": ["alice"]}))


@pytest.mark.parametrize("name", ["a b", "a:b", "caf\u00e9", "a\n", "(x)"])
def test_mcp_parameter_needs_a_name_that_a_header_can_have(name: str) -> None:
    with pytest.raises(ValueError, match="must name what follows Mcp-Param- in the name of a header"):
        UidSource.parse(f"mcp-param:{name}")


def test_name_of_an_mcp_parameter_may_be_any_token() -> None:
    name = "!#$%&'*+-.^_`|~09AZaz"
    assert UidSource.parse(f"mcp-param:{name}").name == f"mcp-param-{name.lower()}"


@pytest.mark.parametrize("query", ["uid=%FF", "uid=alice%ff", "uid=100%", "uid=%zz", "uid=%1", "a=1&uid=%C3"])
def test_rejects_parameter_that_is_not_encoded_utf_8(query: str) -> None:
    with pytest.raises(InvalidParameterError, match="uid must be percent-encoded UTF-8"):
        find("query:uid", query)


def test_other_parameters_need_not_be_utf_8() -> None:
    assert find("query:uid", "a=%FF&%FF=1&uid=alice&b=100%") == "alice"


def test_rejects_uid_that_no_link_can_have() -> None:
    with pytest.raises(InvalidParameterError, match="uid must not hold control characters"):
        find("query:uid", "uid=a%0Ab")


@pytest.mark.parametrize("uid", [b"a\xff".decode(errors="surrogateescape"), "a\ufffd"])
@pytest.mark.parametrize("source", ["header:x-user", "cookie:uid"])
def test_rejects_uid_of_other_bytes_than_utf_8(source: str, uid: str) -> None:
    with pytest.raises(InvalidParameterError, match=r"^uid must be UTF-8: other bytes could name two users alike$"):
        find(source, x_user=uid, cookie=f"uid={uid}")


@pytest.mark.parametrize(
    ("source", "headers", "path"),
    [
        ("header:x-user", {"x-user": "a!"}, "/"),
        ("cookie:uid", {"cookie": "uid=a!"}, "/"),
        ("query:uid", {}, "/?uid=a!"),
    ],
)
def test_rejects_uid_in_which_envoy_may_have_replaced_bytes(source: str, headers: Mapping[str, str], path: str) -> None:
    sources = [UidSource.parse(source)]
    joined = CheckedRequest(path=path, headers={**headers, ":path": path})
    with pytest.raises(InvalidParameterError, match="uid must be UTF-8"):
        find_uid(sources, CheckedHttpRequest(joined))
    raw = CheckedRequest(path=path)
    for name, value in {**headers, ":path": path}.items():
        raw.header_map.headers.add(key=name, raw_value=value.encode())
    assert find_uid(sources, CheckedHttpRequest(raw)) == "a!"


def test_rejects_query_of_which_envoy_has_replaced_bytes() -> None:
    request = CheckedRequest(path="/?uid=a!")
    request.header_map.headers.add(key=":path", raw_value=b"/?uid=a\xff")
    with pytest.raises(InvalidParameterError, match="uid must be UTF-8"):
        find_uid([UidSource.parse("query:uid")], CheckedHttpRequest(request))


def test_other_cookies_may_have_exclamation_marks() -> None:
    request = CheckedRequest(headers={"cookie": "a=hello!; uid=alice"})
    assert find_uid([UidSource.parse("cookie:uid")], CheckedHttpRequest(request)) == "alice"


def test_first_source_with_a_value_is_used() -> None:
    sources = [UidSource.parse(each) for each in ("header:x-user", "cookie:uid", "query:uid")]
    request = Request({"cookie": ["uid=bob"]}, "uid=carol")
    assert find_uid(sources, request) == "bob"
    assert find_uid(sources[::-1], request) == "carol"
    assert find_uid([], request) is None


@pytest.mark.parametrize("text", ["", "x-user", "header:", "body:uid", ":uid", "Header:uid"])
def test_rejects_unknown_source_with_the_valid_forms(text: str) -> None:
    with pytest.raises(ValueError, match="is not a source of the uid: write header:NAME, cookie:NAME, query:NAME"):
        UidSource.parse(text)


@pytest.mark.parametrize("text", ["jwt:@x", "jwt:sub@"])
def test_claim_needs_a_name_and_a_header(text: str) -> None:
    with pytest.raises(ValueError, match="must name a claim and the header of its token, as jwt:CLAIM@HEADER"):
        UidSource.parse(text)
