"""A status states the same as another whatever their words are, and something else if any fact differs."""

from dataclasses import replace
from itertools import combinations
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from statefulroute.api.vocabulary import LinkPhase, LinkReason, RouteReason, RoutingState, ServiceState
from statefulroute.domain.decision import LinkView, UpdateStatus, decide, is_status_current
from statefulroute.domain.explanation import hash_facts
from statefulroute.domain.link import LinkStatus, ObservedHandOver
from statefulroute.domain.loss import find_losses
from statefulroute.domain.pacing import is_rewrite
from statefulroute.domain.route import RouteView
from statefulroute.domain.workload import MissingWorkload
from unit.domain.builders import NOON, deployment, link, load, pod, route, view, workload

FULL = LinkStatus(LinkPhase.PENDING, LinkReason.AT_CAPACITY, "all pods are full", facts_hash="1")
BOUND = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "bound to pod 'game-2'", 2, "game-2", "game-2.game")
LOST = LinkStatus(LinkPhase.LOST, LinkReason.POD_LOST, "pod 2 is gone", 2, facts_hash="1")
HANDING_OVER = LinkStatus(
    LinkPhase.HANDING_OVER, LinkReason.HANDING_OVER, "to 3", 2, "game-2", None, "1", ObservedHandOver("a", "now")
)


@pytest.mark.parametrize(
    ("status", "written", "is_same"),
    [
        (BOUND, {}, True),
        (BOUND, {"message": "is on pod 2"}, True),
        (BOUND, {"message": "is on pod 2", "facts_hash": "of another version"}, True),
        (BOUND, {"host": "game-2.other"}, False),
        (BOUND, {"pod_index": 3, "pod_name": "game-3"}, False),
        (BOUND, {"phase": LinkPhase.UNKNOWN}, False),
        (FULL, {"message": "no room"}, True),
        (FULL, {"facts_hash": "2"}, False),
        (FULL, {"reason": LinkReason.NO_AVAILABLE_POD}, False),
        (FULL, {"facts_hash": None}, True),
        (FULL, {"facts_hash": None, "message": "no room"}, False),
        (LOST, {"message": "the pod is gone"}, True),
        (LOST, {"pod_name": "game-2"}, False),
        (HANDING_OVER, {"hand_over": None}, True),  # a definition of an earlier version drops it
        (HANDING_OVER, {"facts_hash": "2"}, False),
    ],
)
def test_what_a_status_states_is_compared_and_not_its_words(
    status: LinkStatus, written: dict[str, Any], *, is_same: bool
) -> None:
    old = msgspec.structs.replace(status, **written)
    assert status.states_the_same(old) is is_same
    current = link(status=old, observed_generation=1)
    assert is_status_current(current, status) is is_same
    assert not is_status_current(link(status=old, observed_generation=0), status)


@pytest.mark.parametrize(
    ("new", "old", "fields", "is_rewritten"),
    [
        (FULL, {"facts_hash": "2"}, {}, True),
        (FULL, {"facts_hash": None, "message": "no room"}, {}, True),
        (FULL, {"phase": LinkPhase.UNKNOWN, "reason": LinkReason.UNKNOWN}, {}, True),
        (FULL, {"reason": LinkReason.NO_AVAILABLE_POD}, {}, False),
        (FULL, {"facts_hash": "2"}, {"generation": 2}, False),
        (FULL, {"facts_hash": "2"}, {"expire_time": NOON}, False),
        (BOUND, {"phase": LinkPhase.UNKNOWN, "reason": LinkReason.UNKNOWN}, {}, True),
        (BOUND, {"phase": LinkPhase.PENDING, "reason": LinkReason.POD_NOT_FOUND}, {}, False),
        (BOUND, {"host": "game-2.other"}, {}, False),
        (BOUND, {"phase": LinkPhase.UNKNOWN, "pod_index": 3}, {}, False),
        (LOST, {"facts_hash": "2"}, {}, True),
        (LOST, {"phase": LinkPhase.BOUND, "reason": LinkReason.BOUND}, {}, False),
    ],
)
def test_only_a_status_that_changes_for_no_client_is_a_rewrite(
    new: LinkStatus, old: dict[str, Any], fields: dict[str, Any], *, is_rewritten: bool
) -> None:
    written = link(status=msgspec.structs.replace(new, **old), observed_generation=1, **fields)
    assert is_rewrite(written, UpdateStatus(new)) is is_rewritten


def test_first_status_of_a_link_is_no_rewrite() -> None:
    assert not is_rewrite(link(), UpdateStatus(FULL))


def test_current_status_is_no_rewrite() -> None:
    assert not is_rewrite(link(status=FULL, observed_generation=1), UpdateStatus(FULL))


def test_hash_of_facts_is_the_same_in_every_process_and_version() -> None:
    facts = ("pods", [(("lost", ServiceState.FAILED), ["game-0"], False)], None, 300)
    assert hash_facts(facts) == "62817325370fb34e"
    assert hash_facts(("a", "b")) != hash_facts(("ab",))


indexes = st.integers(0, 2)
forbidden = MissingWorkload(RouteReason.WORKLOAD_FORBIDDEN, "the operator may not read the scale")
workloads = st.sampled_from([*(workload(replicas) for replicas in (1, 2, 3, 3, 3)), None, forbidden, deployment()])
loads = st.builds(load, age=st.sampled_from([0, 1000]))
routes = st.builds(
    route,
    routingState=st.sampled_from(["Ready", "Ready", "Ready", "DenyNewCall", "Shutdown"]),
    placement=st.sampled_from([{}, {"maxLinksPerPod": 1}, {"maxLinksPerPod": 2}]),
    onPodLost=st.builds(
        lambda **fields: fields, action=st.sampled_from(["Keep", "Rebind"]), graceSeconds=st.sampled_from([30, 60])
    ),
)


@st.composite
def views(draw: st.DrawFn) -> RouteView | None:
    """Returns the view of a route some time after its pods were last seen, or None if the route does not exist."""
    if draw(st.integers(0, 9)) == 0:
        return None
    states = [draw(st.none() | st.sampled_from(ServiceState)) for _ in range(3)]
    route_view = view(
        *(pod(index, state, draw(st.sampled_from(RoutingState))) for index, state in enumerate(states) if state),
        route=draw(routes),
        workload=draw(workloads),
        link_counts=draw(st.dictionaries(indexes, st.integers(0, 2))),
        loads=draw(st.dictionaries(indexes, loads)),
    )
    absent = find_losses(route_view, [0, 1, 2], {}, 0).absent
    lost = find_losses(route_view, [0, 1, 2], absent, draw(st.sampled_from([0, 0, 45, 1000]))).lost
    return replace(route_view, lost=lost)


@settings(max_examples=150, deadline=None)
@given(
    st.none() | indexes | st.just("game-x"), st.sampled_from([None, BOUND]), st.lists(views(), min_size=6, max_size=12)
)
def test_statuses_state_the_same_if_and_only_if_their_messages_are_equal(
    linked_pod: int | str | None, old: LinkStatus | None, route_views: list[RouteView | None]
) -> None:
    """Otherwise a changed fact would not be written, or a status would be written for nothing."""
    plans = [decide(LinkView(link(linked_pod, status=old), each, NOON)) for each in route_views]
    statuses = [plan.status for plan in plans if isinstance(plan, UpdateStatus)]
    for first, second in combinations(statuses, 2):
        is_equal = msgspec.structs.replace(first, facts_hash=None) == msgspec.structs.replace(second, facts_hash=None)
        assert first.states_the_same(second) is is_equal
