"""Workloads: StatefulSets from their cache, all others by their scale; and what is noted on them."""

import asyncio
import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from statefulroute.api.annotations import WORKLOAD_LOAD, WORKLOAD_STATE, WORKLOAD_TIME
from statefulroute.api.statefulroute import StatefulRouteSpec, StatefulRouteStatus
from statefulroute.api.vocabulary import RouteReason
from statefulroute.cluster.client import Client
from statefulroute.cluster.codec import STATEFUL_SETS
from statefulroute.cluster.errors import APIError
from statefulroute.cluster.informers import Informers
from statefulroute.cluster.workloads import Workloads
from statefulroute.domain.keys import WorkloadKey
from statefulroute.domain.route import MissingWorkload, Route, Workload, WorkloadAnnotations
from statefulroute.domain.selector import Selector
from unit.cluster.fake_api import Call, FakeAPI
from unit.cluster.objects import metadata

LIST = "/apis/apps/v1"
DEPLOYMENT = f"{LIST}/namespaces/games/deployments/game"
STATEFUL_SET = f"{LIST}/namespaces/games/statefulsets/game"
NOTES = {WORKLOAD_STATE: "High", WORKLOAD_LOAD: "3.7", WORKLOAD_TIME: "2026-06-01T12:00:00Z"}


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


OF_SET, OF_DEPLOYMENT = route(), route("Deployment")
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


def found(version: int = 41, replicas: int = 3) -> Workload:
    selector = Selector.parse("app=game")
    return Workload(
        namespace="games", name="game", resource_version=version, uid="u-1", replicas=replicas, selector=selector
    )


def annotated(**annotations: str) -> dict[str, Any]:
    return {"metadata": metadata("game", 50, annotations=annotations)}


@pytest.fixture
def mirror(client: Client) -> Informers:
    return Informers(client)


@pytest.fixture
def workloads(mirror: Informers) -> Workloads:
    return mirror.workloads


async def answered(api: FakeAPI, path: str, method: str = "GET") -> Call:
    """The next request, once the API server has said which kinds there are, if that is asked first."""
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
    """Read the Deployment's scale."""
    reading = asyncio.create_task(workloads.refresh(OF_DEPLOYMENT))
    (await answered(api, f"{DEPLOYMENT}/scale")).respond(answer)
    await reading


async def test_a_stateful_set_is_found_in_its_cache_and_never_asked_for(
    api: FakeAPI, mirror: Informers, workloads: Workloads
) -> None:
    told: list[WorkloadKey] = []
    workloads.listen(told.append)
    assert workloads.is_watched(OF_SET)
    missing = workloads.get(OF_SET)
    assert missing == MissingWorkload(
        RouteReason.WORKLOAD_NOT_FOUND, "StatefulSet 'game' does not exist in namespace 'games'"
    )
    mirror.stateful_sets.cache.put(stateful_set())
    assert workloads.get(OF_SET) == stateful_set()
    assert workloads.get(route(name="other")) is not None
    mirror.stateful_sets.cache.delete("games", "game", 9)
    assert workloads.get(OF_SET) == missing
    await workloads.refresh(OF_SET)
    assert told == [WorkloadKey("games", "apps/v1", "StatefulSet", "game")] * 2
    assert api.has_no_calls


async def test_any_other_workload_is_read_by_its_scale_and_told_when_it_has_changed(
    api: FakeAPI, workloads: Workloads
) -> None:
    told: list[WorkloadKey] = []
    workloads.listen(told.append)
    assert not workloads.is_watched(OF_DEPLOYMENT)
    assert workloads.get(OF_DEPLOYMENT) is None
    await read(api, workloads, scale())
    assert workloads.get(OF_DEPLOYMENT) == found()
    assert told == [KEY]
    await read(api, workloads, scale())
    assert told == [KEY]
    await read(api, workloads, scale(42, replicas=5))
    assert workloads.get(OF_DEPLOYMENT) == found(42, replicas=5)
    assert told == [KEY, KEY]


@pytest.mark.parametrize(
    "other",
    [route("Deployment", "chess"), route("ReplicaSet"), route("Deployment", api_version="example.com/v1")],
    ids=["name", "kind", "group"],
)
async def test_what_was_read_of_one_workload_says_nothing_of_another(
    api: FakeAPI, workloads: Workloads, other: Route
) -> None:
    await read(api, workloads, scale())
    assert workloads.get(other) is None


