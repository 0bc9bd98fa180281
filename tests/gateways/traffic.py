"""Many users who ask through several gateways, at an even rate, and what becomes of each request."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp

from gateways.backend import NUMBER

_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class SentRequest:
    """A request and its answer, as its user has it.

    Attributes:
        number: its own.
        uid: whose it is.
        gateway: the gateway's URL.
        sent: when it was sent, in monotonic seconds.
        done: when the answer had come.
        status: the HTTP status.
        pod: the pod that has answered; empty where none has.
    """

    number: str
    uid: str
    gateway: str
    sent: float
    done: float
    status: int
    pod: str


class Traffic:
    """Sends requests, each of a user and through a gateway that chance chooses.

    The users come one after the other: at each moment so many of them are known as requests have been sent.

    Args:
        gateways: the URLs.
        users: how many there are in the end.
        requests: how many requests there are in the end.
        per_second: how many are sent in a second.
    """

    def __init__(self, gateways: Sequence[str], users: int, requests: int, per_second: float) -> None:
        self._gateways = gateways
        self._users = users
        self._number = requests
        self._per_second = per_second
        self._chance = random.Random(users)
        self.requests: list[SentRequest] = []

    def uids(self) -> list[str]:
        """All users."""
        return [f"user-{each}" for each in range(self._users)]

    async def send_all(self) -> None:
        """Send all of it, and wait for the answers."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(_SECONDS)) as http, asyncio.TaskGroup() as group:
            begun = time.monotonic()
            for number in range(self._number):
                await asyncio.sleep(max(0.0, begun + number / self._per_second - time.monotonic()))
                known = max(1, self._users * (number + 1) // self._number)
                uid, gateway = f"user-{self._chance.randrange(known)}", self._chance.choice(self._gateways)
                group.create_task(self._send(http, str(number), uid, gateway))

    async def send_once_each(self) -> list[SentRequest]:
        """Have every user ask once through every gateway; gives the answers."""
        before = len(self.requests)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(_SECONDS)) as http:
            for uid in self.uids():
                last = (self._send(http, f"last-{uid}-{gateway}", uid, gateway) for gateway in self._gateways)
                await asyncio.gather(*last)
        return self.requests[before:]

    async def _send(self, http: aiohttp.ClientSession, number: str, uid: str, gateway: str) -> None:
        sent = time.monotonic()
        async with http.get(f"{gateway}/", headers={"x-user-id": uid, NUMBER: number}) as response:
            await response.read()
            told = response.status, response.headers.get("x-pod", "")
        self.requests.append(SentRequest(number, uid, gateway, sent, time.monotonic(), *told))
