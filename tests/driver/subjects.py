"""The server driver in each form that applications use, with the same methods: for tests that hold for all of them.

The methods are those of `ServerDriver` without the namespace, which is the pod's.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import quote

import aiohttp
import yarl

from statefulroute import (
    Address,
    Attempt,
    CutOff,
    DeadlineExceededError,
    DriverAlreadyRunningError,
    DriverNotOpenError,
    EventsLost,
    InvalidParameterError,
    LeaveReason,
    PodKey,
    PodNotFoundError,
    PodNotRoutableError,
    Reconnected,
    ServerDriver,
    ServerEvent,
    ServiceNotFoundError,
    SlotArrived,
    SlotLeaving,
    SlotLeft,
    SlotStaying,
    StatefulRouteError,
    UserArrived,
    UserLeaving,
    UserLeft,
    UserNotHeldError,
    UserStaying,
    sync,
)
from statefulroute.domain.keys import UidOrSlot

#: The operations on links, whose first argument is the namespace in Python.
ON_LINKS = frozenset(
    {
        "set_linked_pod",
        "try_set_linked_pod",
        "remove_linked_pod",
        "remove_linked_pod_with_id",
        "get_linked_pod",
        "links_of",
        "address_of",
    }
)

#: The error of Python for each problem of the sidecar.
ERRORS: dict[str, Callable[[str], StatefulRouteError]] = {
    "malformed": lambda detail: InvalidParameterError("body", detail),
    "invalid-parameter": lambda detail: InvalidParameterError("", detail),
    "user-not-held": UserNotHeldError,
    "route-not-found": ServiceNotFoundError,
    "pod-not-found": PodNotFoundError,
    "pod-not-routable": PodNotRoutableError,
    "already-running": DriverAlreadyRunningError,
    "not-open": DriverNotOpenError,
    "api-server-away": DeadlineExceededError,
}


#: Saves the state of a user, or of the users of a slot, handed over to a pod.
Handler = Callable[[UidOrSlot, PodKey], Coroutine[Any, Any, None]]


class Subject(Protocol):
    """A server driver in one of its forms."""

    async def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Calls a method of `ServerDriver`, without the namespace."""

    def events(self) -> AsyncIterator[ServerEvent]:
        """Yields the events of the users."""

    def taking_part(self, handler: Handler) -> AbstractAsyncContextManager[None]:
        """Lets a handler take part in hand-overs while the context lasts."""


class AsyncSubject:
    """The asynchronous driver."""

    def __init__(self, driver: ServerDriver, namespace: str) -> None:
        self._driver = driver
        self._namespace = namespace

    async def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        where = (self._namespace,) if method in ON_LINKS else ()
        result = getattr(self._driver, method)(*where, *arguments, **options)
        return await result if asyncio.iscoroutine(result) else result

    def events(self) -> AsyncIterator[ServerEvent]:
        return self._driver.events()

    @asynccontextmanager
    async def taking_part(self, handler: Handler) -> AsyncIterator[None]:
        self._driver.on_leaving(lambda user: handler(user.uid, user.to))
        self._driver.on_slot_leaving(lambda slot: handler(slot.slot, slot.to))
        yield
        self._driver.on_leaving(None)
        self._driver.on_slot_leaving(None)


class SyncSubject:
    """The blocking driver, called in threads."""

    def __init__(self, driver: sync.ServerDriver, namespace: str) -> None:
        self._driver = driver
        self._namespace = namespace

    async def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        where = (self._namespace,) if method in ON_LINKS else ()
        return await asyncio.to_thread(getattr(self._driver, method), *where, *arguments, **options)

    async def events(self) -> AsyncIterator[ServerEvent]:
        events = await asyncio.to_thread(self._driver.events)
        while (event := await asyncio.to_thread(next, events, None)) is not None:
            yield event

    @asynccontextmanager
    async def taking_part(self, handler: Handler) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()

        def call(user: sync.LeavingUser) -> None:
            asyncio.run_coroutine_threadsafe(handler(user.uid, user.to), loop).result(20)

        def call_with_slot(slot: sync.LeavingSlot) -> None:
            asyncio.run_coroutine_threadsafe(handler(slot.slot, slot.to), loop).result(20)

        await asyncio.to_thread(self._driver.on_leaving, call)
        await asyncio.to_thread(self._driver.on_slot_leaving, call_with_slot)
        yield
        await asyncio.to_thread(self._driver.on_leaving, None)
        await asyncio.to_thread(self._driver.on_slot_leaving, None)