ALLOW_IT = "allow it in a ClusterRole that is bound to the operator"

OBSTACLES: dict[str, tuple[int, RouteReason, str]] = {
    "gone": (404, RouteReason.WORKLOAD_NOT_FOUND, "Deployment 'game' does not exist in namespace 'games'"),
    "forbidden": (
        403,
        RouteReason.WORKLOAD_FORBIDDEN,
        f"the operator may not get deployments/scale in group apps: {ALLOW_IT}",
    ),
}


@pytest.mark.parametrize(("status", "reason", "why"), OBSTACLES.values(), ids=OBSTACLES)
async def test_a_workload_that_cannot_be_routed_to_says_why(
    api: FakeAPI, workloads: Workloads, status: int, reason: RouteReason, why: str
) -> None:
    reading = asyncio.create_task(workloads.refresh(OF_DEPLOYMENT))
    (await answered(api, f"{DEPLOYMENT}/scale")).respond_error(status, "Refused", "secret")
    if status == 404:  # is its kind still there?
        call = await api.call()
        assert call.path == LIST
        kinds = [("deployments", "Deployment"), ("deployments/scale", "Scale")]
        call.respond({"resources": [{"name": name, "kind": kind, "namespaced": True} for name, kind in kinds]})
    await reading
    assert workloads.get(OF_DEPLOYMENT) == MissingWorkload(reason, why)


async def test_a_scale_without_a_selector_and_a_kind_without_a_scale_are_not_supported(
    api: FakeAPI, workloads: Workloads
) -> None:
    await read(api, workloads, scale(selector=""))
    no_selector = workloads.get(OF_DEPLOYMENT)
    assert isinstance(no_selector, MissingWorkload)
    assert no_selector.reason is RouteReason.WORKLOAD_KIND_NOT_SUPPORTED
    of_job = route("CronJob", api_version="batch/v1")
    reading = asyncio.create_task(workloads.refresh(of_job))
    (await api.call()).respond({"resources": [{"name": "cronjobs", "kind": "CronJob", "namespaced": True}]})
    await reading
    assert workloads.get(of_job) == MissingWorkload(
        RouteReason.WORKLOAD_KIND_NOT_SUPPORTED, "Kind CronJob of batch/v1 has no scale subresource"
    )


@pytest.mark.parametrize("trouble", [403, 500, 503, 429])
async def test_what_was_read_stands_while_the_api_server_does_not_answer_as_it_should(
    api: FakeAPI, workloads: Workloads, trouble: int
) -> None:
    await read(api, workloads, scale())
    told: list[WorkloadKey] = []
    workloads.listen(told.append)
    with capture_logs() as logs:
        reading = asyncio.create_task(workloads.refresh(OF_DEPLOYMENT))
        (await answered(api, f"{DEPLOYMENT}/scale")).respond_error(trouble, "Trouble", "no")
        await reading
    assert workloads.get(OF_DEPLOYMENT) == found()
    assert (told, len(logs)) == ([], 1)


async def test_a_workload_that_was_read_stands_where_its_selector_or_its_right_is_missing_and_not_where_it_is_gone(
    api: FakeAPI, workloads: Workloads
) -> None:
    await read(api, workloads, scale())
    await read(api, workloads, scale(selector=""))
    assert workloads.get(OF_DEPLOYMENT) == found()
    reading = asyncio.create_task(workloads.refresh(OF_DEPLOYMENT))
    (await answered(api, f"{DEPLOYMENT}/scale")).respond_error(404, "NotFound", "no")
    call = await api.call()
    kinds = [("deployments", "Deployment"), ("deployments/scale", "Scale")]
    call.respond({"resources": [{"name": name, "kind": kind, "namespaced": True} for name, kind in kinds]})
    await reading
    assert workloads.get(OF_DEPLOYMENT) == OF_DEPLOYMENT.workload_not_found()


