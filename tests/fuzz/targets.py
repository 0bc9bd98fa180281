"""The fuzz targets: each parser of untrusted input, with assertions that must hold for any input.

A parser may reject input with the error that its callers expect. Any other exception is a bug.
"""

import json
from base64 import b64encode
from collections.abc import Callable, Sequence
from contextlib import suppress
from urllib.parse import quote

from google.protobuf.message import DecodeError

from statefulroute.api.annotations import LOAD_STATE, REPORT_TIME, ROUTING_STATE, WAITING_TASKS
from statefulroute.cli.link_records import InvalidRecordError, decode_record
from statefulroute.cluster.codec import LINKS, PODS
from statefulroute.domain.errors import InvalidParameterError
from statefulroute.domain.keys import link_name, uid_from_link_name
from statefulroute.domain.load import LoadResponse, parse_load_report, parse_load_response
from statefulroute.domain.validation import validate_uid
from statefulroute.resolver.grpc.ext_authz_messages import CheckedHttpRequest
from statefulroute.resolver.grpc.ext_proc_messages import (
    EnvoyRequest,
    continue_response,
    endpoint_subset,
    served_endpoint,
)
from statefulroute.resolver.grpc.extauthz_pb2 import CheckRequest
from statefulroute.resolver.grpc.extproc_pb2 import ProcessingRequest
from statefulroute.resolver.http.changes import decode_claim_request
from statefulroute.resolver.http.lookups import decode_batch_request, decode_bind_request
from statefulroute.resolver.http.paths import PathKind, parse_path
from statefulroute.resolver.uid_sources import UidSource, find_uid
from statefulroute.rest.problems import ProblemError

_SOURCES = [
    UidSource.parse(text) for text in ("header:x-user", "cookie:uid", "query:uid", "jwt:sub", "jwt:sub@x-claims")
]

#: The headers of a request; the input has one value on each line, and the query on the last.
_HEADERS = ("x-user", "cookie", "authorization", "x-claims")

_ANNOTATIONS = (LOAD_STATE, WAITING_TASKS, REPORT_TIME, ROUTING_STATE)


class _Request:
    """A request with arbitrary headers and an arbitrary query."""

    def __init__(self, text: str) -> None:
        *self._values, self.query = text.split("\n", len(_HEADERS))

    def header(self, name: str) -> Sequence[str]:
        pairs = zip(_HEADERS, self._values, strict=False)
        return [part for header_name, value in pairs if header_name == name for part in value.split("\r")]


class _McpRequest:
    """A request with one header `Mcp-Param-X`."""

    query = ""

    def __init__(self, value: str) -> None:
        self._value = value

    def header(self, name: str) -> Sequence[str]:
        return [self._value] if name == "mcp-param-x" else []


def uids(data: bytes) -> None:
    """The name of a link is decoded to its uid, and a name that decodes to no valid uid is rejected."""
    text = data.decode(errors="replace")
    with suppress(ValueError):
        uid_from_link_name(text)
    with suppress(InvalidParameterError):
        name = link_name("game", validate_uid(text))
        assert len(name) <= 253
        assert name.isascii()
        assert uid_from_link_name(name) == text


def annotations(data: bytes) -> None:
    """A pod with arbitrary annotations is decoded."""
    values = data.decode(errors="replace").split("\n")
    values_by_name = dict(zip(_ANNOTATIONS, values, strict=False))
    parse_load_report(values_by_name)
    metadata = {"name": "game-0", "namespace": "play", "resourceVersion": "1", "annotations": values_by_name}
    pod = {"metadata": {**metadata, "creationTimestamp": "2026-01-01T00:00:00Z"}}
    assert PODS.decode(json.dumps(pod).encode()).name == "game-0"


def load_answers(data: bytes) -> None:
    """A response of a pod is parsed, or rejected with a short, printable message."""
    message = ""
    try:
        response = parse_load_response(data)
    except ValueError as error:
        message, response = str(error), LoadResponse()
    assert message.isprintable()
    assert len(message) < 200
    assert 0 <= response.load_state < 2**31
    assert 0 <= response.waiting_tasks < 2**31


def requests(data: bytes) -> None:
    """A uid that is found in a request is valid."""
    with suppress(InvalidParameterError):
        uid = find_uid(_SOURCES, _Request(data.decode(errors="surrogateescape")))
        assert uid is None or validate_uid(uid) == uid


def mcp_parameters(data: bytes) -> None:
    """A uid in a parameter of MCP is its value as it is, or its only encoding."""
    value = data.decode(errors="surrogateescape")
    with suppress(InvalidParameterError):
        uid = UidSource.parse("mcp-param:x").find(_McpRequest(value))
        assert uid is not None
        assert value in {uid, f"=?base64?{b64encode(uid.encode()).decode()}?="}


def paths(data: bytes) -> None:
    """Any path is parsed or rejected, and the path of a uid is parsed to this uid."""
    text = data.decode(errors="replace")
    target = parse_path(text)
    if target is not None:
        with suppress(InvalidParameterError):
            assert isinstance(target.uid, str)
    target = parse_path(f"/v1/namespaces/play/routes/game/links/{quote(text, safe='')}")
    assert (target is None) == (text == "")
    assert target is None or (target.kind, target.uid) == (PathKind.LINK, text)


def bodies(data: bytes) -> None:
    """A request body of the resolver is decoded, or rejected as malformed."""
    for decode in (decode_batch_request, decode_bind_request, decode_claim_request):
        with suppress(ProblemError):
            decode(data)


def envoy_messages(data: bytes) -> None:
    """Any message of Envoy has a response."""
    with suppress(DecodeError):
        request = ProcessingRequest.FromString(data)
        endpoint_subset(request)
        served_endpoint(request)
        modes = request.protocol_config if request.HasField("protocol_config") else None
        continue_response(request, modes)
        with suppress(InvalidParameterError):
            find_uid(_SOURCES, EnvoyRequest(request.request_headers.headers))
    with suppress(DecodeError, InvalidParameterError):
        find_uid(_SOURCES, CheckedHttpRequest(CheckRequest.FromString(data).attributes.request.http))


def links(data: bytes) -> None:
    """Bytes are decoded to a link, or skipped."""
    link = LINKS.decode_or_skip(data)
    assert link is None or link.violation is not None or link.uid


def lines(data: bytes) -> None:
    """A line of an import is decoded to a link, or rejected with a message."""
    with suppress(InvalidRecordError):
        assert validate_uid(decode_record(data).uid)


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        uids,
        annotations,
        load_answers,
        requests,
        mcp_parameters,
        paths,
        bodies,
        envoy_messages,
        links,
        lines,
    )
}
