"""Envoy's messages: what is read from a request, and the answers to it."""

from collections.abc import Sequence
from functools import lru_cache

from google.protobuf.struct_pb2 import Struct

from statefulroute.resolver.ext_proc.extproc_pb2 import (
    HeaderMap,
    HeaderMutation,
    HeaderValue,
    HeaderValueOption,
    HttpBody,
    ImmediateResponse,
    ProcessingRequest,
    ProcessingResponse,
    ProtocolConfiguration,
    StreamedBodyResponse,
)
from statefulroute.resolver.problems import ProblemError
from statefulroute.resolver.settings import ENDPOINT_HEADER

#: Where a gateway says which endpoints it can use, and under which name.
SUBSET_NAMESPACE, SUBSET = "envoy.lb.subset_hint", "x-gateway-destination-endpoint-subset"

#: Where the picked endpoint is told beside the header.
_PICKED_NAMESPACE = "envoy.lb"

_OVERWRITE = HeaderValueOption.AppendAction.OVERWRITE_IF_EXISTS_OR_ADD
_FULL_DUPLEX = ProtocolConfiguration.BodySendMode.FULL_DUPLEX_STREAMED


class EnvoyRequest:
    """A request as a place to look for a uid in.

    Args:
        headers: its headers, and what Envoy makes of its first line.
    """

    def __init__(self, headers: HeaderMap) -> None:
        self._headers = headers

    def header(self, name: str) -> Sequence[str]:
        """The values of a header; Envoy writes all names in lower case."""
        return [_text(each) for each in self._headers.headers if each.key == name]

    @property
    def query(self) -> str:
        """What follows the `?` of its URL."""
        path = next(iter(self.header(":path")), "")
        return path.partition("?")[2]


def _text(header: HeaderValue) -> str:
    return header.raw_value.decode(errors="surrogateescape") if header.raw_value else header.value


def endpoint_subset(request: ProcessingRequest) -> frozenset[str] | None:
    """The endpoints that the gateway can use for a request; None where it does not say."""
    spaces = request.metadata_context.filter_metadata
    if SUBSET_NAMESPACE not in spaces or SUBSET not in spaces[SUBSET_NAMESPACE].fields:
        return None
    said = spaces[SUBSET_NAMESPACE].fields[SUBSET]
    texts = [each.string_value for each in said.list_value.values] or [said.string_value]
    return frozenset(endpoint.strip() for text in texts for endpoint in text.split(",") if endpoint.strip())


@lru_cache(maxsize=65_536)
def endpoint_response(endpoint: str) -> bytes:
    """That a request goes to an endpoint: in the header, in the place of a client's own, and in the metadata."""
    answer = ProcessingResponse()
    common = answer.request_headers.response
    common.header_mutation.set_headers.append(_header(ENDPOINT_HEADER, endpoint))
    told = Struct()
    told.update({_PICKED_NAMESPACE: {ENDPOINT_HEADER: endpoint}})
    answer.dynamic_metadata.CopyFrom(told)
    return answer.SerializeToString()


def problem_response(error: ProblemError) -> bytes:
    """That a request goes nowhere, and what the client is told."""
    headers = HeaderMutation(set_headers=[_header(name.lower(), value) for name, value in error.headers.items()])
    answer = ImmediateResponse(headers=headers, body=error.body, details=error.kind.name.lower())
    answer.status.code = error.kind.status
    return ProcessingResponse(immediate_response=answer).SerializeToString()


def continue_response(request: ProcessingRequest, modes: ProtocolConfiguration | None) -> bytes:
    """That whatever else a gateway sends is to stay as it is.

    Args:
        request: what it has sent, other than a request's headers.
        modes: how it sends bodies, if it has said so: in full duplex each piece must be sent back.
    """
    answer = ProcessingResponse()
    match request.WhichOneof("request"):
        case "response_headers":
            answer.response_headers.SetInParent()
        case "request_body":
            answer.request_body.SetInParent()
            if modes is None or modes.request_body_mode == _FULL_DUPLEX:
                _send_back(request.request_body, answer.request_body.response.body_mutation.streamed_response)
        case "response_body":
            answer.response_body.SetInParent()
            if modes is None or modes.response_body_mode == _FULL_DUPLEX:
                _send_back(request.response_body, answer.response_body.response.body_mutation.streamed_response)
        case "request_trailers":
            answer.request_trailers.SetInParent()
        case "response_trailers":
            answer.response_trailers.SetInParent()
    return answer.SerializeToString()


def _send_back(body: HttpBody, sent: StreamedBodyResponse) -> None:
    sent.body = body.body
    sent.end_of_stream = body.end_of_stream


def _header(name: str, value: str) -> HeaderValueOption:
    # Envoy reads the raw value, and leaves the other unread.
    return HeaderValueOption(header=HeaderValue(key=name, raw_value=value.encode()), append_action=_OVERWRITE)
