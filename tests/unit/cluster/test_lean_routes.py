"""Routes that need little memory, compared with plain ones."""

import json
import tracemalloc
import weakref
from dataclasses import replace
from typing import Any

import pytest

from statefulroute.api.route_status import StatefulRouteStatus
from statefulroute.cluster import lean_routes
from statefulroute.cluster.codec import ROUTES
from statefulroute.cluster.lean_routes import LEAN_ROUTES
from statefulroute.domain.route import Route
from support.captured_logs import captured_logs

CONDITION = {
    "type": "Ready",
    "status": "True",
    "reason": "Ready",
    "message": "every pod is ready",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
    "observedGeneration": 2,
}
POD = {
    "index": 0,
    "name": "game-0",
    "serviceState": "Ready",
    "routingState": "Ready",
    "reportTime": "2026-01-01T00:00:01Z",
}


SUSPENDED = {**CONDITION, "type": "LossSuspended", "reason": "NodesLost"}
LOST_POD = {"name": "game-1", "cause": "NodeGone", "links": 3, "lostTime": "2026-01-01T00:00:00Z"}

PROPERTIES = (
    "key",
    "is_handled",
    "workload_key",
    "status_workload",
    "status_assessment",
    "are_losses_suspended",
    "status_lost_pods",
)


def encoded(**more: Any) -> bytes:
    """A route as the API server sends it."""
    metadata = {
        "name": "game",
        "namespace": "games",
        "uid": "uid",
        "resourceVersion": "7",
        "generation": 2,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        **more.pop("metadata", {}),
    }
    return json.dumps({"metadata": metadata, **more}).encode()


def fields(route: Route) -> dict[str, Any]:
    return {name: getattr(route, name) for name in (*Route.__dataclass_fields__, *PROPERTIES)}


@pytest.mark.parametrize(
    "route",
    [
        encoded(),
        encoded(
            spec={"port": 7777, "tags": ["a"]},
            status={"observedGeneration": 2, "conditions": [CONDITION], "pods": [POD]},
        ),
        encoded(
            status={"observedGeneration": 1, "workload": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}}
        ),
        encoded(status={"workload": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "game"}}),
        encoded(
            spec={"workloadRef": {"apiVersion": "a/v1", "kind": "K" * 300, "name": "x"}},
            status={"workload": {"apiVersion": "a/v1", "kind": "K" * 63, "name": "x"}},
        ),
        encoded(status={"workloadState": "High", "workloadLoad": 7, "conditions": [CONDITION, SUSPENDED]}),
        encoded(status={"workloadState": "NewerState", "conditions": [{**SUSPENDED, "status": "False"}]}),
        encoded(status={"lostPods": [LOST_POD, {**LOST_POD, "name": "game-2", "cause": "NewerCause"}]}),
        encoded(status={"workload": "of another version", "lostPods": [LOST_POD], "conditions": [SUSPENDED]}),
        encoded(status={"observedGeneration": "of another version", "links": 4}),
        encoded(status={"routingState": "NewerState", "pods": [{"name": "without the other fields"}], "newer": 1}),
        encoded(
            metadata={
                "deletionTimestamp": "2026-01-01T00:00:00Z",
                "annotations": {"statefulroute.io/loss-confirmed-at": "2026-01-01T00:00:00Z"},
            }
        ),
    ],
)
def test_lean_route_has_the_values_of_a_plain_one(route: bytes) -> None:
    plain, lean = ROUTES.decode(route), LEAN_ROUTES.decode(route)
    assert fields(lean) == fields(plain)
    former = lean.with_observed_workload(), plain.with_observed_workload()
    assert [route and fields(route) for route in former] == 2 * [former[1] and fields(former[1])]
    assert lean == LEAN_ROUTES.decode(route)
    assert fields(replace(lean, generation=3)) == fields(replace(plain, generation=3))


def test_status_that_is_replaced_is_read_again() -> None:
    route = LEAN_ROUTES.decode(encoded(status={"links": 4}))
    status = StatefulRouteStatus.model_validate({"observedGeneration": 2, "links": 5, "conditions": [CONDITION]})
    changed = replace(route, status=status, resource_version=8)
    assert changed.status == status
    assert changed.is_handled
    assert changed != route


@pytest.mark.parametrize("routes", [1, 10])
def test_decoded_statuses_are_kept_within_a_bound_and_no_old_versions(
    routes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    statuses: list[weakref.ref[StatefulRouteStatus]] = []
    for links in range(20):
        pods = [POD | {"index": index, "links": links} for index in range(100)]
        route = LEAN_ROUTES.decode(encoded(metadata={"name": f"game-{links % routes}"}, status={"pods": pods}))
        monkeypatch.setattr(lean_routes, "_STATUS_BYTES", 4 * len(json.dumps({"pods": pods})), raising=False)
        assert route.status is route.status
        statuses.append(weakref.ref(route.status))
    kept = [number for number, status in enumerate(statuses) if status() is not None]
    assert kept == list(range(20 - min(routes, 4), 20))


def test_old_statuses_are_not_kept_for_their_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    pods = [POD | {"index": index} for index in range(1_000)]
    size = len(json.dumps(pods))
    monkeypatch.setattr(lean_routes, "_STATUS_BYTES", 4 * size)
    tracemalloc.start()
    try:
        for version in range(20):
            assert LEAN_ROUTES.decode(
                encoded(status={"observedGeneration": 2, "links": version, "pods": pods})
            ).is_handled
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 6 * size


def test_equal_specs_are_one_object() -> None:
    spec = {"port": 7777, "onPodLost": {"action": "Keep"}}
    first, second = (LEAN_ROUTES.decode(encoded(metadata={"name": name}, spec=spec)) for name in ("one", "two"))
    assert first.spec is second.spec


def test_value_that_this_version_does_not_know_is_logged_for_each_route() -> None:
    with captured_logs() as logs:
        for name in ("newer-one", "newer-two"):
            LEAN_ROUTES.decode(encoded(metadata={"name": name}, spec={"onPodLost": {"action": "NewerAction"}}))
    assert [line["name"] for line in logs] == ["newer-one", "newer-two"]


@pytest.mark.parametrize("malformed", [{"status": None}, {"status": 5}, {"spec": {"workloadRef": 5}}, {"spec": "x"}])
def test_malformed_route_is_refused(malformed: dict[str, Any]) -> None:
    for kind in (ROUTES, LEAN_ROUTES):
        with pytest.raises(ValueError, match=r"."):
            kind.decode(encoded(**malformed))
