"""Takes a response from a connection of aiohttp if it arrives in one piece, as the response to a small write does.

aiohttp's parser and its stream serve responses of any form and size. For a small response, they take a tenth of the CPU
time of a binding. They get every response that is not plain: an error, one that arrives in several pieces or chunks.
"""

import asyncio
import re
from collections.abc import Mapping
from typing import NamedTuple

from aiohttp.client_proto import ResponseHandler
from aiohttp.helpers import TimerNoop

#: The largest part of a response that aiohttp buffers before the connection is read further.
_BUFFER_BYTES = 2**18

_SUCCESS = re.compile(rb"HTTP/1\.1 (20[01]) [ -~]*\r\n((?:[A-Za-z0-9-]+: [ -~]*\r\n)+)\r\n")

#: A response with one of these headers has another form, or is the last one of its connection.
_OTHER_FORMS = frozenset({"Connection", "Content-Encoding", "Trailer", "Transfer-Encoding", "Upgrade"})


class Response(NamedTuple):
    """A response.

    Attributes:
        status: the HTTP status.
        headers: the headers, by names in the usual case, such as `Retry-After`.
        body: the whole body.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


def parse_whole(data: bytes) -> Response | None:
    """Returns the successful response that the data is, with its length in the headers; None for any other data."""
    match = _SUCCESS.match(data)
    if match is None:
        return None
    headers, lines, body = dict[str, str](), match[2].decode().splitlines(), data[match.end() :]
    for line in lines:
        name, _, value = line.partition(": ")
        headers[name.title()] = value
    if headers.get("Content-Length") != str(len(body)) or len(headers) < len(lines) or headers.keys() & _OTHER_FORMS:
        return None
    return Response(int(match[1]), headers, body)


class WholeResponseReader:
    """Reads the next response of a connection, in place of aiohttp's parser, or leaves it to that.

    aiohttp has the hook for WebSockets: the connection passes what it receives to a parser that was set.

    Args:
        protocol: the connection; its request is sent after this.

    Attributes:
        response: the response; None if aiohttp's parser has it, or the connection is lost.
    """

    def __init__(self, protocol: ResponseHandler) -> None:
        self.response: asyncio.Future[Response | None] = asyncio.get_running_loop().create_future()
        self._protocol = protocol
        protocol.set_parser(self, None)

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Takes what the connection has received first."""
        self._protocol.set_parser(None, None)
        response = parse_whole(data)
        if response is None:
            self._protocol.set_response_params(timer=TimerNoop(), read_until_eof=True, read_bufsize=_BUFFER_BYTES)
            self._protocol.data_received(data)
        self._end(response)
        return False, b""

    def feed_eof(self) -> None:
        """Notices that the connection is lost."""
        self._end(None)

    def _end(self, response: Response | None) -> None:
        if not self.response.done():  # the request may have been cancelled
            self.response.set_result(response)
