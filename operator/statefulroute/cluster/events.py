"""Records Kubernetes events; drops repeated events and limits their rate."""

import asyncio
import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import structlog

from statefulroute.api.group import API_VERSION, GROUP, POD_LINK, Kind
from statefulroute.cluster.client import Client
from statefulroute.cluster.clock import Clock, utc_now
from statefulroute.cluster.errors import ClusterError
from statefulroute.cluster.retry_after import retry_pause
from statefulroute.domain.events import Event
from statefulroute.domain.rate_limiter import RateLimiter

log = structlog.get_logger(__name__)


#: The burst and the rate of the events of all links, and of those of all routes. For larger changes, the route's status
#: is the source of information.
_BURST, _PER_SECOND = 50, 5.0

#: The recorder drops an event that it recorded less than this time ago.
_REPEAT_SECONDS = 600.0
_MAX_RECORDED = 2_000


def _log_fields(regarding: Mapping[str, str]) -> Mapping[str, str]:
    """Returns the log fields for an event's object. The log redacts the field `link`."""
    field = "link" if regarding["kind"] == POD_LINK.kind else "route"
    return {field: regarding["name"], "namespace": regarding["namespace"]}


class EventRecorder:
    """Queues events without waiting, and writes them in the background.

    Args:
        client: the client for the API server.
        instance: the name of this process, for the field `reportingInstance`.
        clock: returns the time of day.
        monotonic: returns monotonic seconds.
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
        self._queue: asyncio.Queue[tuple[Kind, dict[str, Any]]] = asyncio.Queue()
        self._queued: Counter[Kind] = Counter()
        self._recorded: OrderedDict[tuple[Event, str], float] = OrderedDict()
        self._rate_limiter = RateLimiter(_PER_SECOND, monotonic, burst=_BURST)
        self.dropped = 0
        """The number of events that the rate limit or the full queue dropped."""

    def record(self, event: Event | None, uid: str) -> None:
        """Queues an event, unless it was recorded recently or the rate limit is exceeded.

        Args:
            event: the event; None is ignored.
            uid: the `metadata.uid` of the event's object.
        """
        if event is None or self._was_recorded_recently((event, uid)):
            return
        if self._queued[event.kind] >= _BURST or self._rate_limiter.take(event.kind):
            self.dropped += 1
            return
        self._mark_recorded((event, uid))
        self._queued[event.kind] += 1
        self._queue.put_nowait((event.kind, self._manifest(event, uid)))

    async def run(self) -> None:
        """Writes events until cancelled. Drops an event that cannot be written: nothing depends on events."""
        while True:
            kind, event = await self._queue.get()
            self._queued[kind] -= 1
            path = f"/apis/events.k8s.io/v1/namespaces/{event['metadata']['namespace']}/events"
            pause = 0.0
            try:
                await self._client.post(path, msgspec.json.encode(event))
            except ClusterError as error:
                log.info("an event was not written", **_log_fields(event["regarding"]), error=str(error))
                pause = retry_pause(0.0, error.retry_after_seconds)
            finally:
                self._queue.task_done()
            await asyncio.sleep(pause)

    async def shut_down(self) -> None:
        """Drops the queued events, and waits for the request in progress."""
        while not self._queue.empty():
            kind, _ = self._queue.get_nowait()
            self._queued[kind] -= 1
            self._queue.task_done()
            self.dropped += 1
        await self._queue.join()

    def _was_recorded_recently(self, key: tuple[Event, str]) -> bool:
        """Returns whether the event was recorded for this object recently. A recreated object has another uid."""
        last = self._recorded.get(key)
        return last is not None and self._monotonic() - last < _REPEAT_SECONDS

    def _mark_recorded(self, key: tuple[Event, str]) -> None:
        self._recorded.pop(key, None)  # so that the latest entry is the last one
        self._recorded[key] = self._monotonic()
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
