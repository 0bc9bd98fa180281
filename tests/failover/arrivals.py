"""Users who arrive at a steady rate, independent of the operators."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count

from support.independent_client import WORKERS
from support.service import Service


class Arrivals:
    """Creates links that leave the choice of the pod, from its creation until `stop`.

    Args:
        service: The service of the users.
        rate: The number of users in a second.
    """

    def __init__(self, service: Service, rate: float) -> None:
        self._service = service
        self._rate = rate
        self._links: list[Future[str]] = []
        self._done = threading.Event()
        self._started = time.monotonic()
        self._thread = threading.Thread(target=self._create_links, name="arrivals")
        self._thread.start()

    def stop(self) -> Sequence[str]:
        """Stops creating links, and returns the names of all links."""
        self._done.set()
        self._thread.join()
        return [link.result() for link in self._links]

    @property
    def rate(self) -> float:
        """The number of links that were created in a second so far."""
        return sum(link.done() for link in self._links) / (time.monotonic() - self._started)

    def _create_links(self) -> None:
        with ThreadPoolExecutor(WORKERS) as clients:
            for number in count():
                due = self._started + number / self._rate
                if self._done.wait(max(0.0, due - time.monotonic())):
                    return
                self._links.append(clients.submit(self._service.link, f"user-{number}"))


@contextmanager
def arriving(service: Service, rate: float) -> Iterator[Arrivals]:
    """Lets users arrive while the context lasts."""
    arrivals = Arrivals(service, rate)
    try:
        yield arrivals
    finally:
        arrivals.stop()
