"""The scale reader discovers kinds, caches them, and raises a specific error for each problem."""

import asyncio
import json
from typing import Any, cast

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
    naming_permission,
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


async def respond_to_discovery(api: FakeAPI, reading: Reading, *resources: dict[str, Any]) -> Reading:
    """Responds to the discovery of a reader."""
    call = await api.call()
    assert (call.method, call.path) == ("GET", ROOT)
    call.respond(resource_list(*(resources or ROLLOUTS)))
    return reading


async def start_read(api: FakeAPI, scales: ScaleReader) -> Reading:
    """Starts a first read, and responds to its discovery."""
    return await respond_to_discovery(api, asyncio.create_task(scales.read(*ROLLOUT)))


async def test_a_workload_is_read_by_its_scale(api: FakeAPI, scales: ScaleReader) -> None:
    reading = await start_read(api, scales)
    call = await api.call()
    assert (call.method, call.path) == ("GET", f"{PATH}/scale")
    call.respond(scale())
    assert await reading == Scale("u-1", 41, 3, Selector.parse("app=game"), "app=game")


async def test_a_kind_of_the_core_group_has_another_path(api: FakeAPI, scales: ScaleReader) -> None:
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


async def test_missing_replicas_are_zero(api: FakeAPI, scales: ScaleReader) -> None:
    reading = await start_read(api, scales)
    (await api.call()).respond(scale(replicas=None))
    assert (await reading).replicas == 0


async def test_the_discovery_of_a_kind_is_cached(api: FakeAPI, scales: ScaleReader) -> None:
    reading = await start_read(api, scales)
    (await api.call()).respond(scale())
    await reading
    assert await scales.path(*ROLLOUT) == PATH
    second_read = asyncio.create_task(scales.read(*ROLLOUT))
    call = await api.call()
    assert call.path == f"{PATH}/scale"
    call.respond(scale(replicas=4))
    assert (await second_read).replicas == 4
    assert api.has_no_calls


async def test_path_does_not_read_the_scale(api: FakeAPI, scales: ScaleReader) -> None:
    request = asyncio.create_task(scales.path(*ROLLOUT))
    (await api.call()).respond(resource_list(*ROLLOUTS))
    assert await request == PATH
    assert api.has_no_calls


async def test_of_two_resources_of_a_kind_the_scalable_one_is_used(api: FakeAPI, scales: ScaleReader) -> None:
    request = asyncio.create_task(scales.path(*ROLLOUT))
    (await api.call()).respond(resource_list(resource("previews", "Rollout"), *ROLLOUTS))
    assert await request == PATH


UNSUPPORTED = {
    "another kind": (ROLLOUTS[:1], "Kind Rollout of argoproj.io/v1alpha1 is not known to the API server"),
    "only a subresource": (ROLLOUTS[:2], "Kind Rollout of argoproj.io/v1alpha1 is not known to the API server"),
    "no scale": ([ROLLOUTS[3]], "Kind Rollout of argoproj.io/v1alpha1 has no scale subresource"),
    "the scale of another resource": (
        [ROLLOUTS[3], resource("others/scale", "Scale")],
        "Kind Rollout of argoproj.io/v1alpha1 has no scale subresource",
    ),
    "not namespaced": (
        [resource("rollouts", "Rollout", namespaced=False), ROLLOUTS[2]],
        "Kind Rollout of argoproj.io/v1alpha1 is not namespaced",
    ),
}


@pytest.mark.parametrize(("resources", "message"), UNSUPPORTED.values(), ids=UNSUPPORTED)
async def test_an_unsupported_kind_is_named_and_discovered_again(
    api: FakeAPI, scales: ScaleReader, resources: list[dict[str, Any]], message: str
) -> None:
    reading = await respond_to_discovery(api, asyncio.create_task(scales.read(*ROLLOUT)), *resources)
    with pytest.raises(UnsupportedKindError) as raised:
        await reading
    assert str(raised.value) == message
    reading = await start_read(api, scales)
    (await api.call()).respond(scale())
    await reading


@pytest.mark.parametrize("resources", [None, []])
async def test_an_api_version_without_resources_has_no_kinds(
    api: FakeAPI, scales: ScaleReader, resources: list[Any] | None
) -> None:
    reading = asyncio.create_task(scales.read(*ROLLOUT))
    (await api.call()).respond({"kind": "APIResourceList", "resources": resources})
    with pytest.raises(UnsupportedKindError, match="is not known"):
        await reading


