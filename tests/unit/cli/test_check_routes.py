"""What `check` finds in the conditions of routes."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from statefulroute.cli.checks.hand_overs import HandOvers
from statefulroute.cli.checks.observations import OperatorLag, ServingPods
from statefulroute.cli.checks.results import Level
from statefulroute.cli.checks.state import check_routes
from statefulroute.cli.cluster import Cluster, Object

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
AUTOSCALING = {"minReplicas": 0, "maxReplicas": 5, "linksPerPod": 10}


class _OneRoute:
    def __init__(self, route: Object) -> None:
        self._route = route

    def path(self, kind: object) -> str:
        return str(kind)

    async def objects(self, path: str) -> AsyncIterator[Object]:
        del path
        yield self._route


def route_without_pods(spec: dict[str, Any], desired_replicas: int) -> Object:
    """A route without a pod that serves users."""
    ready = {"type": "Ready", "status": "False", "reason": "NoRoutablePod", "message": "no pod"}
    return {
        "metadata": {"namespace": "play", "name": "game", "generation": 1},
        "spec": {"port": 80, **spec},
        "status": {"observedGeneration": 1, "desiredReplicas": desired_replicas, "conditions": [ready]},
    }


@pytest.mark.parametrize(
    ("spec", "desired_replicas", "level"),
    [
        pytest.param({"autoscaling": AUTOSCALING}, 0, Level.OK, id="sleeps"),
        pytest.param({"autoscaling": AUTOSCALING}, 1, Level.PROBLEM, id="wakes"),
        pytest.param({"replicas": 0}, 0, Level.PROBLEM, id="was scaled to zero by somebody"),
    ],
)
async def test_route_that_autoscaling_has_put_to_sleep_is_no_problem(
    spec: dict[str, Any], desired_replicas: int, level: Level
) -> None:
    cluster = cast("Cluster", _OneRoute(route_without_pods(spec, desired_replicas)))
    results = [each async for each in check_routes(cluster, OperatorLag(), ServingPods(), HandOvers(), lambda: NOON)]
    assert [(each.level, each.example) for each in results] == [(level, "play/game")]
    assert ("sleeps" in results[0].message) is (level is Level.OK)


async def test_slots_whose_links_are_refused_are_a_problem_and_those_that_wait_are_not() -> None:
    refused = {"type": "SlotsBound", "status": "False", "reason": "SlotsRefused", "message": "podlinks is forbidden"}
    levels = []
    for unbound in (refused, {**refused, "reason": "SlotsUnbound"}):
        route = route_without_pods({"slots": 16}, 1)
        route["status"]["conditions"] = [unbound]
        cluster = cast("Cluster", _OneRoute(route))
        results = check_routes(cluster, OperatorLag(), ServingPods(), HandOvers(), lambda: NOON)
        levels.append([(each.level, "createSlots" in each.fix) async for each in results])
    assert levels == [[(Level.PROBLEM, True)], [(Level.NOTICE, False)]]


async def test_uneven_slots_are_a_notice_with_the_setting_that_balances_them() -> None:
    uneven = {"type": "SlotsBalanced", "status": "False", "reason": "SlotsUneven", "message": "the pods have 2 to 9"}
    route = route_without_pods({"slots": 16}, 1)
    route["status"]["conditions"] = [uneven]
    cluster = cast("Cluster", _OneRoute(route))
    results = [each async for each in check_routes(cluster, OperatorLag(), ServingPods(), HandOvers(), lambda: NOON)]
    assert (Level.NOTICE, True) in [
        (each.level, "rebalance" in each.fix and "2 to 9" in each.message) for each in results
    ]


NO_LOAD = {"type": "LoadFresh", "status": "False", "reason": "NoLoadReported", "message": "no pod has reported"}
DEFAULT_LOAD = {"source": "Reported", "cpuFactorPercent": 70, "staleAfterSeconds": 90, "minFreshPercent": 50}
REPORTED = {"name": "game-0", "reportTime": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("load", "pods", "level"),
    [
        pytest.param(DEFAULT_LOAD, [{"name": "game-0"}], Level.OK, id="by default, no pod has to report"),
        pytest.param({**DEFAULT_LOAD, "staleAfterSeconds": 30}, [], Level.NOTICE, id="configured, never reported"),
        pytest.param(DEFAULT_LOAD, [REPORTED], Level.PROBLEM, id="reported before"),
        pytest.param({**DEFAULT_LOAD, "source": "HTTP", "http": {"port": 80}}, [], Level.PROBLEM, id="polled"),
    ],
)
async def test_load_that_no_pod_reports_is_a_problem_only_if_it_was_asked_for(
    load: dict[str, Any], pods: list[dict[str, str]], level: Level
) -> None:
    route = route_without_pods({"load": load}, 1)
    ready = {"type": "Ready", "status": "True", "reason": "Routable", "message": "1 of 1 pod serves users"}
    route["status"].update(conditions=[ready, NO_LOAD], pods=pods)
    cluster = cast("Cluster", _OneRoute(route))
    results = [each async for each in check_routes(cluster, OperatorLag(), ServingPods(), HandOvers(), lambda: NOON)]
    if level is Level.OK:
        assert [(each.level, bool(each.fix)) for each in results] == [(Level.OK, False), (Level.OK, False)]
        assert results[0].message == "1 of 1 is Ready"
        assert "optional" in results[1].message
    else:
        assert [each.level for each in results] == [level]
        assert "NoLoadReported" in results[0].message
