"""The transfer of states by HTTP, with real connections on this machine."""

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from statefulroute import HandOverError, StateTooLargeError
from statefulroute.cluster.errors import UnreachableError
from statefulroute.driver.refusals import Refusal, RefusedError
from support.pod_tokens import AUDIENCES, TokenIssuer
from support.transferring_pods import Pods

UIDS = ["alice", "Zoë", "..", ".", "a/b", "a%2Fb", "?q=1#x", "x y", "user@example.com", "名前", "../../identity", "%00"]


async def parts(*contents: bytes) -> AsyncIterator[bytes]:
    for content in contents:
        yield content


async def until(condition: object) -> None:
    async with asyncio.timeout(5):
        while not condition():  # type: ignore[operator]  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)


@pytest.fixture
def pods(tmp_path: Path) -> Pods:
    return Pods(tmp_path)


@pytest.mark.parametrize("uid", UIDS)
async def test_state_of_any_user_is_sent(pods: Pods, uid: str) -> None:
    async with pods.pod(0, is_receiving=False) as old, pods.pod(1):
        await old.send("game", uid, 1, parts(b"one", b"", b"two"))
        await old.withdraw("game", uid, 1)
    assert pods.acceptor.taken == [("game", uid, "game-0", b"onetwo")]
    assert pods.acceptor.reconsidered == [("game", uid)]


async def test_large_state_is_streamed_in_bounded_memory(pods: Pods) -> None:
    """Both ends are in this process; the state is 64 times as large as the limit of the memory."""
    part, number, sizes = b"x" * 65536, 2048, []

    async def take(_service: str, _uid: str, _origin: str, received: AsyncIterator[bytes]) -> None:
        tracemalloc.start()
        size = 0
        async for each in received:
            size += len(each)
            if size % 2**22 < len(each):
                await asyncio.sleep(0.001)  # slower than the sender
        sizes.append(size)

    pods.acceptor.instead = take
    async with pods.pod(0) as old, pods.pod(1, max_state_bytes=2**30):
        await old.send("game", "alice", 1, parts(*[part] * number))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert sizes == [len(part) * number]
    assert peak < 2 * 2**20


async def test_slow_receiver_slows_the_sender_down(pods: Pods) -> None:
    sent, may_read = 0, asyncio.Event()

    async def state() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1024):
            sent += 1
            yield b"x" * 65536

    async def take(_service: str, _uid: str, _origin: str, received: AsyncIterator[bytes]) -> None:
        await anext(received)
        await may_read.wait()
        assert sum([len(part) async for part in received]) > 60 * 2**20

    pods.acceptor.instead = take
    async with pods.pod(0) as old, pods.pod(1):
        sending = asyncio.create_task(old.send("game", "alice", 1, state()))
        before = -1
        while before != sent or sent == 0:
            before = sent
            await asyncio.sleep(0.2)
        assert sent < 512  # the rest is not read: the buffers of the operating system have a few megabytes
        may_read.set()
        await sending
        assert sent == 1024


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        (Refusal.NOT_HANDED_OVER, "no longer asks for this hand-over"),
        (Refusal.NO_RECEIVER, "on_arriving"),
        (Refusal.BUSY, "too many users"),
        (Refusal.ALREADY_ARRIVING, "another state of the user"),
        (Refusal.TOO_LARGE, "larger than the new pod takes"),
        (Refusal.FAILED, "has failed to take the user"),
        (Refusal.UNAVAILABLE, "the API server does not answer"),
    ],
)
async def test_sender_learns_why_it_is_refused(pods: Pods, refusal: Refusal, message: str) -> None:
    pods.acceptor.refusal = RefusedError(refusal)
    async with pods.pod(0) as old, pods.pod(1):
        with pytest.raises(HandOverError, match=message) as refused:
            await old.send("game", "alice", 1, parts(*[b"x" * 65536] * 64))
        assert isinstance(refused.value, StateTooLargeError) == (refusal is Refusal.TOO_LARGE)
        pods.acceptor.refusal = None
        await old.send("game", "alice", 1, parts(b"again"))
    assert [state for *_, state in pods.acceptor.taken] == [b"again"]


async def test_pod_that_is_not_there(pods: Pods) -> None:
    async with pods.pod(0) as old:
        with pytest.raises(HandOverError, match="the new pod 1 does not exist"):
            await old.send("game", "alice", 1, parts(b"state"))
        pods.api_server.ips["game-1"] = ""
        with pytest.raises(HandOverError, match="has no IP address"):
            await old.send("game", "alice", 1, parts(b"state"))
        pods.api_server.ips["game-1"] = "127.0.0.99"
        with pytest.raises(HandOverError, match="connection to the new pod has failed"):
            await old.send("game", "alice", 1, parts(b"state"))