class SidecarSubject:
    """The sidecar, called over HTTP."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        return await getattr(self, f"_{method}")(*arguments, **options)

    async def events(self) -> AsyncIterator[ServerEvent]:
        async for _, name, data in self.stream():
            for event in python_events(name, data):
                yield event

    @asynccontextmanager
    async def taking_part(self, handler: Handler) -> AsyncIterator[None]:
        handling = asyncio.create_task(self._handle(handler))
        try:
            yield
        finally:
            handling.cancel()
            await asyncio.wait({handling})

    async def _handle(self, handler: Handler) -> None:
        """Does what an application does: calls a handler for each request of a hand-over, and confirms it."""
        async for _, name, data in self.stream(query={"handOver": "true"}):
            is_request = name in {"hand-over", "slot-hand-over"}
            for asked in data["handOvers"] + data["slotHandOvers"] if name == "state" else [data] * is_request:
                to = pod_key(asked["to"])
                assert to is not None
                await handler(asked["uid"] if "uid" in asked else asked["slot"], to)
                with suppress(StatefulRouteError):  # it was withdrawn meanwhile
                    await self.request("POST", f"/v1/hand-overs/{asked['id']}/confirm")

    async def stream(
        self, last_event_id: str | None = None, query: Mapping[str, str] | None = None
    ) -> AsyncIterator[tuple[str | None, str, dict[str, Any]]]:
        """Yields id, name and data of each event."""
        headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
        timeout = aiohttp.ClientTimeout(total=None)
        async with self._session.get(
            f"{self._url}/v1/events", params=query, headers=headers, timeout=timeout
        ) as response:
            assert response.status == 200, await response.text()
            fields: dict[str, str] = {}
            while line := await response.content.readline():
                text = line.decode().removesuffix("\n")
                if not text and "event" in fields:
                    yield fields.get("id"), fields["event"], json.loads(fields["data"])
                    fields = {}
                elif text and not text.startswith(":"):
                    field, _, value = text.partition(": ")
                    fields[field] = value

    async def request(self, method: str, path: str, body: object = None, query: Any = None) -> Any:
        """Sends a request; returns the decoded answer, or raises the error of the problem."""
        url = yarl.URL(f"{self._url}{path}", encoded=True).extend_query(query or {})
        async with self._session.request(method, url, json=body) as response:
            if response.status == 204:
                return None
            answer = await response.json(content_type=None)
            if response.status == 200:
                return answer
            assert response.content_type == "application/problem+json", answer
            assert answer["status"] == response.status
            kind = answer["type"].rpartition(":")[2]
            if kind == "not-linked":
                return None
            raise ERRORS.get(kind, StatefulRouteError)(answer["detail"])

    # The operations, as the documentation maps them.

    async def _start(self) -> None:
        await self.request("POST", "/v1/server/start")

    async def _stop(self, drain_seconds: float | None = None) -> None:
        await self.request("POST", "/v1/server/stop", {"drainSeconds": drain_seconds})

    async def _set_load_state(self, load_state: object) -> None:
        await self.request("PUT", "/v1/load-state", {"loadState": load_state})

    async def _get_load_state(self) -> int:
        return (await self.request("GET", "/v1/load-state"))["loadState"]

    async def _set_waiting_tasks(self, waiting_tasks: object) -> None:
        await self.request("PUT", "/v1/waiting-tasks", {"waitingTasks": waiting_tasks})

    async def _get_waiting_tasks(self) -> int:
        return (await self.request("GET", "/v1/waiting-tasks"))["waitingTasks"]

    async def _set_routing_state(self, routing_state: object) -> None:
        await self.request("PUT", "/v1/routing-state", {"routingState": routing_state})

    async def _get_routing_state(self) -> str:
        return (await self.request("GET", "/v1/routing-state"))["routingState"]

    async def _set_linked_pod(
        self, uid: str, service: str, pod: PodKey, *, ttl_seconds: int | None = None
    ) -> PodKey | None:
        answer = await self.request("PUT", link(service, uid), bind_body(pod, ttl_seconds))
        return pod_key(answer["previous"])

    async def _try_set_linked_pod(
        self, uid: str, service: str, pod: PodKey, *, ttl_seconds: int | None = None
    ) -> Attempt:
        answer = await self.request("POST", f"{link(service, uid)}/claim", bind_body(pod, ttl_seconds))
        holder = pod_key(answer["holder"])
        assert holder is not None
        return Attempt(answer["won"], holder)

    async def _remove_linked_pod(self, uid: str, service: str, *, grace_seconds: int | None = None) -> bool:
        query = {} if grace_seconds is None else {"graceSeconds": str(grace_seconds)}
        return (await self.request("DELETE", link(service, uid), query=query))["removed"]

    async def _remove_linked_pod_with_id(
        self, uid: str, service: str, pod: PodKey, *, grace_seconds: int | None = None
    ) -> bool:
        query = {"ifPodName" if isinstance(pod, str) else "ifPodIndex": str(pod)}
        if grace_seconds is not None:
            query["graceSeconds"] = str(grace_seconds)
        return (await self.request("DELETE", link(service, uid), query=query))["removed"]

    async def _get_linked_pod(self, uid: str, service: str, *, fresh: bool = False) -> PodKey | None:
        query = {"consistency": "strong"} if fresh else {}
        return pod_key(await self.request("GET", link(service, uid), query=query))

    async def _links_of(self, uid: str, among: list[str] | None = None) -> dict[str, PodKey | None]:
        query = [("route", route) for route in among or ()]
        answer = await self.request("GET", f"/v1/links/{quote(uid, safe='')}", query=query)
        return {route: pod_key(pod) for route, pod in answer["links"].items()}

    async def _address_of(self, uid: str, service: str) -> Address | None:
        answer = await self.request("GET", f"{link(service, uid)}/address")
        return None if answer is None else Address(answer["podName"], answer["ip"], answer["host"], answer["port"])

    async def _users(self, service: str | None = None) -> set[str]:
        return set((await self.request("GET", "/v1/users", query=of_route(service)))["users"])

    async def _slots(self, service: str | None = None) -> set[int]:
        return set((await self.request("GET", "/v1/slots", query=of_route(service)))["slots"])

    async def _number_of_slots(self, service: str | None = None) -> int | None:
        number: int | None = (await self.request("GET", "/v1/slots", query=of_route(service)))["numberOfSlots"]
        return number

    async def _owns(self, uid: str, service: str | None = None) -> bool:
        return (await self.request("GET", f"/v1/users/{quote(uid, safe='')}", query=of_route(service)))["owned"]

    async def _slot_of(self, uid: str, service: str | None = None) -> int | None:
        return (await self.request("GET", f"/v1/users/{quote(uid, safe='')}", query=of_route(service)))["slot"]

    async def _read_token(self, uid: str, service: str | None = None) -> int:
        path = f"/v1/users/{quote(uid, safe='')}/token"
        return (await self.request("GET", path, query=of_route(service) | {"consistency": "strong"}))["token"]

    async def _token(self, uid: str, service: str | None = None) -> int:
        path = f"/v1/users/{quote(uid, safe='')}/token"
        return (await self.request("GET", path, query=of_route(service)))["token"]


def link(route: str, uid: str) -> str:
    """Returns the path of a link. A client must encode each character: aiohttp would decode some of them again."""
    return f"/v1/routes/{quote(route, safe='')}/links/{quote(uid, safe='')}"


def bind_body(pod: object, ttl_seconds: int | None) -> dict[str, Any]:
    name = "podName" if isinstance(pod, str) else "podIndex"
    return {name: pod} | ({} if ttl_seconds is None else {"ttlSeconds": ttl_seconds})


def of_route(route: str | None) -> dict[str, str]:
    return {} if route is None else {"route": route}


def pod_key(reference: dict[str, Any] | None) -> PodKey | None:
    """Returns the pod of an answer."""
    if reference is None:
        return None
    index: int | None = reference["podIndex"]
    return reference["podName"] if index is None else index


#: The event of Python for each event of the stream but `state`.
EVENTS: dict[str, Callable[[dict[str, Any]], ServerEvent]] = {
    "arrived": lambda data: UserArrived(data["route"], data["uid"], pod_key(data["previous"])),
    "leaving": lambda data: UserLeaving(
        data["route"], data["uid"], pod_key(data["to"]), datetime.fromisoformat(data["deadline"])
    ),
    "staying": lambda data: UserStaying(data["route"], data["uid"]),
    "left": lambda data: UserLeft(data["route"], data["uid"], LeaveReason(data["reason"])),
    "slot-arrived": lambda data: SlotArrived(data["route"], data["slot"], pod_key(data["previous"])),
    "slot-leaving": lambda data: SlotLeaving(
        data["route"], data["slot"], pod_key(data["to"]), datetime.fromisoformat(data["deadline"])
    ),
    "slot-staying": lambda data: SlotStaying(data["route"], data["slot"]),
    "slot-left": lambda data: SlotLeft(data["route"], data["slot"], LeaveReason(data["reason"])),
    "cut-off": lambda data: CutOff(data["seconds"]),
    "reconnected": lambda data: Reconnected(data["seconds"]),
    "lost": lambda data: EventsLost(data["number"]),
}


def python_events(name: str, data: dict[str, Any]) -> list[ServerEvent]:
    """Returns the events of Python for an event of the stream."""
    if name == "state":
        users = [UserArrived(user["route"], user["uid"], None) for user in data["users"]]
        return [*users, *(SlotArrived(each["route"], each["slot"], None) for each in data["slots"])]
    return [EVENTS[name](data)] if name in EVENTS else []


async def next_event(events: AsyncIterator[ServerEvent]) -> ServerEvent:
    """Returns the next event."""
    async with asyncio.timeout(20):
        return await anext(events)


async def close_events(events: AsyncIterator[ServerEvent]) -> None:
    """Closes an iterator of events, if it is a generator."""
    close = getattr(events, "aclose", None)
    if close is not None:
        with suppress(RuntimeError):
            await close()
