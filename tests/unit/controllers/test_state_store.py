"""The views of routes: made once, and made anew exactly when a decision may turn out differently."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from statefulroute.api.vocabulary import RoutingState, ServiceState
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.pod import Owner, Pod, PodAnnotations
from statefulroute.domain.route import RouteView, Workload, WorkloadAnnotations
from unit.controllers.environment import GAME, OWNER, Environment, link, pod, route, workload

CHESS = RouteKey("games", "chess")


@pytest.fixture
def world() -> Environment:
    """A route with three pods, of which somebody holds the view."""
    return Environment().with_pods(0, 1, 2)


def viewed(world: Environment, key: RouteKey = GAME) -> RouteView:
    view = world.route_store.get(key)
    assert view is not None
    return view


def test_a_view_holds_the_route_its_workload_its_pods_and_their_links(world: Environment) -> None:
    world.links.put(link(30, pod=1))
    view = viewed(world)
    assert (view.route.key, view.workload and view.workload.name) == (GAME, "game")
    assert list(view.pods) == [0, 1, 2]
    assert view.link_count(1) == 1
    world.links.put(link(30, "bob", pod=1))
    assert view.link_count(1) == 2


def test_a_view_is_made_once(world: Environment) -> None:
    assert viewed(world) is viewed(world)


@pytest.mark.parametrize("key", [CHESS, RouteKey("elsewhere", "game")])
def test_there_is_no_view_of_a_route_that_does_not_exist(world: Environment, key: RouteKey) -> None:
    assert world.route_store.get(key) is None


def test_a_workload_that_is_not_watched_is_unknown_before_it_was_read(world: Environment) -> None:
    world.routes.put(route(50, generation=2, spec={"workloadRef": {"kind": "Deployment"}}))
    assert not viewed(world).is_workload_known


Change = Callable[[Environment], object]


def changed_pod(**fields: Any) -> Change:
    return lambda world: world.pods.put(pod(50, 1, **fields))


def changed_set(**fields: Any) -> Change:
    return lambda world: world.workloads.put(workload(50, **fields))


def changed_route(**fields: Any) -> Change:
    return lambda world: world.routes.put(route(50, **fields))


MATTERS: dict[str, Change] = {
    "an edit of the route": changed_route(generation=2),
    "the beginning of the route's deletion": changed_route(is_deleting=True),
    "the route's deletion": lambda world: world.routes.delete("games", "game", 50),
    "another number of replicas": changed_set(replicas=5),
    "another Service": changed_set(service_name="other"),
    "another workload of the same name": changed_set(uid="uid-of-the-next"),
    "the workload's deletion": lambda world: world.workloads.delete("games", "game", 50),
    "a pod that is no longer ready": changed_pod(service_state=ServiceState.NOT_READY),
    "a pod that ends and still serves": changed_pod(service_state=ServiceState.TERMINATING, is_ready=True),
    "a pod that was made again": changed_pod(uid="another"),
    "a pod that takes no new users": changed_pod(reported_routing_state=RoutingState.DENY_NEW_CALL),
    "a pod that is let go": changed_pod(owner=None),
    "a pod that another workload takes": changed_pod(owner=Owner("StatefulSet", "game", "uid-of-the-next")),
    "a pod's deletion": lambda world: world.pods.delete("games", "game-1", 50),
    "a new pod": lambda world: world.pods.put(pod(50, 3)),
}

DOES_NOT_MATTER: dict[str, Change] = {
    "the route's status": changed_route(status={"links": 5}),
    "the route's label": changed_route(),
    "the workload's status": changed_set(),
    "what was noted on the workload": changed_set(annotations=WorkloadAnnotations("High", "3.7")),
    "another workload": lambda world: world.workloads.put(workload(50, "chess")),
    "a workload of that name in another namespace": lambda world: world.workloads.put(workload(50, namespace="other")),
    "a pod's status": changed_pod(),
    "a pod's IP address": changed_pod(ip="10.0.0.7"),
    "what was noted on a pod": changed_pod(annotations=PodAnnotations("3.7", "12")),
    "a pod of another workload": lambda world: world.pods.put(
        pod(50, 7, name="chess-7", owner=Owner("StatefulSet", "chess", "uid-of-chess"))
    ),
    "a pod of nobody": lambda world: world.pods.put(pod(50, name="lonely-0", owner=None)),
    "a pod of another namespace": lambda world: world.pods.put(
        pod(50, 3, namespace="other", owner=replace_owner("other"))
    ),
    "a link": lambda world: world.links.put(link(50, pod=1)),
    "another route": lambda world: world.routes.put(route(50, CHESS)),
}


def replace_owner(uid: str) -> Owner:
    return msgspec.structs.replace(OWNER, uid=uid)


@pytest.mark.parametrize("change", MATTERS.values(), ids=MATTERS)
def test_what_may_change_a_decision_makes_a_new_view_and_is_told(world: Environment, change: Change) -> None:
    calls: list[RouteView | None] = []
    before = viewed(world)
    world.route_store.watch(GAME, lambda: calls.append(world.route_store.get(GAME)))
    change(world)
    assert len(calls) == 1
    assert calls[0] is not before, "a watcher sees the new view already"
    assert world.route_store.get(GAME) is calls[0]


@pytest.mark.parametrize("change", DOES_NOT_MATTER.values(), ids=DOES_NOT_MATTER)
def test_what_changes_no_decision_is_not_told(world: Environment, change: Change) -> None:
    calls: list[str] = []
    before = viewed(world)
    world.route_store.watch(GAME, lambda: calls.append("told"))
    change(world)
    assert calls == []
    after = viewed(world)
    assert (bearings(after), pods(after), after.route.spec) == (bearings(before), pods(before), before.route.spec)


def bearings(view: RouteView) -> Workload:
    assert view.workload is not None
    return view.workload.decision_inputs


def pods(view: RouteView) -> list[Pod]:
    return [each.pod.decision_inputs for each in view.pods.values()]


def test_the_view_has_the_routes_latest_status_and_version(world: Environment) -> None:
    viewed(world)
    world.routes.put(route(50, status={"links": 5}))
    assert (viewed(world).route.resource_version, viewed(world).route.status.links) == (50, 5)


def test_a_pod_that_changes_back_is_told_twice(world: Environment) -> None:
    calls: list[int] = []
    world.route_store.watch(GAME, lambda: calls.append(len(viewed(world).pods)))
    viewed(world)
    changed: list[Pod] = [pod(50, 1, service_state=ServiceState.NOT_READY), pod(51, 1)]
    for each in changed:
        world.pods.put(each)
    assert calls == [3, 3]
    assert viewed(world).pods[1].pod.resource_version == 51


def test_who_was_told_and_has_not_looked_since_is_not_told_again(world: Environment) -> None:
    calls: list[str] = []
    viewed(world)
    world.route_store.watch(GAME, lambda: calls.append("told"))
    world.pods.put(pod(50, 1, service_state=ServiceState.NOT_READY))
    world.pods.put(pod(51, 1))
    assert calls == ["told"]


def test_a_route_that_comes_into_being_is_told(world: Environment) -> None:
    calls: list[bool] = []
    world.route_store.watch(CHESS, lambda: calls.append(world.route_store.get(CHESS) is not None))
    assert world.route_store.get(CHESS) is None
    world.routes.put(route(50, CHESS))
    assert calls == [True]


def test_a_workload_or_a_pod_that_comes_after_its_route_is_told(world: Environment) -> None:
    calls: list[str] = []
    world.routes.put(route(50, CHESS))
    world.route_store.watch(CHESS, lambda: calls.append("told"))
    assert viewed(world, CHESS).workload is None
    world.workloads.put(workload(51, "chess"))
    assert viewed(world, CHESS).workload is not None
    world.pods.put(pod(52, 0, name="chess-0", owner=Owner("StatefulSet", "chess", "uid-of-chess")))
    assert list(viewed(world, CHESS).pods) == [0]
    assert calls == ["told", "told"]


def test_two_routes_of_one_workload_are_both_told(world: Environment) -> None:
    calls: list[str] = []
    world.routes.put(route(50, CHESS, spec={"workloadRef": {"name": "game"}}))
    for key in (GAME, CHESS):
        viewed(world, key)
        world.route_store.watch(key, lambda name=key.name: calls.append(name))  # type: ignore[misc]
    world.pods.put(pod(51, 1, service_state=ServiceState.NOT_READY))
    world.workloads.put(workload(52, replicas=9))
    assert sorted(calls) == ["chess", "game"]
    for key in (GAME, CHESS):
        viewed(world, key)
    world.workloads.put(workload(53, replicas=8))
    assert sorted(calls) == ["chess", "chess", "game", "game"]


def test_who_has_stopped_watching_is_not_told_and_the_others_are(world: Environment) -> None:
    calls: list[str] = []
    stop_first = world.route_store.watch(GAME, lambda: calls.append("first"))
    stop_second = world.route_store.watch(GAME, lambda: calls.append("second"))
    stop_first()
    world.routes.put(route(50, generation=2))
    assert calls == ["second"]
    stop_second()
    world.routes.put(route(51, generation=3))
    assert calls == ["second"]
    world.route_store.watch(GAME, lambda: calls.append("third"))
    world.routes.put(route(52, generation=4))
    assert calls == ["second", "third"]


def test_a_watcher_may_stop_watching_while_it_is_told(world: Environment) -> None:
    calls: list[str] = []

    def once() -> None:
        calls.append("once")
        stop()

    stop = world.route_store.watch(GAME, once)
    world.route_store.watch(GAME, lambda: calls.append("always"))
    world.routes.put(route(50, generation=2))
    world.routes.put(route(51, generation=3))
    assert calls == ["once", "always", "always"]


def test_a_route_that_was_deleted_and_made_again_unseen_is_another_route(world: Environment) -> None:
    """A list after a gap brings the new route as a later version of the old: its generation is 1 again."""
    calls: list[str] = []
    viewed(world)
    world.route_store.watch(GAME, lambda: calls.append("told"))
    again = route(50, spec={"workloadRef": {"name": "chess"}})
    world.workloads.put(workload(40, "chess"))
    world.routes.put(again)
    assert calls == ["told"]
    assert viewed(world).workload == workload(40, "chess")
    assert viewed(world).route == replace(again)
