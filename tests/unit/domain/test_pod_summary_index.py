"""The summary of thousands of pods, of which few change between two statuses."""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from statefulroute.domain import listed_pods, pod_summary_index
from statefulroute.domain.assessment import Assessment
from statefulroute.domain.keys import PodKey
from statefulroute.domain.load import Load
from statefulroute.domain.placement_index import PlacementIndex
from statefulroute.domain.pod_summary import PodSummary, summarize_pods
from statefulroute.domain.pod_summary_index import PodSummaryIndex
from statefulroute.domain.route import PodView, RouteView
from statefulroute.domain.route_status import route_status
from unit.domain.builders import NOON, STALE, load, route
from unit.domain.large_views import big_view

PODS = 1_200


class CrowdedService:
    """A service with many pods, whose loads and links change."""

    def __init__(self, **spec: Any) -> None:
        self.random = Random(1)
        self.loads: dict[PodKey, Load] = {index: load(index % 50) for index in range(PODS)}
        self.links: dict[PodKey, int] = {index: 1 + index % 3 for index in range(PODS)}
        view = big_view(PODS, *range(100, 130), route=route(**spec), loads=self.loads, link_counts=self.links)
        self.index = PlacementIndex(view, NOON)
        self.view = replace(view, index=self.index)
        self.index.update(self.view)
        self.summary = PodSummaryIndex(self.view, self.index)

    def summarize(self) -> PodSummary:
        return self.summary.summarize(self.view, NOON)

    def summarize_all(self) -> PodSummary:
        return summarize_pods(replace(self.view, index=None), NOON)

    def write_status(self) -> None:
        """Stores the status in the route."""
        status = route_status(self.view, Assessment(), NOON, None, self.summarize())
        self.view = replace(self.view, route=replace(self.view.route, status=status))
        self.index.update(self.view)

    def change(self, pods: int) -> None:
        """Changes the loads or the links of some pods."""
        for _ in range(pods):
            key: PodKey = self.random.randrange(PODS)
            if self.random.random() < 0.5:
                self.loads[key] = load(self.random.randrange(60), age=self.random.choice([0, 0, 0, STALE]))
            elif self.random.random() < 0.5:
                self.links[key] = self.links.get(key, 0) + 1
            else:
                self.links.pop(key, None)
            self.index.pod_changed(key)


@pytest.mark.parametrize("spec", [{}, {"placement": {"maxLinksPerPod": 2}}, {"routingState": "DenyNewCall"}])
def test_summary_of_many_pods_equals_that_of_all(spec: dict[str, Any]) -> None:
    service = CrowdedService(**spec)
    for number in range(12):
        assert service.summarize() == service.summarize_all()
        service.write_status()
        service.change(pods=(1, 5, 200)[number % 3])


def test_summary_looks_only_at_pods_that_have_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    service, seen = CrowdedService(), set[PodKey]()
    service.summarize()
    service.write_status()
    service.summarize()

    def spy(function: Callable[..., Any]) -> Callable[..., Any]:
        def observed(view: RouteView, pod: PodView, *more: Any) -> Any:
            seen.add(pod.key)
            return function(view, pod, *more)

        return observed

    monkeypatch.setattr(listed_pods, "listing_rank", spy(listed_pods.listing_rank))
    monkeypatch.setattr(pod_summary_index, "pod_status", spy(pod_summary_index.pod_status))
    service.links[1_100] += 5
    service.index.pod_changed(1_100)
    service.summarize()
    assert seen == {1_100}
