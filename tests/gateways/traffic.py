"""Sends requests of many users through several gateways at a constant rate, and records the responses."""

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
    """A request and its response.

    Attributes:
        number: the number of the request.
        uid: the user.
        gateway: the URL of the gateway.
        sent: the time of the request, in monotonic seconds.
        done: the time of the response.
        status: the HTTP status.
        pod: the pod that responded; empty if none did.
    """

    number: str
    uid: str
    gateway: str
    sent: float
    done: float
    status: int
    pod: str


class Traffic:
    """Sends requests, each of a random user through a random gateway.

    The number of different users grows in proportion to the number of sent requests.

    Args:
        gateways: the URLs of the gateways.
        users: the total number of users.
        requests: the total number of requests.
        per_second: the number of requests per second.
    """

    def __init__(self, gateways: Sequence[str], users: int, requests: int, per_second: float) -> None:
        self._gateways = gateways
        self._users = users
        self._number = requests
        self._per_second = per_second
        self._chance = random.Random(users)
        self.requests: list[SentRequest] = []

    def uids(self) -> list[str]:
        """Returns all uids."""
        return [f"user-{number}" for number in range(self._users)]

    async def send_all(self) -> None:
        """Sends all requests, and waits for the responses."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(_SECONDS)) as http, asyncio.TaskGroup() as group:
            started_at = time.monotonic()
            for number in range(self._number):
                await asyncio.sleep(max(0.0, started_at + number / self._per_second - time.monotonic()))
                known = max(1, self._users * (number + 1) // self._number)
                uid, gateway = f"user-{self._chance.randrange(known)}", self._chance.choice(self._gateways)
                group.create_task(self._send(http, str(number), uid, gateway))

    async def send_once_each(self) -> list[SentRequest]:
        """Sends one request of every user through every gateway; returns these requests."""
        before = len(self.requests)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(_SECONDS)) as http:
            for uid in self.uids():
                requests = (self._send(http, f"last-{uid}-{gateway}", uid, gateway) for gateway in self._gateways)
                await asyncio.gather(*requests)
        return self.requests[before:]

    async def _send(self, http: aiohttp.ClientSession, number: str, uid: str, gateway: str) -> None:
        sent = time.monotonic()
        async with http.get(f"{gateway}/", headers={"x-user-id": uid, NUMBER: number}) as response:
            await response.read()
            status, pod = response.status, response.headers.get("x-pod", "")
        self.requests.append(SentRequest(number, uid, gateway, sent, time.monotonic(), status, pod))
