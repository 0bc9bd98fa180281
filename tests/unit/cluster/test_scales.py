"""Scales: which requests are made, what is remembered, and what each obstacle is called."""

import asyncio
import json
from typing import Any

import pytest

from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import APIError, ClusterError, NotFoundError, UnreachableError
from statefulroute.cluster.scales import (
    ForbiddenError,
    NoSelectorError,
    NotScalableError,
    Scale,
    ScaleReader,
    UnsupportedKindError,
)
from statefulroute.domain.selector import Selector
from unit.cluster.fake_api import FakeAPI

ROLLOUT = ("games", "argoproj.io/v1alpha1", "Rollout", "game")
ROOT = "/apis/argoproj.io/v1alpha1"
PATH = f"{ROOT}/namespaces/games/rollouts/game"


def resource(name: str, kind: str, *, namespaced: bool = True) -> dict[str, Any]:
    return {"name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": ["get"]}


ROLLOUTS = [
    resource("analysisruns", "AnalysisRun"),
    resource("rollouts/status", "Rollout"),
    resource("rollouts/scale", "Scale"),
    resource("rollouts", "Rollout"),
]


def resource_list(*resources: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "", "resources": list(resources)}


def scale(selector: str | None = "app=game", replicas: int | None = 3, version: str = "41") -> dict[str, Any]:
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {"name": "game", "namespace": "games", "uid": "u-1", "resourceVersion": version},
        "spec": {} if replicas is None else {"replicas": replicas},
        "status": {"replicas": 2} | ({} if selector is None else {"selector": selector}),
    }


Reading = asyncio.Task[Scale]


@pytest.fixture
def scales(client: Client) -> ScaleReader:
    return ScaleReader(client)


async def discovering(api: FakeAPI, reading: Reading, *resources: dict[str, Any]) -> Reading:
    """Answer a reader that asks which kinds there are."""
    call = await api.call()
    assert (call.method, call.path) == ("GET", ROOT)
    call.respond(resource_list(*(resources or ROLLOUTS)))
    return reading


async def a_read(api: FakeAPI, scales: ScaleReader) -> Reading:
    """A first read that has discovered its kind, and waits for the scale."""
    return await discovering(api, asyncio.create_task(scales.read(*ROLLOUT)))


async def test_a_workload_is_read_by_its_scale(api: FakeAPI, scales: ScaleReader) -> None:
    reading = await a_read(api, scales)
    call = await api.call()
    assert (call.method, call.path) == ("GET", f"{PATH}/scale")
    call.respond(scale())
    assert await reading == Scale("u-1", 41, 3, Selector.parse("app=game"))


async def test_a_kind_of_the_core_group_has_another_root(api: FakeAPI, scales: ScaleReader) -> None:
    reading = asyncio.create_task(scales.read("games", "v1", "ReplicationController", "game"))
    call = await api.call()
    assert call.path == "/api/v1"
    call.respond(
        resource_list(
            resource("replicationcontrollers", "ReplicationController"),
            resource("replicationcontrollers/scale", "Scale"),
        )
    )
    call = await api.call()
    assert call.path == "/api/v1/namespaces/games/replicationcontrollers/game/scale"
    call.respond_error(403, "Forbidden", "no")
    with pytest.raises(ForbiddenError, match="may not get replicationcontrollers/scale in the core group: allow"):
        await reading


async def test_replicas_that_are_left_out_are_none(api: FakeAPI, scales: ScaleReader) -> None:
    reading = await a_read(api, scales)
    (await api.call()).respond(scale(replicas=None))
    assert (await reading).replicas == 0


async def test_a_kind_is_asked_for_once(api: FakeAPI, scales: ScaleReader) -> None:
    reading = await a_read(api, scales)
    (await api.call()).respond(scale())
    await reading
    assert await scales.path(*ROLLOUT) == PATH
    again = asyncio.create_task(scales.read(*ROLLOUT))
    call = await api.call()
    assert call.path == f"{PATH}/scale"
    call.respond(scale(replicas=4))
    assert (await again).replicas == 4
    assert api.has_no_calls


async def test_a_workloads_own_path_is_found_without_asking_for_its_scale(api: FakeAPI, scales: ScaleReader) -> None:
    asking = asyncio.create_task(scales.path(*ROLLOUT))
    (await api.call()).respond(resource_list(*ROLLOUTS))
    assert await asking == PATH
    assert api.has_no_calls


async def test_of_two_resources_of_a_kind_the_one_that_scales_is_meant(api: FakeAPI, scales: ScaleReader) -> None:
    asking = asyncio.create_task(scales.path(*ROLLOUT))
    (await api.call()).respond(resource_list(resource("previews", "Rollout"), *ROLLOUTS))
    assert await asking == PATH