async def test_no_state_is_sent_to_a_pod_that_is_not_who_it_should_be(pods: Pods) -> None:
    """Its address belongs to another pod now, or to a program that has got the token of another one."""
    read = 0

    async def state() -> AsyncIterator[bytes]:
        nonlocal read
        read += 1
        yield b"secret"

    issue = pods.api_server.issuer.issue
    tokens = {
        issue("game-2", AUDIENCES["receive"]): "is not the pod 'game-1'",
        issue("game-1", AUDIENCES["send"]): "for another audience",
        issue("game-1", AUDIENCES["receive"], exp=1): "expired",
        TokenIssuer().issue("game-1", AUDIENCES["receive"]): "invalid",
        "": "has refused|cannot verify",
        issue(
            "game-1",
            AUDIENCES["receive"],
            **{"kubernetes.io": {"namespace": "other", "pod": {"name": "game-1", "uid": "uid-of-game-1"}}},
        ): "is not the pod",
        "x" * 20_000: "not answered as a driver does",
    }
    async with pods.pod(0) as old, pods.pod(1):
        for token, message in tokens.items():
            (pods.tokens("game-1") / "receive").write_text(token)
            with pytest.raises(HandOverError, match=message):
                await old.send("game", "alice", 1, state())
        (pods.tokens("game-1") / "receive").write_text(issue("game-1", AUDIENCES["receive"]))
        pods.api_server.uids["game-1"] = "of a newer pod"
        with pytest.raises(HandOverError, match="is not the pod 'game-1'"):
            await old.send("game", "alice", 1, state())
    assert (read, pods.acceptor.taken) == (0, [])


async def test_user_of_a_pod_that_does_not_prove_who_it_is_is_refused(pods: Pods) -> None:
    issue = pods.api_server.issuer.issue
    tokens = [
        issue("game-0", AUDIENCES["receive"]),
        issue("game-0", AUDIENCES["send"], exp=1),
        TokenIssuer().issue("game-0", AUDIENCES["send"]),
        TokenIssuer("other").issue("game-0", AUDIENCES["send"]),
        issue("game-7", AUDIENCES["send"]),  # a pod that does not exist any more
        issue(
            "game-0",
            AUDIENCES["send"],
            **{"kubernetes.io": {"namespace": "other", "pod": {"name": "game-0", "uid": "uid-of-game-0"}}},
        ),
    ]
    async with pods.pod(0) as old, pods.pod(1):
        for token in tokens:
            (pods.tokens("game-0") / "send").write_text(token)
            with pytest.raises(HandOverError, match="has refused the token of this pod"):
                await old.send("game", "alice", 1, parts(b"forged"))
        (pods.tokens("game-0") / "send").write_text(issue("game-0", AUDIENCES["send"]))
        pods.api_server.uids["game-0"] = "of a newer pod of this name"
        with pytest.raises(HandOverError, match="has refused the token of this pod"):
            await old.send("game", "alice", 1, parts(b"forged"))
        assert pods.acceptor.taken == []
        del pods.api_server.uids["game-0"]
        await old.send("game", "alice", 1, parts(b"state"))
    assert len(pods.acceptor.taken) == 1


async def test_nothing_is_taken_while_nothing_can_be_verified(pods: Pods, monkeypatch: pytest.MonkeyPatch) -> None:
    async with pods.pod(0) as old, pods.pod(1) as new:

        async def fail(_: str) -> bytes:
            raise UnreachableError("no answer")

        monkeypatch.setattr(new._receiver._peers._client, "get", fail)  # noqa: SLF001
        with pytest.raises(HandOverError, match=r"cannot (read|verify) the new pod"):
            await old.send("game", "alice", 1, parts(b"state"))
    assert pods.acceptor.taken == []


async def test_connection_that_the_new_pod_has_closed_is_opened_again(pods: Pods) -> None:
    """The new pod was started again, at the same address."""
    async with pods.pod(0) as old:
        for number in range(2):
            async with pods.pod(1):
                await old.send("game", "alice", 1, parts(b"%d" % number))
    assert [state for *_, state in pods.acceptor.taken] == [b"0", b"1"]


async def test_missing_own_token_is_named(pods: Pods) -> None:
    async with pods.pod(0) as old, pods.pod(1):
        (pods.tokens("game-0") / "send").unlink()
        with pytest.raises(HandOverError, match="cannot read the token for hand-overs"):
            await old.send("game", "alice", 1, parts(b"state"))


