"""Clients know pods that the status of a route does not list."""

from typing import Any

import pytest

from statefulroute.api.route_status import OmittedPods, PodStatus, StatefulRouteStatus
from statefulroute.api.vocabulary import LinkPhase, LinkReason, RoutingState, ServiceState
from statefulroute.domain.assumed_placements import AssumedPlacements
from statefulroute.domain.errors import PodNotAvailableError, PodNotFoundError
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import LinkStatus
from statefulroute.domain.pod import Endpoint
from statefulroute.domain.route import Route
from statefulroute.domain.routing_states import routing_state_changes
from statefulroute.domain.service import choose_pod, find_pod, is_available, is_routable, is_workload_ready
from statefulroute.domain.unlisted_pods import (
    linked_pod_name,
    may_omit_available_pods,
    omits_pods,
    pod_name,
    unlisted_pods,
)
from unit.domain.builders import NOON, link, route

READY, DENY, SHUTDOWN = RoutingState.READY, RoutingState.DENY_NEW_CALL, RoutingState.SHUTDOWN
DEPLOYMENT = {"workloadRef": {"kind": "Deployment"}}


def pod_status(key: PodKey, state: RoutingState = READY, **fields: Any) -> PodStatus:
    index, name = (key, f"game-{key}") if isinstance(key, int) else (None, key)
    return PodStatus(index=index, name=name, service_state=ServiceState.READY, routing_state=state, **fields)


def big_route(*pods: PodStatus, omitted: int = 9, state: RoutingState = READY, **spec: Any) -> Route:
    """Returns a route whose status lists these pods, and omits some."""
    counts = OmittedPods(count=omitted, ready=omitted, routable=omitted, available=omitted)
    status = StatefulRouteStatus(pods=pods, routing_state=state, omitted_pods=counts if omitted else None)
    return route(status, **spec)


def endpoint(name: str, *, is_ready: bool = True, state: RoutingState = RoutingState.UNKNOWN) -> Endpoint:
    return Endpoint(
        namespace="play", name=name, resource_version=1, ip="10.0.0.1", is_ready=is_ready, routing_state=state
    )


def find(game: Route, key: PodKey, *endpoints: Endpoint) -> PodStatus:
    name = key if isinstance(key, str) else f"game-{key}"
    return find_pod(game, key, name, {each.name: each for each in endpoints}.get)


def test_omitted_pods_are_known_from_a_definition_that_drops_them() -> None:
    terminating = pod_status(1).model_copy(update={"service_state": ServiceState.TERMINATING})
    listed = (pod_status(0), terminating, pod_status(2, SHUTDOWN))
    assert not omits_pods(StatefulRouteStatus(pods=listed, routable_pods=2))
    assert omits_pods(StatefulRouteStatus(pods=listed, routable_pods=3))
    assert not omits_pods(StatefulRouteStatus())


def test_listed_pod_has_the_state_of_the_status() -> None:
    assert find(big_route(pod_status(0, SHUTDOWN)), 0, endpoint("game-0")).routing_state is SHUTDOWN


def test_unlisted_pod_is_as_ready_as_kubernetes_says() -> None:
    game = big_route(pod_status(0))
    assert is_routable(find(game, 7, endpoint("game-7")))
    assert not is_routable(find(game, 7, endpoint("game-7", is_ready=False)))
    with pytest.raises(PodNotFoundError, match="the service 'game' has no pod 7 now"):
        find(game, 7)


def test_pod_that_a_complete_list_lacks_does_not_exist() -> None:
    with pytest.raises(PodNotFoundError):
        find(big_route(pod_status(0), omitted=0), 7, endpoint("game-7"))


@pytest.mark.parametrize(
    ("spec", "own", "expected"),
    [
        ({}, RoutingState.UNKNOWN, READY),
        ({}, DENY, DENY),
        ({"routingState": "Shutdown"}, DENY, SHUTDOWN),
        ({"pods": [{"index": 7, "routingState": "Shutdown"}]}, READY, SHUTDOWN),
        ({"pods": [{"index": 8, "routingState": "Shutdown"}]}, READY, READY),
        ({"namedPods": [{"name": "game-7", "routingState": "DenyNewCall"}]}, READY, DENY),
    ],
)
def test_unlisted_pod_has_the_strictest_routing_state(
    spec: dict[str, Any], own: RoutingState, expected: RoutingState
) -> None:
    found = find(big_route(pod_status(0), **spec), 7, endpoint("game-7", state=own))
    assert (found.routing_state, found.name, found.index) == (expected, "game-7", 7)
    assert is_available(found) == (expected is READY)


@pytest.mark.parametrize(
    ("spec", "own", "is_ready", "expected"),
    [
        ({}, READY, True, DENY),
        ({}, SHUTDOWN, True, SHUTDOWN),
        ({}, READY, False, SHUTDOWN),
        ({"handOver": None}, READY, True, SHUTDOWN),
        ({"onPodLost": {"action": "Keep"}}, READY, True, SHUTDOWN),
        ({"routingState": "Shutdown"}, READY, True, SHUTDOWN),
    ],
)
def test_unlisted_pod_that_is_drained_serves_its_users_while_they_are_handed_over(
    spec: dict[str, Any], own: RoutingState, *, is_ready: bool, expected: RoutingState
) -> None:
    drained = {"handOver": {}, "pods": [{"index": 7, "routingState": "Shutdown"}], **spec}
    found = find(big_route(pod_status(0), **drained), 7, endpoint("game-7", state=own, is_ready=is_ready))
    assert (found.routing_state, found.handing_over) == (expected, True if expected is DENY else None)


