"""Reads Envoy's ext_proc messages and builds the responses."""

from collections.abc import Sequence
from functools import lru_cache

from google.protobuf.struct_pb2 import Struct

from statefulroute.resolver.grpc.extproc_pb2 import (
    HeaderMap,
    HeaderMutation,
    HeaderValue,
    HeaderValueOption,
    HttpBody,
    ImmediateResponse,
    ProcessingMode,
    ProcessingRequest,
    ProcessingResponse,
    ProtocolConfiguration,
    StreamedBodyResponse,
)
from statefulroute.resolver.settings import ENDPOINT_HEADER
from statefulroute.rest.problems import ProblemError

#: The metadata namespace and key with the endpoints that a gateway offers.
SUBSET_NAMESPACE, SUBSET = "envoy.lb.subset_hint", "x-gateway-destination-endpoint-subset"

#: The metadata namespace for the picked endpoint, which is also in the header.
_PICKED_NAMESPACE = "envoy.lb"

#: The key in the same namespace for the endpoint that has served a request, in messages about the response.
_SERVED = f"{ENDPOINT_HEADER}-served"

_OVERWRITE = HeaderValueOption.AppendAction.OVERWRITE_IF_EXISTS_OR_ADD
_FULL_DUPLEX = ProtocolConfiguration.BodySendMode.FULL_DUPLEX_STREAMED

#: Asks the gateway for the headers of the response, if it is appended to the response to the headers of a request: the
#: bytes of two messages are those of their union.
RESPONSE_HEADERS_WANTED = ProcessingResponse(
    mode_override=ProcessingMode(response_header_mode=ProcessingMode.HeaderSendMode.SEND)
).SerializeToString()


class EnvoyRequest:
    """A client's request, or a response, as a source of the uid.

    Args:
        headers: its headers, with the pseudo-headers of Envoy.
    """

    def __init__(self, headers: HeaderMap) -> None:
        self._headers = headers

    def header(self, name: str) -> Sequence[str]:
        """Returns the values of a header; Envoy sends all names in lower case."""
        return [header_text(header) for header in self._headers.headers if header.key == name]

    @property
    def query(self) -> str:
        """The query string of the URL."""
        path = next(iter(self.header(":path")), "")
        return path.partition("?")[2]


def header_text(header: HeaderValue) -> str:
    """Returns the value of a header, with other bytes than UTF-8 as surrogates."""
    return header.raw_value.decode(errors="surrogateescape") if header.raw_value else header.value


def endpoint_subset(request: ProcessingRequest) -> frozenset[str] | None:
    """Returns the endpoints that the gateway offers for a request; None if it does not limit them."""
    spaces = request.metadata_context.filter_metadata
    if SUBSET_NAMESPACE not in spaces or SUBSET not in spaces[SUBSET_NAMESPACE].fields:
        return None
    subset = spaces[SUBSET_NAMESPACE].fields[SUBSET]
    texts = [value.string_value for value in subset.list_value.values] or [subset.string_value]
    return frozenset(endpoint.strip() for text in texts for endpoint in text.split(",") if endpoint.strip())


def served_endpoint(request: ProcessingRequest) -> str | None:
    """Returns the endpoint that has served a request, from a message about the response; None if it does not say so."""
    spaces = request.metadata_context.filter_metadata
    if _PICKED_NAMESPACE not in spaces:
        return None
    return spaces[_PICKED_NAMESPACE].fields[_SERVED].string_value or None


def forwards_bodies(modes: ProtocolConfiguration) -> bool:
    """Returns whether the gateway sends bodies. Another mode, which would be one for bodies as well, cannot be set."""
    return bool(modes.request_body_mode or modes.response_body_mode)


@lru_cache(maxsize=65_536)
def endpoint_response(endpoint: str) -> bytes:
    """Returns the response for a picked endpoint: in the header, which overwrites a client's own, and in metadata."""
    response = ProcessingResponse()
    common = response.request_headers.response
    common.header_mutation.set_headers.append(_header(ENDPOINT_HEADER, endpoint))
    metadata = Struct()
    metadata.update({_PICKED_NAMESPACE: {ENDPOINT_HEADER: endpoint}})
    response.dynamic_metadata.CopyFrom(metadata)
    return response.SerializeToString()


def problem_response(error: ProblemError) -> bytes:
    """Returns the response for a problem, which Envoy sends to the client."""
    headers = HeaderMutation(set_headers=[_header(name.lower(), value) for name, value in error.headers.items()])
    response = ImmediateResponse(headers=headers, body=error.body, details=error.kind.name.lower())
    response.status.code = error.kind.status
    return ProcessingResponse(immediate_response=response).SerializeToString()


def continue_response(request: ProcessingRequest, modes: ProtocolConfiguration | None) -> bytes:
    """Returns the response that leaves a message unchanged.

    Args:
        request: a message other than a request's headers.
        modes: how the gateway sends bodies, if known: in full duplex each piece must be sent back.
    """
    response = ProcessingResponse()
    match request.WhichOneof("request"):
        case "response_headers":
            response.response_headers.SetInParent()
        case "request_body":
            response.request_body.SetInParent()
            if modes is None or modes.request_body_mode == _FULL_DUPLEX:
                _send_back(request.request_body, response.request_body.response.body_mutation.streamed_response)
        case "response_body":
            response.response_body.SetInParent()
            if modes is None or modes.response_body_mode == _FULL_DUPLEX:
                _send_back(request.response_body, response.response_body.response.body_mutation.streamed_response)
        case "request_trailers":
            response.request_trailers.SetInParent()
        case "response_trailers":
            response.response_trailers.SetInParent()
    return response.SerializeToString()


def _send_back(body: HttpBody, sent: StreamedBodyResponse) -> None:
    sent.body = body.body
    sent.end_of_stream = body.end_of_stream


def _header(name: str, value: str) -> HeaderValueOption:
    # Envoy reads only the raw value.
    return HeaderValueOption(header=HeaderValue(key=name, raw_value=value.encode()), append_action=_OVERWRITE)
