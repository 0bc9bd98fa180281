"""During a rollout, new users go to the pods that are not replaced afterwards."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from statefulroute.domain.assessment import Assessment
from statefulroute.domain.keys import PodKey
from statefulroute.domain.placement import best_pod, has_tiers
from statefulroute.domain.pod import REVISION_LABEL, Pod
from statefulroute.domain.route import RouteView
from statefulroute.domain.route_status import route_status
from statefulroute.domain.service import choose_pod
from unit.domain import builders
from unit.domain.builders import NOON, route, workload


def pod(index: int, revision: str) -> Pod:
    return builders.pod(index, labels={REVISION_LABEL: revision})


def view(*pods: Pod, links: dict[PodKey, int] | None = None, **spec: Any) -> RouteView:
    """Returns the view of a route with a rollout to the revision `new`."""
    current = replace(workload(len(pods)), update_revision="new", update_strategy="OnDelete")
    return builders.view(*pods, route=route(**{"rollout": {}} | spec), workload=current, link_counts=links or {})


OLD_AND_NEW = (pod(0, "old"), pod(1, "old"), pod(2, "new"))
FULL = {"placement": {"maxLinksPerPod": 5}}
SURGE = {"replicas": 2, "rollout": {"surge": 1}}


@pytest.mark.parametrize(
    ("pods", "links", "spec", "best"),
    [
        pytest.param(OLD_AND_NEW, {2: 5}, {}, 2, id="the latest revision"),
        pytest.param(OLD_AND_NEW, {2: 4, 0: 1}, FULL, 2, id="the latest revision has room"),
        pytest.param(OLD_AND_NEW, {2: 5, 0: 1}, FULL, 1, id="the latest revision is full"),
        pytest.param(OLD_AND_NEW, {2: 5}, {"rollout": None}, 0, id="no rollout"),
        pytest.param(OLD_AND_NEW, {2: 5}, {"rollout": {"paused": True}}, 0, id="a paused rollout"),
        pytest.param(OLD_AND_NEW, {2: 5, 1: 1}, {"rollout": {"partition": 1}}, 0, id="pods below the partition stay"),
        pytest.param([pod(0, "new"), pod(1, "new"), pod(2, "new")], {0: 5}, SURGE, 1, id="no pod of a surge"),
        pytest.param([pod(0, "old"), pod(1, "old"), pod(2, "new")], {2: 5}, SURGE, 2, id="only a pod of the surge"),
    ],
)
def test_new_users_go_to_pods_that_stay(
    pods: list[Pod], links: dict[PodKey, int], spec: dict[str, Any], best: int
) -> None:
    chosen = best_pod(view(*pods, links=links, **spec), NOON)
    assert chosen is not None
    assert chosen.key == best


@pytest.mark.parametrize("spec", [{}, FULL, SURGE, {"rollout": {"paused": True}}])
def test_clients_choose_the_same_pods_as_the_operator(spec: dict[str, Any]) -> None:
    current = view(*OLD_AND_NEW, links={0: 1, 2: 2}, **spec)
    client_route = replace(current.route, status=route_status(current, Assessment(), NOON))
    assert [pod.revision for pod in client_route.status.pods] == ["old", "old", "new"]
    assumed = Counter[PodKey]()
    for _ in range(4):
        best = best_pod(view(*OLD_AND_NEW, links=Counter({0: 1, 2: 2}) + assumed, **spec), NOON)
        chosen = choose_pod(client_route, assumed, NOON)
        assert best is not None
        assert chosen == best.key
        assumed[best.key] += 1


def test_revisions_are_shown_only_for_routes_with_a_rollout() -> None:
    status = route_status(view(*OLD_AND_NEW, rollout=None), Assessment(), NOON)
    assert [pod.revision for pod in status.pods] == [None, None, None]


def test_pods_of_one_revision_are_compared_by_an_index() -> None:
    assert has_tiers(view(*OLD_AND_NEW))
    assert not has_tiers(view(pod(0, "new"), pod(1, "new")))
    assert not has_tiers(view(*OLD_AND_NEW, rollout=None))
