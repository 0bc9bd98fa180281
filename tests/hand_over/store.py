"""A store that refuses the writes of a pod that has lost the user, and a server for it.

python store.py RECORD PORT_FILE
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hand_over.record import Committed, FileWriter, Refused, Writer
from hand_over.state import State

#: How long a pod waits for an answer of the store.
_TIMEOUT_SECONDS = 10.0


class StaleTokenError(Exception):
    """A pod with a greater token has opened the state of the user."""


class StoreClient(Protocol):
    """The store, as a pod sees it."""

    async def open(self, uid: str, pod: int, token: int) -> State:
        """Returns the state of a user. From now on, smaller tokens can neither open nor write it.

        Raises:
            StaleTokenError: a pod with a greater token has opened it.
        """

    async def write(self, state: State, pod: int, token: int) -> None:
        """Stores the state of a user. Raises as `open` does."""


class FencedStore:
    """The states of the users, with the greatest token of each.

    Args:
        write: records what is committed and refused.
    """

    def __init__(self, write: Writer) -> None:
        self._record = write
        self._states: dict[str, State] = {}
        self._tokens: dict[str, int] = {}

    async def open(self, uid: str, pod: int, token: int) -> State:
        self._check(uid, pod, token)
        return self._states.get(uid, State(uid))

    async def write(self, state: State, pod: int, token: int) -> None:
        self._check(state.uid, pod, token)
        self._states[state.uid] = state
        self._record(
            Committed(
                at=time.monotonic(), uid=state.uid, pod=pod, token=token, number=state.number, digest=state.digest
            )
        )

    def _check(self, uid: str, pod: int, token: int) -> None:
        if token < self._tokens.get(uid, 0):
            self._record(Refused(at=time.monotonic(), uid=uid, pod=pod, token=token))
            raise StaleTokenError(uid)
        self._tokens[uid] = token


@dataclass(slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class RemoteStore:
    """The store in another process.

    Args:
        port: the port on which it listens.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[_Connection] = []

    async def open(self, uid: str, pod: int, token: int) -> State:
        return State(uid, *await self._request("open", uid, pod, token))

    async def write(self, state: State, pod: int, token: int) -> None:
        await self._request("write", state.uid, pod, token, state.number, state.digest)

    async def _request(self, *request: Any) -> Sequence[Any]:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            connection = (
                self._idle.pop() if self._idle else _Connection(*await asyncio.open_connection("127.0.0.1", self._port))
            )
            connection.writer.write(json.dumps(request).encode() + b"\n")
            line = await connection.reader.readline()
            self._idle.append(connection)
        answer = json.loads(line)
        if answer is None:
            raise StaleTokenError(request[1])
        return list(answer)


async def _serve(store: FencedStore, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):  # the server of a pod is killed
        while line := await reader.readline():
            writer.write(await _answer(store, *json.loads(line)))
    writer.close()


async def _answer(store: FencedStore, method: str, uid: str, pod: int, token: int, *fields: Any) -> bytes:
    """Returns what a request gets: null if its token is stale."""
    answer: Sequence[Any] | None = ()
    try:
        if method == "open":
            state = await store.open(uid, pod, token)
            answer = (state.number, state.digest)
        else:
            await store.write(State(uid, *fields), pod, token)
    except StaleTokenError:
        answer = None
    return json.dumps(answer).encode() + b"\n"


async def main(record: str, port_file: str) -> None:
    """Serves a store until it is killed, and writes its port to a file."""
    store = FencedStore(FileWriter(Path(record)))
    server = await asyncio.start_server(lambda *streams: _serve(store, *streams), "127.0.0.1", 0)
    new = Path(f"{port_file}.new")
    new.write_text(str(server.sockets[0].getsockname()[1]), encoding="ascii")  # noqa: ASYNC240 - nobody is served yet
    new.rename(port_file)  # noqa: ASYNC240
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