async def test_receiver_that_dies_in_the_middle(pods: Pods) -> None:
    is_reading = asyncio.Event()

    async def take(_service: str, _uid: str, _origin: str, received: AsyncIterator[bytes]) -> None:
        await anext(received)
        is_reading.set()
        await asyncio.Event().wait()

    async def state() -> AsyncIterator[bytes]:
        yield b"one"
        await asyncio.Event().wait()

    pods.acceptor.instead = take
    async with pods.pod(0) as old:
        async with pods.pod(1):
            sending = asyncio.create_task(old.send("game", "alice", 1, state()))
            await is_reading.wait()
        with pytest.raises(HandOverError, match="connection to the new pod has failed"):
            await sending


async def test_state_of_a_sender_that_ends_in_the_middle_is_not_taken(pods: Pods) -> None:
    """It was cancelled, or it died: a state is never cut off in silence."""
    errors: list[BaseException] = []
    received_parts: list[bytes] = []

    async def take(_service: str, _uid: str, _origin: str, received: AsyncIterator[bytes]) -> None:
        try:
            async for part in received:
                received_parts.append(part)  # noqa: PERF401 - the test waits for the first one
        except BaseException as error:
            errors.append(error)
            raise

    async def state() -> AsyncIterator[bytes]:
        yield b"one"
        await asyncio.Event().wait()

    pods.acceptor.instead = take
    async with pods.pod(0) as old, pods.pod(1):
        sending = asyncio.create_task(old.send("game", "alice", 1, state()))
        await until(lambda: received_parts)
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending
        await until(lambda: errors)
    assert isinstance(errors[0], HandOverError)


async def test_port_in_use_is_tried_again(pods: Pods, monkeypatch: pytest.MonkeyPatch) -> None:
    """As at a reload of a web server, whose old process still listens."""
    monkeypatch.setattr("statefulroute.driver.transfer.receiver._RETRY_SECONDS", 0.02)
    async with pods.pod(0) as old:
        async with pods.pod(1):
            next_process = pods.pod(1)
            transfer = await next_process.__aenter__()
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.1)
        await old.send("game", "alice", 1, parts(b"state"))
        assert transfer is not None
        await next_process.__aexit__(None, None, None)
    assert len(pods.acceptor.taken) == 1


# Requests that no driver sends.


async def request(pods: Pods, data: bytes, *, ip: str = "127.0.0.3") -> bytes:
    """Sends bytes to a pod, and returns its response."""
    reader, writer = await asyncio.open_connection(ip, pods.port)
    writer.write(data)
    async with asyncio.timeout(10):
        response = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return response


def head(pods: Pods, target: str, method: str = "PUT", *lines: str, is_authentic: bool = True) -> bytes:
    token = pods.api_server.issuer.issue("game-0", AUDIENCES["send"]) if is_authentic else "invented"
    return "\r\n".join(
        [f"{method} {target} HTTP/1.1", "Host: game-1", f"Authorization: Bearer {token}", *lines, "", ""]
    ).encode("latin-1")


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/v1/arrivals/game", 400),
        ("/v1/arrivals/game/", 400),
        ("/v1/arrivals//alice", 400),
        ("/v1/arrivals/game/alice/more", 400),
        ("/v1/arrivals/Game/alice", 400),
        ("/v1/arrivals/..%2Fgame/alice", 400),
        ("/v1/arrivals/game/%00", 400),
        ("/v1/arrivals/game/%0A", 400),
        ("/v1/arrivals/game/%FF", 400),
        ("/v1/arrivals/game/%ED%A0%80", 400),
        ("/v1/arrivals/game/%C0%AE", 400),
        ("/v1/arrivals/game/" + "a" * 5000, 400),
        ("/v1/arrivals/game/" + "a" * 9000, 400),
        ("/v1/arrivals/../identity", 400),
        ("/v1/identity/", 404),
        ("/v1/identity%2F", 404),
        ("/", 404),
        ("http://game-1/v1/arrivals/game/alice/x", 404),
    ],
)
async def test_other_paths_are_refused(pods: Pods, target: str, status: int) -> None:
    async with pods.pod(0), pods.pod(1):
        response = await request(pods, head(pods, target, "PUT", "Content-Length: 0"))
    assert int(response.split()[1]) == status
    assert pods.acceptor.taken == []


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["Content-Length: 4194305"], 413),
        (["Content-Length: 99999999999999999999"], 400),
        (["Content-Length: -1"], 400),
        (["Content-Length: 1", "Content-Length: 2"], 400),
        (["Content-Length: 5", "Transfer-Encoding: chunked"], 400),
        ([f"X-{number}: {'x' * 100}" for number in range(200)], 400),
        ([f"X: {'x' * 10_000}"], 400),
        (["Authorization: Bearer again", "Content-Length: 0"], 401),
    ],
)
async def test_malformed_requests_are_refused(pods: Pods, lines: list[str], status: int) -> None:
    async with pods.pod(0), pods.pod(1):
        response = await request(pods, head(pods, "/v1/arrivals/game/alice", "PUT", *lines))
    assert int(response.split()[1]) == status
    assert pods.acceptor.taken == []


