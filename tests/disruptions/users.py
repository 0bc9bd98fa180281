"""Users who arrive, send requests and leave, and an operator that is killed meanwhile."""

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from pykube.exceptions import HTTPError, ObjectDoesNotExist

from disruptions.record import Request
from support.independent_client import PodLink
from support.operator_process import OperatorProcess
from support.service import Service

_TICK_SECONDS = 0.2
_TIMEOUT_SECONDS = 10.0

#: How many of ten links expire by themselves; the others are deleted.
_EXPIRING_OF_TEN = 2


@dataclass(frozen=True, slots=True)
class Stay:
    """How long users stay.

    Attributes:
        shortest: seconds.
        longest: seconds.
    """

    shortest: int
    longest: int


class Users:
    """Keeps a number of users: new ones arrive in place of those that leave.

    Args:
        service: the service.
        stay: how long they stay.
        seed: the random seed.

    Attributes:
        number: how many users there are to be; with fewer, those that are there leave as usual.
        left: the links that users have deleted, and the time before it, in monotonic seconds.
    """

    def __init__(self, service: Service, stay: Stay, seed: int) -> None:
        self.number = 0
        self.left: dict[str, float] = {}
        self._service = service
        self._stay = stay
        self._random = random.Random(seed)
        self._count = 0
        self._until: dict[str, float] = {}
        """The present users by their links, and when they leave, in monotonic seconds."""
        self._expiring: set[str] = set()
        self._lock = threading.Lock()

    def present(self) -> list[str]:
        """Returns the links of the present users."""
        with self._lock:
            return list(self._until)

    def keep(self, link: str) -> bool:
        """Lets a user stay until `leave`, unless the user has left already, or the link expires by itself."""
        with self._lock:
            if link not in self._until or link in self._expiring:
                return False
            self._until[link] = float("inf")
            return True

    def leave(self, links: list[str]) -> None:
        """Deletes the links of users."""
        with self._lock:
            for link in links:
                del self._until[link]
                if link not in self._expiring:
                    self.left[link] = time.monotonic()
        self._service.client.in_parallel(self._delete, [link for link in links if link not in self._expiring])

    def run_once(self) -> None:
        """Lets the users leave whose time has come, and others arrive in their place."""
        now = time.monotonic()
        with self._lock:
            leaving = [link for link, until in self._until.items() if until <= now]
        self.leave(leaving)
        with self._lock:
            missing = max(self.number - len(self._until), 0)
        stays = [self._random.randint(self._stay.shortest, self._stay.longest) for _ in range(missing)]
        self._service.client.in_parallel(self._arrive, stays)

    def _arrive(self, seconds: int) -> None:
        with self._lock:
            self._count += 1
            uid, expires = f"user-{self._count}", self._random.randrange(10) < _EXPIRING_OF_TEN
        link = self._service.link(uid, **({"ttlSeconds": seconds} if expires else {}))
        with self._lock:
            if expires:
                self._expiring.add(link)
            self._until[link] = time.monotonic() + seconds

    def _delete(self, link: str) -> None:
        with suppress(ObjectDoesNotExist, HTTPError):
            self._service.client.delete(PodLink, link, self._service.namespace)


class Requests:
    """Looks up users at random, new ones first, and sends each a request to the address in the answer.

    Args:
        users: the users.
        namespace: the namespace of the service.
        resolver: HOST:PORT of the resolver.
        per_second: how many requests a second.
        seed: the random seed.

    Attributes:
        made: the requests, in order.
    """

    def __init__(self, users: Users, namespace: str, resolver: str, per_second: float, seed: int) -> None:
        self.made: list[Request] = []
        self._users = users
        self._path = f"/v1/namespaces/{namespace}/routes/game/links/"
        self._resolver = http.client.HTTPConnection(resolver, timeout=_TIMEOUT_SECONDS)
        self._pause = 1.0 / per_second
        self._random = random.Random(seed)
        self._asked: set[str] = set()

    def run_once(self) -> None:
        """Sends the request of the next user."""
        if present := self._users.present():
            link = self._random.choice([link for link in present if link not in self._asked] or present)
            self._asked.add(link)
            self.made.append(self._request(link))
        time.sleep(self._pause)

    def close(self) -> None:
        """Closes the connection to the resolver."""
        self._resolver.close()

    def _request(self, link: str) -> Request:
        started = time.monotonic()
        status, body = _get(self._resolver, self._path + link.partition(".")[2])
        if status != 200:
            return Request(link, started, time.monotonic(), error=f"{status} {json.loads(body).get('type')}")
        answer = json.loads(body)
        try:
            pod = http.client.HTTPConnection(answer["address"], timeout=_TIMEOUT_SECONDS)
            _, name = _get(pod, "/")
            pod.close()
        except OSError as error:
            return Request(link, started, time.monotonic(), error=f"{answer['podName']} did not answer: {error}")
        return Request(link, started, time.monotonic(), answered_by=name)


def _get(connection: http.client.HTTPConnection, path: str) -> tuple[int, str]:
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, response.read().decode()


class Killer:
    """Kills the operator at random moments, and starts it again.

    Args:
        operator: the operator.
        pauses: the shortest and the longest pause between a start and the next end, in seconds.
        seed: the random seed.

    Attributes:
        number: how often it was killed.
    """

    def __init__(self, operator: OperatorProcess, pauses: tuple[float, float], seed: int) -> None:
        self.number = 0
        self._operator = operator
        self._pauses = pauses
        self._random = random.Random(seed)
        self._next_at = self._draw()

    def run_once(self) -> None:
        """Kills and starts the operator if it is time."""
        if time.monotonic() >= self._next_at:
            self._operator.kill()
            self.number += 1
            self._operator.start()
            self._next_at = self._draw()
        time.sleep(_TICK_SECONDS)

    def _draw(self) -> float:
        return time.monotonic() + self._random.uniform(*self._pauses)


@contextmanager
def repeating(*steps: Callable[[], None]) -> Iterator[None]:
    """Repeats each step in a thread of its own; raises the first error at the end."""
    stopped, failures = threading.Event(), list[Exception]()

    def repeat(step: Callable[[], None]) -> None:
        try:
            while not stopped.wait(0.001):
                step()
        except Exception as error:  # noqa: BLE001 - raised in the test's thread
            failures.append(error)

    threads = [threading.Thread(target=repeat, args=(step,), daemon=True) for step in steps]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]
