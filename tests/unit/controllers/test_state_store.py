"""The views of routes: a view is built once, and again exactly when a decision may change."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from statefulroute.api.vocabulary import RoutingState, ServiceState
from statefulroute.controllers.route_pods import RoutePods
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.pod import Node, Owner, Pod, PodAnnotations
from statefulroute.domain.route import RouteView
from statefulroute.domain.workload import Workload, WorkloadAnnotations
from unit.controllers.environment import GAME, OWNER, Environment, link, pod, route, workload

CHESS = RouteKey("games", "chess")


@pytest.fixture
def environment() -> Environment:
    """A route with three pods."""
    return Environment().with_pods(0, 1, 2)


def view_of(environment: Environment, key: RouteKey = GAME) -> RouteView:
    view = environment.route_store.get(key)
    assert view is not None
    return view


def test_view_contains_the_route_its_workload_its_pods_and_their_links(environment: Environment) -> None:
    environment.links.put(link(30, pod=1))
    view = view_of(environment)
    assert (view.route.key, view.workload and view.workload.name) == (GAME, "game")
    assert list(view.pods) == [0, 1, 2]
    assert view.link_count(1) == 1
    environment.links.put(link(30, "bob", pod=1))
    assert view.link_count(1) == 2


def test_view_is_built_once(environment: Environment) -> None:
    assert view_of(environment) is view_of(environment)


@pytest.mark.parametrize("key", [CHESS, RouteKey("elsewhere", "game")])
def test_absent_route_has_no_view(environment: Environment, key: RouteKey) -> None:
    assert environment.route_store.get(key) is None


def test_workload_that_is_not_watched_is_unknown_before_it_was_read(environment: Environment) -> None:
    environment.routes.put(route(50, generation=2, spec={"workloadRef": {"kind": "Deployment"}}))
    assert not view_of(environment).is_workload_known


Change = Callable[[Environment], object]


def changed_pod(**fields: Any) -> Change:
    return lambda environment: environment.pods.put(pod(50, 1, **fields))


def changed_set(**fields: Any) -> Change:
    return lambda environment: environment.workloads.put(workload(50, **fields))


def changed_route(**fields: Any) -> Change:
    return lambda environment: environment.routes.put(route(50, **fields))


RELEVANT: dict[str, Change] = {
    "an edit of the route": changed_route(generation=2),
    "the start of the route's deletion": changed_route(is_deleting=True),
    "the route's deletion": lambda environment: environment.routes.delete("games", "game", 50),
    "another number of replicas": changed_set(replicas=5),
    "another Service": changed_set(service_name="other"),
    "another workload of the same name": changed_set(uid="uid-of-the-next"),
    "the workload's deletion": lambda environment: environment.workloads.delete("games", "game", 50),
    "a pod that is no longer ready": changed_pod(service_state=ServiceState.NOT_READY),
    "a pod with the reason why it is not ready": changed_pod(not_ready_reason="Unschedulable"),
    "a pod that terminates and is still ready": changed_pod(service_state=ServiceState.TERMINATING, is_ready=True),
    "a pod that was created again": changed_pod(uid="another"),
    "a pod that takes no new users": changed_pod(reported_routing_state=RoutingState.DENY_NEW_CALL),
    "a pod that is orphaned": changed_pod(owner=None),
    "a pod that another workload adopts": changed_pod(owner=Owner("StatefulSet", "game", "uid-of-the-next")),
    "a pod's deletion": lambda environment: environment.pods.delete("games", "game-1", 50),
    "a new pod": lambda environment: environment.pods.put(pod(50, 3)),
}

IRRELEVANT: dict[str, Change] = {
    "the route's status": changed_route(status={"links": 5}),
    "the route's label": changed_route(),
    "the workload's status": changed_set(),
    "the annotations of the workload": changed_set(annotations=WorkloadAnnotations("High", "3.7")),
    "another workload": lambda environment: environment.workloads.put(workload(50, "chess")),
    "a workload of that name in another namespace": lambda environment: environment.workloads.put(
        workload(50, namespace="other")
    ),
    "a pod's status": changed_pod(),
    "a pod's IP address": changed_pod(ip="10.0.0.7"),
    "the annotations of a pod": changed_pod(annotations=PodAnnotations("3.7", "12")),
    "a pod of another workload": lambda environment: environment.pods.put(
        pod(50, 7, name="chess-7", owner=Owner("StatefulSet", "chess", "uid-of-chess"))
    ),
    "a pod without an owner": lambda environment: environment.pods.put(pod(50, name="lonely-0", owner=None)),
    "a pod of another namespace": lambda environment: environment.pods.put(
        pod(50, 3, namespace="other", owner=replace_owner("other"))
    ),
    "a link": lambda environment: environment.links.put(link(50, pod=1)),
    "another route": lambda environment: environment.routes.put(route(50, CHESS)),
}


def replace_owner(uid: str) -> Owner:
    return msgspec.structs.replace(OWNER, uid=uid)


@pytest.mark.parametrize("change", RELEVANT.values(), ids=RELEVANT)
def test_change_that_may_change_a_decision_builds_a_new_view_and_notifies_watchers(
    environment: Environment, change: Change
) -> None:
    calls: list[RouteView | None] = []
    before = view_of(environment)
    environment.route_store.watch(GAME, lambda: calls.append(environment.route_store.get(GAME)))
    change(environment)
    assert len(calls) == 1
    assert calls[0] is not before, "a watcher gets the new view"
    assert environment.route_store.get(GAME) is calls[0]


@pytest.mark.parametrize("change", IRRELEVANT.values(), ids=IRRELEVANT)
def test_change_that_changes_no_decision_notifies_no_watcher(environment: Environment, change: Change) -> None:
    calls: list[str] = []
    before = view_of(environment)
    environment.route_store.watch(GAME, lambda: calls.append("notified"))
    change(environment)
    assert calls == []
    after = view_of(environment)
    assert (workload_inputs(after), pod_inputs(after), after.route.spec) == (
        workload_inputs(before),
        pod_inputs(before),
        before.route.spec,
    )


def workload_inputs(view: RouteView) -> Workload:
    assert view.workload is not None
    return view.workload.decision_inputs


def pod_inputs(view: RouteView) -> list[Pod]:
    return [each.pod.decision_inputs for each in view.pods.values()]


def test_view_has_the_latest_status_and_version_of_the_route(environment: Environment) -> None:
    view_of(environment)
    environment.routes.put(route(50, status={"links": 5}))
    assert (view_of(environment).route.resource_version, view_of(environment).route.status.links) == (50, 5)


def test_pod_that_changes_back_notifies_watchers_twice(environment: Environment) -> None:
    calls: list[int] = []
    environment.route_store.watch(GAME, lambda: calls.append(len(view_of(environment).pods)))
    view_of(environment)
    changed: list[Pod] = [pod(50, 1, service_state=ServiceState.NOT_READY), pod(51, 1)]
    for each in changed:
        environment.pods.put(each)
    assert calls == [3, 3]
    assert view_of(environment).pods[1].pod.resource_version == 51


def test_watcher_that_has_not_requested_the_view_since_is_not_notified_again(environment: Environment) -> None:
    calls: list[str] = []
    view_of(environment)
    environment.route_store.watch(GAME, lambda: calls.append("notified"))
    environment.pods.put(pod(50, 1, service_state=ServiceState.NOT_READY))
    environment.pods.put(pod(51, 1))
    assert calls == ["notified"]


def test_new_route_notifies_watchers(environment: Environment) -> None:
    calls: list[bool] = []
    environment.route_store.watch(CHESS, lambda: calls.append(environment.route_store.get(CHESS) is not None))
    assert environment.route_store.get(CHESS) is None
    environment.routes.put(route(50, CHESS))
    assert calls == [True]


def test_workload_or_pod_that_appears_after_its_route_notifies_watchers(environment: Environment) -> None:
    calls: list[str] = []
    environment.routes.put(route(50, CHESS))
    environment.route_store.watch(CHESS, lambda: calls.append("notified"))
    assert view_of(environment, CHESS).workload is None
    environment.workloads.put(workload(51, "chess"))
    assert view_of(environment, CHESS).workload is not None
    environment.pods.put(pod(52, 0, name="chess-0", owner=Owner("StatefulSet", "chess", "uid-of-chess")))
    assert list(view_of(environment, CHESS).pods) == [0]
    assert calls == ["notified", "notified"]


def test_change_of_a_workload_notifies_watchers_of_both_of_its_routes(environment: Environment) -> None:
    calls: list[str] = []
    environment.routes.put(route(50, CHESS, spec={"workloadRef": {"name": "game"}}))
    for key in (GAME, CHESS):
        view_of(environment, key)
        environment.route_store.watch(key, lambda name=key.name: calls.append(name))  # type: ignore[misc]
    environment.pods.put(pod(51, 1, service_state=ServiceState.NOT_READY))
    environment.workloads.put(workload(52, replicas=9))
    assert sorted(calls) == ["chess", "game"]
    for key in (GAME, CHESS):
        view_of(environment, key)
    environment.workloads.put(workload(53, replicas=8))
    assert sorted(calls) == ["chess", "chess", "game", "game"]


def test_removed_watcher_is_not_notified_and_the_others_are(environment: Environment) -> None:
    calls: list[str] = []
    stop_first = environment.route_store.watch(GAME, lambda: calls.append("first"))
    stop_second = environment.route_store.watch(GAME, lambda: calls.append("second"))
    stop_first()
    environment.routes.put(route(50, generation=2))
    assert calls == ["second"]
    stop_second()
    environment.routes.put(route(51, generation=3))
    assert calls == ["second"]
    environment.route_store.watch(GAME, lambda: calls.append("third"))
    environment.routes.put(route(52, generation=4))
    assert calls == ["second", "third"]


def test_watcher_may_remove_itself_while_it_is_notified(environment: Environment) -> None:
    calls: list[str] = []

    def once() -> None:
        calls.append("once")
        stop()

    stop = environment.route_store.watch(GAME, once)
    environment.route_store.watch(GAME, lambda: calls.append("always"))
    environment.routes.put(route(50, generation=2))
    environment.routes.put(route(51, generation=3))
    assert calls == ["once", "always", "always"]


def test_route_that_was_deleted_and_created_again_during_a_gap_is_another_route(environment: Environment) -> None:
    """A list after a gap delivers the new route as a later version of the old one, with the generation 1 again."""
    calls: list[str] = []
    view_of(environment)
    environment.route_store.watch(GAME, lambda: calls.append("notified"))
    again = route(50, spec={"workloadRef": {"name": "chess"}})
    environment.workloads.put(workload(40, "chess"))
    environment.routes.put(again)
    assert calls == ["notified"]
    assert view_of(environment).workload == workload(40, "chess")
    assert view_of(environment).route == replace(again)


def test_node_concerns_only_the_routes_that_have_a_pod_on_it(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert environment.informers.nodes is not None
    nodes, keys = environment.informers.nodes.cache, [RouteKey("games", f"route-{number}") for number in range(3)]
    for number, key in enumerate(keys):
        environment.routes.put(route(40, key))
        environment.workloads.put(workload(41, key.name))
        owner = Owner("StatefulSet", key.name, f"uid-of-{key.name}")
        environment.pods.put(pod(42, name=f"{key.name}-0", owner=owner, node_name=f"node-{number}"))
        view_of(environment, key)
    asked: list[RoutePods] = []
    node_changed = RoutePods.node_changed
    monkeypatch.setattr(RoutePods, "node_changed", lambda pods, name: asked.append(pods) or node_changed(pods, name))
    nodes.put(Node(name="node-1", resource_version=50, is_ready=False))
    assert len(asked) == 1
    assert [view_of(environment, key).pods[0].is_on_lost_node for key in keys] == [False, True, False]
    environment.routes.delete("games", "route-1", 60)
    nodes.put(Node(name="node-1", resource_version=61, is_ready=True))
    assert len(asked) == 1


def test_drain_of_a_node_is_shown_by_the_routes_that_configure_it(environment: Environment) -> None:
    assert environment.informers.nodes is not None
    nodes, configured, other = environment.informers.nodes.cache, RouteKey("games", "game"), RouteKey("games", "other")
    nodes.put(Node(name="node-1", resource_version=40, is_ready=True))
    environment.routes.put(route(41, configured, spec={"disruption": {}}))
    environment.routes.put(route(42, other, spec={"workloadRef": {"name": "game"}}))
    environment.workloads.put(workload(43))
    environment.pods.put(pod(44, node_name="node-1"))
    before = view_of(environment, other).pods[0]
    for version, is_drained in ((50, True), (51, False)):
        nodes.put(Node(name="node-1", resource_version=version, is_ready=True, is_drained=is_drained))
        assert view_of(environment, configured).pods[0].is_on_drained_node is is_drained
        assert view_of(environment, other).pods[0] == before
