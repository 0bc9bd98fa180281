from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from statefulroute.api.vocabulary import RoutingState, ServiceState
from statefulroute.domain.link import expire_time
from statefulroute.domain.pod import ordinal, service_state
from statefulroute.domain.route import most_restrictive
from unit.domain.builders import NOON, STALE, deployment, load, named_pod, pod, route, view

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


#: By how much each word restricts; nobody's word (None) counts as Unknown does.
RESTRICTS = {None: 0, UNKNOWN: 0, READY: 0, DENY: 1, SHUTDOWN: 2}
WORDS = [None, READY, DENY, SHUTDOWN]


@pytest.mark.parametrize("own", list(RoutingState))
@pytest.mark.parametrize("answer", [None, *RoutingState])
@pytest.mark.parametrize("whole", [READY, DENY, SHUTDOWN])
def test_of_all_that_is_said_of_a_pod_the_most_restrictive_counts(
    whole: RoutingState, own: RoutingState, answer: RoutingState | None
) -> None:
    loads = {} if answer is None else {0: load(age=STALE, routing_state=answer)}
    for by_index, by_name, ends in product(WORDS, WORDS, [False, True]):
        of = route(
            routingState=whole,
            pods=[{"index": 0, "routingState": by_index}] if by_index else [],
            namedPods=[{"name": "game-0", "routingState": by_name}] if by_name else [],
        )
        state = ServiceState.TERMINATING if ends else ServiceState.READY
        (seen,) = view(pod(0, state, own, is_ready=True), of=of, loads=loads).pods.values()  # type: ignore[arg-type]
        said = [whole, own, answer, by_index, by_name, DENY if ends else None]
        assert RESTRICTS[seen.routing_state] == max(RESTRICTS[word] for word in said), said
        assert seen.routing_state is not UNKNOWN


def test_a_word_on_one_pod_concerns_no_other() -> None:
    of = route(
        pods=[{"index": 0, "routingState": "Shutdown"}], namedPods=[{"name": "game-1", "routingState": "DenyNewCall"}]
    )
    seen = view(pod(0), pod(1), pod(2), of=of, loads={9: load(routing_state=SHUTDOWN)})
    assert [each.routing_state for each in seen.pods.values()] == [SHUTDOWN, DENY, READY]


def test_a_word_on_an_index_does_not_concern_a_pod_that_is_named_by_its_name() -> None:
    of = route(pods=[{"index": 7, "routingState": "Shutdown"}])
    (seen,) = view(named_pod("game-7"), of=of, workload=deployment()).pods.values()
    assert (seen.key, seen.index, seen.routing_state) == ("game-7", None, READY)


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
    ("is_ready", "said", "routable", "present"),
    [
        (True, UNKNOWN, True, True),
        (True, SHUTDOWN, False, True),
        (False, UNKNOWN, False, False),
    ],
    ids=["serves on", "serves on, and is shut down", "has ended"],
)
def test_a_pod_that_ends_serves_its_users_while_it_is_ready_and_takes_no_new_ones(
    is_ready: bool, said: RoutingState, routable: bool, present: bool
) -> None:
    (seen,) = view(pod(0, ServiceState.TERMINATING, said, is_ready=is_ready)).pods.values()
    assert (seen.is_routable, seen.is_present, seen.is_available) == (routable, present, False)
    assert seen.routing_state is most_restrictive(said, DENY)


@pytest.mark.parametrize("is_ready", [True, False])
def test_a_pod_whose_containers_have_ended_or_whose_node_is_lost_is_not_present(is_ready: bool) -> None:
    (failed,) = view(pod(0, ServiceState.FAILED, is_ready=is_ready)).pods.values()
    (unreachable,) = view(pod(0, node_name="lost", is_ready=is_ready)).pods.values()
    assert not failed.is_present
    assert not unreachable.is_present


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
    assert service_state(phase=phase, is_ready=ready, is_terminating=terminating) is state


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
