"""Asks for hand-overs, and records the versions of the links."""

import gc
import queue
import random
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pykube
import requests
from pykube.exceptions import HTTPError

from hand_over.link_history import LinkHistory
from localcluster import LocalCluster
from support.independent_client import PodLink
from support.link_recorder import Version
from support.service import Service

#: How long a user writes quickly before the hand-over is asked for, in seconds.
_BEFORE_SECONDS = 0.12

#: How long a hand-over is tried to be asked for, and the pause between two tries, in seconds.
_ASKING_SECONDS, _RETRY_SECONDS = 30.0, 0.05


class Mover(LinkHistory):
    """Hands users over to other pods at random, a number of them at the same time.

    Args:
        cluster: the cluster.
        service: the service.
        pods: the number of pods.
        hurry: lets a user write quickly.
        seed: the random seed.

    Attributes:
        number: how many hand-overs have ended at another pod, whoever asked for them.
    """

    def __init__(
        self, cluster: LocalCluster, service: Service, pods: int, hurry: Callable[[str], None], seed: int
    ) -> None:
        self.number = 0
        self._service = service
        self._pods = pods
        self._hurry = hurry
        self._random = random.Random(seed)
        self._under_way: set[str] = set()
        self._ended: queue.Queue[str] = queue.Queue()
        self._pool = ThreadPoolExecutor(16)
        self._connections: queue.SimpleQueue[pykube.HTTPClient] = queue.SimpleQueue()
        super().__init__(cluster, service)
        self._idle = sorted(self.versions)

    def run(self, number: int, at_once: int, patience: float) -> None:
        """Hands over until this many more hand-overs have ended at another pod.

        Raises:
            TimeoutError: it takes longer than `patience`, in seconds.
        """
        wanted, deadline = self.number + number, time.monotonic() + patience
        while self.number < wanted:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{wanted - self.number} hand-overs have not ended; under way: {self._under_way}")
            if len(self._under_way) < min(at_once, wanted - self.number):
                self._begin()
            else:
                self._await_end()

    def stop(self) -> None:
        """Stops the recording."""
        self._pool.shutdown()
        while not self._connections.empty():
            self._connections.get().session.close()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()  # closes connections that broke off with the API server
        super().stop()

    def _begin(self) -> None:
        uid = self._idle.pop(self._random.randrange((len(self._idle) + 1) // 2))  # not one who has just moved
        self._under_way.add(uid)
        self._hurry(uid)
        target = self._random.choice([each for each in range(self._pods) if each != self._latest(uid).pod])
        self._pool.submit(self._ask, uid, target)

    def _ask(self, uid: str, target: int) -> None:
        """Writes the hand-over to the link by compare-and-swap, unless the link has one already."""
        time.sleep(_BEFORE_SECONDS)
        deadline = time.monotonic() + _ASKING_SECONDS
        while time.monotonic() < deadline:
            version = self._latest(uid)
            if _is_handed_over(version) or version.pod == target:
                break
            start = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
            change = {
                "metadata": {"resourceVersion": str(version.resource_version)},
                "spec": {"handOver": {"podIndex": target, "startTime": start}},
            }
            try:
                self._patch(version.name, change)
            except (HTTPError, requests.RequestException):
                time.sleep(_RETRY_SECONDS)  # the link has changed, or the API server does not answer
            else:
                return
        self._ended.put(uid)

    def _patch(self, name: str, change: dict[str, Any]) -> None:
        try:
            connection = self._connections.get_nowait()
        except queue.Empty:
            connection = self._service.client.new_http_client()
        try:
            PodLink(connection, {"metadata": {"name": name, "namespace": self._service.namespace}}).patch(change)
        finally:
            self._connections.put(connection)

    def _await_end(self) -> None:
        """Waits for the end of a hand-over."""
        try:
            uid = self._ended.get(timeout=1.0)
        except queue.Empty:
            return
        if uid in self._under_way:
            self._under_way.remove(uid)
            self._idle.append(uid)

    def _add(self, event: str, item: dict[str, Any]) -> None:
        super()._add(event, item)
        uid = item["spec"]["uid"]
        if len(self.versions[uid]) > 1:
            before, after = self.versions[uid][-2:]
            if _is_handed_over(before) and not _is_handed_over(after):
                self.number += before.pod != after.pod
                self._ended.put(uid)

    def _latest(self, uid: str) -> Version:
        return self.versions[uid][-1]


def _is_handed_over(version: Version) -> bool:
    return "handOver" in version.object["spec"]
