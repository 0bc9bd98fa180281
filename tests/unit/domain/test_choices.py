"""Whom a caller sends where, between two statuses of a route."""

from dataclasses import replace

import pytest

from statefulroute.api.statefulroute import StatefulRouteStatus
from statefulroute.domain.assumed_placements import AssumedPlacements
from statefulroute.domain.errors import PodNotAvailableError
from statefulroute.domain.route import Route
from unit.domain.builders import NOON, route


def told(*links: int) -> Route:
    """A route with a pod for each number: so many links its status counts on it."""
    said = {"serviceState": "Ready", "routingState": "Ready"}
    pods = [{"name": f"game-{index}", "index": index, "links": each, **said} for index, each in enumerate(links)]
    return route(StatefulRouteStatus.model_validate({"links": sum(links), "pods": pods}))


def test_those_who_were_sent_count_until_the_status_counts_them() -> None:
    choices, before = AssumedPlacements(), told(0, 1)
    assert [choices.assume_best_pod(before, NOON) for _ in range(3)] == [0, 0, 1]
    choices.observe_route(before, replace(before, resource_version=2))
    assert choices.best_pod(before, NOON) == 0  # two each: the first
    assert choices.assume_best_pod(before, NOON) == 0
    assert choices.best_pod(before, NOON) == 1
    after = told(2, 2)
    choices.observe_route(before, after)
    assert choices.best_pod(after, NOON) == 0


def test_to_ask_for_the_best_pod_sends_nobody_there() -> None:
    choices, seen = AssumedPlacements(), told(0, 0)
    assert [choices.best_pod(seen, NOON) for _ in range(3)] == [0, 0, 0]


def test_only_pods_that_may_be_chosen_are() -> None:
    choices, seen = AssumedPlacements(), told(0, 5, 9)
    assert choices.assume_best_pod(seen, NOON, {1, 2}) == 1
    assert choices.assume_best_pod(seen, NOON, {2}) == 2
    with pytest.raises(PodNotAvailableError, match="no pod of the service 'game' takes new users now"):
        choices.assume_best_pod(seen, NOON, set())
