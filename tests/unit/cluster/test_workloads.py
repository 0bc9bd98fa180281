"""StatefulSets are read from their cache, other workloads by their scale; both can be annotated."""

import asyncio
import json
from typing import Any

import pytest

from statefulroute.api.annotations import WORKLOAD_LOAD, WORKLOAD_STATE, WORKLOAD_TIME
from statefulroute.api.route_status import StatefulRouteStatus
from statefulroute.api.statefulroute import StatefulRouteSpec
from statefulroute.api.vocabulary import RouteReason
from statefulroute.cluster.client import Client
from statefulroute.cluster.codec import STATEFUL_SETS
from statefulroute.cluster.errors import APIError
from statefulroute.cluster.informers import Informers
from statefulroute.cluster.workloads import Workloads
from statefulroute.domain.keys import WorkloadKey
from statefulroute.domain.route import Route
from statefulroute.domain.selector import Selector
from statefulroute.domain.workload import MissingWorkload, Workload, WorkloadAnnotations
from support.captured_logs import captured_logs
from unit.cluster.fake_api import Call, FakeAPI
from unit.cluster.objects import metadata

LIST = "/apis/apps/v1"
DEPLOYMENT = f"{LIST}/namespaces/games/deployments/game"
STATEFUL_SET = f"{LIST}/namespaces/games/statefulsets/game"
ANNOTATIONS = {WORKLOAD_STATE: "High", WORKLOAD_LOAD: "3.7", WORKLOAD_TIME: "2026-06-01T12:00:00Z"}


def route(kind: str = "StatefulSet", name: str | None = None, api_version: str = "apps/v1") -> Route:
    spec = {"workloadRef": {"apiVersion": api_version, "kind": kind, "name": name}}
    return Route(
        namespace="games",
        name="game",
        resource_version=1,
        generation=1,
        spec=StatefulRouteSpec.model_validate(spec),
        status=StatefulRouteStatus(),
    )


SET_ROUTE, DEPLOYMENT_ROUTE = route(), route("Deployment")
KEY = WorkloadKey("games", "apps/v1", "Deployment", "game")


def stateful_set(version: int = 8, **annotations: str) -> Workload:
    body = {"metadata": metadata("game", version, annotations=annotations), "spec": {"replicas": 3}}
    return STATEFUL_SETS.decode(json.dumps(body).encode())


def scale(version: int = 41, replicas: int = 3, selector: str = "app=game") -> dict[str, Any]:
    return {
        "metadata": {"name": "game", "uid": "u-1", "resourceVersion": str(version)},
        "spec": {"replicas": replicas},
        "status": {"replicas": 2, "selector": selector},
    }


def deployment(version: int = 41, replicas: int = 3) -> Workload:
    return Workload(
        namespace="games",
        name="game",
        resource_version=version,
        uid="u-1",
        replicas=replicas,
        selector=Selector.parse("app=game"),
        selector_text="app=game",
    )


def annotated(**annotations: str) -> dict[str, Any]:
    return {"metadata": metadata("game", 50, annotations=annotations)}


@pytest.fixture
def informers(client: Client) -> Informers:
    return Informers(client)


@pytest.fixture
def workloads(informers: Informers) -> Workloads:
    return informers.workloads


async def next_call(api: FakeAPI, path: str, method: str = "GET") -> Call:
    """Returns the next request, after responding to discovery if it comes first."""
    call = await api.call()
    if call.path == LIST:
        kinds = [("deployments", "Deployment"), ("deployments/scale", "Scale")]
        kinds += [("statefulsets", "StatefulSet"), ("statefulsets/scale", "Scale")]
        resources = [{"name": name, "kind": kind, "namespaced": True} for name, kind in kinds]
        call.respond({"resources": resources})
        call = await api.call()
    assert (call.method, call.path) == (method, path)
    return call


async def read(api: FakeAPI, workloads: Workloads, answer: dict[str, Any]) -> None:
    """Reads the scale of the Deployment."""
    reading = asyncio.create_task(workloads.refresh(DEPLOYMENT_ROUTE))
    (await next_call(api, f"{DEPLOYMENT}/scale")).respond(answer)
    await reading


async def test_a_stateful_set_is_read_from_the_cache(api: FakeAPI, informers: Informers, workloads: Workloads) -> None:
    notified: list[WorkloadKey] = []
    workloads.listen(notified.append)
    assert workloads.is_watched(SET_ROUTE)
    missing = workloads.get(SET_ROUTE)
    assert missing == MissingWorkload(
        RouteReason.WORKLOAD_NOT_FOUND, "StatefulSet 'game' does not exist in namespace 'games'"
    )
    informers.stateful_sets.cache.put(stateful_set())
    assert workloads.get(SET_ROUTE) == stateful_set()
    assert workloads.get(route(name="other")) is not None
    informers.stateful_sets.cache.delete("games", "game", 9)
    assert workloads.get(SET_ROUTE) == missing
    await workloads.refresh(SET_ROUTE)
    assert notified == [WorkloadKey("games", "apps/v1", "StatefulSet", "game")] * 2
    assert api.has_no_calls


