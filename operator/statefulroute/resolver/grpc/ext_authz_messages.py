"""Reads Envoy's ext_authz messages and builds the responses."""

from collections.abc import Sequence
from functools import lru_cache

import grpc

from statefulroute.resolver.grpc.ext_proc_messages import header_text
from statefulroute.resolver.grpc.extauthz_pb2 import CheckedRequest, CheckResponse
from statefulroute.resolver.grpc.extproc_pb2 import HeaderValue, HeaderValueOption
from statefulroute.resolver.settings import POD_HEADER
from statefulroute.resolver.uid_sources import REPLACEMENT, split_joined
from statefulroute.rest.problems import ProblemError

_OVERWRITE = HeaderValueOption.AppendAction.OVERWRITE_IF_EXISTS_OR_ADD

_DENIED: int = grpc.StatusCode.PERMISSION_DENIED.value[0]


class CheckedHttpRequest:
    """A client's request as a source of the uid.

    Args:
        request: the request, with the names of headers in lower case.
    """

    def __init__(self, request: CheckedRequest) -> None:
        self._request = request

    def header(self, name: str) -> Sequence[str]:
        """Returns the values of a header. Without `encode_raw_headers`, Envoy joins them by commas."""
        if self._request.HasField("header_map"):
            return [header_text(header) for header in self._request.header_map.headers if header.key == name]
        if name not in self._request.headers:
            return ()
        return split_joined(name, _mark_replaced(self._request.headers[name]))

    @property
    def query(self) -> str:
        """The query string of the URL."""
        if self._request.HasField("header_map"):
            path = next(iter(self.header(":path")), self._request.path)
        else:
            path = _mark_replaced(self._request.path)
        return path.partition("?")[2]


def _mark_replaced(text: str) -> str:
    """Marks what Envoy may have replaced: without `encode_raw_headers`, it writes `!` for bytes that are not UTF-8."""
    return text.replace("!", REPLACEMENT)


@lru_cache(maxsize=65_536)
def ok_response(endpoint_header: str, endpoint: str, pod: str) -> bytes:
    """Returns the response for a picked endpoint: in headers, which overwrite a client's own, and in metadata."""
    response = CheckResponse()
    response.status.code = grpc.StatusCode.OK.value[0]
    headers = response.ok_response.headers
    headers.extend((_header(endpoint_header.lower(), endpoint), _header(POD_HEADER, pod)))
    response.dynamic_metadata.update({endpoint_header.lower(): endpoint})
    return response.SerializeToString()


def denied_response(error: ProblemError) -> bytes:
    """Returns the response for a problem, which Envoy sends to the client."""
    response = CheckResponse()
    response.status.code = _DENIED
    denied = response.denied_response
    denied.status.code = error.kind.status
    denied.headers.extend(_header(name.lower(), value) for name, value in error.headers.items())
    denied.body = error.body.decode()
    return response.SerializeToString()


def _header(name: str, value: str) -> HeaderValueOption:
    # Unlike ext_proc, ext_authz reads the text.
    return HeaderValueOption(header=HeaderValue(key=name, value=value), append_action=_OVERWRITE)
