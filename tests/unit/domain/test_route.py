from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from statefulroute.api.vocabulary import RoutingState, ServiceState
from statefulroute.domain.link import expire_time
from statefulroute.domain.pod import Node, ordinal, service_state
from statefulroute.domain.pod_views import most_restrictive
from unit.domain.builders import NOON, STALE, deployment, load, named_pod, pod, route, view, workload

UNKNOWN, READY, DENY, SHUTDOWN = RoutingState


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ((), READY),
        ((UNKNOWN,), READY),
        ((READY, UNKNOWN), READY),
        ((READY, DENY), DENY),
        ((DENY, SHUTDOWN, READY), SHUTDOWN),
        ((SHUTDOWN, DENY), SHUTDOWN),
    ],
)
def test_most_restrictive_routing_state(states: tuple[RoutingState, ...], expected: RoutingState) -> None:
    assert most_restrictive(*states) is expected


#: The rank of each routing state by restriction; an absent one (None) counts as Unknown.
RESTRICTION = {None: 0, UNKNOWN: 0, READY: 0, DENY: 1, SHUTDOWN: 2}
OVERRIDES = [None, READY, DENY, SHUTDOWN]


@pytest.mark.parametrize("annotation", list(RoutingState))
@pytest.mark.parametrize("response", [None, *RoutingState])
@pytest.mark.parametrize("route_state", [READY, DENY, SHUTDOWN])
def test_routing_state_of_a_pod_is_the_most_restrictive_of_all_sources(
    route_state: RoutingState, annotation: RoutingState, response: RoutingState | None
) -> None:
    loads = {} if response is None else {0: load(age=STALE, routing_state=response)}
    for by_index, by_name, is_terminating in product(OVERRIDES, OVERRIDES, [False, True]):
        custom_route = route(
            routingState=route_state,
            pods=[{"index": 0, "routingState": by_index}] if by_index else [],
            namedPods=[{"name": "game-0", "routingState": by_name}] if by_name else [],
        )
        state = ServiceState.TERMINATING if is_terminating else ServiceState.READY
        (pod_view,) = view(pod(0, state, annotation, is_ready=True), route=custom_route, loads=loads).pods.values()  # type: ignore[arg-type]
        sources = [route_state, annotation, response, by_index, by_name, DENY if is_terminating else None]
        assert RESTRICTION[pod_view.routing_state] == max(RESTRICTION[state] for state in sources), sources
        assert pod_view.routing_state is not UNKNOWN


def test_override_applies_to_one_pod_only() -> None:
    custom_route = route(
        pods=[{"index": 0, "routingState": "Shutdown"}], namedPods=[{"name": "game-1", "routingState": "DenyNewCall"}]
    )
    route_view = view(pod(0), pod(1), pod(2), route=custom_route, loads={9: load(routing_state=SHUTDOWN)})
    assert [pod_view.routing_state for pod_view in route_view.pods.values()] == [SHUTDOWN, DENY, READY]


def test_override_by_index_does_not_apply_to_a_named_pod() -> None:
    custom_route = route(pods=[{"index": 7, "routingState": "Shutdown"}])
    (pod_view,) = view(named_pod("game-7"), route=custom_route, workload=deployment()).pods.values()
    assert (pod_view.key, pod_view.index, pod_view.routing_state) == ("game-7", None, READY)


@pytest.mark.parametrize(
    ("service", "reported", "is_routable", "is_available"),
    [
        (ServiceState.READY, READY, True, True),
        (ServiceState.READY, UNKNOWN, True, True),
        (ServiceState.READY, DENY, True, False),
        (ServiceState.READY, SHUTDOWN, False, False),
        (ServiceState.NOT_READY, READY, False, False),
        (ServiceState.TERMINATING, READY, False, False),
        (ServiceState.PENDING, READY, False, False),
        (ServiceState.FAILED, READY, False, False),
        (ServiceState.UNKNOWN, READY, False, False),
    ],
)
def test_routable_and_available_depend_on_service_and_routing_state(
    service: ServiceState,
    reported: RoutingState,
    is_routable: bool,
    is_available: bool,
) -> None:
    (pod_view,) = view(pod(0, service, reported)).pods.values()
    assert (pod_view.is_routable, pod_view.is_available) == (is_routable, is_available)


def test_pod_beyond_the_replicas_takes_no_new_users() -> None:
    states = [each.routing_state for each in view(pod(0), pod(1), workload=workload(1)).pods.values()]
    assert states == [READY, DENY]


@pytest.mark.parametrize(
    ("is_ready", "reported", "is_routable", "is_present"),
    [
        (True, UNKNOWN, True, True),
        (True, SHUTDOWN, False, True),
        (False, UNKNOWN, False, False),
    ],
    ids=["is_ready", "ready and shut down", "not ready"],
)
def test_terminating_pod_is_routable_while_it_is_ready_and_never_available(
    is_ready: bool, reported: RoutingState, is_routable: bool, is_present: bool
) -> None:
    (pod_view,) = view(pod(0, ServiceState.TERMINATING, reported, is_ready=is_ready)).pods.values()
    assert (pod_view.is_routable, pod_view.is_present, pod_view.is_available) == (is_routable, is_present, False)
    assert pod_view.routing_state is most_restrictive(reported, DENY)


@pytest.mark.parametrize("is_ready", [True, False])
def test_failed_pod_and_pod_on_a_lost_node_are_not_present(is_ready: bool) -> None:
    (failed,) = view(pod(0, ServiceState.FAILED, is_ready=is_ready)).pods.values()
    nodes = {"lost": Node(name="lost", resource_version=1, is_ready=False)}
    (unreachable,) = view(pod(0, node_name="lost", is_ready=is_ready), nodes=nodes).pods.values()
    assert not failed.is_present
    assert not unreachable.is_present


@pytest.mark.parametrize(
    ("phase", "is_ready", "is_terminating", "state"),
    [
        ("Running", True, False, ServiceState.READY),
        ("Running", False, False, ServiceState.NOT_READY),
        ("Running", True, True, ServiceState.TERMINATING),
        ("Pending", False, False, ServiceState.PENDING),
        ("Succeeded", False, False, ServiceState.FAILED),
        ("Failed", False, False, ServiceState.FAILED),
        ("Unknown", True, False, ServiceState.UNKNOWN),
        ("", False, False, ServiceState.UNKNOWN),
    ],
)
def test_service_state_follows_phase_readiness_and_deletion(
    phase: str,
    is_ready: bool,
    is_terminating: bool,
    state: ServiceState,
) -> None:
    assert service_state(phase=phase, is_ready=is_ready, is_terminating=is_terminating) is state


@pytest.mark.parametrize(
    ("name", "index"), [("game-0", 0), ("game-12", 12), ("game", None), ("game-x", None), ("a-²", None)]
)
def test_ordinal_is_the_number_at_the_end_of_the_name(name: str, index: int | None) -> None:
    assert ordinal(name) == index


@pytest.mark.parametrize(
    ("renewed", "ttl", "expected"),
    [
        (None, None, None),
        (NOON, None, None),
        (None, 60, NOON + timedelta(minutes=1)),
        (NOON + timedelta(hours=1), 60, NOON + timedelta(hours=1, minutes=1)),
        (datetime(9999, 12, 31, tzinfo=UTC), 2**31 - 1, datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_temporary_link_expires_after_its_renewal_or_creation(
    renewed: datetime | None, ttl: int | None, expected: datetime | None
) -> None:
    assert expire_time(NOON, renewed, ttl) == expected
