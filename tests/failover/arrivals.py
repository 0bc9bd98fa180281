"""Users who come at a steady rate, whatever the operators do."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count

from support.independent_client import WORKERS
from support.service import Service


class Arrivals:
    """Creates links that leave the choice of the pod, from the moment it is made until `stop`.

    Args:
        service: whose users come.
        rate: how many in a second.
    """

    def __init__(self, service: Service, rate: float) -> None:
        self._service = service
        self._rate = rate
        self._made: list[Future[str]] = []
        self._done = threading.Event()
        self._begun = time.monotonic()
        self._thread = threading.Thread(target=self._arrive, name="arrivals")
        self._thread.start()

    def stop(self) -> Sequence[str]:
        """Let no more come, and give the names of the links of all who did."""
        self._done.set()
        self._thread.join()
        return [each.result() for each in self._made]

    @property
    def rate(self) -> float:
        """How many links were created in a second up to now."""
        return sum(each.done() for each in self._made) / (time.monotonic() - self._begun)

    def _arrive(self) -> None:
        with ThreadPoolExecutor(WORKERS) as clients:
            for number in count():
                due = self._begun + number / self._rate
                if self._done.wait(max(0.0, due - time.monotonic())):
                    return
                self._made.append(clients.submit(self._service.link, f"user-{number}"))


@contextmanager
def arriving(service: Service, rate: float) -> Iterator[Arrivals]:
    """Users arrive for as long as the context lasts."""
    arrivals = Arrivals(service, rate)
    try:
        yield arrivals
    finally:
        arrivals.stop()