async def test_another_workload_is_read_by_its_scale_and_listeners_are_called_on_changes(
    api: FakeAPI, workloads: Workloads
) -> None:
    notified: list[WorkloadKey] = []
    workloads.listen(notified.append)
    assert not workloads.is_watched(DEPLOYMENT_ROUTE)
    assert workloads.get(DEPLOYMENT_ROUTE) is None
    await read(api, workloads, scale())
    assert workloads.get(DEPLOYMENT_ROUTE) == deployment()
    assert notified == [KEY]
    await read(api, workloads, scale())
    assert notified == [KEY]
    await read(api, workloads, scale(42, replicas=5))
    assert workloads.get(DEPLOYMENT_ROUTE) == deployment(42, replicas=5)
    assert notified == [KEY, KEY]


@pytest.mark.parametrize(
    "other",
    [route("Deployment", "chess"), route("ReplicaSet"), route("Deployment", api_version="example.com/v1")],
    ids=["name", "kind", "group"],
)
async def test_the_result_for_one_workload_does_not_apply_to_another(
    api: FakeAPI, workloads: Workloads, other: Route
) -> None:
    await read(api, workloads, scale())
    assert workloads.get(other) is None


ALLOW_IT = "allow it in a ClusterRole that is bound to the operator"

PROBLEMS: dict[str, tuple[int, RouteReason, str]] = {
    "deleted": (404, RouteReason.WORKLOAD_NOT_FOUND, "Deployment 'game' does not exist in namespace 'games'"),
    "forbidden": (
        403,
        RouteReason.WORKLOAD_FORBIDDEN,
        f"the operator may not get deployments/scale in group apps: {ALLOW_IT}",
    ),
}


@pytest.mark.parametrize(("status", "reason", "message"), PROBLEMS.values(), ids=PROBLEMS)
async def test_an_unusable_workload_has_a_reason(
    api: FakeAPI, workloads: Workloads, status: int, reason: RouteReason, message: str
) -> None:
    reading = asyncio.create_task(workloads.refresh(DEPLOYMENT_ROUTE))
    (await next_call(api, f"{DEPLOYMENT}/scale")).respond_error(status, "Refused", "secret")
    if status == 404:  # the discovery of its kind
        call = await api.call()
        assert call.path == LIST
        kinds = [("deployments", "Deployment"), ("deployments/scale", "Scale")]
        call.respond({"resources": [{"name": name, "kind": kind, "namespaced": True} for name, kind in kinds]})
    await reading
    assert workloads.get(DEPLOYMENT_ROUTE) == MissingWorkload(reason, message)


async def test_a_scale_without_a_selector_and_a_kind_without_a_scale_are_not_supported(
    api: FakeAPI, workloads: Workloads
) -> None:
    await read(api, workloads, scale(selector=""))
    no_selector = workloads.get(DEPLOYMENT_ROUTE)
    assert isinstance(no_selector, MissingWorkload)
    assert no_selector.reason is RouteReason.WORKLOAD_KIND_NOT_SUPPORTED
    job_route = route("CronJob", api_version="batch/v1")
    reading = asyncio.create_task(workloads.refresh(job_route))
    (await api.call()).respond({"resources": [{"name": "cronjobs", "kind": "CronJob", "namespaced": True}]})
    await reading
    assert workloads.get(job_route) == MissingWorkload(
        RouteReason.WORKLOAD_KIND_NOT_SUPPORTED, "Kind CronJob of batch/v1 has no scale subresource"
    )


@pytest.mark.parametrize("status", [403, 500, 503, 429])
async def test_an_earlier_result_is_kept_on_errors_of_the_api_server(
    api: FakeAPI, workloads: Workloads, status: int
) -> None:
    await read(api, workloads, scale())
    notified: list[WorkloadKey] = []
    workloads.listen(notified.append)
    with captured_logs() as logs:
        reading = asyncio.create_task(workloads.refresh(DEPLOYMENT_ROUTE))
        (await next_call(api, f"{DEPLOYMENT}/scale")).respond_error(status, "Error", "no")
        await reading
    assert workloads.get(DEPLOYMENT_ROUTE) == deployment()
    assert (notified, len(logs)) == ([], 1)


async def test_an_earlier_result_is_kept_without_a_selector_and_dropped_when_the_workload_is_deleted(
    api: FakeAPI, workloads: Workloads
) -> None:
    await read(api, workloads, scale())
    await read(api, workloads, scale(selector=""))
    assert workloads.get(DEPLOYMENT_ROUTE) == deployment()
    reading = asyncio.create_task(workloads.refresh(DEPLOYMENT_ROUTE))
    (await next_call(api, f"{DEPLOYMENT}/scale")).respond_error(404, "NotFound", "no")
    call = await api.call()
    kinds = [("deployments", "Deployment"), ("deployments/scale", "Scale")]
    call.respond({"resources": [{"name": name, "kind": kind, "namespaced": True} for name, kind in kinds]})
    await reading
    assert workloads.get(DEPLOYMENT_ROUTE) == DEPLOYMENT_ROUTE.workload_not_found()


