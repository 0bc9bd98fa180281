"""A service by its status alone: its callers choose as the operator does."""

from collections import Counter
from dataclasses import replace

import pytest

from statefulroute.domain.assessment import Assessment
from statefulroute.domain.keys import PodKey
from statefulroute.domain.load import Load
from statefulroute.domain.placement import best_pod
from statefulroute.domain.route import Route, RouteView
from statefulroute.domain.route_status import route_status
from statefulroute.domain.service import choose_pod
from unit.domain.builders import NOON, STALE, load, pod, view

THREE = (pod(0), pod(1), pod(2))


def told(seen: RouteView) -> Route:
    """The route as its callers see it: with the status that the operator writes."""
    return replace(seen.route, status=route_status(seen, Assessment(), NOON))


VIEWS: dict[str, tuple[dict[PodKey, Load], dict[PodKey, int]]] = {
    "nobody has reported": ({}, {0: 3, 1: 1, 2: 2}),
    "the least loaded": ({0: load(5, 5), 1: load(3, 3), 2: load(4, 4)}, {}),
    "equal loads, links since the reports": (
        {0: load(4, 4, links=10), 1: load(4, 4, links=4), 2: load(4, 4, links=7)},
        {0: 12, 1: 7, 2: 8},
    ),
    "users have left since the reports": (
        {0: load(4, 4, links=10), 1: load(4, 4, links=10), 2: load(4, 4, links=10)},
        {0: 10, 1: 4, 2: 9},
    ),
    "one is stale": ({0: load(age=STALE), 1: load(3, 3), 2: load(4, 4)}, {}),
}


@pytest.mark.parametrize(("loads", "counts"), VIEWS.values(), ids=VIEWS)
def test_a_caller_chooses_as_the_operator_does_at_the_status_and_after_every_binding_of_its_own(
    loads: dict[PodKey, Load], counts: dict[PodKey, int]
) -> None:
    said, bound = told(view(*THREE, loads=loads, counts=counts)), Counter[PodKey]()
    for _ in range(30):
        now = Counter(counts) + bound
        best = best_pod(view(*THREE, loads=loads, counts=now), NOON)
        assert best is not None
        assert choose_pod(said, bound, NOON) == best.key
        bound[best.key] += 1
