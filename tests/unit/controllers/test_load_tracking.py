"""What the views know of the pods' loads: heard, forgotten, become stale, and told to those who watch."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from statefulroute.api.vocabulary import RoutingState
from statefulroute.domain.load import Load, LoadReport, UnreadableReport
from statefulroute.domain.pod import Owner
from unit.controllers.environment import GAME, eventually, idle, link, pod, route, workload
from unit.controllers.watched_environment import WatchedEnvironment

SECOND = timedelta(seconds=1)
HTTP = {"load": {"source": "HTTP", "http": {"port": 80}}}
DENIES = RoutingState.DENY_NEW_CALL


@pytest.fixture
async def world() -> WatchedEnvironment:
    """A watched route with two pods, of which the first has reported a load of 5."""
    world = WatchedEnvironment()
    world.with_pods()
    world.report(5, 0)
    world.put_pod(1)
    assert world.view.loads == {0: Load(LoadReport(5, 0, world.now), links_at_report=0)}
    world.calls.clear()
    return world


def heard(world: WatchedEnvironment, index: int = 0) -> Load | None:
    """The load of a pod, as a decision would find it now."""
    return world.view.loads.get(index)


@pytest.mark.parametrize("load_state", [5, 6, 900])
async def test_a_further_report_of_a_fresh_pod_is_known_at_once_and_told_nobody(
    world: WatchedEnvironment, load_state: int
) -> None:
    view = world.view
    world.now += SECOND
    assert world.notifications(lambda: world.report(load_state)) == 0
    assert view.loads[0].report == LoadReport(load_state, 0, world.now)


async def test_the_first_report_of_a_pod_is_told(world: WatchedEnvironment) -> None:
    assert world.notifications(lambda: world.report(5, 1)) == 1
    assert world.view.fresh_load(1, world.now) is not None


async def test_a_report_of_a_pod_that_was_stale_is_told(world: WatchedEnvironment) -> None:
    world.now += timedelta(seconds=91)
    assert world.notifications(lambda: world.report(5)) == 1


async def test_a_report_that_was_stale_when_it_came_is_told_once_and_does_not_count(world: WatchedEnvironment) -> None:
    assert world.notifications(lambda: world.report(5, 1, ago=91)) == 1
    assert world.view.fresh_load(1, world.now) is None


async def test_a_report_counts_the_links_that_the_pod_carries_then(world: WatchedEnvironment) -> None:
    world.links.put(link(30, "alice", pod=0))
    world.links.put(link(30, "bob", pod=0))
    assert world.view.loads[0].links_at_report == 0
    world.now += SECOND
    world.report(5)
    world.links.put(link(31, "carol", pod=0))
    assert world.view.loads[0].links_at_report == 2


async def test_the_answer_of_a_pod_that_says_another_routing_state_is_told() -> None:
    world = WatchedEnvironment()
    world.routes.put(route(10, spec=HTTP))
    world.workloads.put(workload(11))
    world.put_pod(0)
    member = world.view.pods[0].pod
    for said, told in ((RoutingState.UNKNOWN, 1), (RoutingState.UNKNOWN, 0), (DENIES, 1), (DENIES, 0)):
        world.now += SECOND
        report = LoadReport(1, 1, world.now)
        assert (
            world.notifications(
                lambda report=report, said=said: world.route_store.observe_load(GAME, member, report, said)
            )
            == told
        )  # type: ignore[misc]
    assert world.view.pods[0].routing_state is DENIES


async def test_after_a_restart_a_report_counts_the_links_that_the_status_remembers() -> None:
    world = WatchedEnvironment()
    said = {"name": "game-0", "index": 0, "serviceState": "Ready", "routingState": "Ready", "links": 3, "newLinks": 1}
    world.routes.put(route(10, status={"pods": [{**said, "loadState": 5, "waitingTasks": 0}]}))
    world.workloads.put(workload(11))
    for number in range(3):
        world.links.put(link(20 + number, f"user-{number}", pod=0))
    world.pods.put(pod(30, 0, uid="a", load_report=LoadReport(5, 0, world.now)))
    assert world.view.loads[0].links_at_report == 2
    world.pods.put(pod(31, 0, uid="a", load_report=LoadReport(5, 0, world.now + SECOND)))
    world.now += SECOND
    world.pods.put(pod(32, 0, uid="a", load_report=LoadReport(5, 0, world.now + SECOND)))
    assert world.view.loads[0].links_at_report == 3


async def test_an_older_report_changes_nothing(world: WatchedEnvironment) -> None:
    assert world.notifications(lambda: world.report(9, ago=1)) == 0
    assert heard(world) == Load(LoadReport(5, 0, world.now), 0)


async def test_a_report_of_the_future_is_one_of_now(world: WatchedEnvironment) -> None:
    world.report(5, 1, ago=-3600)
    assert heard(world, 1) == Load(LoadReport(5, 0, world.now), 0)
    world.now += timedelta(seconds=91)
    assert world.view.fresh_load(1, world.now) is None


@pytest.mark.parametrize("ago", [0, -3600], ids=["of now", "of the future"])
@pytest.mark.parametrize(
    "change",
    [
        {"ip": "10.0.0.7"},
        {"labels": {"colour": "red"}},
        {"reported_routing_state": DENIES},
    ],
    ids=["an address", "a label", "a routing state"],
)
async def test_a_report_that_a_later_version_of_the_pod_repeats_renews_nothing(
    world: WatchedEnvironment, ago: float, change: dict[str, Any]
) -> None:
    world.report(7, 1, ago=ago)
    first, report = world.now, LoadReport(7, 0, world.seconds_ago(ago))
    for _ in range(3):
        world.now += SECOND
        world.put_pod(1, load_report=report, **change)
    assert heard(world, 1) == Load(LoadReport(7, 0, first), 0)


async def test_a_pod_that_is_made_again_under_its_name_tells_its_own_load(world: WatchedEnvironment) -> None:
    assert world.notifications(lambda: world.put_pod(0, uid="another")) == 1
    assert world.view.loads == {}
    world.report(3, 0, uid="another")
    assert heard(world) == Load(LoadReport(3, 0, world.now), 0)


async def test_a_pod_that_was_deleted_is_forgotten_with_its_load(world: WatchedEnvironment) -> None:
    world.pods.delete("games", "game-0", 5000)
    assert world.view.loads == {}
    world.put_pod(0)
    assert world.view.loads == {}


async def test_an_answer_of_a_pod_that_is_no_longer_the_same_is_not_taken(world: WatchedEnvironment) -> None:
    first = world.view.pods[0].pod
    world.put_pod(0, uid="another")
    world.now += SECOND
    world.route_store.observe_load(GAME, first, LoadReport(9, 9, world.now))
    world.route_store.observe_load_error(GAME, first, "did not answer")
    assert (world.view.loads, world.view.load_errors) == ({}, {})


async def test_another_source_forgets_what_was_heard_of_the_first(world: WatchedEnvironment) -> None:
    world.put_pod(1, load_report=UnreadableReport("has a bad annotation"))
    world.routes.put(route(50, generation=2, spec=HTTP))
    assert (world.view.loads, world.view.load_errors) == ({}, {})
    world.now += SECOND
    world.report(9)
    assert world.view.loads == {}, "what the annotations say does not count"
    world.routes.put(route(51, generation=3))
    assert heard(world) == Load(LoadReport(9, 0, world.now), 0)


async def test_another_edit_forgets_nothing(world: WatchedEnvironment) -> None:
    world.links.put(link(30, pod=0))
    world.routes.put(route(50, generation=2, spec={"load": {"staleAfterSeconds": 10}}))
    assert heard(world) == Load(LoadReport(5, 0, world.now), 0)


async def test_the_loads_of_another_workloads_pods_do_not_count(world: WatchedEnvironment) -> None:
    other = Owner("StatefulSet", "chess", "uid-of-chess")
    world.workloads.put(workload(40, "chess"))
    world.pods.put(pod(41, 0, name="chess-0", owner=other, uid="uid-of-chess-0"))
    world.routes.put(route(50, generation=2, spec={"workloadRef": {"name": "chess"}}))
    assert list(world.view.pods) == [0]
    assert world.view.loads == {}


async def test_the_loads_of_pods_that_have_gone_while_there_was_no_workload_do_not_count(
    world: WatchedEnvironment,
) -> None:
    world.workloads.delete("games", "game", 5000)
    assert world.view.pods == {}
    world.pods.delete("games", "game-0", 5001)
    world.workloads.put(workload(5002, uid="uid-of-the-next"))
    world.put_pod(0, uid="another", owner=Owner("StatefulSet", "game", "uid-of-the-next"))
    assert list(world.view.pods) == [0]
    assert world.view.loads == {}


async def test_a_load_outlives_a_workload_that_lets_its_pods_go_and_takes_them_again(world: WatchedEnvironment) -> None:
    world.workloads.delete("games", "game", 5000)
    assert world.view.missing_workload is not None
    world.workloads.put(workload(5001))
    assert heard(world) == Load(LoadReport(5, 0, world.now), 0)


async def test_why_a_load_could_not_be_read_is_told_once(world: WatchedEnvironment) -> None:
    bad = UnreadableReport("has a bad annotation")
    assert world.notifications(lambda: world.put_pod(1, load_report=bad)) == 1
    assert world.view.load_errors == {1: "has a bad annotation"}
    assert world.notifications(lambda: world.put_pod(1, load_report=bad, ip="10.0.0.7")) == 0
    assert world.notifications(lambda: world.put_pod(1, load_report=UnreadableReport("has another"))) == 1
    assert world.notifications(lambda: world.report(5, 1)) == 1
    assert world.view.load_errors == {}


async def test_what_a_pod_told_before_it_could_not_be_read_counts_until_it_is_stale(world: WatchedEnvironment) -> None:
    world.now += SECOND
    world.put_pod(0, load_report=UnreadableReport("has a bad annotation"))
    assert world.view.fresh_load(0, world.now) is not None
    assert world.notifications(lambda: world.report(6)) == 1, "it is no longer complained of"
    assert world.view.load_errors == {}


@pytest.mark.parametrize(
    "later", [None, LoadReport(5, 0, datetime.fromisoformat("2026-06-01T12:00:00Z"))], ids=["nothing", "the same again"]
)
async def test_a_report_that_is_put_right_is_no_longer_complained_of(
    world: WatchedEnvironment, later: LoadReport | None
) -> None:
    world.put_pod(0, load_report=UnreadableReport("has a bad annotation"))
    assert world.view.load_errors == {0: "has a bad annotation"}
    assert world.notifications(lambda: world.put_pod(0, load_report=later)) == 1
    assert world.view.load_errors == {}


async def test_a_load_that_becomes_stale_is_told_without_any_event(world: WatchedEnvironment) -> None:
    world.report(5, 1)
    world.now += SECOND
    world.report(5, 1)
    world.now += timedelta(seconds=88.97)
    world.put_pod(2)  # the view is made anew, and the alarm is set to the end of the first load
    world.calls.clear()
    await idle()
    assert world.calls == []
    world.now += timedelta(seconds=0.04)
    await eventually(lambda: world.calls)
    assert world.view.fresh_load(0, world.now) is None
    assert world.view.fresh_load(1, world.now) is not None


async def test_a_load_that_was_reported_again_before_it_was_stale_is_not_told_of(world: WatchedEnvironment) -> None:
    world.routes.put(route(50, generation=2, spec={"load": {"staleAfterSeconds": 1}}))
    world.now += timedelta(seconds=0.97)
    world.put_pod(1, reported_routing_state=DENIES)  # the view is made anew
    world.calls.clear()
    world.now += timedelta(seconds=0.02)
    world.report(5)
    deadlines = world.route_store._staleness_deadlines  # noqa: SLF001 - the next check shows nowhere else
    first = deadlines.when(GAME)
    world.now += timedelta(seconds=0.03)
    await eventually(lambda: GAME in deadlines and deadlines.when(GAME) != first)
    assert world.calls == []
    world.now += timedelta(seconds=1)
    await eventually(lambda: world.calls)


async def test_nothing_is_looked_for_after_the_route_is_gone(world: WatchedEnvironment) -> None:
    deadlines = world.route_store._staleness_deadlines  # noqa: SLF001 - a timer of a deleted route shows nowhere else
    assert list(deadlines) == [GAME]
    world.routes.delete("games", "game", 50)
    assert not len(deadlines)
    world.routes.put(route(60))
    assert world.view.loads == {0: Load(LoadReport(5, 0, world.now), 0)}, "read anew from the pod's own annotations"


def elsewhere(world: WatchedEnvironment, **more: Any) -> Callable[[], object]:
    return lambda: world.report(9, 0, ago=-1, **more)


async def test_reports_of_other_pods_are_passed_over(world: WatchedEnvironment) -> None:
    lonely = {"name": "lonely-0", "owner": None}
    chess = {"name": "chess-0", "owner": Owner("StatefulSet", "chess", "uid-of-chess")}
    for other in ({"namespace": "other"}, lonely, chess):
        assert world.notifications(elsewhere(world, **other)) == 0
    assert heard(world) == Load(LoadReport(5, 0, world.now), 0)
