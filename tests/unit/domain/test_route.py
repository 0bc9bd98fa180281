from datetime import UTC, datetime, timedelta

import pytest

from statefulroute.api.model import Condition
from statefulroute.api.statefulroute import StatefulRouteStatus
from statefulroute.api.vocabulary import ConditionType, RoutingState, ServiceState
from statefulroute.domain.link import expire_time
from statefulroute.domain.pod import ordinal, service_state
from statefulroute.domain.route import most_restrictive
from statefulroute.domain.route_status import route_status
from unit.domain.builders import NOON, pod, route, view

UNKNOWN, READY, DENY, SHUTDOWN = RoutingState


@pytest.mark.parametrize(
    ("said", "holds"),
    [
        ((), READY),
        ((UNKNOWN,), READY),
        ((READY, UNKNOWN), READY),
        ((READY, DENY), DENY),
        ((DENY, SHUTDOWN, READY), SHUTDOWN),
        ((SHUTDOWN, DENY), SHUTDOWN),
    ],
)
def test_the_most_restrictive_of_what_was_said_holds(said: tuple[RoutingState, ...], holds: RoutingState) -> None:
    assert most_restrictive(*said) is holds


@pytest.mark.parametrize("whole", [READY, DENY, SHUTDOWN])
@pytest.mark.parametrize("override", [None, READY, DENY, SHUTDOWN])
@pytest.mark.parametrize("own", list(RoutingState))
def test_a_pods_routing_state_counts_the_routes_word_the_operators_and_its_own(
    whole: RoutingState, override: RoutingState | None, own: RoutingState
) -> None:
    overrides = [{"index": 0, "routingState": override}] if override else []
    (seen,) = view(pod(0, said=own), of=route(routingState=whole, pods=overrides)).pods.values()
    assert seen.routing_state is most_restrictive(whole, own, override or UNKNOWN)


@pytest.mark.parametrize(
    ("service", "said", "routable", "available"),
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
def test_routable_serves_its_own_users_and_available_takes_new_ones(
    service: ServiceState,
    said: RoutingState,
    routable: bool,
    available: bool,
) -> None:
    (seen,) = view(pod(0, service, said)).pods.values()
    assert (seen.is_routable, seen.is_available) == (routable, available)


@pytest.mark.parametrize(
    ("phase", "ready", "terminating", "state"),
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
def test_a_pods_service_state_is_what_kubernetes_says_of_it(
    phase: str,
    ready: bool,
    terminating: bool,
    state: ServiceState,
) -> None:
    assert service_state(phase=phase, ready=ready, terminating=terminating) is state


@pytest.mark.parametrize(
    ("name", "index"), [("game-0", 0), ("game-12", 12), ("game", None), ("game-x", None), ("a-²", None)]
)
def test_a_pods_index_is_the_number_at_the_end_of_its_name(name: str, index: int | None) -> None:
    assert ordinal(name) == index


@pytest.mark.parametrize(
    ("renewed", "ttl", "ends"),
    [
        (None, None, None),
        (NOON, None, None),
        (None, 60, NOON + timedelta(minutes=1)),
        (NOON + timedelta(hours=1), 60, NOON + timedelta(hours=1, minutes=1)),
        (datetime(9999, 12, 31, tzinfo=UTC), 2**31 - 1, datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_a_temporary_link_ends_its_ttl_after_its_renewal_or_its_creation(
    renewed: datetime | None, ttl: int | None, ends: datetime | None
) -> None:
    assert expire_time(NOON, renewed, ttl) == ends


def conditions(status: StatefulRouteStatus) -> dict[ConditionType, Condition]:
    return {each.type: each for each in status.conditions}


def test_a_routes_status_counts_its_pods_and_links() -> None:
    pods = (pod(0), pod(1, said=DENY), pod(2, ServiceState.NOT_READY))
    status = route_status(view(*pods, counts={0: 4, 1: 1, 9: 2}), NOON)
    assert status.model_dump(include={"replicas", "ready_replicas", "routable_pods", "links", "best_pod_index"}) == {
        "replicas": 3,
        "ready_replicas": 2,
        "routable_pods": 2,
        "links": 7,
        "best_pod_index": 0,
    }
    assert [(each.index, each.service_state, each.routing_state, each.links) for each in status.pods] == [
        (0, ServiceState.READY, READY, 4),
        (1, ServiceState.READY, DENY, 1),
        (2, ServiceState.NOT_READY, READY, 0),
    ]


@pytest.mark.parametrize(
    ("seen", "ready", "reason"),
    [
        (view(pod(0)), "True", "Routable"),
        (view(), "False", "NoRoutablePod"),
        (view(pod(0, ServiceState.PENDING)), "False", "NoRoutablePod"),
        (view(workload=None), "False", "WorkloadNotFound"),
        (view(pod(0), of=route(routingState="Shutdown")), "False", "Shutdown"),
        (
            view(workload=None, of=route(workloadRef={"kind": "DaemonSet"})),
            "False",
            "WorkloadKindNotSupported",
        ),
    ],
)
def test_a_route_is_ready_while_a_pod_serves_users(seen: object, ready: str, reason: str) -> None:
    condition = conditions(route_status(seen, NOON))[ConditionType.READY]  # type: ignore[arg-type]
    assert (condition.status, condition.reason) == (ready, reason)


def test_a_conditions_transition_time_moves_only_with_its_status() -> None:
    first = route_status(view(pod(0)), NOON)
    later = NOON + timedelta(hours=1)
    same = route_status(view(pod(0), pod(1), of=route(first)), later)
    assert conditions(same)[ConditionType.READY].last_transition_time == NOON
    turned = route_status(view(of=route(first)), later)
    assert conditions(turned)[ConditionType.READY].last_transition_time == later
    assert conditions(turned)[ConditionType.WORKLOAD_FOUND].last_transition_time == NOON


def test_what_others_say_in_a_routes_status_is_kept() -> None:
    before = StatefulRouteStatus.model_validate({"workloadState": "High", "workloadLoad": 3})
    after = route_status(view(pod(0), of=route(before)), NOON)
    assert (after.workload_state, after.workload_load) == ("High", 3)
