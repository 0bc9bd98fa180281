"""The links of slots: which the operator creates, on which pods, and where they go when a pod is lost."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any, cast

import msgspec
import pytest

from statefulroute.api.vocabulary import ConditionType, LinkPhase, MoveReason, RoutingState, ServiceState
from statefulroute.cluster.errors import APIError, ClusterError, ConflictError, NotLeadingError, UnreachableError
from statefulroute.cluster.writes import LinkWriter
from statefulroute.controllers.slots.balancer import SlotBalancer
from statefulroute.controllers.slots.controller import SlotController
from statefulroute.controllers.slots.statuses import SlotStatuses
from statefulroute.domain.backoff import Backoff
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import Link
from statefulroute.domain.pod import Pod
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


def drained(version: int, index: int) -> Pod:
    """Returns a pod that takes no new users."""
    return pod(version, index, reported_routing_state=RoutingState.DENY_NEW_CALL)


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
            SlotBalancer(
                self.environment.links,
                self.environment.route_store,
                self.environment.slot_moves,
                self.environment.controller.resume,
            ),
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
        for index in range(3):
            slots.environment.pods.put(pod(20 + index, index))
        await eventually(lambda: len(slots.links) == 8)


async def test_pods_that_start_get_their_share_of_the_slots_of_a_new_route(monkeypatch: pytest.MonkeyPatch) -> None:
    slots = Slots(0, slots=9)
    slots.environment.workloads.put(workload(30, replicas=3))
    async with slots.running():
        await eventually(lambda: slots.links)
        await idle()
        assert slots.by_pod == {0: 3}
        slots.environment.pods.put(pod(31, 1))
        slots.environment.pods.put(pod(32, 2))
        await eventually(lambda: slots.by_pod == {0: 3, 1: 3, 2: 3})
    monkeypatch.setattr("statefulroute.controllers.slots.controller._START_SECONDS", 0.02)
    slots = Slots(0, slots=9)
    slots.environment.workloads.put(workload(30, replicas=3))
    async with slots.running():
        await eventually(lambda: slots.by_pod == {0: 9})


async def test_no_slot_of_a_new_route_waits_for_a_pod_that_is_drained() -> None:
    slots = Slots(0, 1, slots=4)
    slots.environment.workloads.put(workload(30, replicas=2))
    slots.environment.pods.put(drained(31, 1))
    async with slots.running():
        await eventually(lambda: slots.by_pod == {0: 4})


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


async def test_pods_that_come_after_a_failure_get_the_slots() -> None:
    slots = Slots(0, slots=4)
    slots.environment.writer.failures.append(APIError(429, "TooManyRequests", "too many requests"))
    async with slots.running():
        await eventually(lambda: slots.environment.writer.failures == [])
        slots.environment.pods.put(drained(60, 0))
        await asyncio.sleep(0.05)  # the retry finds no pod that takes new users
        assert len(slots.links) < 4
        slots.environment.pods.put(pod(61, 0))
        await eventually(lambda: len(slots.links) == 4 and slots.all_bound())


async def test_retries_do_not_become_rarer_while_some_links_are_created() -> None:
    slots, delays = Slots(0, slots=200), list[int]()

    class Delays(Backoff):
        def delay(self, attempt: int, retry_after_seconds: float = 0.0) -> float:
            delays.append(attempt)
            return super().delay(attempt, retry_after_seconds)

    slots.controller._backoff = Delays(0.01, 0.01, lambda: 0.0)  # noqa: SLF001 - a backoff that tells what it is asked
    create, number = slots.environment.writer.create_slot, 0

    async def refuse_some(*arguments: Any) -> None:
        nonlocal number
        number += 1
        if number % 20 == 0:
            raise APIError(500, "InternalError", "the webhook did not answer")
        await create(*arguments)

    slots.environment.writer.create_slot = refuse_some  # type: ignore[method-assign]
    async with slots.running():
        await eventually(lambda: len(slots.links) == 200 and slots.all_bound())
    assert len(delays) > 3
    assert set(delays) == {0}


@pytest.mark.parametrize(
    "error", [ConflictError(409, "AlreadyExists", "it exists"), NotLeadingError("this operator does not lead")]
)
async def test_links_that_exist_are_not_created_again_and_again(error: ClusterError) -> None:
    slots = Slots(0, slots=1)
    attempts = 0

    async def refuse(*_: object) -> None:
        nonlocal attempts
        attempts += 1
        raise error

    slots.environment.writer.create_slot = refuse  # type: ignore[method-assign]
    async with slots.running():
        await eventually(lambda: attempts)
        for _ in range(20):
            await idle()
        assert attempts == 1


async def test_links_of_uids_do_not_count_as_slots() -> None:
    slots = Slots(0, 1, slots=4)
    for number in range(6):
        slots.environment.links.put(link(30 + number, f"user-{number}", pod=0))
    async with slots.running():
        await eventually(lambda: len(slots.links) == 10 and slots.all_bound())
        assert dict(slots.environment.counts.slots.of(GAME)) == {0: 2, 1: 2}


def moves_by_reason(slots: Slots) -> Counter[object]:
    """Returns how many links have moved for each reason, by their statuses."""
    reasons = {*MoveReason} | {"Moved"}
    return Counter(record for _, record in slots.environment.writer.written if record in reasons)


@pytest.mark.parametrize(
    "leaving",
    [
        pytest.param(drained(60, 2), id="drained"),
        pytest.param(pod(60, 2, service_state=ServiceState.TERMINATING, is_ready=True), id="terminating"),
    ],
)
async def test_pod_that_takes_no_new_users_gives_its_slots_to_the_others(leaving: Pod) -> None:
    async with Slots(0, 1, 2, slots=9).running() as slots:
        await eventually(lambda: len(slots.links) == 9 and slots.all_bound())
        slots.environment.pods.put(leaving)
        await eventually(lambda: slots.by_pod == {0: 5, 1: 4} and slots.all_bound())
        assert moves_by_reason(slots) == {"Drained": 3}
        assert slots.environment.recorder.recorded.count("Drained") == 3
        assert dict(slots.environment.counts.of(GAME)) == {0: 5, 1: 4}


async def test_slots_of_a_drained_pod_wait_until_another_pod_takes_them() -> None:
    async with Slots(0, slots=4).running() as slots:
        await eventually(lambda: len(slots.links) == 4 and slots.all_bound())
        slots.environment.pods.put(drained(60, 0))
        await idle()
        assert slots.by_pod == {0: 4}
        slots.environment.workloads.put(workload(61, replicas=2))
        slots.environment.pods.put(pod(62, 1))
        await eventually(lambda: slots.by_pod == {1: 4} and slots.all_bound())


async def test_users_with_a_link_of_their_own_stay_on_a_drained_pod() -> None:
    slots = Slots(0, 1, slots=4)
    slots.environment.links.put(link(30, "alice", pod=1))
    async with slots.running():
        await eventually(lambda: len(slots.links) == 5 and slots.all_bound())
        slots.environment.pods.put(drained(60, 1))
        await eventually(lambda: slots.by_pod == {0: 4, 1: 1} and slots.all_bound())


async def test_slots_stay_where_they_are_without_rebalance() -> None:
    async with Slots(0, 1, slots=8).running() as slots:
        await eventually(lambda: len(slots.links) == 8 and slots.all_bound())
        slots.environment.workloads.put(workload(70, replicas=3))
        slots.environment.pods.put(pod(71, 2))
        await idle()
        assert slots.by_pod == {0: 4, 1: 4}
        assert slots.condition(ConditionType.SLOTS_BALANCED)[:2] == (False, "SlotsUneven")


FAST = {"rebalance": {"slotsPerMinute": 1_000_000}}


async def test_new_pod_gets_its_share_by_the_fewest_moves() -> None:
    async with Slots(0, 1, slots=16, **FAST).running() as slots:
        await eventually(lambda: len(slots.links) == 16 and slots.all_bound())
        slots.environment.workloads.put(workload(70, replicas=3))
        slots.environment.pods.put(pod(71, 2))
        await eventually(lambda: slots.condition(ConditionType.SLOTS_BALANCED)[0] and slots.all_bound())
        assert sorted(slots.by_pod.values()) == [5, 5, 6]
        assert moves_by_reason(slots) == {"Rebalanced": 5}


async def test_pods_are_balanced_after_a_restart_before_the_slots_were_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("statefulroute.controllers.slots.balancer._CHECK_SECONDS", 0.01)
    slots = Slots(0, 1, slots=8, **FAST)
    for number in range(8):
        slots.environment.links.put(link(30 + number, f"x-slot-{number}", pod=0))
    async with slots.running():
        await eventually(lambda: slots.condition(ConditionType.SLOTS_BALANCED)[0] and slots.all_bound())


async def test_pods_are_balanced_although_the_link_of_a_slot_is_refused() -> None:
    slots, tries = Slots(0, 1, slots=9, **FAST), list[int]()
    slots.controller._backoff = Backoff(3600, 3600, lambda: 1.0)  # noqa: SLF001 - longer than the test
    create = slots.environment.writer.create_slot

    async def refuse_the_last(route: Any, slot: int, pod: PodKey) -> None:
        if slot == 8:
            tries.append(slot)
            raise APIError(403, "Forbidden", "exceeded quota")
        await create(route, slot, pod)

    slots.environment.writer.create_slot = refuse_the_last  # type: ignore[method-assign, assignment]
    async with slots.running():
        await eventually(lambda: len(slots.links) == 8 and slots.all_bound())
        slots.environment.workloads.put(workload(70, replicas=3))
        slots.environment.pods.put(pod(71, 2))
        await eventually(lambda: sorted(slots.by_pod.values()) == [2, 3, 3] and slots.all_bound())
    assert tries == [8]  # the moves do not hasten the next try


async def test_move_by_a_client_after_a_withdrawn_balance_has_its_own_reason() -> None:
    async with Slots(0, 1, slots=4, handOver={}, **FAST).running() as slots:
        environment = slots.environment
        await eventually(lambda: len(slots.links) == 4 and slots.all_bound())
        environment.workloads.put(workload(70, replicas=3))
        environment.pods.put(pod(71, 2))
        await eventually(lambda: "HandingOver" in {record for _, record in environment.writer.written})
        name = next(each.name for each in slots.links if each.hand_over)
        environment.pods.put(pod(72, 2, service_state=ServiceState.TERMINATING, is_ready=True))
        await eventually(lambda: slots.all_bound() and not any(each.hand_over for each in slots.links))
        current = environment.links.get(GAME, name)
        assert current is not None
        version = current.resource_version + 1
        environment.links.put(
            msgspec.structs.replace(current, resource_version=version, generation=version, pod=2)  # a client moves it
        )
        await eventually(lambda: moves_by_reason(slots))
        assert (moves_by_reason(slots)["Moved"], moves_by_reason(slots)["Rebalanced"]) == (1, 0)


async def test_plan_of_moves_looks_at_no_link_of_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: set[str] = set()
    async with Slots(0, 1, slots=16, **FAST).running() as slots:
        for number in range(50):
            slots.environment.links.put(link(30 + number, f"user-{number}", pod=0))
        await eventually(lambda: len(slots.links) == 66 and slots.all_bound())
        status_pod = Link.status_pod.fget
        assert status_pod is not None

        def look(each: Link) -> PodKey | None:
            looked_at.add(each.name)
            return cast("PodKey | None", status_pod(each))

        monkeypatch.setattr(Link, "status_pod", property(look))
        slots.environment.workloads.put(workload(70, replicas=3))
        slots.environment.pods.put(pod(71, 2))
        await eventually(lambda: slots.condition(ConditionType.SLOTS_BALANCED)[0])
    assert looked_at == {f"game.x-slot-{slot}" for slot in range(16)}


async def test_moves_are_limited_by_slots_per_minute() -> None:
    async with Slots(0, 1, slots=16, rebalance={"slotsPerMinute": 60}).running() as slots:
        await eventually(lambda: len(slots.links) == 16 and slots.all_bound())
        slots.environment.workloads.put(workload(70, replicas=3))
        slots.environment.pods.put(pod(71, 2))
        await eventually(lambda: slots.by_pod.get(2) and slots.all_bound())
        assert slots.by_pod[2] == 1
        assert slots.condition(ConditionType.SLOTS_BALANCED)[:2] == (False, "Rebalancing")


async def test_pods_are_not_balanced_while_one_with_slots_may_come_back() -> None:
    async with Slots(0, 1, slots=8, onPodLost={"graceSeconds": 3600}, **FAST).running() as slots:
        await eventually(lambda: len(slots.links) == 8 and slots.all_bound())
        slots.environment.workloads.put(workload(70, replicas=3))
        slots.environment.pods.put(pod(71, 1, is_ready=False, service_state=ServiceState.NOT_READY))
        slots.environment.pods.put(pod(72, 2))
        await idle()
        assert slots.by_pod == {0: 4, 1: 4}


async def test_slot_is_handed_over_where_the_route_has_it() -> None:
    async with Slots(0, 1, slots=4, handOver={}, **FAST).running() as slots:
        await eventually(lambda: len(slots.links) == 4 and slots.all_bound())
        slots.environment.pods.put(drained(60, 1))
        written = slots.environment.writer.written
        await eventually(lambda: [record for _, record in written].count("HandingOver") == 2)
        assert slots.by_pod == {0: 2, 1: 2}
        assert dict(slots.environment.counts.slots.of(GAME)) == {0: 4}
        for each in slots.links:
            if each.hand_over is not None:  # the driver of the old pod commits
                slots.environment.links.put(
                    msgspec.structs.replace(
                        each,
                        resource_version=each.resource_version + 1,
                        generation=each.generation + 1,
                        pod=each.hand_over.pod,
                        hand_over=None,
                    )
                )
        await eventually(lambda: slots.by_pod == {0: 4} and slots.all_bound())
        assert slots.environment.recorder.recorded.count("Drained") == 2


async def test_random_pods_and_deletions_end_with_each_slot_bound_and_balanced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pods come, are drained, fail and go, and links are deleted; afterwards, all is even again."""
    monkeypatch.setattr("statefulroute.controllers.slots.controller._START_SECONDS", 0.0)
    random = Random(7)
    lost = {"graceSeconds": 0, "suspend": {"podsPercent": 0}}
    async with Slots(0, slots=24, onPodLost=lost, **FAST).running() as slots:
        environment, version, states = slots.environment, 1_000, {0: "ready"}
        environment.workloads.put(workload(999, replicas=6))
        for _ in range(120):
            version += 10
            index, action = random.randrange(6), random.choice(("ready", "drained", "failed", "gone", "delete"))
            if action == "delete" and slots.links:
                gone = random.choice(slots.links)
                environment.links.delete(GAME, gone.name, gone.resource_version + 1)
            elif action == "gone":
                states.pop(index, None)
                environment.pods.delete("games", f"game-{index}", version)
            elif action != "delete":
                states[index] = action
                changed = drained(version, index) if action == "drained" else pod(version, index)
                if action == "failed":
                    changed = pod(version, index, service_state=ServiceState.FAILED)
                environment.pods.put(changed)
            if random.random() < 0.5:
                await idle()
        environment.pods.put(pod(version + 10, 0))
        environment.pods.put(pod(version + 11, 1))
        states |= {0: "ready", 1: "ready"}
        ready = {index for index, state in states.items() if state == "ready"}
        await eventually(
            lambda: (
                len(slots.links) == 24
                and slots.all_bound()
                and slots.by_pod.keys() == ready
                and slots.condition(ConditionType.SLOTS_BALANCED)[0]
            )
        )
        assert Counter(each.pod for each in slots.links) == dict(environment.counts.slots.of(GAME))
