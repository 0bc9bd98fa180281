"""Hand-overs as the operator carries them out: what it writes, when, and which links it looks at again."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec

from statefulroute.api.vocabulary import ClosingReason, LinkPhase, LossCause, RoutingState, ServiceState
from statefulroute.cluster.errors import ConflictError, UnreachableError
from statefulroute.controllers.links.hand_overs import HandOvers
from statefulroute.controllers.monitoring.hand_overs import HandOverMetrics
from statefulroute.domain.closing import Closing
from statefulroute.domain.hand_over import HandOverResult
from statefulroute.domain.keys import LinkKey
from statefulroute.domain.link import HandOver, Link
from support.simulated_loop import SimulatedLoop
from unit.controllers.environment import GAME, Environment, idle, link, pod, route, running_route, workload

HANDS_OVER = {"handOver": {"timeoutSeconds": 10}}
DRAINED = {**HANDS_OVER, "pods": [{"index": 0, "routingState": "Shutdown"}]}
TO_1 = HandOver(1, "2026-06-01T12:00:00Z")


def environment_of(*indices: int, spec: dict[str, Any] | None = None, **options: Any) -> Environment:
    environment = Environment(**options)
    environment.routes.put(route(10, spec=HANDS_OVER if spec is None else spec))
    environment.workloads.put(workload(11))
    for index in indices:
        environment.pods.put(pod(12 + index, index))
    return environment


def user(environment: Environment, name: str = "alice") -> Link:
    current = environment.links.get(GAME, f"game.{name}")
    assert current is not None
    return current


async def edit(environment: Environment, name: str = "alice", **fields: Any) -> None:
    """Writes the spec of a link as a client does."""
    former = user(environment, name)
    version, generation = former.resource_version + 1, former.generation + 1
    environment.links.put(msgspec.structs.replace(former, resource_version=version, generation=generation, **fields))
    await idle()


async def drain(environment: Environment, spec: dict[str, Any] | None = None) -> None:
    environment.routes.put(route(50, generation=2, spec=DRAINED if spec is None else spec))
    await idle()


async def pass_time(environment: Environment, seconds: float, *users: str) -> None:
    """Lets time pass; the timer of time-outs is that of the event loop, so the links are looked at in its place."""
    environment.now += timedelta(seconds=seconds)
    for name in users:
        environment.controller.resume(user(environment, name).key)
    await idle()


def results(metrics: HandOverMetrics) -> dict[str, float]:
    samples = (sample for family in metrics.collectors[0].collect() for sample in family.samples)
    return {each.labels["result"]: each.value for each in samples if each.name.endswith("_total") and each.value}


def timed(metrics: HandOverMetrics) -> float:
    samples = (sample for family in metrics.collectors[1].collect() for sample in family.samples)
    return next(each.value for each in samples if each.name.endswith("_count"))


async def test_drained_pod_hands_its_users_over() -> None:
    environment = environment_of(0, 1)
    environment.links.put(link(30, pod=0))
    async with running_route(environment):
        await drain(environment)
        assert environment.writer.written == [
            ("alice", "Bound"),
            ("alice", "handOver to 1"),
            ("alice", "HandingOver"),
        ]
        await edit(environment, pod=1, hand_over=None)  # the driver of the old pod commits
        assert environment.writer.written[3:] == [("alice", "HandedOver: Committed")]
        assert environment.writer.causes == [LossCause.SHUTDOWN]
        assert environment.recorder.recorded[-1] == "HandedOver"
        assert results(environment.hand_over_metrics) == {"Committed": 1}
        assert timed(environment.hand_over_metrics) == 1
        assert not len(environment.hand_overs)


async def test_operator_moves_the_link_after_the_time_out() -> None:
    environment = environment_of(0, 1)
    environment.links.put(link(30, pod=0))
    async with running_route(environment):
        await edit(environment, hand_over=TO_1)
        environment.writer.written.clear()
        await pass_time(environment, 9, "alice")
        assert environment.writer.written == []
        await pass_time(environment, 1, "alice")
        assert environment.writer.written == [("alice", 1), ("alice", "HandedOver: TimedOut")]
        assert environment.writer.causes == [None]
        assert results(environment.hand_over_metrics) == {"TimedOut": 1}


async def test_pod_that_is_replaced_before_the_operator_looks_is_gone() -> None:
    environment = environment_of(1)
    environment.pods.put(pod(14, 0, uid="a"))
    for name in ("alice", "bob"):
        environment.links.put(link(30, name, pod=0))
    async with running_route(environment):
        await edit(environment, hand_over=TO_1)
        environment.writer.written.clear()
        environment.pods.delete("games", "game-0", 39)
        environment.pods.put(pod(40, 0, uid="b", creation_timestamp=int(environment.now.timestamp()) + 5))
        await idle()
        assert environment.writer.written == [("alice", 1), ("alice", "HandedOver: PodGone")]
        assert environment.writer.causes == [LossCause.POD_DELETED]
        assert (user(environment).pod, user(environment, "bob").pod) == (1, 0)
        assert results(environment.hand_over_metrics) == {"PodGone": 1}


async def test_successor_moves_users_of_a_pod_that_was_replaced_meanwhile() -> None:
    environment = environment_of(1)
    environment.pods.put(pod(14, 0, uid="a"))
    environment.links.put(link(30, pod=0))
    async with running_route(environment):
        await edit(environment, hand_over=TO_1)
    successor = environment_of(1)
    successor.pods.put(pod(40, 0, uid="b", creation_timestamp=int(environment.now.timestamp()) + 5))
    successor.links.put(user(environment))
    async with running_route(successor):
        assert successor.writer.written == [("alice", 1), ("alice", "HandedOver: PodGone")]


async def test_time_out_begins_again_with_another_hand_over_to_the_same_pod() -> None:
    environment = environment_of(0, 1)
    environment.links.put(link(30, pod=0))
    async with running_route(environment):
        await edit(environment, hand_over=TO_1)
        await pass_time(environment, 8, "alice")
        await edit(environment, hand_over=HandOver(1, "later"))
        await pass_time(environment, 8, "alice")
        assert user(environment).pod == 0
        await pass_time(environment, 2, "alice")
        assert user(environment).pod == 1


async def test_time_out_of_an_edited_route_applies_to_hand_overs_in_progress() -> None:
    environment = environment_of(0, 1)
    environment.links.put(link(30, pod=0))
    async with running_route(environment):
        await edit(environment, hand_over=TO_1)
        await pass_time(environment, 5)
        await drain(environment, {"handOver": {"timeoutSeconds": 5}})
        assert user(environment).pod == 1


async def test_hand_over_that_a_former_operator_saw_starts_its_time_again_and_is_recognized() -> None:
    environment = environment_of(0, 1)
    environment.links.put(link(30, pod=0))
    async with running_route(environment):
        await edit(environment, hand_over=TO_1)
    successor = environment_of(0, 1)
    successor.links.put(user(environment))
    async with running_route(successor):
        await pass_time(successor, 9, "alice")
        assert user(successor).pod == 0
    moved_meanwhile = environment_of(0, 1)
    former = user(environment)
    moved_meanwhile.links.put(
        msgspec.structs.replace(former, pod=1, hand_over=None, resource_version=90, generation=former.generation + 1)
    )
    async with running_route(moved_meanwhile):
        assert moved_meanwhile.writer.written == [("alice", "HandedOver: Committed")]


async def test_commit_before_the_status_was_written_is_recognized() -> None:
    environment = environment_of(0, 1)
    environment.links.put(link(30, pod=0))
    async with running_route(environment):
        environment.writer.unblocked.clear()
        environment.links.put(
            msgspec.structs.replace(user(environment), resource_version=80, generation=2, hand_over=TO_1)
        )
        await idle()
        environment.writer.failures.append(ConflictError(409, "Conflict", "changed"))
        await edit(environment, pod=1, hand_over=None)
        environment.writer.unblocked.set()
        await asyncio.sleep(0.1)
        assert environment.writer.written[-1] == ("alice", "HandedOver: Committed")


async def test_commit_that_is_seen_together_with_the_hand_over_is_recognized() -> None:
    environment = environment_of(0, 1)
    environment.links.put(link(30, pod=0))
    async with running_route(environment):
        asked = msgspec.structs.replace(user(environment), resource_version=80, generation=2, hand_over=TO_1)
        environment.links.put(asked)  # both before the operator reconciles the link
        await edit(environment, pod=1, hand_over=None)
        assert environment.writer.written == [("alice", "Bound"), ("alice", "HandedOver: Committed")]
        assert results(environment.hand_over_metrics) == {"Committed": 1}
        assert timed(environment.hand_over_metrics) == 1
        assert not len(environment.hand_overs)


async def test_commit_that_is_seen_during_an_earlier_write_is_recognized() -> None:
    environment = environment_of(0, 1)
    environment.links.put(link(30, pod=0))
    async with running_route(environment):
        bound = user(environment)
    environment = environment_of(0, 1)
    environment.links.put(link(30, pod=0))
    environment.writer.unblocked.clear()
    async with running_route(environment):
        for version, fields in enumerate(({}, {"hand_over": TO_1}, {"pod": 1, "hand_over": None}), start=80):
            bound = msgspec.structs.replace(bound, resource_version=version, generation=version, **fields)
            environment.links.put(bound)
        environment.writer.unblocked.set()  # the response of the status arrives after the events
        await idle()
        assert environment.writer.written == [("alice", "Bound"), ("alice", "HandedOver: Committed")]


async def test_move_to_the_pod_of_a_cancelled_hand_over_is_none() -> None:
    environment = environment_of(0, 1)
    environment.links.put(link(30, pod=0))
    async with running_route(environment):
        bound = user(environment)
    standby = environment_of(0, 1)
    for version, fields in enumerate(({"hand_over": TO_1}, {"hand_over": None}, {"pod": 1}), start=80):
        bound = msgspec.structs.replace(bound, resource_version=version, generation=version, **fields)
        standby.links.put(bound)
    async with running_route(standby):
        assert standby.writer.written == [("alice", "Moved")]


async def test_present_pod_written_by_a_client_cancels_the_hand_over() -> None:
    environment = environment_of(0, 1)
    environment.links.put(link(30, pod=0))
    async with running_route(environment):
        await edit(environment, hand_over=TO_1)
        await edit(environment, hand_over=None)
        assert environment.writer.written[-1] == ("alice", "Bound")
        assert results(environment.hand_over_metrics) == {"Cancelled": 1}
        assert not len(environment.hand_overs)


async def test_client_that_knows_no_hand_overs_commits_by_its_move() -> None:
    environment = environment_of(0, 1, 2)
    environment.links.put(link(30, pod=0))
    environment.links.put(link(31, "bob", pod=0))
    async with running_route(environment):
        await edit(environment, hand_over=TO_1)
        await edit(environment, "bob", hand_over=TO_1)
        environment.writer.written.clear()
        await edit(environment, pod=1)
        assert environment.writer.written == [("alice", "no handOver"), ("alice", "HandedOver: Committed")]
        await edit(environment, "bob", pod=2)
        assert environment.writer.written[2:] == [("bob", "no handOver"), ("bob", "Moved")]
        assert results(environment.hand_over_metrics) == {"Committed": 1, "Withdrawn": 1}


async def test_user_moves_at_once_when_the_old_pod_ends() -> None:
    environment = environment_of(0, 1)
    environment.links.put(link(30, pod=0))
    async with running_route(environment):
        await edit(environment, hand_over=TO_1)
        environment.pods.put(pod(60, 0, service_state=ServiceState.FAILED))
        await idle()
        assert environment.writer.written[-2:] == [("alice", 1), ("alice", "HandedOver: PodGone")]
        assert environment.writer.causes == [LossCause.POD_FAILED]


async def test_hand_over_to_a_pod_that_ends_is_withdrawn_at_once() -> None:
    environment = environment_of(0, 1, 2)
    environment.links.put(link(30, pod=0))
    async with running_route(environment):
        await edit(environment, hand_over=TO_1)
        environment.writer.written.clear()
        environment.pods.delete("games", "game-1", 60)
        await idle()
        assert environment.writer.written == [("alice", "no handOver"), ("alice", "Bound")]
        assert environment.recorder.recorded[-1] == "HandOverWithdrawn"
        assert results(environment.hand_over_metrics) == {"Withdrawn": 1}


async def test_another_pod_is_chosen_if_the_new_one_ends_while_the_old_one_is_emptied() -> None:
    environment = environment_of(0, 1, 2)
    environment.links.put(link(30, pod=0))
    async with running_route(environment):
        await drain(environment)
        environment.pods.put(pod(60, 1, service_state=ServiceState.NOT_READY))
        await idle()
        assert environment.writer.written[-2:] == [("alice", "handOver to 2"), ("alice", "HandingOver")]
        assert user(environment).pod == 0


async def test_users_of_an_emptied_pod_are_served_until_another_pod_has_room() -> None:
    environment = environment_of(0)
    environment.links.put(link(30, pod=0))
    async with running_route(environment):
        await drain(environment)
        assert environment.writer.written == [("alice", "Bound")]
        environment.pods.put(pod(60, 1))
        await idle()
        assert environment.writer.written[1:] == [("alice", "handOver to 1"), ("alice", "HandingOver")]


async def test_users_who_are_handed_over_count_for_the_choice_of_pods() -> None:
    environment = environment_of(0, 1, 2, spec={**HANDS_OVER, "placement": {"maxLinksPerPod": 2}})
    for number in range(6):
        environment.links.put(link(30 + number, f"user-{number}", pod=0))
    async with running_route(environment):
        await drain(environment, {**DRAINED, "placement": {"maxLinksPerPod": 2}})
        asked = [environment.links.get(GAME, f"game.user-{number}") for number in range(6)]
        pods = sorted(each.hand_over.pod for each in asked if each and each.hand_over)
        assert pods == [1, 1, 2, 2]  # the others wait for room
        environment.pods.put(pod(60, 3))  # beyond the replicas: takes nobody
        await idle()
        view = environment.route_store.get(GAME)
        assert view is not None
        assert {key: view.total_link_count(key) for key in (0, 1, 2)} == {0: 6, 1: 2, 2: 2}
        assert view.link_count(1) == 0
        environment.links.delete(GAME, "game.user-5", 90)
        first = next(each for each in asked if each and each.hand_over)
        await edit(environment, first.name.removeprefix("game."), hand_over=None, pod=first.hand_over.pod)
        assert view.total_link_count(first.hand_over.pod) == 2


async def test_room_of_a_hand_over_that_ends_is_offered_to_others() -> None:
    limited = {**HANDS_OVER, "placement": {"maxLinksPerPod": 1}}
    environment = environment_of(0, 1, spec=limited)
    environment.links.put(link(30, pod=0))
    async with running_route(environment):
        await edit(environment, hand_over=TO_1)
        environment.links.put(link(31, "bob"))
        await idle()
        assert environment.reason_of("bob") == "AtCapacity"
        await edit(environment, hand_over=None)
        assert environment.reason_of("bob") == "Bound"


async def test_hand_overs_take_turns() -> None:
    environment = environment_of(0, 1, moves_per_second=2, max_moves_in_flight=2)
    for number in range(6):
        environment.links.put(link(30 + number, f"user-{number}", pod=0))
    async with running_route(environment):
        await drain(environment)
        started = [record for _, record in environment.writer.written if record == "handOver to 1"]
        assert 0 < len(started) < 6


async def test_link_of_a_route_without_hand_over_moves_at_once() -> None:
    environment = environment_of(0, 1, spec={})
    environment.links.put(link(30, pod=0))
    async with running_route(environment):
        await edit(environment, hand_over=TO_1)
        assert user(environment).pod == 1
        assert user(environment).hand_over is None
        assert not len(environment.hand_overs)
        assert environment.writer.written[-1] == ("alice", "HandedOver: NotConfigured")
        environment.pods.put(pod(60, 2))
        await edit(environment, pod=2)
        assert environment.writer.written[-1] == ("alice", "Moved")


async def test_moves_of_routes_without_hand_over_are_written_as_before() -> None:
    environment = environment_of(0, 1, spec={"pods": []})
    environment.links.put(link(30, pod=0))
    async with running_route(environment):
        await drain(environment, {"pods": DRAINED["pods"]})
        assert environment.writer.written == [("alice", "Bound"), ("alice", 1), ("alice", "PodLost")]


async def test_drained_pod_that_is_opened_again_keeps_the_users_that_were_not_asked_for() -> None:
    environment = environment_of(0)
    environment.links.put(link(30, pod=0))
    async with running_route(environment):
        await drain(environment)
        environment.routes.put(route(70, generation=3, spec=HANDS_OVER))
        await idle()
        environment.pods.put(pod(71, 1))
        await idle()
        assert environment.writer.written == [("alice", "Bound")]


async def test_pod_that_is_emptied_and_stops_being_ready_is_lost() -> None:
    environment = environment_of(0)
    environment.links.put(link(30, pod=0))
    async with running_route(environment):
        await drain(environment)
        environment.pods.put(pod(60, 0, service_state=ServiceState.NOT_READY))
        await idle()
        assert environment.writer.written[1:] == [("alice", "PodLost")]
        environment.pods.put(pod(61, 1))
        await idle()
        assert environment.writer.written[2:] == [("alice", 1), ("alice", "PodLost")]


async def test_failed_write_of_a_hand_over_is_repeated() -> None:
    environment = environment_of(0, 1)
    environment.links.put(link(30, pod=0))
    async with running_route(environment):
        environment.writer.failures.append(UnreachableError("lost"))
        await drain(environment)
        await asyncio.sleep(0.3)
        assert environment.writer.written[-1] == ("alice", "HandingOver")


def test_timer_looks_at_the_link_when_its_time_is_over() -> None:
    due: list[str] = []
    called = asyncio.Event()

    def record(key: LinkKey) -> None:
        due.append(key.name)
        called.set()

    async def run() -> float:
        loop = asyncio.get_running_loop()
        environment = environment_of(0, 1)
        hand_overs = HandOvers(loop.time)
        hand_overs.listen(record)
        asked = link(30, pod=0, hand_over=TO_1)
        start = loop.time()
        assert not hand_overs.is_due(asked, environment.route_store.get(GAME))
        await called.wait()
        assert hand_overs.is_due(asked, environment.route_store.get(GAME))
        return loop.time() - start

    assert _run(run) >= 10
    assert due == ["game.alice"]


def test_deleted_link_leaves_no_timer() -> None:
    async def run() -> float:
        environment = environment_of(0, 1)
        hand_overs = environment.hand_overs
        asked = link(30, pod=0, hand_over=TO_1)
        environment.links.put(asked)
        hand_overs.is_due(asked, environment.route_store.get(GAME))
        assert len(hand_overs) == 1
        environment.links.delete(GAME, asked.name, 31)
        return len(hand_overs)

    assert _run(run) == 0


def _run(main: Callable[[], Awaitable[float]]) -> float:
    loop = SimulatedLoop()
    try:
        return loop.run_until_complete(main())
    finally:
        loop.close()


def test_all_results_are_exposed_from_the_start() -> None:
    samples = [each for family in HandOverMetrics().collectors[0].collect() for each in family.samples]
    assert {each.labels["result"] for each in samples} == set(HandOverResult)


async def test_reported_shutdown_of_an_emptied_pod_moves_its_users_at_once() -> None:
    environment = environment_of(0, 1)
    environment.links.put(link(30, pod=0))
    async with running_route(environment):
        await drain(environment)
        environment.pods.put(pod(60, 0, reported_routing_state=RoutingState.SHUTDOWN))
        await idle()
        assert environment.writer.written[-2:] == [("alice", 1), ("alice", "HandedOver: PodGone")]
        status = user(environment).status
        assert status is not None
        assert status.phase is LinkPhase.BOUND


async def test_time_outs_do_not_wait_for_the_hand_overs_that_have_not_started() -> None:
    environment = environment_of(0, 1, moves_per_second=1, max_moves_in_flight=2)
    for number in range(9):
        environment.links.put(link(30 + number, f"user-{number}", pod=0))
    async with running_route(environment):
        await drain(environment)
        started = [name for name, record in environment.writer.written if record == "handOver to 1"]
        assert 0 < len(started) < 9
        await pass_time(environment, 10, *started[:1])
        assert (started[0], "HandedOver: TimedOut") in environment.writer.written


async def test_commits_take_turns() -> None:
    environment = environment_of(0, 1, moves_per_second=1, max_moves_in_flight=2)
    users = [f"user-{number}" for number in range(9)]
    for number, name in enumerate(users):
        environment.links.put(link(30 + number, name, pod=0, hand_over=TO_1))
    async with running_route(environment):
        await pass_time(environment, 10, *users)
        committed = [name for name, record in environment.writer.written if record == "HandedOver: TimedOut"]
        assert 0 < len(committed) < 9
        assert not environment.reconciler._ending - {user(environment, name).key for name in users}  # noqa: SLF001


async def test_end_of_a_suspension_moves_the_users_of_pods_that_are_missing() -> None:
    lost = {"graceSeconds": 0, "suspend": {"minimum": 1, "podsPercent": 10}}
    environment = environment_of(0, 1, 2, spec={**HANDS_OVER, "onPodLost": lost})
    environment.links.put(link(30, pod=0))
    environment.links.put(link(31, "bob", pod=2))
    async with running_route(environment):
        await edit(environment, hand_over=TO_1)
        environment.pods.delete("games", "game-2", 60)
        await idle()
        view = environment.route_store.get(GAME)
        assert view is not None
        assert view.loss_suspension is not None
        environment.pods.delete("games", "game-0", 61)
        await idle()
        assert user(environment).pod == 0
        current = environment.routes.get(*GAME)
        assert current is not None
        environment.routes.put(replace(current, resource_version=70, loss_confirmed_at=environment.now))
        await idle()
        assert user(environment).pod == 1


async def test_closing_pod_hands_its_users_over_at_its_deadline_without_an_edit() -> None:
    environment = environment_of(0, 1)
    environment.links.put(link(30, pod=0))
    async with running_route(environment):
        now, key = environment.now, route(1).workload_key
        for is_over in (False, True):
            closing = Closing(ClosingReason.SCALE_DOWN, now, now + timedelta(hours=1), is_over=is_over)
            environment.route_store.close_pods(key, {0: closing})
            await idle()
            asked = [("alice", "handOver to 1"), ("alice", "HandingOver")]
            assert environment.writer.written[1:] == (asked if is_over else [])
        await edit(environment, pod=1, hand_over=None)
        assert environment.writer.causes == [LossCause.DEADLINE_OVER]


async def test_user_who_is_bound_to_an_emptied_pod_is_handed_over() -> None:
    environment = environment_of(0, 1, spec=DRAINED)
    async with running_route(environment):
        environment.links.put(link(30, pod=0))
        await idle()
        assert environment.writer.written == [("alice", "Bound"), ("alice", "handOver to 1"), ("alice", "HandingOver")]
