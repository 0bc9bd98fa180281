"""Which pods close because their node is drained, and which have the label that refuses their eviction."""

from datetime import timedelta
from typing import Any

import pytest

from statefulroute.api.limits import CLOSING_PODS_MAX
from statefulroute.api.statefulroute import StatefulRouteSpec
from statefulroute.api.vocabulary import ClosingReason
from statefulroute.domain.closing import Closing
from statefulroute.domain.disruption.closing_pods import STALLED_AFTER
from statefulroute.domain.disruption.facts import DisruptionFacts, PodFacts
from statefulroute.domain.disruption.node_drain import HOLD, drained_pods, mark_changes
from statefulroute.domain.disruption.plan import plan_disruptions
from statefulroute.domain.pod import Node
from unit.domain.builders import NOON, pod, route, view, workload

SECOND = timedelta(seconds=1)

CLOSING = Closing(ClosingReason.NODE_DRAIN, NOON, NOON + 10 * SECOND)
OVER = Closing(ClosingReason.NODE_DRAIN, NOON - 20 * SECOND, NOON - 10 * SECOND, is_over=True)
STALLED = Closing(ClosingReason.NODE_DRAIN, NOON - 99 * SECOND, NOON - STALLED_AFTER, is_over=True)


def pod_facts(key: int = 0, **more: Any) -> PodFacts:
    return PodFacts(key=key, name=f"game-{key}", **{"uid": f"uid-{key}", "is_announced": True, **more})


def facts_of(*pods: PodFacts, seconds: int = 0, **spec: Any) -> DisruptionFacts:
    fields: dict[str, Any] = {"disruption": {}, **spec}
    return DisruptionFacts(
        route_name="game",
        spec=StatefulRouteSpec.model_validate(fields),
        workload=workload(),
        pods={each.key: each for each in pods},
        now=NOON + seconds * SECOND,
    )


def test_pods_of_drained_nodes_close_if_the_route_configures_it() -> None:
    pods = pod_facts(0, is_node_drained=True), pod_facts(1), pod_facts(2, uid="", is_node_drained=True, links=1)
    assert drained_pods(facts_of(*pods)) == [0]
    assert drained_pods(facts_of(*pods, disruption={"protect": False})) == [0]
    assert drained_pods(facts_of(*pods, disruption=None, replicas=3)) == []


def test_not_more_pods_close_than_a_status_shows_and_those_that_are_closing_go_on() -> None:
    pods = [pod_facts(key, is_node_drained=True, links=1) for key in range(150)]
    pods[149] = pod_facts(149, is_node_drained=True, links=1, closing=CLOSING)
    closing = plan_disruptions(facts_of(*pods)).closing
    assert len(closing) == CLOSING_PODS_MAX
    assert closing[149].since == CLOSING.since


def test_pod_that_is_surplus_and_on_a_drained_node_closes_for_the_scale_down() -> None:
    pods = [pod_facts(key, is_node_drained=key > 0, links=1) for key in range(3)]
    reasons = {key: each.reason for key, each in plan_disruptions(facts_of(*pods, replicas=2)).closing.items()}
    assert reasons == {1: ClosingReason.NODE_DRAIN, 2: ClosingReason.SCALE_DOWN}


@pytest.mark.parametrize(
    ("fields", "closing", "is_marked"),
    [
        ({"links": 1}, None, True),
        ({"links": 0}, None, False),
        ({"links": 1}, CLOSING, True),
        ({"links": 1}, OVER, True),
        ({"links": 1}, STALLED, False),
        ({"links": 1, "is_announced": False}, STALLED, True),
        ({"links": 1, "is_ending": True}, None, False),
        ({"links": 1, "uid": ""}, None, False),
    ],
    ids=[
        "with links",
        "empty",
        "closing",
        "over, and links are moved",
        "over, and links stay",
        "over, and clients do not know it",
        "ending",
        "absent",
    ],
)
def test_pod_is_marked_while_its_eviction_has_to_wait(
    fields: dict[str, Any], closing: Closing | None, is_marked: bool
) -> None:
    facts = facts_of(pod_facts(**fields))
    changes = mark_changes(facts, {0: closing} if closing else {}, (), {})
    assert changes.mark == ({0} if is_marked else set())
    assert changes.unmark == set()


def test_marked_pod_with_links_needs_no_write() -> None:
    changes = mark_changes(facts_of(pod_facts(links=2)), {}, {0}, {})
    assert (changes.mark, changes.unmark, changes.next_check) == (set(), set(), None)


def test_open_pod_loses_the_mark_when_it_was_empty_for_a_while() -> None:
    first = mark_changes(facts_of(pod_facts()), {}, {0}, {})
    assert (first.unmark, first.emptied, first.next_check) == (set(), {0: NOON}, NOON + HOLD)
    before = mark_changes(facts_of(pod_facts(), seconds=9), {}, {0}, first.emptied)
    assert (before.unmark, before.next_check) == (set(), NOON + HOLD)
    after = mark_changes(facts_of(pod_facts(), seconds=10), {}, {0}, before.emptied)
    assert (after.unmark, after.emptied, after.next_check) == ({0}, {}, None)


def test_link_in_between_starts_the_time_anew() -> None:
    emptied = mark_changes(facts_of(pod_facts()), {}, {0}, {}).emptied
    emptied = mark_changes(facts_of(pod_facts(links=1), seconds=5), {}, {0}, emptied).emptied
    changes = mark_changes(facts_of(pod_facts(), seconds=10), {}, {0}, emptied)
    assert (changes.unmark, changes.emptied) == (set(), {0: NOON + 10 * SECOND})


def test_empty_closing_pod_loses_the_mark_at_once_when_clients_know_that_it_closes() -> None:
    assert mark_changes(facts_of(pod_facts()), {0: CLOSING}, {0}, {}).unmark == {0}
    assert mark_changes(facts_of(pod_facts(is_announced=False)), {0: CLOSING}, {0}, {}).unmark == set()


def test_pod_whose_users_stay_loses_the_mark_at_the_deadline() -> None:
    facts = facts_of(pod_facts(links=3), onPodLost={"action": "Keep"})
    assert mark_changes(facts, {0: OVER}, {0}, {}).unmark == {0}


@pytest.mark.parametrize(
    ("spec", "is_drained", "expected"),
    [({"disruption": {}}, True, True), ({"disruption": {}}, False, False), ({}, True, False)],
)
def test_view_shows_drained_nodes_of_routes_that_configure_it(
    spec: dict[str, Any], is_drained: bool, expected: bool
) -> None:
    node = Node(name="n", resource_version=1, is_ready=True, is_drained=is_drained)
    seen = view(pod(0, node_name="n"), nodes={"n": node}, route=route(**spec))
    assert seen.pods[0].is_on_drained_node is expected