def test_link_to_an_unlisted_pod_needs_the_operator_unless_the_name_shows_the_workload() -> None:
    bound = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "", None, "web-x")
    pending = LinkStatus(LinkPhase.PENDING, LinkReason.POD_NOT_FOUND, "", None, "web-x")
    web = big_route(**DEPLOYMENT)
    assert linked_pod_name(web, link("web-x", status=bound)) == "web-x"
    assert linked_pod_name(web, link("foreign", status=bound)) is None
    assert linked_pod_name(web, link("web-x", status=pending)) is None
    assert linked_pod_name(web, link("web-x")) is None
    assert linked_pod_name(big_route(workloadRef={"name": "rooms"}), link(7)) == "rooms-7"
    assert linked_pod_name(big_route(), link()) is None


def test_unlisted_pods_of_a_stateful_set_are_known_by_their_names() -> None:
    names = ("game-0", "game-1", "game-01", "game-x", "other-2", "game-1-0", "game-12")
    endpoints = [endpoint(name) for name in names]
    assert [pod.index for pod in unlisted_pods(big_route(pod_status(0)), endpoints)] == [1, 12]
    assert list(unlisted_pods(big_route(pod_status(0), **DEPLOYMENT), endpoints)) == []
    assert list(unlisted_pods(big_route(pod_status(0), omitted=0), endpoints)) == []


def test_unlisted_pods_have_the_states_that_the_spec_sets() -> None:
    game = big_route(
        pod_status(0),
        pods=[{"index": 1, "routingState": "DenyNewCall"}],
        namedPods=[{"name": "game-1", "routingState": "Shutdown"}, {"name": "game-2", "routingState": "DenyNewCall"}],
    )
    states = [pod.routing_state for pod in unlisted_pods(game, map(endpoint, ("game-1", "game-2", "game-3")))]
    assert states == [SHUTDOWN, DENY, READY]


def test_stateful_set_has_no_pods_with_other_names_than_its_own() -> None:
    assert pod_name(big_route(), 7) == "game-7"
    assert pod_name(big_route(), "db-0") is None
    assert pod_name(big_route(**DEPLOYMENT), "web-x") == "web-x"
    assert pod_name(big_route(**DEPLOYMENT), 7) is None


def test_available_pods_may_be_omitted() -> None:
    assert may_omit_available_pods(big_route(pod_status(0)))
    assert not may_omit_available_pods(big_route(pod_status(0), omitted=0))
    assert not may_omit_available_pods(big_route(pod_status(0), routingState="DenyNewCall"))
    drained = StatefulRouteStatus(omitted_pods=OmittedPods(count=9, ready=9, routable=9))
    assert not may_omit_available_pods(route(drained))
    assert may_omit_available_pods(route(StatefulRouteStatus(routable_pods=9)))  # by an earlier definition


def test_service_is_ready_while_an_unlisted_pod_takes_users() -> None:
    assert is_workload_ready(big_route(pod_status(0, DENY)))
    assert not is_workload_ready(big_route(pod_status(0, DENY), omitted=0))


def test_changes_of_routing_states_ignore_that_pods_enter_and_leave_the_list() -> None:
    first = big_route(pod_status(0), pod_status(1, DENY))
    second = big_route(pod_status(2), pod_status(3, SHUTDOWN))
    changes = [(pod and pod.index, before, after) for pod, before, after in routing_state_changes(first, second)]
    assert changes == [(1, DENY, READY), (3, READY, SHUTDOWN)]
    complete = big_route(pod_status(2), omitted=0)
    gone = [(pod and pod.index, before, after) for pod, before, after in routing_state_changes(second, complete)]
    assert gone == [(3, SHUTDOWN, None)]


@pytest.mark.parametrize(("fresh", "stale", "chosen"), [(90, 10, 1), (10, 90, 0)])
def test_unlisted_loads_decide_whether_a_listed_pod_is_silent(fresh: int, stale: int, chosen: int) -> None:
    pods = (pod_status(0, load_state=1, load_stale=True), pod_status(1, load_state=5, links=9), pod_status(2, DENY))
    game = big_route(*pods)
    omitted = OmittedPods(count=100, available=100, fresh_load=fresh, stale_load=stale)
    game = route(game.status.model_copy(update={"omitted_pods": omitted}))
    assert choose_pod(game, {}, NOON) == chosen


def test_no_pod_is_chosen_if_all_listed_ones_are_silent() -> None:
    omitted = OmittedPods(count=9, available=9, fresh_load=9)
    status = StatefulRouteStatus(pods=(pod_status(0, load_state=1, load_stale=True),), omitted_pods=omitted)
    with pytest.raises(PodNotAvailableError):
        AssumedPlacements().best_pod(route(status), NOON)
