"""Tests that a client of the resolver process cannot take the connections, streams and requests of others."""

import json
import select
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest

from localcluster import LocalCluster
from resolver.stub_service import StubService, uids
from support.resolver_process import ResolverProcess

#: The time limit of headers and of bodies is 10 seconds; aiohttp discards the rest of a body for 10 more.
CLOSED_WITHIN_SECONDS = 30.0

CLIENTS = 300


@pytest.fixture
def process(cluster: LocalCluster, stub_service: StubService, tmp_path: Path) -> Iterator[ResolverProcess]:
    """A resolver that is not started, with all its servers."""
    options = ("--watch-namespace", stub_service.namespace, "--grpc-address", "127.0.0.1:0")
    resolver = ResolverProcess(cluster.kubeconfig, tmp_path / "log", *options)
    yield resolver
    resolver.stop()
    assert resolver.errors() == []


def test_half_sent_requests_are_closed_in_time(process: ResolverProcess, stub_service: StubService) -> None:
    stub_service.link("alice", 1)
    process.start()
    path = f"{stub_service.path}/links/alice"
    get = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    post = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n".encode()
    parts = (b"", get[:-2], get[:10], post + b'{"ttl', get + get[:-2], get * 2 + b"GET", get[:20] + get)
    with ExitStack() as stack:

        def connect(address: str, sent: bytes) -> socket.socket:
            host, _, port = address.rpartition(":")
            connection = stack.enter_context(socket.create_connection((host, int(port)), timeout=10))
            connection.sendall(sent)
            return connection

        kept = HTTPConnection(process.lookups, timeout=10)
        kept.request("GET", path)
        kept.getresponse().read()
        half_sent = [connect(process.lookups, parts[number % len(parts)]) for number in range(CLIENTS)]
        half_sent += [connect(process.picker, part) for part in (b"", b"PRI * HTTP/2.0\r\n")]
        assert not wait_closed(half_sent)
        kept.request("GET", path)  # a connection that is idle after a whole request stays
        assert kept.getresponse().status == 200
        kept.close()


def wait_closed(connections: Sequence[socket.socket]) -> list[socket.socket]:
    """Waits until the server has closed the connections; returns those that are still open after the time limit."""
    deadline = time.monotonic() + CLOSED_WITHIN_SECONDS
    left = set(connections)
    while left and (seconds := deadline - time.monotonic()) > 0:
        readable, _, _ = select.select(list(left), (), (), seconds)
        left.difference_update(each for each in readable if is_closed(each))
    return list(left)


def is_closed(connection: socket.socket) -> bool:
    """Reads what the server has sent; returns whether it has closed the connection."""
    try:
        return not connection.recv(65_536)
    except ConnectionResetError:
        return True


def test_client_has_only_its_share_of_the_streams(process: ResolverProcess, stub_service: StubService) -> None:
    process.start()
    with ExitStack() as stack:

        def open_stream(source: str) -> HTTPResponse:
            connection = HTTPConnection(process.lookups, timeout=10, source_address=(source, 0))
            stack.callback(connection.close)
            connection.request("GET", f"{stub_service.path}/moves")
            return connection.getresponse()

        assert {open_stream("127.0.0.1").status for _ in range(64)} == {200}
        refused = open_stream("127.0.0.1")
        assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
        assert json.load(refused)["detail"].startswith("127.0.0.1 has 64 streams already")
        assert open_stream("127.0.0.2").status == 200


def test_strong_batch_counts_as_its_number_of_reads(process: ResolverProcess, stub_service: StubService) -> None:
    process.with_options("--requests-per-second", "5").start()
    body = json.dumps({"uids": uids("user", 60)})

    def send(source: str, method: str, path: str, body: str | None = None) -> HTTPResponse:
        connection = HTTPConnection(process.lookups, timeout=30, source_address=(source, 0))
        with closing(connection):
            connection.request(method, stub_service.path + path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            return response

    assert send("127.0.0.1", "POST", "/links:batchGet", body).status == 200  # from the cache: one request
    assert send("127.0.0.1", "GET", "").status == 200
    assert send("127.0.0.1", "POST", "/links:batchGet?consistency=strong", body).status == 200
    refused = send("127.0.0.1", "GET", "")
    assert refused.status == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 12
    assert send("127.0.0.2", "GET", "").status == 200
