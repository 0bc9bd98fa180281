"""Workloads that routes refer to are watched where their kind can be watched, and polled otherwise."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from statefulroute.cluster import workloads as workloads_module
from statefulroute.cluster.client import Client
from statefulroute.cluster.informers import Informers
from statefulroute.cluster.scales import Scale
from statefulroute.cluster.workload_watches import WorkloadVersion
from statefulroute.cluster.workloads import Workloads
from statefulroute.domain.fair_slots import FairSlots
from statefulroute.domain.keys import WorkloadKey
from statefulroute.domain.route import Route
from statefulroute.domain.selector import Selector
from statefulroute.domain.workload import MissingWorkload, Workload
from unit.cluster.fake_api import Call, FakeAPI, Stream, eventually
from unit.cluster.objects import bookmark, event, page
from unit.cluster.test_workloads import DEPLOYMENT, DEPLOYMENT_ROUTE, KEY, LIST, SET_ROUTE, route, scale

DEPLOYMENTS = f"{LIST}/namespaces/games/deployments"
WATCHABLE = ["get", "list", "patch", "watch"]
CHESS_ROUTE = route("Deployment", "chess")


def kinds(verbs: list[str]) -> dict[str, Any]:
    """Returns the discovery document."""
    names = [("deployments", "Deployment"), ("deployments/scale", "Scale")]
    names += [("replicasets", "ReplicaSet"), ("replicasets/scale", "Scale")]
    return {"resources": [{"name": name, "kind": kind, "namespaced": True, "verbs": verbs} for name, kind in names]}


KINDS = kinds(WATCHABLE)


def metadata(name: str, version: int, generation: int = 1) -> dict[str, Any]:
    return {
        "kind": "PartialObjectMetadata",
        "metadata": {
            "namespace": "games",
            "name": name,
            "resourceVersion": str(version),
            "generation": generation,
        },
    }


class Environment:
    """Running watches, and the requests that they send."""

    def __init__(self, api: FakeAPI, workloads: Workloads) -> None:
        self.api = api
        self.workloads = workloads
        self.notified: list[WorkloadKey] = []
        self.verbs = WATCHABLE
        workloads.listen(self.notified.append)

    async def call(self) -> Call:
        """Returns the next request, after responding to discovery."""
        while (call := await self.api.call()).path == LIST:
            call.respond(kinds(self.verbs))
        return call

    async def listed(self, *items: dict[str, Any], version: int = 50, selector: str | None) -> Stream:
        """Responds to the list of a watch, and returns the stream of its events."""
        call = await self.call()
        assert (call.path, call.query.get("fieldSelector"), call.is_watch) == (DEPLOYMENTS, selector, False)
        assert call.headers["Accept"].startswith("application/json;as=PartialObjectMetadataList;")
        call.respond(page(list(items), version))
        call = await self.call()
        assert (call.path, call.query.get("fieldSelector"), call.is_watch) == (DEPLOYMENTS, selector, True)
        assert call.headers["Accept"].startswith("application/json;as=PartialObjectMetadata;")
        return await call.stream()

    async def answer_scale(self, version: int, replicas: int = 3) -> None:
        """Responds to the next request, which is for the scale."""
        call = await self.call()
        assert call.path == f"{DEPLOYMENT}/scale"
        call.respond(scale(version, replicas))

    async def read(self, version: int, of: Route = DEPLOYMENT_ROUTE) -> None:
        """Refreshes a workload, which sends a request."""
        reading = asyncio.create_task(self.workloads.refresh(of))
        await self.answer_scale(version)
        await reading

    def replicas(self) -> int:
        workload = self.workloads.get(DEPLOYMENT_ROUTE)
        assert isinstance(workload, Workload)
        return workload.replicas

    async def await_current(self) -> None:
        await eventually(lambda: self.workloads.watches.is_current(KEY))


@pytest.fixture
async def environment(api: FakeAPI, client: Client, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Environment]:
    monkeypatch.setattr(workloads_module, "_SETTLE_SECONDS", 0.0)
    workloads = Informers(client).workloads
    async with workloads.run():
        yield Environment(api, workloads)


async def test_change_of_the_generation_is_read_and_other_changes_are_not(environment: Environment) -> None:
    workloads = environment.workloads
    workloads.watches.route_changed(None, DEPLOYMENT_ROUTE)
    events = await environment.listed(metadata("game", 41), selector="metadata.name=game")
    await environment.read(41)
    await environment.await_current()
    await workloads.refresh(DEPLOYMENT_ROUTE)  # needs no request
    await events.send(event("MODIFIED", metadata("game", 42)))  # a change of its status
    await events.send(event("MODIFIED", metadata("game", 43, generation=2)))
    await environment.answer_scale(43, replicas=5)
    await eventually(lambda: environment.replicas() == 5)
    assert environment.notified == [KEY, KEY]
    await workloads.refresh(DEPLOYMENT_ROUTE)
    assert environment.api.has_no_calls


async def test_kind_without_generations_is_read_at_every_version(environment: Environment) -> None:
    environment.workloads.watches.route_changed(None, DEPLOYMENT_ROUTE)
    events = await environment.listed(metadata("game", 41, 0), selector="metadata.name=game")
    await environment.read(41)
    await events.send(event("MODIFIED", metadata("game", 42, 0)))
    await environment.answer_scale(42, replicas=4)
    await eventually(lambda: environment.replicas() == 4)


async def test_creation_and_deletion_are_seen(environment: Environment) -> None:
    workloads = environment.workloads
    workloads.watches.route_changed(None, DEPLOYMENT_ROUTE)
    events = await environment.listed(selector="metadata.name=game")
    reading = asyncio.create_task(workloads.refresh(DEPLOYMENT_ROUTE))
    (await environment.call()).respond_error(404, "NotFound")
    (await environment.api.call()).respond(KINDS)
    await reading
    assert isinstance(workloads.get(DEPLOYMENT_ROUTE), MissingWorkload)
    await events.send(event("ADDED", metadata("game", 60)))
    await environment.answer_scale(60)
    await eventually(lambda: isinstance(workloads.get(DEPLOYMENT_ROUTE), Workload))
    await events.send(event("DELETED", metadata("game", 61)))
    (await environment.call()).respond_error(404, "NotFound")
    discovery = await environment.api.call()
    assert discovery.path == LIST
    discovery.respond(KINDS)
    await eventually(lambda: isinstance(workloads.get(DEPLOYMENT_ROUTE), MissingWorkload))


async def test_version_that_arrives_during_a_read_is_read_too(environment: Environment) -> None:
    environment.workloads.watches.route_changed(None, DEPLOYMENT_ROUTE)
    events = await environment.listed(metadata("game", 41), selector="metadata.name=game")
    await environment.read(41)
    await events.send(event("MODIFIED", metadata("game", 42, generation=2)))
    first = await environment.call()
    await events.send(event("MODIFIED", metadata("game", 43, generation=3)))
    await eventually(lambda: KEY in environment.workloads._changed)  # noqa: SLF001
    first.respond(scale(42, 4))
    await environment.answer_scale(43, replicas=5)
    await eventually(lambda: environment.replicas() == 5)
    assert environment.api.has_no_calls


async def test_version_that_arrives_during_the_first_read_is_read_too(environment: Environment) -> None:
    environment.workloads.watches.route_changed(None, DEPLOYMENT_ROUTE)
    events = await environment.listed(metadata("game", 41), selector="metadata.name=game")
    reading = asyncio.create_task(environment.workloads.refresh(DEPLOYMENT_ROUTE))
    first = await environment.call()
    await events.send(event("MODIFIED", metadata("game", 43, generation=2)))
    await eventually(lambda: environment.workloads.watches.version_of(KEY) == 43)
    first.respond(scale(41, 3))
    await reading
    await environment.answer_scale(43, replicas=5)
    await eventually(lambda: environment.replicas() == 5)


async def test_workload_that_no_route_refers_to_any_more_is_not_taken_for_watched(environment: Environment) -> None:
    environment.workloads.watches.route_changed(None, CHESS_ROUTE)
    await environment.listed(metadata("chess", 41), selector="metadata.name=chess")
    for version in (41, 42):  # to remove its annotations
        await environment.read(version)


async def test_one_workload_of_a_namespace_is_selected_and_several_share_a_watch(environment: Environment) -> None:
    watches = environment.workloads.watches
    watches.route_changed(None, SET_ROUTE)
    watches.route_changed(None, DEPLOYMENT_ROUTE)
    watches.route_changed(None, DEPLOYMENT_ROUTE)  # of another route
    alone = await environment.listed(metadata("game", 41), selector="metadata.name=game")
    watches.route_changed(None, CHESS_ROUTE)
    both = await environment.listed(metadata("game", 41), metadata("chess", 42), metadata("x", 43), selector=None)
    await eventually(lambda: alone.is_disconnected)
    watches.route_changed(None, route("Deployment", "poker"))
    watches.route_changed(DEPLOYMENT_ROUTE, None)
    watches.route_changed(DEPLOYMENT_ROUTE, CHESS_ROUTE)
    watches.route_changed(route("Deployment", "poker"), None)
    await environment.listed(metadata("chess", 42), selector="metadata.name=chess")
    await eventually(lambda: both.is_disconnected)
    assert len(watches) == 1
    watches.route_changed(CHESS_ROUTE, None)
    watches.route_changed(CHESS_ROUTE, SET_ROUTE)
    assert len(watches) == 0


@pytest.mark.parametrize("status", [403, 404, 405, 500])
async def test_workload_is_polled_while_its_watch_fails(environment: Environment, status: int) -> None:
    environment.workloads.watches.route_changed(None, DEPLOYMENT_ROUTE)
    (await environment.call()).respond_error(status, "Refused", "no")
    retry = await environment.call()
    assert retry.path == DEPLOYMENTS
    for version in (41, 42):
        await environment.read(version)
    retry.respond(page([metadata("game", 42)], 50))
    events = await (await environment.call()).stream()
    await events.send(bookmark(51))
    await environment.await_current()
    await environment.workloads.refresh(DEPLOYMENT_ROUTE)
    assert environment.api.has_no_calls
    events.disconnect()
    await eventually(lambda: not environment.workloads.watches.is_current(KEY))


async def test_kind_that_cannot_be_watched_is_polled(environment: Environment) -> None:
    environment.verbs = ["get", "patch"]
    environment.workloads.watches.route_changed(None, DEPLOYMENT_ROUTE)
    for version in (41, 42):
        await environment.read(version)
    assert not environment.workloads.watches.is_current(KEY)


async def test_watched_workload_is_read_again_after_a_while_and_on_request(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment.workloads.watches.route_changed(None, DEPLOYMENT_ROUTE)
    await environment.listed(metadata("game", 41), selector="metadata.name=game")
    await environment.read(41)
    await environment.await_current()
    reading = asyncio.create_task(environment.workloads.read(DEPLOYMENT_ROUTE))
    await environment.answer_scale(41)
    await reading
    monkeypatch.setattr(workloads_module, "_RESYNC_SECONDS", 0.0)
    await environment.read(41)


async def test_number_of_watches_is_limited(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    watches = environment.workloads.watches
    monkeypatch.setattr(watches, "_slots", FairSlots(1))
    watches.route_changed(None, route("ReplicaSet"))
    watches.route_changed(None, DEPLOYMENT_ROUTE)
    assert (await environment.call()).path == f"{LIST}/namespaces/games/replicasets"
    assert len(watches) == 1
    watches.route_changed(route("ReplicaSet"), None)
    await environment.listed(selector="metadata.name=game")


async def test_no_scale_is_read_while_the_api_server_asks_for_a_pause(environment: Environment) -> None:
    await environment.read(41)
    reading = asyncio.create_task(environment.workloads.refresh(DEPLOYMENT_ROUTE))
    (await environment.call()).respond_error(429, "TooManyRequests", "later", retry_after="30")
    await reading
    await environment.workloads.refresh(DEPLOYMENT_ROUTE)
    assert environment.api.has_no_calls


async def test_watches_end_with_the_context(api: FakeAPI, client: Client) -> None:
    workloads = Informers(client).workloads
    workloads.watches.route_changed(None, DEPLOYMENT_ROUTE)
    assert len(workloads.watches) == 0
    async with workloads.run():
        events = await Environment(api, workloads).listed(selector="metadata.name=game")
    await eventually(lambda: events.is_disconnected)


async def test_namespace_with_many_kinds_leaves_watches_to_others(api: FakeAPI, client: Client) -> None:
    workloads = Informers(client).workloads
    watches = workloads.watches
    async with workloads.run():
        kinds_of_tenant = [replace(route(f"Kind{number}"), namespace="tenant") for number in range(300)]
        for of_kind in kinds_of_tenant:
            watches.route_changed(None, of_kind)
        assert len(watches) == 128
        watches.route_changed(None, DEPLOYMENT_ROUTE)
        assert len(watches) == 129
        for of_kind in kinds_of_tenant[100:]:
            watches.route_changed(of_kind, None)
        assert len(watches) == 101
        for of_kind in kinds_of_tenant[:100]:
            watches.route_changed(of_kind, None)
        environment = Environment(api, workloads)
        await environment.listed(metadata("game", 41), selector="metadata.name=game")
    assert (len(watches._watches), watches._slots.used, watches._slots.waiting) == (1, 1, 0)  # noqa: SLF001
    watches.route_changed(DEPLOYMENT_ROUTE, None)
    assert watches._slots.used == 0  # noqa: SLF001


class HangingScales:
    """Scales, of which those of one tenant hang from its second read on."""

    def __init__(self) -> None:
        self.replicas = 3
        self.read_of_tenant = Counter[str]()

    async def read(self, namespace: str, api_version: str, kind: str, name: str) -> Scale:
        del api_version, kind
        if namespace == "tenant":
            self.read_of_tenant[name] += 1
            if self.read_of_tenant[name] > 1:
                await asyncio.Event().wait()
        return Scale("u-1", 41, self.replicas, Selector.parse("app=game"))


async def test_changed_workloads_whose_reads_hang_delay_no_other_namespace(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    workloads, scales = Informers(client).workloads, HangingScales()
    monkeypatch.setattr(workloads, "_scales", scales)
    of_tenant = [replace(route("Deployment", f"game-{number}"), namespace="tenant") for number in range(20)]
    for each in (*of_tenant, DEPLOYMENT_ROUTE):
        await workloads.refresh(each)
    scales.replicas = 5
    async with workloads.run():
        for each in (*of_tenant, DEPLOYMENT_ROUTE):
            key = each.workload_key
            before, after = (WorkloadVersion(key.namespace, key.name, 40 + number, number) for number in (1, 2))
            workloads._version_changed(key, before, after)  # noqa: SLF001 - called by the watches
        await eventually(lambda: isinstance(read := workloads.get(DEPLOYMENT_ROUTE), Workload) and read.replicas == 5)
        assert sum(count > 1 for count in scales.read_of_tenant.values()) == 4
