"""At rest, every link has what the plain rules give it, whatever the API server, its clients and the watch did before.

The API server here has its own links: writes take time, fail, or succeed without a response; clients change links
meanwhile; and the watch delivers all changes later.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast
from unittest.mock import patch

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from statefulroute.api.vocabulary import ServiceState
from statefulroute.cluster.errors import APIError, ConflictError, NotFoundError, UnreachableError
from statefulroute.cluster.writes import LinkWriter
from statefulroute.controllers.links import route_queue
from statefulroute.controllers.work_queue.rate_limiting import OutagePause, RetryBackoff, RetryDelays
from statefulroute.domain.decision import LinkView, UpdateStatus, decide, is_status_current
from statefulroute.domain.keys import LinkKey, PodKey, RouteKey
from statefulroute.domain.link import Link, LinkStatus
from support.own_loop import run_in_own_loop
from unit.controllers.changing_service import CHANGES, OTHER, PODS, START, Change, ChangingService
from unit.controllers.environment import GAME, Environment, link, route

#: The time of day of the test is that of all components, and only the operator assumes placements.
#: The simulated API server takes no hand-overs either: test_any_order.py has these.
EXCLUDED = {"skew", "assume", "share_workload", "stop_sharing", "put_link", "delete_link"}

USERS = 14

#: The writes of this user's links are always refused.
REFUSED = 13

#: How often the links are checked, a millisecond apart, until they are at rest.
REST_ROUNDS = 5_000

SHORT_DELAYS = RetryDelays(initial=0.001, longest_in_outage=0.01)

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


class APIServer:
    """Stores links, and delivers each change to the cache some turns of the event loop later.

    Args:
        environment: the operator.
        faults: what happens to the writes, one after the other; the writes after them succeed.
    """

    def __init__(self, environment: Environment, faults: list[str]) -> None:
        self._links: dict[LinkKey, Link] = {}
        self._cache = environment.links
        self._faults = deque(faults)
        self._version = 1000
        self.events: deque[tuple[LinkKey, Link | None, int]] = deque()
        environment.reconciler._writer = cast("LinkWriter", self)  # noqa: SLF001 - the API server of this test

    def client_put(self, new: Link) -> None:
        """Stores a link as a client does, which keeps the status."""
        old = self._links.get(new.key)
        if old is not None:
            generation = old.generation + (new.pod != old.pod)
            new = msgspec.structs.replace(old, pod=new.pod, generation=generation)
        self._store(new)

    def client_change(self, key: LinkKey, **fields: Any) -> None:
        """Changes fields of a link, if it exists."""
        if (old := self._links.get(key)) is not None:
            self._store(msgspec.structs.replace(old, generation=old.generation + 1, **fields))

    def client_delete(self, key: LinkKey) -> None:
        """Deletes a link, if it exists."""
        if self._links.pop(key, None) is not None:
            self.events.append((key, None, self._next()))

    async def deliver(self) -> None:
        """Delivers the changes to the cache, late and in order."""
        while True:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if self.events:
                key, new, version = self.events.popleft()
                if new is None:
                    self._cache.delete(key.route, key.name, version)
                else:
                    self._cache.put(new)

    async def bind(self, link: Link, pod: PodKey) -> None:
        """Writes the spec of a link."""
        await self._write(link, {"pod": pod, "hand_over": None, "generation": link.generation + 1})

    async def update_status(self, link: Link, status: LinkStatus, *_: object) -> str:
        """Writes the status of a link."""
        observed = {"observed_generation": link.generation, "status_expire_time": link.expire_time}
        await self._write(link, {"status": status} | observed)
        return "its uid"

    async def delete(self, link: Link) -> str:
        """Deletes a link that has not changed."""
        await self._write(link, None)
        return "its uid"

    async def _write(self, link: Link, change: Mapping[str, Any] | None) -> None:
        for _ in range(len(self._faults) % 4):
            await asyncio.sleep(0)
        fault = self._faults.popleft() if self._faults else ""
        self._fail(link, fault)
        if change is None:
            self.client_delete(link.key)
        else:
            self._store(msgspec.structs.replace(self._links[link.key], **change))
        if fault == "no response":
            raise UnreachableError("no response")
        if change is not None and fault != "late":
            self._cache.put(self._links[link.key])
        await asyncio.sleep(0)

    def _fail(self, link: Link, fault: str) -> None:
        """Raises an error if a write fails."""
        if link.name.endswith(f"user-{REFUSED}"):
            raise APIError(403, "Forbidden", "a policy refuses it")
        if fault == "unavailable":
            raise APIError(503, "ServiceUnavailable", "try again")
        if fault == "moved":
            self.client_put(msgspec.structs.replace(link, pod=_another(link.pod)))
        if fault == "deleted":
            self.client_delete(link.key)
        current = self._links.get(link.key)
        if current is None:
            raise NotFoundError(404, "NotFound", "it was deleted")
        if current.resource_version != link.resource_version:
            raise ConflictError(409, "Conflict", "it has changed")

    def _store(self, link: Link) -> None:
        new = self._links[link.key] = msgspec.structs.replace(link, resource_version=self._next())
        self.events.append((new.key, new, new.resource_version))

    def _next(self) -> int:
        self._version += 1
        return self._version


def _another(pod: PodKey | None) -> PodKey | None:
    """Returns the pod that a client names instead."""
    return {None: 0, 0: 1}.get(pod) if pod is None or isinstance(pod, int) else None


class ServedLinks(ChangingService):
    """A service with two routes whose links are in an API server.

    Args:
        concurrency: how many links of a route are written at the same time.
        faults: what happens to the writes.
        options: those of the service.
    """

    def __init__(self, concurrency: int, faults: list[str], **options: bool) -> None:
        super().__init__(
            **options, environment=Environment(concurrency, max_moves_in_flight=3, monotonic=time.monotonic)
        )
        self.server = APIServer(self.environment, faults)
        self.share_workload()

    def put_link(self, user: int, index: int | None, key: RouteKey = GAME) -> None:
        self.server.client_put(link(1, f"user-{user}", key=key, pod=self._key(index), creation_timestamp=user % 3))

    def delete_link(self, user: int, key: RouteKey = GAME) -> None:
        self.server.client_delete(LinkKey(key, f"{key.name}.user-{user}"))

    def end_link(self, user: int, key: RouteKey, fields: dict[str, Any]) -> None:
        """Makes a link one that takes no room, or none any more."""
        self.server.client_change(LinkKey(key, f"{key.name}.user-{user}"), **fields)

    def elapse(self, seconds: int) -> None:
        super().elapse(seconds)
        self.store._invalidate(OTHER)  # noqa: SLF001 - a timer that expires

    def verify(self) -> None:
        super().verify()
        self.store.verify_losses(OTHER, dict(self.store.unverified_losses(OTHER)))

    def limit_other(self, limit: int) -> None:
        spec = {"workloadRef": {"name": "game"}, "placement": {"maxLinksPerPod": limit}}
        self.environment.routes.put(route(self._next(), OTHER, generation=self._next(), spec=spec))

    def unfinished(self) -> list[str]:
        """Returns the links that the plain rules would write now, or that have not arrived."""
        return [each for key in (GAME, OTHER) for each in self._unfinished(key)]

    def _unfinished(self, key: RouteKey) -> list[str]:
        view, links = self.environment.route_store.get(key), self.environment.links.in_partition(key)
        if view is None or not view.is_workload_known:
            return []
        result = []
        for each in links.values():
            if each.name.endswith(f"user-{REFUSED}") or each.is_deleting:
                continue
            plan = decide(LinkView(each, replace(view, index=None), self.environment.now))
            if not isinstance(plan, UpdateStatus) or not is_status_current(each, plan.status):
                result.append(f"{each.name}: {plan}")
        return result


FAULTS = st.lists(st.sampled_from(["", "", "", "late", "moved", "deleted", "unavailable", "no response"]), max_size=40)
USER, INDEX = st.integers(0, USERS - 1), st.integers(0, PODS - 1)
NEW_USER = st.tuples(st.just("put_link"), st.tuples(USER, st.none(), st.sampled_from([GAME, GAME, OTHER])))
ROUTES = st.sampled_from([GAME, OTHER])
LIMITS = st.sampled_from([{"maxLinksPerPod": 1}, {"maxLinksPerPod": 1}, {"maxLinksPerPod": 2}, {"maxLinksPerPod": 4}])
ACTIONS = st.sampled_from([{"action": action, "graceSeconds": 0} for action in ("Rebind", "Rebind", "Release", "Keep")])
ENDS = st.sampled_from([{"is_deleting": True}, {"expire_time": LONG_AGO}, {"foreign_namespace": "elsewhere"}])
SERVED_CHANGES: st.SearchStrategy[Change] = st.one_of(
    CHANGES.filter(lambda change: change[0] not in EXCLUDED and "handOver" not in change[1]),
    NEW_USER,
    NEW_USER,
    st.tuples(st.just("put_link"), st.tuples(USER, INDEX, ROUTES)),
    st.tuples(st.just("delete_link"), st.tuples(USER, ROUTES)),
    st.tuples(
        st.just("put_pod"),
        st.tuples(
            INDEX,
            st.sampled_from([ServiceState.NOT_READY, *[ServiceState.READY] * 2]),
            INDEX.map(lambda index: index % 3),
        ),
    ),
    st.tuples(st.just("edit_field"), st.tuples(st.just("placement"), LIMITS)),
    st.tuples(st.just("edit_field"), st.tuples(st.just("onPodLost"), ACTIONS)),
    st.tuples(st.just("end_link"), st.tuples(USER, ROUTES, ENDS)),
    st.tuples(st.just("restart"), st.tuples()),
    st.tuples(st.just("limit_other"), st.tuples(st.integers(1, 3))),
    st.tuples(st.just("pause"), st.tuples(st.integers(1, 12))),
    st.tuples(st.just("pause"), st.tuples(st.integers(1, 12))),
    st.tuples(st.just("rest"), st.tuples()),
)
FULL: list[Change] = [
    ("edit_field", ("placement", {"maxLinksPerPod": 1})),
    *(("put_link", (user, None)) for user in range(USERS)),
]


@settings(max_examples=200, deadline=None)
@given(
    st.booleans(),
    st.lists(SERVED_CHANGES, max_size=40),
    FAULTS,
    st.sampled_from([1, 2, 4]),
    st.tuples(st.booleans(), st.booleans()),
)
def test_links_have_what_the_plain_rules_give_them(
    is_full: bool, changes: list[Change], faults: list[str], concurrency: int, options: tuple[bool, bool]
) -> None:
    async def run() -> None:
        service = ServedLinks(concurrency, faults, is_indexed=options[0], verifies=options[1])
        await _run(service, [*START, *(FULL if is_full else ()), *changes])

    with (
        patch.object(route_queue, "_STATUS_CHECK_SECONDS", 0.001),
        patch.object(RetryBackoff.__init__, "__defaults__", (SHORT_DELAYS, random.random)),
        patch.object(OutagePause, "seconds", lambda *_: 0.0),
    ):
        run_in_own_loop(run())


async def _run(service: ServedLinks, changes: Iterable[Change]) -> None:
    controller = service.environment.controller
    _start(service)
    delivery = asyncio.create_task(service.server.deliver())
    for change in changes:
        match change:
            case ("pause", (turns,)):
                for _ in range(turns):
                    await asyncio.sleep(0)
            case ("restart", _):
                await controller.stop()
                _start(service)
            case ("rest", _):
                await _rest(service)
            case _:
                service.apply(change)
    await _rest(service)
    delivery.cancel()
    await controller.stop()


def _start(service: ServedLinks) -> None:
    service.environment.controller.start()
    for key in (GAME, OTHER):
        service.environment.controller.add_route(key)


async def _rest(service: ServedLinks) -> None:
    for _ in range(REST_ROUNDS):
        if not service.server.events and not service.unfinished():
            return
        await asyncio.sleep(0.001)
    raise AssertionError(service.unfinished())