async def test_a_workload_that_was_forgotten_is_unknown_until_it_is_read_anew(
    api: FakeAPI, workloads: Workloads
) -> None:
    await read(api, workloads, scale())
    workloads.forget(OF_DEPLOYMENT)
    assert workloads.get(OF_DEPLOYMENT) is None
    await read(api, workloads, scale())
    assert workloads.get(OF_DEPLOYMENT) == found()


async def test_what_stands_noted_on_a_stateful_set_is_known(api: FakeAPI, workloads: Workloads) -> None:
    noted = stateful_set(8, **{WORKLOAD_STATE: "High", WORKLOAD_LOAD: "3.7"})
    assert await workloads.annotations(OF_SET, noted) == WorkloadAnnotations("High", "3.7")
    assert api.has_no_calls


async def test_what_stands_noted_on_another_workload_is_asked_once(api: FakeAPI, workloads: Workloads) -> None:
    asking = asyncio.create_task(workloads.annotations(OF_DEPLOYMENT, found()))
    (await answered(api, DEPLOYMENT)).respond(annotated(**NOTES))
    assert await asking == WorkloadAnnotations("High", "3.7")
    assert await workloads.annotations(OF_DEPLOYMENT, found()) == WorkloadAnnotations("High", "3.7")
    assert api.has_no_calls
    workloads.forget(OF_DEPLOYMENT)
    again = asyncio.create_task(workloads.annotations(OF_DEPLOYMENT, found()))
    (await answered(api, DEPLOYMENT)).respond({"metadata": metadata("game")})
    assert await again == WorkloadAnnotations()


@pytest.mark.parametrize(("of", "path"), [(OF_SET, STATEFUL_SET), (OF_DEPLOYMENT, DEPLOYMENT)], ids=["set", "other"])
async def test_a_note_is_written_as_annotations_of_the_workload_and_nothing_else(
    api: FakeAPI, workloads: Workloads, of: Route, path: str
) -> None:
    writing = asyncio.create_task(workloads.annotate(of, {WORKLOAD_STATE: "High", WORKLOAD_LOAD: None}))
    call = await answered(api, path, "PATCH")
    assert call.json == {"metadata": {"annotations": {WORKLOAD_STATE: "High", WORKLOAD_LOAD: None}}}
    call.respond(annotated(**{WORKLOAD_STATE: "High"}))
    await writing


async def test_the_answer_to_a_note_is_what_stands_there_then(api: FakeAPI, workloads: Workloads) -> None:
    writing = asyncio.create_task(workloads.annotate(OF_DEPLOYMENT, {WORKLOAD_STATE: "High"}))
    (await answered(api, DEPLOYMENT, "PATCH")).respond(annotated(**{WORKLOAD_STATE: "High", WORKLOAD_LOAD: "9"}))
    await writing
    assert await workloads.annotations(OF_DEPLOYMENT, found()) == WorkloadAnnotations("High", "9")
    assert api.has_no_calls


async def test_after_a_note_that_failed_it_is_asked_what_stands_there(api: FakeAPI, workloads: Workloads) -> None:
    known = asyncio.create_task(workloads.annotations(OF_DEPLOYMENT, found()))
    (await answered(api, DEPLOYMENT)).respond(annotated())
    assert await known == WorkloadAnnotations()
    writing = asyncio.create_task(workloads.annotate(OF_DEPLOYMENT, {WORKLOAD_STATE: "High"}))
    (await answered(api, DEPLOYMENT, "PATCH")).respond_error(403, "Forbidden", "no")
    with pytest.raises(APIError):
        await writing
    asking = asyncio.create_task(workloads.annotations(OF_DEPLOYMENT, found()))
    (await answered(api, DEPLOYMENT)).respond(annotated(**NOTES))
    assert await asking == WorkloadAnnotations("High", "3.7")


async def test_notes_are_removed_where_there_are_any(api: FakeAPI, workloads: Workloads) -> None:
    await workloads.remove_annotations(OF_SET, stateful_set(), NOTES)
    assert api.has_no_calls
    noted = stateful_set(8, **{WORKLOAD_STATE: "High"})
    releasing = asyncio.create_task(workloads.remove_annotations(OF_SET, noted, NOTES))
    call = await answered(api, STATEFUL_SET, "PATCH")
    assert call.json == {"metadata": {"annotations": dict.fromkeys(NOTES)}}
    call.respond(annotated())
    await releasing