UNSUPPORTED = {
    "another kind": (ROLLOUTS[:1], "Kind Rollout of argoproj.io/v1alpha1 is not known to the API server"),
    "only a subresource": (ROLLOUTS[:2], "Kind Rollout of argoproj.io/v1alpha1 is not known to the API server"),
    "no scale": ([ROLLOUTS[3]], "Kind Rollout of argoproj.io/v1alpha1 has no scale subresource"),
    "the scale of another": (
        [ROLLOUTS[3], resource("others/scale", "Scale")],
        "Kind Rollout of argoproj.io/v1alpha1 has no scale subresource",
    ),
    "not namespaced": (
        [resource("rollouts", "Rollout", namespaced=False), ROLLOUTS[2]],
        "Kind Rollout of argoproj.io/v1alpha1 is not namespaced",
    ),
}


@pytest.mark.parametrize(("resources", "sentence"), UNSUPPORTED.values(), ids=UNSUPPORTED)
async def test_a_kind_that_cannot_be_used_is_named_and_asked_for_anew(
    api: FakeAPI, scales: ScaleReader, resources: list[dict[str, Any]], sentence: str
) -> None:
    reading = await discovering(api, asyncio.create_task(scales.read(*ROLLOUT)), *resources)
    with pytest.raises(UnsupportedKindError) as refused:
        await reading
    assert str(refused.value) == sentence
    reading = await a_read(api, scales)
    (await api.call()).respond(scale())
    await reading


@pytest.mark.parametrize("resources", [None, []])
async def test_an_api_version_without_resources_knows_no_kind(
    api: FakeAPI, scales: ScaleReader, resources: list[Any] | None
) -> None:
    reading = asyncio.create_task(scales.read(*ROLLOUT))
    (await api.call()).respond({"kind": "APIResourceList", "resources": resources})
    with pytest.raises(UnsupportedKindError, match="is not known"):
        await reading


@pytest.mark.parametrize("words", [b"404 page not found\n", b"{}"])
async def test_an_unknown_api_version_is_named(api: FakeAPI, scales: ScaleReader, words: bytes) -> None:
    reading = asyncio.create_task(scales.read(*ROLLOUT))
    (await api.call()).respond(words, 404, "text/plain")
    with pytest.raises(UnsupportedKindError, match=r"Kind Rollout of .* is not known"):
        await reading


@pytest.mark.parametrize(
    "api_version",
    [
        "",
        "/",
        "v1/",
        "/v1",
        "..",
        "../v1",
        "apps/..",
        "apps/v1/namespaces",
        "apps/v1?x",
        "a b/v1",
        "apps/v1#",
        "Apps/v1",
    ],
)
async def test_an_api_version_that_would_lead_elsewhere_is_not_asked_for(
    api: FakeAPI, scales: ScaleReader, api_version: str
) -> None:
    with pytest.raises(UnsupportedKindError) as refused:
        await scales.read("games", api_version, "Rollout", "game")
    assert str(refused.value) == f"Kind Rollout of {api_version} is not known to the API server"
    assert api.has_no_calls


@pytest.mark.parametrize("name", ["", ".", "..", "../secrets/game", "a/b", "a%2fb"])
async def test_a_name_that_would_lead_elsewhere_is_nobodys(api: FakeAPI, scales: ScaleReader, name: str) -> None:
    reading = asyncio.create_task(scales.read(*ROLLOUT[:3], name))
    await discovering(api, reading)
    with pytest.raises(NotFoundError) as refused:
        await reading
    assert refused.value.message == f'rollouts "{name}" not found'
    with pytest.raises(NotFoundError):
        await scales.path(*ROLLOUT[:3], name)
    assert api.has_no_calls


async def test_a_name_is_one_part_of_the_path(api: FakeAPI, scales: ScaleReader) -> None:
    reading = await discovering(api, asyncio.create_task(scales.read(*ROLLOUT[:3], "a?b#c d")))
    call = await api.call()
    assert (call.path, call.query) == (f"{ROOT}/namespaces/games/rollouts/a?b#c d/scale", {})
    call.respond(scale())
    await reading


@pytest.mark.parametrize(
    "words", ['rollouts.argoproj.io "game" not found', "the server could not find the requested resource"]
)
@pytest.mark.parametrize(
    ("left", "error", "sentence"),
    [
        (ROLLOUTS[:1], UnsupportedKindError, "is not known to the API server"),
        (ROLLOUTS[3:], UnsupportedKindError, "has no scale subresource"),
        (ROLLOUTS, NotFoundError, None),
    ],
)
async def test_where_nothing_is_found_its_kind_is_looked_for_again(  # noqa: PLR0913, PLR0917 - four columns
    api: FakeAPI,
    scales: ScaleReader,
    left: list[dict[str, Any]],
    error: type[ClusterError],
    sentence: str | None,
    words: str,
) -> None:
    reading = await a_read(api, scales)
    (await api.call()).respond_error(404, "NotFound", words)
    await discovering(api, reading, *left)
    with pytest.raises(error, match=sentence or words):
        await reading