@pytest.mark.parametrize("body", [b"404 page not found\n", b"{}"])
async def test_an_unknown_api_version_is_named_in_the_error(api: FakeAPI, scales: ScaleReader, body: bytes) -> None:
    reading = asyncio.create_task(scales.read(*ROLLOUT))
    (await api.call()).respond(body, 404, "text/plain")
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
async def test_an_invalid_api_version_is_not_requested(api: FakeAPI, scales: ScaleReader, api_version: str) -> None:
    with pytest.raises(UnsupportedKindError) as raised:
        await scales.read("games", api_version, "Rollout", "game")
    assert str(raised.value) == f"Kind Rollout of {api_version} is not known to the API server"
    assert api.has_no_calls


@pytest.mark.parametrize("name", ["", ".", "..", "../secrets/game", "a/b", "a%2fb"])
async def test_an_invalid_name_is_not_found(api: FakeAPI, scales: ScaleReader, name: str) -> None:
    reading = asyncio.create_task(scales.read(*ROLLOUT[:3], name))
    await respond_to_discovery(api, reading)
    with pytest.raises(NotFoundError) as raised:
        await reading
    assert raised.value.message == f'rollouts "{name}" not found'
    with pytest.raises(NotFoundError):
        await scales.path(*ROLLOUT[:3], name)
    assert api.has_no_calls


async def test_a_name_is_one_segment_of_the_path(api: FakeAPI, scales: ScaleReader) -> None:
    reading = await respond_to_discovery(api, asyncio.create_task(scales.read(*ROLLOUT[:3], "a?b#c d")))
    call = await api.call()
    assert (call.path, call.query) == (f"{ROOT}/namespaces/games/rollouts/a?b#c d/scale", {})
    call.respond(scale())
    await reading


@pytest.mark.parametrize(
    "message", ['rollouts.argoproj.io "game" not found', "the server could not find the requested resource"]
)
@pytest.mark.parametrize(
    ("remaining", "error", "expected"),
    [
        (ROLLOUTS[:1], UnsupportedKindError, "is not known to the API server"),
        (ROLLOUTS[3:], UnsupportedKindError, "has no scale subresource"),
        (ROLLOUTS, NotFoundError, None),
    ],
)
async def test_the_kind_is_discovered_again_if_the_object_is_not_found(  # noqa: PLR0913, PLR0917 - four columns
    api: FakeAPI,
    scales: ScaleReader,
    remaining: list[dict[str, Any]],
    error: type[ClusterError],
    expected: str | None,
    message: str,
) -> None:
    reading = await start_read(api, scales)
    (await api.call()).respond_error(404, "NotFound", message)
    await respond_to_discovery(api, reading, *remaining)
    with pytest.raises(error, match=expected or message):
        await reading


async def test_the_kind_of_a_missing_object_is_cached(api: FakeAPI, scales: ScaleReader) -> None:
    reading = await start_read(api, scales)
    (await api.call()).respond_error(404, "NotFound", "not found")
    await respond_to_discovery(api, reading)
    with pytest.raises(NotFoundError):
        await reading
    assert await scales.path(*ROLLOUT) == PATH
    assert api.has_no_calls


SELECTORS = {
    "missing": (None, "the scale of Rollout 'game' has no label selector, so its pods are not known"),
    "empty": ("", "the scale of Rollout 'game' has no label selector, so its pods are not known"),
    "blank": (" ", "the scale of Rollout 'game' has no label selector, so its pods are not known"),
    "malformed": (
        "a=b=c",
        (
            "the scale of Rollout 'game' has a selector that cannot be read: "
            "'a=b=c' is not a label selector: ',' or the end is expected instead of '='"
        ),
    ),
}


@pytest.mark.parametrize(("selector", "message"), SELECTORS.values(), ids=SELECTORS)
async def test_a_scale_must_have_a_valid_selector(
    api: FakeAPI, scales: ScaleReader, selector: str | None, message: str
) -> None:
    reading = await start_read(api, scales)
    (await api.call()).respond(scale(selector))
    with pytest.raises(NoSelectorError) as raised:
        await reading
    assert str(raised.value) == message


async def test_a_missing_permission_for_a_scale_is_named_in_the_error(api: FakeAPI, scales: ScaleReader) -> None:
    reading = await start_read(api, scales)
    (await api.call()).respond_error(403, "Forbidden", 'rollouts.argoproj.io "game" is forbidden: User "me" cannot get')
    with pytest.raises(ForbiddenError) as raised:
        await reading
    assert str(raised.value) == (
        "the operator may not get rollouts/scale in group argoproj.io: "
        "allow it in a ClusterRole that is bound to the operator"
    )
    assert await scales.path(*ROLLOUT) == PATH


