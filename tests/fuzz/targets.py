"""What is fuzzed: each parser of what others have written, with what must hold of it whatever it is given.

A parser may refuse, in the one way that its caller expects; anything else that it raises is a finding.
"""

import json
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
from statefulroute.resolver.ext_proc.extproc_pb2 import ProcessingRequest
from statefulroute.resolver.ext_proc.messages import EnvoyRequest, continue_response, endpoint_subset
from statefulroute.resolver.http.lookups import decode_batch_request, decode_bind_request
from statefulroute.resolver.http.paths import PathKind, parse_path
from statefulroute.resolver.problems import ProblemError
from statefulroute.resolver.uid_sources import UidSource, find_uid

_SOURCES = [
    UidSource.parse(text) for text in ("header:x-user", "cookie:uid", "query:uid", "jwt:sub", "jwt:sub@x-claims")
]

#: What a request is made of, one a line: headers of these names, and its query.
_HEADERS = ("x-user", "cookie", "authorization", "x-claims")

_ANNOTATIONS = (LOAD_STATE, WAITING_TASKS, REPORT_TIME, ROUTING_STATE)


class _Request:
    """A request of which every part may be anything."""

    def __init__(self, text: str) -> None:
        *self._values, self.query = text.split("\n", len(_HEADERS))

    def header(self, name: str) -> Sequence[str]:
        named = zip(_HEADERS, self._values, strict=False)
        return [part for each, value in named if each == name for part in value.split("\r")]


def uids(data: bytes) -> None:
    """A uid's name gives the uid back, and no name is taken for a uid that no link can have."""
    text = data.decode(errors="replace")
    with suppress(ValueError):
        uid_from_link_name(text)
    with suppress(InvalidParameterError):
        name = link_name("game", validate_uid(text))
        assert len(name) <= 253
        assert name.isascii()
        assert uid_from_link_name(name) == text


def annotations(data: bytes) -> None:
    """A pod that has written anything on itself is a pod all the same."""
    values = data.decode(errors="replace").split("\n")
    said = dict(zip(_ANNOTATIONS, values, strict=False))
    parse_load_report(said)
    metadata = {"name": "game-0", "namespace": "play", "resourceVersion": "1", "annotations": said}
    pod = {"metadata": {**metadata, "creationTimestamp": "2026-01-01T00:00:00Z"}}
    assert PODS.decode(json.dumps(pod).encode()).name == "game-0"


def load_answers(data: bytes) -> None:
    """What a pod answers is a load, or is refused by a sentence that repeats nothing of it."""
    refusal = ""
    try:
        answer = parse_load_response(data)
    except ValueError as error:
        refusal, answer = str(error), LoadResponse()
    assert refusal.isprintable()
    assert len(refusal) < 200
    assert 0 <= answer.load_state < 2**31
    assert 0 <= answer.waiting_tasks < 2**31


def requests(data: bytes) -> None:
    """A uid that is found in a request is one that a link can have."""
    with suppress(InvalidParameterError):
        uid = find_uid(_SOURCES, _Request(data.decode(errors="surrogateescape")))
        assert uid is None or validate_uid(uid) == uid


def paths(data: bytes) -> None:
    """A path names something or nothing, and that of a user names just this user."""
    text = data.decode(errors="replace")
    target = parse_path(text)
    if target is not None:
        with suppress(InvalidParameterError):
            assert isinstance(target.uid, str)
    target = parse_path(f"/v1/namespaces/play/routes/game/links/{quote(text, safe='')}")
    assert (target is None) == (text == "")
    assert target is None or (target.kind, target.uid) == (PathKind.LINK, text)


def bodies(data: bytes) -> None:
    """A body that is sent to the resolver is read, or refused as malformed."""
    for read in (decode_batch_request, decode_bind_request):
        with suppress(ProblemError):
            read(data)


def envoy_messages(data: bytes) -> None:
    """Whatever Envoy sends is answered."""
    with suppress(DecodeError):
        request = ProcessingRequest.FromString(data)
        endpoint_subset(request)
        modes = request.protocol_config if request.HasField("protocol_config") else None
        continue_response(request, modes)
        with suppress(InvalidParameterError):
            find_uid(_SOURCES, EnvoyRequest(request.request_headers.headers))


def links(data: bytes) -> None:
    """Bytes that are a link make one, and others are left out."""
    link = LINKS.decode_or_skip(data)
    assert link is None or link.violation is not None or link.uid


def lines(data: bytes) -> None:
    """A line of an import is a link, or is refused by a sentence."""
    with suppress(InvalidRecordError):
        assert validate_uid(decode_record(data).uid)


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (uids, annotations, load_answers, requests, paths, bodies, envoy_messages, links, lines)
}
