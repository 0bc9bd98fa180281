"""Two routes to one workload: each counts the links that the pods carry for the other."""

from typing import Any

import pytest

from statefulroute.cluster.errors import NotFoundError
from statefulroute.controllers.workload_routes import WorkloadRoutes
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.load import LoadReport
from statefulroute.domain.route import RouteView
from unit.controllers.environment import GAME, Environment, eventually, idle, link, pod, route, running_route

LOBBY, CHESS = RouteKey("games", "lobby"), RouteKey("games", "chess")
TO_GAME = {"workloadRef": {"name": "game"}}


@pytest.fixture
def environment() -> Environment:
    """The routes `game` and `lobby` to the StatefulSet `game` of three pods."""
    environment = Environment().with_pods(0, 1, 2)
    environment.routes.put(route(20, LOBBY, spec=TO_GAME))
    return environment


def view_of(environment: Environment, key: RouteKey = GAME) -> RouteView:
    view = environment.route_store.get(key)
    assert view is not None
    return view


def totals(environment: Environment, key: RouteKey = GAME) -> list[int]:
    """Returns the number of links of each pod in all routes."""
    return [view_of(environment, key).total_link_count(pod) for pod in range(3)]


def test_routes_of_a_workload_are_found() -> None:
    routes = WorkloadRoutes()
    game, lobby, chess = route(1), route(2, LOBBY, spec=TO_GAME), route(3, CHESS)
    assert [tuple(routes.update(None, each)) for each in (game, lobby, chess)] == [(), (GAME,), ()]
    assert [routes.others(key) for key in (GAME, LOBBY, CHESS)] == [(LOBBY,), (GAME,), ()]
    assert routes.update(lobby, route(4, LOBBY, spec=TO_GAME, generation=2)) == (), "the workload is the same"
    other = route(5, LOBBY, spec={"workloadRef": {"name": "chess"}}, generation=3)
    assert routes.update(lobby, other) == (GAME, CHESS), "the routes of the workload before, and of that now"
    assert [routes.others(key) for key in (GAME, LOBBY, CHESS)] == [(), (CHESS,), (LOBBY,)]
    assert routes.update(other, None) == (CHESS,)
    assert [routes.others(key) for key in (GAME, LOBBY, CHESS)] == [(), (), ()]
    assert routes.others(RouteKey("elsewhere", "game")) == ()


def test_view_counts_the_links_of_all_routes_as_they_change(environment: Environment) -> None:
    view = view_of(environment)
    environment.links.put(link(30, "alice", pod=0))
    environment.links.put(link(31, "visitor", LOBBY, pod=0))
    environment.links.put(link(32, "guest", LOBBY, pod=2))
    environment.links.put(link(33, "elsewhere", RouteKey("other", "lobby"), pod=1))
    environment.links.put(link(34, "orphan", CHESS, pod=1))
    assert view is view_of(environment), "the counts are live"
    assert (totals(environment), totals(environment, LOBBY)) == ([2, 0, 1], [2, 0, 1])
    assert (view.link_count(0), view.link_count(2)) == (1, 0)


@pytest.mark.parametrize(
    "change",
    [
        lambda environment: environment.routes.delete("games", "lobby", 50),
        lambda environment: environment.routes.put(route(50, LOBBY, generation=2)),
    ],
    ids=["deleted", "another workload"],
)
def test_links_of_a_route_that_leaves_the_workload_do_not_count(environment: Environment, change: Any) -> None:
    environment.links.put(link(30, "visitor", LOBBY, pod=0))
    calls: list[list[int]] = []
    environment.route_store.watch(GAME, lambda: calls.append(totals(environment)))
    assert totals(environment) == [1, 0, 0]
    change(environment)
    assert calls == [[0, 0, 0]], "watchers see the view without them"
    environment.routes.put(route(60, LOBBY, spec=TO_GAME, generation=3))
    assert calls[1:] == [[1, 0, 0]]


async def test_links_at_a_report_are_those_of_all_routes(environment: Environment) -> None:
    environment.links.put(link(30, "alice", pod=0))
    environment.links.put(link(31, "visitor", LOBBY, pod=0))
    view_of(environment)
    environment.pods.put(pod(40, 0, load_report=LoadReport(5, 0, environment.now)))
    assert view_of(environment).loads[0].links_at_report == 2


async def test_link_waits_for_the_room_that_links_of_the_other_route_leave(environment: Environment) -> None:
    environment.routes.put(route(50, generation=2, spec={"placement": {"maxLinksPerPod": 1}}))
    for number in range(3):
        environment.links.put(link(51 + number, f"visitor-{number}", LOBBY, pod=number))
    for number in range(2):
        environment.links.put(link(60 + number, f"player-{number}", creation_timestamp=number))
    async with running_route(environment), running_route(environment, LOBBY):
        assert [environment.reason_of(f"player-{number}") for number in range(2)] == ["AtCapacity"] * 2
        environment.links.delete(LOBBY, "lobby.visitor-1", 70)
        await idle()
        assert [environment.reason_of(f"player-{number}") for number in range(2)] == ["Bound", "AtCapacity"]
        assert totals(environment) == [1, 1, 1]
        environment.links.put(link(71, "visitor-2", LOBBY, pod=0))
        await idle()
        assert environment.reason_of("player-1") == "Bound", "a link of the other route has moved away"
        assert totals(environment) == [2, 1, 1]


async def test_room_is_not_lost_if_the_waiting_link_of_one_route_does_not_take_it(environment: Environment) -> None:
    one = {"placement": {"maxLinksPerPod": 1}}
    environment.routes.put(route(50, generation=2, spec=one))
    environment.routes.put(route(51, LOBBY, generation=2, spec=TO_GAME | one))
    for number in range(3):
        environment.links.put(link(52 + number, f"player-{number}", pod=number))
    async with running_route(environment), running_route(environment, LOBBY):
        environment.links.put(link(60, "late"))
        environment.links.put(link(61, "visitor", LOBBY))
        await idle()
        assert (environment.reason_of("late"), environment.reason_of("visitor", LOBBY)) == ("AtCapacity",) * 2
        environment.writer.unblocked.clear()
        environment.links.delete(GAME, "game.player-0", 1000)
        await idle()
        assert environment.writer.in_flight == 1, "one of the two takes the room"
        environment.links.delete(GAME, "game.late", 1001)
        environment.writer.failures.append(NotFoundError(404, "NotFound", "not found"))
        environment.writer.unblocked.set()
        await eventually(lambda: environment.reason_of("visitor", LOBBY) == "Bound")
