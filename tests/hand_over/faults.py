"""Faults: processes are killed and suspended, and pods are drained, one after another."""

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import requests
from pykube.exceptions import HTTPError

from hand_over.record import Fault
from hand_over.system import System
from support.independent_client import StatefulRoute
from support.waiting import eventually


class Kind(NamedTuple):
    """A kind of fault.

    Attributes:
        name: what is done, to what.
        make: makes the fault, and ends it after this many seconds.
        seconds: the shortest and the longest duration.
    """

    name: str
    make: Callable[[System, random.Random, float], None]
    seconds: tuple[float, float]


def _kill_operator(system: System, _: random.Random, seconds: float) -> None:
    system.parts.operator.kill()
    time.sleep(seconds)
    system.parts.operator.launch()


def _suspend_operator(system: System, _: random.Random, seconds: float) -> None:
    system.parts.operator.freeze()
    time.sleep(seconds)
    system.parts.operator.thaw()


def _kill_server(system: System, chance: random.Random, seconds: float) -> None:
    server = chance.choice(system.servers)
    server.kill()
    time.sleep(seconds)
    server.start()


def _suspend_server(system: System, chance: random.Random, seconds: float) -> None:
    server = chance.choice(system.servers)
    server.send(signal.SIGSTOP)
    time.sleep(seconds)
    server.send(signal.SIGCONT)


def _kill_api_server(system: System, _: random.Random, seconds: float) -> None:
    system.parts.cluster.part("apiserver").kill()
    time.sleep(seconds)
    system.parts.cluster.part("apiserver").restart()


def _suspend_api_server(system: System, _: random.Random, seconds: float) -> None:
    part = system.parts.cluster.part("apiserver")
    part.kill(signal.SIGSTOP)
    time.sleep(seconds)
    part.kill(signal.SIGCONT)


def _drain(system: System, chance: random.Random, seconds: float) -> None:
    """Shuts a pod down by the route: the operator hands its users over."""
    pod = chance.randrange(len(system.servers))
    _set_overrides(system, [{"index": pod, "routingState": "Shutdown"}])
    time.sleep(seconds)
    _set_overrides(system, None)


def _set_overrides(system: System, pods: list[dict[str, object]] | None) -> None:
    def is_set() -> bool:
        try:
            system.service.client.patch(
                StatefulRoute, system.service.name, system.service.namespace, {"spec": {"pods": pods}}
            )
        except (HTTPError, requests.RequestException):
            return False
        return True

    eventually(is_set, "the route is changed", seconds=180)


#: The time-out of a hand-over is 5 seconds: some suspensions are longer.
KINDS: Sequence[Kind] = (
    Kind("the operator is killed", _kill_operator, (0.1, 3.0)),
    Kind("the operator is suspended", _suspend_operator, (0.5, 6.0)),
    Kind("a server is killed", _kill_server, (0.1, 8.0)),
    Kind("a server is suspended", _suspend_server, (0.2, 8.0)),
    Kind("the API server is killed", _kill_api_server, (0.1, 1.0)),
    Kind("the API server is suspended", _suspend_api_server, (0.5, 4.0)),
    Kind("a pod is drained", _drain, (1.0, 4.0)),
)


class Faults:
    """Makes faults of all kinds in random order, one after another.

    Args:
        system: the system.
        seed: the random seed.
        pauses: the shortest and the longest pause before a fault, in seconds.

    Attributes:
        number: how many faults were made.
    """

    def __init__(self, system: System, seed: int, pauses: tuple[float, float]) -> None:
        self.number = 0
        self._system = system
        self._random = random.Random(seed)
        self._pauses = pauses
        self._stopped = threading.Event()
        self._failure: BaseException | None = None
        self._waiting: list[Kind] = []

    @contextmanager
    def during(self) -> Iterator[None]:
        """Makes faults for the duration of the context; raises what has failed at the end."""
        thread = threading.Thread(target=self._run, name="faults", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            while not self._stopped.wait(self._random.uniform(*self._pauses)):
                self._make()
                self._system.revive()
        except BaseException as error:  # noqa: BLE001 - raised in the test's thread
            self._failure = error

    def _make(self) -> None:
        """Makes a fault: each kind once, in random order, then again."""
        if not self._waiting:
            self._waiting = self._random.sample(KINDS, len(KINDS))
        kind = self._waiting.pop()
        began = time.monotonic()
        kind.make(self._system, self._random, self._random.uniform(*kind.seconds))
        self.number += 1
        self._system.write(Fault(at=began, name=kind.name, ended=time.monotonic()))