async def test_a_missing_permission_for_discovery_is_named_in_the_error(api: FakeAPI, scales: ScaleReader) -> None:
    reading = asyncio.create_task(scales.read(*ROLLOUT))
    (await api.call()).respond_error(403, "Forbidden", "no")
    with pytest.raises(ForbiddenError) as raised:
        await reading
    assert str(raised.value) == (
        "the operator may not get /apis/argoproj.io/v1alpha1: allow it in a ClusterRole that is bound to the operator"
    )


async def test_other_errors_of_the_client_are_raised(api: FakeAPI, scales: ScaleReader) -> None:
    reading = asyncio.create_task(scales.read(*ROLLOUT))
    for _ in range(2):  # the client repeats a GET once
        (await api.call()).disconnect()
    with pytest.raises(UnreachableError):
        await reading
    reading = asyncio.create_task(scales.read(*ROLLOUT))
    (await api.call()).respond_error(503, "ServiceUnavailable", "no endpoints")
    with pytest.raises(APIError, match="503"):
        await reading
    reading = await start_read(api, scales)
    (await api.call()).respond_error(500, "InternalError", "no replicas")
    with pytest.raises(APIError, match="500"):
        await reading


@pytest.mark.parametrize("page", ["<html>a proxy</html>", "", "[]", "{}", json.dumps(scale(version="new"))])
async def test_a_response_that_is_not_a_scale_raises_unreachable(api: FakeAPI, scales: ScaleReader, page: str) -> None:
    reading = await start_read(api, scales)
    (await api.call()).respond(page)
    with pytest.raises(UnreachableError, match=f"GET {PATH}/scale: the "):
        await reading


async def test_a_response_that_is_not_a_list_of_kinds_raises_unreachable(api: FakeAPI, scales: ScaleReader) -> None:
    reading = asyncio.create_task(scales.read(*ROLLOUT))
    (await api.call()).respond("<html>a proxy</html>")
    with pytest.raises(UnreachableError, match=f"GET {ROOT}: the answer is not a list of kinds"):
        await reading


def test_lasting_errors_have_a_common_base_class() -> None:
    assert {UnsupportedKindError, NoSelectorError, ForbiddenError} == set(NotScalableError.__subclasses__())
    assert issubclass(NotScalableError, ClusterError)
    assert not issubclass(NotScalableError, APIError)


async def test_scales_whose_reads_hang_leave_requests_for_other_namespaces() -> None:
    read = list[str]()

    class HangingClient:
        async def get(self, path: str) -> bytes:
            if not path.endswith("/scale"):
                return json.dumps(resource_list(*ROLLOUTS)).encode()
            read.append(path)
            if "/hanging/" in path:
                await asyncio.Event().wait()
            return json.dumps(scale()).encode()

    reader = ScaleReader(cast("Client", HangingClient()))
    await reader.read(*ROLLOUT)
    reads = [asyncio.create_task(reader.read("hanging", *ROLLOUT[1:3], f"game-{number}")) for number in range(100)]
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        assert (await reader.read(*ROLLOUT)).replicas == 3
    assert len(read) == 1 + 16 + 1
    for each in reads:
        each.cancel()
    await asyncio.wait(reads)


async def test_discoveries_that_hang_leave_requests_for_other_namespaces() -> None:
    discoveries = list[str]()

    class HangingClient:
        async def get(self, path: str) -> bytes:
            if path == "/apis/hanging/v1":
                discoveries.append(path)
                await asyncio.Event().wait()
            return json.dumps(scale() if path.endswith("/scale") else resource_list(*ROLLOUTS)).encode()

    reader = ScaleReader(cast("Client", HangingClient()))
    kinds = [("tenant", "hanging/v1", f"Kind{number}") for number in range(100)]
    requests = [asyncio.create_task(reader.watch_path(*kind)) for kind in kinds]
    requests += [asyncio.create_task(reader.path(*kind, "game")) for kind in kinds]
    reads = [asyncio.create_task(reader.read(*kind, "game")) for kind in kinds]
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        assert (await reader.read(*ROLLOUT)).replicas == 3
    assert len(discoveries) == 16
    for each in (*requests, *reads):
        each.cancel()
    await asyncio.wait([*requests, *reads])


@pytest.mark.parametrize(
    ("verb", "resource", "group", "named"),
    [
        ("patch", "statefulsets/scale", "apps", "patch statefulsets/scale in group apps"),
        ("create", "pods/eviction", "", "create pods/eviction in the core group"),
        ("get", "/apis/apps/v1", None, "get /apis/apps/v1"),
    ],
)
def test_missing_permission_is_named(verb: str, resource: str, group: str | None, named: str) -> None:
    with pytest.raises(ForbiddenError) as caught, naming_permission(verb, resource, group):
        raise APIError(403, "Forbidden", "no")
    assert str(caught.value) == f"the operator may not {named}: allow it in a ClusterRole that is bound to the operator"
