"""The choice of pods by the status of a route."""

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


def with_status(route_view: RouteView) -> Route:
    """Returns the route with the status that the operator writes."""
    return replace(route_view.route, status=route_status(route_view, Assessment(), NOON))


VIEWS: dict[str, tuple[dict[PodKey, Load], dict[PodKey, int]]] = {
    "no reports": ({}, {0: 3, 1: 1, 2: 2}),
    "lowest load": ({0: load(5, 5), 1: load(3, 3), 2: load(4, 4)}, {}),
    "equal loads with new links": (
        {0: load(4, 4, links=10), 1: load(4, 4, links=4), 2: load(4, 4, links=7)},
        {0: 12, 1: 7, 2: 8},
    ),
    "equal loads with removed links": (
        {0: load(4, 4, links=10), 1: load(4, 4, links=10), 2: load(4, 4, links=10)},
        {0: 10, 1: 4, 2: 9},
    ),
    "one stale": ({0: load(age=STALE), 1: load(3, 3), 2: load(4, 4)}, {}),
    "most stale": ({0: load(1, 1, links=4), 1: load(9, 9, age=STALE), 2: load(9, 9, age=STALE)}, {0: 4, 1: 2, 2: 3}),
    "one report": ({0: load(4, 4, links=20)}, {0: 20, 1: 10, 2: 10}),
}


@pytest.mark.parametrize(("loads", "counts"), VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("others", [(), ({0: 9, 2: 1}, {1: 3})], ids=["one route", "three routes"])
def test_client_chooses_the_same_pods_as_the_operator(
    loads: dict[PodKey, Load], counts: dict[PodKey, int], others: tuple[dict[PodKey, int], ...]
) -> None:
    client_route = with_status(view(*THREE, loads=loads, link_counts=counts, other_link_counts=others))
    assumed = Counter[PodKey]()
    for _ in range(30):
        current_counts = Counter(counts) + assumed
        best = best_pod(view(*THREE, loads=loads, link_counts=current_counts, other_link_counts=others), NOON)
        assert best is not None
        assert choose_pod(client_route, assumed, NOON) == best.key
        assumed[best.key] += 1
