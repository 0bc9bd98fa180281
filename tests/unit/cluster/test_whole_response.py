"""A plain response that arrives whole is parsed without aiohttp; aiohttp's parser has every other one."""

import asyncio
from pathlib import Path

import pytest
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpResponseParser
from hypothesis import example, given
from hypothesis import strategies as st

from statefulroute.cluster.client import Client
from statefulroute.cluster.connection import connect
from statefulroute.cluster.whole_response import Response, parse_whole
from unit.cluster.kubeconfigs import write_kubeconfig

PLAIN = b"HTTP/1.1 200 OK\r\nDate: Mon, 01 Jun 2026 12:00:00 GMT\r\nContent-Length: 7\r\n\r\nwritten"
OTHERS = {
    "an error": PLAIN.replace(b"200 OK", b"409 Conflict"),
    "a redirect": PLAIN.replace(b"200 OK", b"302 Found"),
    "an interim response": b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN,
    "another version": PLAIN.replace(b"1.1", b"1.0"),
    "half a header": PLAIN[:40],
    "half a body": PLAIN[:-1],
    "data after the body": PLAIN + b"H",
    "no length": PLAIN.replace(b"Content-Length: 7", b"Content-Type: text/plain"),
    "two lengths": PLAIN.replace(b"Content-Length: 7", b"Content-Length: 8\r\nContent-Length: 7"),
    "a signed length": PLAIN.replace(b"Length: 7", b"Length: +7"),
    "chunks": PLAIN.replace(b"Date", b"transfer-encoding: chunked\r\nDate"),
    "a compressed body": PLAIN.replace(b"Date", b"Content-Encoding: gzip\r\nDate"),
    "the end of the connection": PLAIN.replace(b"Date", b"Connection: close\r\nDate"),
    "a header of two lines": PLAIN.replace(b"Date", b"X-A: b\r\n c\r\nDate"),
    "a header that is not ASCII": PLAIN.replace(b"Date", b"X-A: \xff\r\nDate"),
    "a bare newline": PLAIN.replace(b"Date", b"X-A: b\nX-C: d\r\nDate"),
}


def test_whole_response_is_parsed() -> None:
    headers = {"Date": "Mon, 01 Jun 2026 12:00:00 GMT", "Content-Length": "7"}
    assert parse_whole(PLAIN) == Response(200, headers, b"written")
    created = PLAIN.replace(b"Date", b"date").replace(b"200 OK", b"201 ")
    assert parse_whole(created) == Response(201, headers, b"written")


@pytest.mark.parametrize("data", OTHERS.values(), ids=OTHERS)
def test_other_data_is_left_to_aiohttp(data: bytes) -> None:
    assert parse_whole(data) is None


async def patched(tmp_path: Path, *pieces: bytes) -> list[bytes]:
    """Patches an object twice on one connection, on which the server sends the response in pieces."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await reader.readuntil(b"{}")
            for piece in pieces:
                await asyncio.sleep(0.02)
                writer.write(piece)
        writer.close()

    async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", server=f"http://127.0.0.1:{port}")
        async with connect(kubeconfig) as connection, Client(connection, 1) as client:
            return [await client.merge_patch("/api/v1/things/a", b"{}") for _ in range(2)]


async def test_aiohttp_parses_no_whole_response(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(ResponseHandler, "set_response_params")
    assert await patched(tmp_path, PLAIN) == [b"written", b"written"]


@pytest.mark.parametrize("end", [10, len(PLAIN) - 7, len(PLAIN) - 1])
async def test_response_in_two_pieces_is_read_to_its_end(tmp_path: Path, end: int) -> None:
    assert await patched(tmp_path, PLAIN[:end], PLAIN[end:]) == [b"written", b"written"]


HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["Date", "X-A", "Content-Length", "content-length", "Transfer-Encoding", "Connection", "X A"]),
        st.sampled_from([": ", ":", " : ", ":  "]),
        st.sampled_from(["", "a", "2", "02", "+2", "2,2", "close", "chunked", "keep-alive", "a\tb", "a\x00", "é"]),
        st.sampled_from(["\r\n", "\n", "\r\n "]),
    ),
    max_size=4,
)


@given(
    line=st.sampled_from(["HTTP/1.1 200 OK", "HTTP/1.1 201 ", "HTTP/1.1 200", "HTTP/1.0 200 OK", "HTTP/1.1 204 No"]),
    headers=HEADERS,
    body=st.sampled_from([b"", b"ok", b"ok\r\n", b"okHTTP"]),
)
@example("HTTP/1.1 200 OK", [("Date", ": ", "a", "\r\n"), ("Content-Length", ": ", "2", "\r\n")], b"ok")
def test_whole_response_is_what_aiohttp_would_parse(
    line: str, headers: list[tuple[str, str, str, str]], body: bytes
) -> None:
    data = (line + "\r\n" + "".join(map("".join, headers)) + "\r\n").encode("latin-1") + body
    response = parse_whole(data)
    if response is not None:
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            assert runner.run(parsed_by_aiohttp(data)) == (response.status, response.body, response.headers.get("Date"))


async def parsed_by_aiohttp(data: bytes) -> tuple[int, bytes, str | None]:
    """Returns the status, the body and the date of the only response in the data."""
    loop = asyncio.get_running_loop()
    parser = HttpResponseParser(ResponseHandler(loop), loop, 2**16, response_with_body=True, read_until_eof=True)
    ((message, content),), _, rest = parser.feed_data(data)
    assert not rest
    assert not message.should_close
    return message.code, await content.read(), message.headers.get("Date")