async def test_a_kind_is_remembered_when_its_object_does_not_exist(api: FakeAPI, scales: ScaleReader) -> None:
    reading = await a_read(api, scales)
    (await api.call()).respond_error(404, "NotFound", "not found")
    await discovering(api, reading)
    with pytest.raises(NotFoundError):
        await reading
    assert await scales.path(*ROLLOUT) == PATH
    assert api.has_no_calls


SELECTORS = {
    "none": (None, "the scale of Rollout 'game' has no label selector, so its pods are not known"),
    "an empty one": ("", "the scale of Rollout 'game' has no label selector, so its pods are not known"),
    "blanks": (" ", "the scale of Rollout 'game' has no label selector, so its pods are not known"),
    "a bad one": (
        "a=b=c",
        (
            "the scale of Rollout 'game' has a selector that cannot be read: "
            "'a=b=c' is not a label selector: ',' or the end is expected instead of '='"
        ),
    ),
}


@pytest.mark.parametrize(("selector", "sentence"), SELECTORS.values(), ids=SELECTORS)
async def test_a_scale_must_say_which_pods_are_its_own(
    api: FakeAPI, scales: ScaleReader, selector: str | None, sentence: str
) -> None:
    reading = await a_read(api, scales)
    (await api.call()).respond(scale(selector))
    with pytest.raises(NoSelectorError) as refused:
        await reading
    assert str(refused.value) == sentence


async def test_a_missing_right_to_a_scale_is_named(api: FakeAPI, scales: ScaleReader) -> None:
    reading = await a_read(api, scales)
    (await api.call()).respond_error(403, "Forbidden", 'rollouts.argoproj.io "game" is forbidden: User "me" cannot get')
    with pytest.raises(ForbiddenError) as refused:
        await reading
    assert str(refused.value) == (
        "the operator may not get rollouts/scale in group argoproj.io: "
        "allow it in a ClusterRole that is bound to the operator"
    )
    assert await scales.path(*ROLLOUT) == PATH


async def test_a_missing_right_to_discovery_is_named(api: FakeAPI, scales: ScaleReader) -> None:
    reading = asyncio.create_task(scales.read(*ROLLOUT))
    (await api.call()).respond_error(403, "Forbidden", "no")
    with pytest.raises(ForbiddenError) as refused:
        await reading
    assert str(refused.value) == (
        "the operator may not get /apis/argoproj.io/v1alpha1: allow it in a ClusterRole that is bound to the operator"
    )


async def test_other_errors_are_the_clients_own(api: FakeAPI, scales: ScaleReader) -> None:
    reading = asyncio.create_task(scales.read(*ROLLOUT))
    for _ in range(2):  # aiohttp asks once more by itself
        (await api.call()).disconnect()
    with pytest.raises(UnreachableError):
        await reading
    reading = asyncio.create_task(scales.read(*ROLLOUT))
    (await api.call()).respond_error(503, "ServiceUnavailable", "no endpoints")
    with pytest.raises(APIError, match="503"):
        await reading
    reading = await a_read(api, scales)
    (await api.call()).respond_error(500, "InternalError", "no replicas")
    with pytest.raises(APIError, match="500"):
        await reading


@pytest.mark.parametrize("page", ["<html>a proxy</html>", "", "[]", "{}", json.dumps(scale(version="new"))])
async def test_an_answer_that_is_no_scale_is_a_lost_one(api: FakeAPI, scales: ScaleReader, page: str) -> None:
    reading = await a_read(api, scales)
    (await api.call()).respond(page)
    with pytest.raises(UnreachableError, match=f"GET {PATH}/scale: the "):
        await reading


async def test_an_answer_that_is_no_list_of_kinds_is_a_lost_one(api: FakeAPI, scales: ScaleReader) -> None:
    reading = asyncio.create_task(scales.read(*ROLLOUT))
    (await api.call()).respond("<html>a proxy</html>")
    with pytest.raises(UnreachableError, match=f"GET {ROOT}: the answer is not a list of kinds"):
        await reading


def test_what_cannot_be_used_until_somebody_changes_something_is_one_class() -> None:
    assert {UnsupportedKindError, NoSelectorError, ForbiddenError} == set(NotScalableError.__subclasses__())
    assert issubclass(NotScalableError, ClusterError)
    assert not issubclass(NotScalableError, APIError)
