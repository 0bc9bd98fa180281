"""Records Kubernetes events; drops repeated events, limits their rate, and shares it fairly by namespace and route."""

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from statefulroute.api.group import API_VERSION, GROUP, POD_LINK, STATEFUL_ROUTE, Kind
from statefulroute.cluster.client import Client
from statefulroute.cluster.clock import Clock, utc_now
from statefulroute.cluster.errors import ClusterError
from statefulroute.cluster.field_logger import get_logger
from statefulroute.cluster.retry_after import NamespacePauses, retry_pause
from statefulroute.domain.events import Event
from statefulroute.domain.fair_queue import FairQueue
from statefulroute.domain.fair_slots import FairSlots
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.rate_limiter import RateLimiter

log = get_logger(__name__)


#: The burst and the rate of the events of all links, and of those of all routes. For larger changes, the route's status
#: is the source of information.
_BURST, _PER_SECOND = 50, 5.0

#: How many events of each kind may wait to be written: a quarter of them of a single route, half of a single namespace.
_MAX_WAITING = 4 * _BURST

#: How long a write may take, and how long a namespace pauses whose event was not accepted in this time: it holds up the
#: others for a quarter of the time at most.
_WRITE_SECONDS, _PAUSE_SECONDS = 10.0, 30.0

#: The recorder drops an event that it recorded less than this time ago.
_REPEAT_SECONDS = 600.0
_MAX_RECORDED = 2_000


def _log_fields(regarding: Mapping[str, str]) -> Mapping[str, str]:
    """Returns the log fields for an event's object. The log redacts the field `link`."""
    field = "link" if regarding["kind"] == POD_LINK.kind else "route"
    return {field: regarding["name"], "namespace": regarding["namespace"]}


@dataclass(frozen=True, slots=True, eq=False)
class _Recorded:
    """An event that waits to be written, with the `metadata.uid` of its object and the time when it was recorded."""

    event: Event
    uid: str
    time: datetime


class _Waiting:
    """The events of one kind that wait to be written, in shares of namespaces and routes."""

    def __init__(self) -> None:
        self._queue: FairQueue[_Recorded] = FairQueue()
        self._places = FairSlots(_MAX_WAITING, namespace_share=1.0, route_share=1.0)

    def __len__(self) -> int:
        return len(self._queue)

    def may_add(self, route: RouteKey) -> bool:
        """Returns whether there is a place for one more event of a route."""
        return self._places.may_take(route)

    def add(self, route: RouteKey, recorded: _Recorded) -> None:
        """Adds an event for which there is a place."""
        self._places.take(route)
        self._queue.add(route, recorded)

    def has_next(self, namespace_may: Callable[[str], bool]) -> bool:
        """Returns whether `pop` would return an event."""
        return self._queue.next_route(namespace_may) is not None

    def pop(self, namespace_may: Callable[[str], bool] = lambda _: True) -> _Recorded | None:
        """Removes the next event of the namespaces that may be served now; returns None if there is none."""
        if (served := self._queue.pop(namespace_may)) is None:
            return None
        route, recorded = served
        self._places.release(route)
        return recorded


def _route_of(event: Event) -> RouteKey:
    """Returns the route of an event's object; the name of a link begins with that of its route."""
    name = event.name.partition(".")[0] if event.kind is POD_LINK else event.name
    return RouteKey(event.namespace, name)


class EventRecorder:
    """Queues events without waiting, and writes them in the background, at a limited rate.

    Namespaces and routes have their turns, so a tenant with many events delays and drops only its own.

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
        # Events of routes, which are few and concern many links, come first.
        self._waiting = {kind: _Waiting() for kind in (STATEFUL_ROUTE, POD_LINK)}
        self._has_arrived, self._is_idle = asyncio.Event(), asyncio.Event()
        self._is_idle.set()
        self._recorded: OrderedDict[tuple[Event, str], float] = OrderedDict()
        self._pauses = NamespacePauses(monotonic)
        self._rate_limiter = RateLimiter(_PER_SECOND, monotonic, burst=_BURST)
        self.dropped = 0
        """The number of events that were not written, because too many waited or the recorder was shut down."""

    def record(self, event: Event | None, uid: str) -> None:
        """Queues an event, unless it was recorded recently or too many events of its route wait.

        Args:
            event: the event; None is ignored.
            uid: the `metadata.uid` of the event's object.
        """
        if event is None or self._was_recorded_recently((event, uid)):
            return
        waiting, route = self._waiting[event.kind], _route_of(event)
        if not waiting.may_add(route):
            self.dropped += 1
            return
        self._mark_recorded((event, uid))
        waiting.add(route, _Recorded(event, uid, self._clock()))
        self._has_arrived.set()

    async def run(self) -> None:
        """Writes events until cancelled. Drops an event that cannot be written: nothing depends on events."""
        while True:
            self._has_arrived.clear()
            delays = {kind: self._delay(kind) for kind, waiting in self._waiting.items() if len(waiting)}
            kind = min(delays, key=delays.__getitem__, default=None)
            if kind is None or delays[kind]:
                with suppress(TimeoutError):
                    async with asyncio.timeout(None if kind is None else delays[kind]):
                        await self._has_arrived.wait()
                continue
            self._rate_limiter.take(kind)
            if (recorded := self._waiting[kind].pop(self._pauses.allows)) is not None:
                await self._write(self._manifest(recorded.event, recorded.uid, recorded.time))

    async def shut_down(self) -> None:
        """Drops the queued events, and waits for the request in progress."""
        for waiting in self._waiting.values():
            while waiting.pop() is not None:
                self.dropped += 1
        await self._is_idle.wait()

    def _delay(self, kind: Kind) -> float:
        """Returns the seconds until the next event of a kind, of which some wait, may be written."""
        delay = self._rate_limiter.delay(kind)
        is_next_paused = not self._waiting[kind].has_next(self._pauses.allows)
        return max(delay, self._pauses.seconds_left()) if is_next_paused else delay

    async def _write(self, event: dict[str, Any]) -> None:
        """Writes an event. A namespace whose event was refused or not accepted in time may have to pause."""
        namespace = event["metadata"]["namespace"]
        path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
        self._is_idle.clear()
        try:
            async with asyncio.timeout(_WRITE_SECONDS):
                await self._client.post(path, msgspec.json.encode(event))
        except (ClusterError, TimeoutError) as error:
            log.info("an event was not written", **_log_fields(event["regarding"]), error=str(error) or "no answer")
            pause = retry_pause(0.0, error.retry_after_seconds) if isinstance(error, ClusterError) else _PAUSE_SECONDS
            self._pauses.pause(namespace, pause)
        finally:
            self._is_idle.set()

    def _was_recorded_recently(self, key: tuple[Event, str]) -> bool:
        """Returns whether the event was recorded for this object recently. A recreated object has another uid."""
        last = self._recorded.get(key)
        return last is not None and self._monotonic() - last < _REPEAT_SECONDS

    def _mark_recorded(self, key: tuple[Event, str]) -> None:
        self._recorded.pop(key, None)  # so that the latest entry is the last one
        self._recorded[key] = self._monotonic()
        if len(self._recorded) > _MAX_RECORDED:
            self._recorded.popitem(last=False)

    def _manifest(self, event: Event, uid: str, recorded: datetime) -> dict[str, Any]:
        name = event.name
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": f"{name[:200].rstrip('-.')}.{secrets.token_hex(8)}", "namespace": event.namespace},
            "eventTime": recorded.isoformat(timespec="microseconds").replace("+00:00", "Z"),
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
