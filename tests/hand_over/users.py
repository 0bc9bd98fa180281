"""The users: each writes through the pod that the resolver names, as a gateway does, one write after another.

python users.py RESOLVER PATH NUMBER RECORD

RESOLVER is HOST:PORT, PATH is that of the links of the route, NUMBER is the number of users: user-0, user-1, ... A line
of the input with a user's name lets this user write quickly until another pod answers. The end of the input ends it.
"""

import asyncio
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import aiohttp
import msgspec

from hand_over.record import Answered, FileWriter, Writer

#: The pause between two writes of a user who writes quickly.
_SHORT_PAUSE_SECONDS = 0.04

#: How long a user writes quickly.
_QUICK_SECONDS = 10.0

#: The pause before a write is sent again; it doubles.
_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS = 0.01, 0.32

_TIMEOUT = aiohttp.ClientTimeout(total=3)


class Gateway(Protocol):
    """Sends a write to the pod of a user."""

    async def send(self, uid: str, number: int) -> Answered | None:
        """Returns the answer of the pod; None if there was none, or a refusal."""


class ResolvingGateway:
    """Asks a resolver for the pod of each write.

    Args:
        http: the session.
        links: the URL of the links of the route at the resolver.
    """

    def __init__(self, http: aiohttp.ClientSession, links: str) -> None:
        self._http = http
        self._links = links

    async def send(self, uid: str, number: int) -> Answered | None:
        try:
            async with self._http.get(f"{self._links}/{uid}") as response:
                if response.status != 200:
                    return None
                address = (await response.json())["address"]
            async with self._http.put(f"http://{address}/users/{uid}/{number}") as response:
                return None if response.status != 200 else msgspec.json.decode(await response.read(), type=Answered)
        except (aiohttp.ClientError, TimeoutError):
            return None


class Users:
    """Lets users write.

    Args:
        gateway: sends their writes.
        write: records the answers.
        pause: the pause between two writes of a user who does not write quickly, in seconds.
    """

    def __init__(self, gateway: Gateway, write: Writer, pause: float = 2.0) -> None:
        self._gateway = gateway
        self._pause = pause
        self._record = write
        self._quick: dict[str, float] = {}
        """Until when users write quickly, in monotonic seconds."""
        self._woken: dict[str, asyncio.Event] = {}
        self._is_over = False

    def hurry(self, uid: str) -> None:
        """Lets a user write quickly until another pod answers."""
        self._quick[uid] = time.monotonic() + _QUICK_SECONDS
        if uid in self._woken:
            self._woken[uid].set()

    def end(self) -> None:
        """Ends all users after their present writes."""
        self._is_over = True
        for each in self._woken.values():
            each.set()

    async def live(self, uid: str) -> None:
        """Lets a user write, one write after another, until the end."""
        number, pod, woken = 0, None, asyncio.Event()
        self._woken[uid] = woken
        while not self._is_over:
            number += 1
            answer = await self._write(uid, number)
            self._record(answer)
            if pod not in {None, answer.pod}:
                self._quick.pop(uid, None)
            pod = answer.pod
            woken.clear()
            if self._is_over:
                return
            pause = _SHORT_PAUSE_SECONDS if self._quick.get(uid, 0) > time.monotonic() else self._pause
            with suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), pause)

    async def _write(self, uid: str, number: int) -> Answered:
        """Sends a write until it is acknowledged."""
        sent, pause = time.monotonic(), _FIRST_RETRY_SECONDS
        while (answer := await self._gateway.send(uid, number)) is None:
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_RETRY_SECONDS)
        return msgspec.structs.replace(answer, sent=sent, at=time.monotonic())


async def main(resolver: str, path: str, number: str, record: str) -> None:
    """Runs the users until the end of the input."""
    lines = await _lines()
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as http:
        users = Users(ResolvingGateway(http, f"http://{resolver}{path}"), FileWriter(Path(record)))
        async with asyncio.TaskGroup() as group:
            for index in range(int(number)):
                group.create_task(users.live(f"user-{index}"))
            while line := await lines.readline():
                users.hurry(line.decode().strip())
            users.end()


async def _lines() -> asyncio.StreamReader:
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    return lines


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
