"""Writes events, as many as people can read: what is repeated or too much is dropped, and counted."""

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import structlog

from statefulroute.api.group import API_VERSION, GROUP, POD_LINK
from statefulroute.cluster.client import Client
from statefulroute.cluster.clock import Clock, utc_now
from statefulroute.cluster.errors import ClusterError
from statefulroute.domain.events import Event
from statefulroute.domain.rate_limiter import RateLimiter

log = structlog.get_logger(__name__)


def _log_fields(regarding: Mapping[str, str]) -> Mapping[str, str]:
    """The fields by which the log names what an event is about; a link's name may have to be hidden."""
    about = "link" if regarding["kind"] == POD_LINK.kind else "route"
    return {about: regarding["name"], "namespace": regarding["namespace"]}


#: Over all links: a burst after which there are so many a second. A wave of users is told of by the route's status.
_BURST, _PER_SECOND = 50, 5.0

#: The same event is not written again within this time.
_REPEAT_SECONDS = 600.0
_MAX_RECORDED = 2_000


class EventRecorder:
    """Takes events in without waiting, and writes them in the background.

    Args:
        client: how to reach the API server.
        instance: the name of this process, as `reportingInstance`.
        clock: the time of day.
        monotonic: monotonic seconds.
    """

    def __init__(
        self,
        client: Client,
        instance: str,
        clock: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._instance = instance
        self._clock = clock
        self._monotonic = monotonic
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(maxsize=_BURST)
        self._recorded: OrderedDict[tuple[Event, str], float] = OrderedDict()
        self._rate_limiter = RateLimiter(_PER_SECOND, monotonic, burst=_BURST)
        self.dropped = 0
        """How many events were dropped because there were too many."""

    def record(self, event: Event | None, uid: str) -> None:
        """Have an event written, unless it was a moment ago or there are too many.

        Args:
            event: what has happened; None where nothing has.
            uid: the `metadata.uid` of the object that it has happened to.
        """
        if event is None or self._was_recorded_recently((event, uid)):
            return
        if self._queue.full() or self._rate_limiter.take():
            self.dropped += 1
            return
        self._mark_recorded((event, uid))
        self._queue.put_nowait(self._manifest(event, uid))

    async def run(self) -> None:
        """Write events until cancelled. One that cannot be written is lost: nothing depends on it."""
        while True:
            event = await self._queue.get()
            path = f"/apis/events.k8s.io/v1/namespaces/{event['metadata']['namespace']}/events"
            try:
                await self._client.post(path, msgspec.json.encode(event))
            except ClusterError as error:
                log.info("an event was not written", **_log_fields(event["regarding"]), error=str(error))
            finally:
                self._queue.task_done()

    async def shut_down(self) -> None:
        """Drop the events that wait, and wait for the answer to the one that is under way."""
        while not self._queue.empty():
            self._queue.get_nowait()
            self._queue.task_done()
            self.dropped += 1
        await self._queue.join()

    def _was_recorded_recently(self, told: tuple[Event, str]) -> bool:
        """Whether this was told of this very object lately: one that was made anew has events of its own."""
        last = self._recorded.get(told)
        return last is not None and self._monotonic() - last < _REPEAT_SECONDS

    def _mark_recorded(self, told: tuple[Event, str]) -> None:
        self._recorded.pop(told, None)  # the latest stands last
        self._recorded[told] = self._monotonic()
        if len(self._recorded) > _MAX_RECORDED:
            self._recorded.popitem(last=False)

    def _manifest(self, event: Event, uid: str) -> dict[str, Any]:
        name = event.name
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": f"{name[:200].rstrip('-.')}.{secrets.token_hex(8)}", "namespace": event.namespace},
            "eventTime": self._clock().isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "type": event.type,
            "action": event.action,
            "reason": event.reason,
            "note": event.note,
            "regarding": {
                "apiVersion": API_VERSION,
                "kind": event.kind.kind,
                "namespace": event.namespace,
                "name": name,
                "uid": uid,
            },
            "reportingController": f"{GROUP}/operator",
            "reportingInstance": self._instance,
        }