async def test_a_forgotten_workload_is_unknown_until_it_is_read_again(api: FakeAPI, workloads: Workloads) -> None:
    await read(api, workloads, scale())
    workloads.forget(DEPLOYMENT_ROUTE)
    assert workloads.get(DEPLOYMENT_ROUTE) is None
    await read(api, workloads, scale())
    assert workloads.get(DEPLOYMENT_ROUTE) == deployment()


async def test_the_annotations_of_a_stateful_set_are_cached(api: FakeAPI, workloads: Workloads) -> None:
    annotated_set = stateful_set(8, **{WORKLOAD_STATE: "High", WORKLOAD_LOAD: "3.7"})
    assert await workloads.annotations(SET_ROUTE, annotated_set) == WorkloadAnnotations("High", "3.7")
    assert api.has_no_calls


async def test_the_annotations_of_another_workload_are_read_once(api: FakeAPI, workloads: Workloads) -> None:
    request = asyncio.create_task(workloads.annotations(DEPLOYMENT_ROUTE, deployment()))
    (await next_call(api, DEPLOYMENT)).respond(annotated(**ANNOTATIONS))
    assert await request == WorkloadAnnotations("High", "3.7")
    assert await workloads.annotations(DEPLOYMENT_ROUTE, deployment()) == WorkloadAnnotations("High", "3.7")
    assert api.has_no_calls
    workloads.forget(DEPLOYMENT_ROUTE)
    second_request = asyncio.create_task(workloads.annotations(DEPLOYMENT_ROUTE, deployment()))
    (await next_call(api, DEPLOYMENT)).respond({"metadata": metadata("game")})
    assert await second_request == WorkloadAnnotations()


@pytest.mark.parametrize(
    ("route_of", "path"), [(SET_ROUTE, STATEFUL_SET), (DEPLOYMENT_ROUTE, DEPLOYMENT)], ids=["set", "other"]
)
async def test_annotate_patches_only_the_annotations(
    api: FakeAPI, workloads: Workloads, route_of: Route, path: str
) -> None:
    writing = asyncio.create_task(workloads.annotate(route_of, {WORKLOAD_STATE: "High", WORKLOAD_LOAD: None}))
    call = await next_call(api, path, "PATCH")
    assert call.json == {"metadata": {"annotations": {WORKLOAD_STATE: "High", WORKLOAD_LOAD: None}}}
    call.respond(annotated(**{WORKLOAD_STATE: "High"}))
    await writing


async def test_the_response_to_annotate_updates_the_known_annotations(api: FakeAPI, workloads: Workloads) -> None:
    writing = asyncio.create_task(workloads.annotate(DEPLOYMENT_ROUTE, {WORKLOAD_STATE: "High"}))
    (await next_call(api, DEPLOYMENT, "PATCH")).respond(annotated(**{WORKLOAD_STATE: "High", WORKLOAD_LOAD: "9"}))
    await writing
    assert await workloads.annotations(DEPLOYMENT_ROUTE, deployment()) == WorkloadAnnotations("High", "9")
    assert api.has_no_calls


async def test_the_annotations_are_read_again_after_a_failed_write(api: FakeAPI, workloads: Workloads) -> None:
    known = asyncio.create_task(workloads.annotations(DEPLOYMENT_ROUTE, deployment()))
    (await next_call(api, DEPLOYMENT)).respond(annotated())
    assert await known == WorkloadAnnotations()
    writing = asyncio.create_task(workloads.annotate(DEPLOYMENT_ROUTE, {WORKLOAD_STATE: "High"}))
    (await next_call(api, DEPLOYMENT, "PATCH")).respond_error(403, "Forbidden", "no")
    with pytest.raises(APIError):
        await writing
    request = asyncio.create_task(workloads.annotations(DEPLOYMENT_ROUTE, deployment()))
    (await next_call(api, DEPLOYMENT)).respond(annotated(**ANNOTATIONS))
    assert await request == WorkloadAnnotations("High", "3.7")


async def test_annotations_are_removed_if_there_are_any(api: FakeAPI, workloads: Workloads) -> None:
    await workloads.remove_annotations(SET_ROUTE, stateful_set(), ANNOTATIONS)
    assert api.has_no_calls
    annotated_set = stateful_set(8, **{WORKLOAD_STATE: "High"})
    removal = asyncio.create_task(workloads.remove_annotations(SET_ROUTE, annotated_set, ANNOTATIONS))
    call = await next_call(api, STATEFUL_SET, "PATCH")
    assert call.json == {"metadata": {"annotations": dict.fromkeys(ANNOTATIONS)}}
    call.respond(annotated())
    await removal
