"""Placements that a client assumes between two statuses of a route."""

from dataclasses import replace

import pytest

from statefulroute.api.route_status import StatefulRouteStatus
from statefulroute.domain.assumed_placements import AssumedPlacements
from statefulroute.domain.errors import PodNotAvailableError
from statefulroute.domain.route import Route
from unit.domain.builders import NOON, route


def route_with_links(*links: int) -> Route:
    """Returns a route with a pod for each number, which is the number of its links in the status."""
    states = {"serviceState": "Ready", "routingState": "Ready"}
    pods = [{"name": f"game-{index}", "index": index, "links": count, **states} for index, count in enumerate(links)]
    return route(StatefulRouteStatus.model_validate({"links": sum(links), "pods": pods}))


def test_assumed_placements_count_until_the_status_includes_them() -> None:
    placements, old_route = AssumedPlacements(), route_with_links(0, 1)
    assert [placements.assume_best_pod(old_route, NOON) for _ in range(3)] == [0, 0, 1]
    placements.observe_route(old_route, replace(old_route, resource_version=2))
    assert placements.best_pod(old_route, NOON) == 0  # two links each: the first pod
    assert placements.assume_best_pod(old_route, NOON) == 0
    assert placements.best_pod(old_route, NOON) == 1
    new_route = route_with_links(2, 2)
    placements.observe_route(old_route, new_route)
    assert placements.best_pod(new_route, NOON) == 0


def test_best_pod_assumes_no_placement() -> None:
    placements, current_route = AssumedPlacements(), route_with_links(0, 0)
    assert [placements.best_pod(current_route, NOON) for _ in range(3)] == [0, 0, 0]


def test_only_candidates_are_chosen() -> None:
    placements, current_route = AssumedPlacements(), route_with_links(0, 5, 9)
    assert placements.assume_best_pod(current_route, NOON, {1, 2}) == 1
    assert placements.assume_best_pod(current_route, NOON, {2}) == 2
    with pytest.raises(PodNotAvailableError, match="no pod of the service 'game' takes new users now"):
        placements.assume_best_pod(current_route, NOON, set())
