"""The links of slots: which the operator creates, on which pods, and where they go when a pod is lost."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from statefulroute.api.vocabulary import ConditionType, LinkPhase, ServiceState
from statefulroute.cluster.errors import APIError, UnreachableError
from statefulroute.cluster.writes import LinkWriter
from statefulroute.controllers.slots.controller import SlotController
from statefulroute.controllers.slots.statuses import SlotStatuses
from statefulroute.domain.backoff import Backoff
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import Link
from unit.controllers.environment import (
    GAME,
    Environment,
    eventually,
    idle,
    link,
    pod,
    route,
    running_route,
    workload,
)

pytestmark = pytest.mark.asyncio


class Slots:
    """A controller of slots in a test environment.

    Attributes:
        environment: the environment.
        statuses: what the status of the route shows.
        controller: the controller.
    """

    def __init__(self, *pods: int, slots: int | None = 8, **spec: Any) -> None:
        self.environment = Environment()
        self.environment.workloads.put(workload(11, replicas=max(pods, default=2) + 1))
        self.environment.routes.put(route(10, spec={"slots": slots, **spec}))
        for index in pods:
            self.environment.pods.put(pod(12 + index, index))
        self.statuses = SlotStatuses(self.environment.counts.slots)
        self.controller = SlotController(
            self.environment.informers,
            self.environment.route_store,
            self.environment.counts,
            cast("LinkWriter", self.environment.writer),
            self.statuses,
            Backoff(initial_seconds=0.01, max_seconds=0.01, random=lambda: 0.0),
        )

    @property
    def links(self) -> list[Link]:
        """The links of the route."""
        return list(self.environment.links.in_partition(GAME).values())

    @property
    def by_pod(self) -> dict[PodKey | None, int]:
        """How many links name each pod."""
        return dict(Counter(each.pod for each in self.links))

    def all_bound(self) -> bool:
        """Returns whether the status of each link states that it is bound to its pod."""
        return all(
            each.status and each.status.phase is LinkPhase.BOUND and each.status_pod == each.pod for each in self.links
        )

    def condition(self, kind: ConditionType) -> tuple[bool, str, str]:
        """Returns a condition of the route."""
        view = self.environment.route_store.get(GAME)
        assert view is not None
        return self.statuses.conditions(view, self.environment.now)[kind]

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Slots"]:
        """Runs the controllers of slots and of links."""
        self.controller.start()
        async with running_route(self.environment):
            yield self
        await self.controller.stop()


async def test_each_slot_gets_a_link_that_names_its_pod_with_two_writes() -> None:
    async with Slots(0, 1, 2).running() as slots:
        await eventually(lambda: len(slots.links) == 8 and slots.all_bound())
        assert sorted(slots.by_pod.values()) == [2, 3, 3]
        writes = Counter(name for name, _ in slots.environment.writer.written)
        assert writes == {f"x-slot-{slot}": 2 for slot in range(8)}
        assert slots.condition(ConditionType.SLOTS_BOUND) == (True, "SlotsBound", "all 8 slots are bound")
        assert slots.condition(ConditionType.SLOTS_BALANCED)[0]


async def test_restart_writes_nothing() -> None:
    async with Slots(0, 1, 2).running() as slots:
        await eventually(lambda: len(slots.links) == 8 and slots.all_bound())
    slots.environment.writer.written.clear()
    async with slots.running():
        await idle()
    assert slots.environment.writer.written == []


async def test_no_link_is_created_while_no_pod_takes_new_users() -> None:
    async with Slots().running() as slots:
        await idle()
        assert slots.links == []
        assert slots.condition(ConditionType.SLOTS_BOUND)[:2] == (False, "SlotsUnbound")
        slots.environment.pods.put(pod(20, 0))
        await eventually(lambda: len(slots.links) == 8)


async def test_route_without_slots_gets_no_links() -> None:
    async with Slots(0, slots=None).running() as slots:
        await idle()
        assert slots.links == []


async def test_slots_can_be_added_to_a_route() -> None:
    async with Slots(0, slots=None).running() as slots:
        slots.environment.routes.put(route(30, spec={"slots": 2}, generation=2))
        await eventually(lambda: len(slots.links) == 2)


async def test_deleted_link_is_created_again() -> None:
    async with Slots(0, 1).running() as slots:
        await eventually(lambda: len(slots.links) == 8 and slots.all_bound())
        gone = slots.links[3]
        slots.environment.links.delete(GAME, gone.name, gone.resource_version + 1)
        await eventually(lambda: len(slots.links) == 8 and slots.all_bound())
        assert sorted(slots.by_pod.values()) == [4, 4]


async def test_links_of_a_route_that_is_deleted_are_not_created_again() -> None:
    async with Slots(0, 1).running() as slots:
        await eventually(lambda: len(slots.links) == 8)
        slots.environment.routes.put(route(50, spec={"slots": 8}, is_deleting=True))
        gone = slots.links[3]
        slots.environment.links.delete(GAME, gone.name, gone.resource_version + 1)
        await idle()
        assert len(slots.links) == 7


async def test_slots_beyond_those_of_the_route_are_removed() -> None:
    slots = Slots(0)
    slots.environment.links.put(link(30, "x-slot-8", pod=0))
    slots.environment.links.put(link(31, "alice", pod=0))
    async with slots.running():
        await eventually(lambda: ("x-slot-8", "removed") in slots.environment.writer.written)
        await eventually(lambda: len(slots.links) == 9 and slots.all_bound())


async def test_slot_of_a_route_without_slots_is_rejected_and_stays() -> None:
    slots = Slots(0, slots=None)
    slots.environment.links.put(link(30, "x-slot-0", pod=0))
    async with slots.running():
        await eventually(lambda: slots.environment.reason_of("x-slot-0") == "NoSuchSlot")


async def test_slots_of_a_lost_pod_go_to_the_pods_with_the_fewest_and_no_other_moves() -> None:
    async with Slots(0, 1, 2, 3, slots=12, onPodLost={"graceSeconds": 0}).running() as slots:
        await eventually(lambda: len(slots.links) == 12 and slots.all_bound())
        before = {each.name: each.pod for each in slots.links}
        slots.environment.pods.put(pod(60, 3, service_state=ServiceState.FAILED))
        await eventually(lambda: slots.by_pod == {0: 4, 1: 4, 2: 4} and slots.all_bound())
        moved = {each.name for each in slots.links if each.pod != before[each.name]}
        assert moved == {name for name, pod_key in before.items() if pod_key == 3}


async def test_creation_that_fails_is_repeated_and_a_refusal_is_shown() -> None:
    slots = Slots(0, slots=1)
    slots.environment.writer.failures += [
        UnreachableError("refused the connection"),
        APIError(403, "Forbidden", "podlinks is forbidden"),
    ]
    async with slots.running():
        await eventually(lambda: slots.condition(ConditionType.SLOTS_BOUND)[1] == "SlotsRefused")
        assert "podlinks is forbidden" in slots.condition(ConditionType.SLOTS_BOUND)[2]
        await eventually(lambda: slots.condition(ConditionType.SLOTS_BOUND)[0])


async def test_links_of_uids_do_not_count_as_slots() -> None:
    slots = Slots(0, 1, slots=4)
    for number in range(6):
        slots.environment.links.put(link(30 + number, f"user-{number}", pod=0))
    async with slots.running():
        await eventually(lambda: len(slots.links) == 10 and slots.all_bound())
        assert dict(slots.environment.counts.slots.of(GAME)) == {0: 2, 1: 2}