async def test_chunked_state_above_the_limit_ends_when_it_is_read(pods: Pods) -> None:
    """The limit of the handler is tested elsewhere: here, that the rest does not arrive."""

    async def take(_service: str, _uid: str, _origin: str, received: AsyncIterator[bytes]) -> None:
        await anext(received)
        raise RefusedError(Refusal.TOO_LARGE)

    pods.acceptor.instead = take
    async with pods.pod(0), pods.pod(1):
        start = head(pods, "/v1/arrivals/game/alice", "PUT", "Transfer-Encoding: chunked")
        response = await request(pods, start + b"5\r\nhello\r\n")
    assert b" 413 " in response.split(b"\r\n")[0]


async def test_request_about_the_whole_server_is_refused(pods: Pods) -> None:
    async with pods.pod(0), pods.pod(1):
        response = await request(pods, head(pods, "*", "OPTIONS", "Content-Length: 0"))
    assert int(response.split()[1]) in {400, 404}  # of aiohttp, or of the receiver


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "HEAD", "CONNECT", "BREW"])
async def test_other_methods_are_refused(pods: Pods, method: str) -> None:
    async with pods.pod(0), pods.pod(1):
        response = await request(pods, head(pods, "/v1/arrivals/game/alice", method, "Content-Length: 0"))
    assert int(response.split()[1]) in (400, 404, 405)
    assert pods.acceptor.taken == []


async def test_compressed_state_is_not_decompressed(pods: Pods) -> None:
    bomb = b"\x1f\x8b\x08\x00" + b"\x00" * 60
    start = head(pods, "/v1/arrivals/game/alice", "PUT", "Content-Encoding: gzip", f"Content-Length: {len(bomb)}")
    async with pods.pod(0), pods.pod(1):
        assert b" 200 " in await request(pods, start + bomb)
    assert [state for *_, state in pods.acceptor.taken] == [bomb]


async def test_problem_says_no_more_than_its_code(pods: Pods) -> None:
    async with pods.pod(0), pods.pod(1):
        reader, writer = await asyncio.open_connection("127.0.0.3", pods.port)
        writer.write(
            head(pods, "/v1/arrivals/game/alice", "PUT", "Content-Length: 0", "Connection: close", is_authentic=False)
        )
        whole = await reader.read()
        writer.close()
    headers, _, body = whole.partition(b"\r\n\r\n")
    assert b"application/problem+json" in headers
    assert json.loads(body) == {"type": "about:blank", "title": "Unauthorized", "status": 401, "code": "Unauthorized"}


async def test_connections_without_a_request_are_closed(pods: Pods, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("statefulroute.driver.transfer.receiver.IDLE_SECONDS", 0.1)
    may_return = asyncio.Event()

    async def take(*_: object) -> None:
        await may_return.wait()

    pods.acceptor.instead = take
    async with pods.pod(0) as old, pods.pod(1):
        sending = asyncio.create_task(old.send("game", "alice", 1, parts(b"state")))
        connections = [await asyncio.open_connection("127.0.0.3", pods.port) for _ in range(3)]
        connections[1][1].write(b"PUT /v1/arrivals/game/alice HTTP/1.1\r\nHost: ")
        connections[2][1].write(head(pods, "/v1/identity", "GET"))
        for reader, writer in connections:
            async with asyncio.timeout(5):
                with suppress(ConnectionResetError):
                    await reader.read()
            writer.close()
        assert not sending.done()  # a request in progress is no idle connection
        may_return.set()
        await sending


async def test_number_of_connections_is_limited(pods: Pods) -> None:
    async with pods.pod(1, max_concurrent=1):
        connections = [await asyncio.open_connection("127.0.0.3", pods.port) for _ in range(30)]
        await asyncio.sleep(0.1)
        closed = sum(reader.at_eof() or reader.exception() is not None for reader, _ in connections)
        assert closed == 14
        for _, writer in connections:
            writer.close()


async def test_flood_of_invalid_tokens_is_logged_now_and_then(pods: Pods, caplog: pytest.LogCaptureFixture) -> None:
    async with pods.pod(0), pods.pod(1):
        for _ in range(20):
            await request(pods, head(pods, "/v1/arrivals/game/alice", "PUT", "Content-Length: 0", is_authentic=False))
    lines = [record.message for record in caplog.records if "refused the token" in record.message]
    assert len(lines) == 1
    assert "invented" not in caplog.text
