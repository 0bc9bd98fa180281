"""The runs of kopf: nothing of a run is left when it has ended, so that the next one may begin."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import aiohttp
import kopf
import pytest

from statefulroute.api.group import API_VERSION, FINALIZER, GROUP, STATEFUL_ROUTE, VERSION
from statefulroute.controllers.routes.kopf_run import KopfRun
from unit.cluster.fake_api import Call, FakeAPI, run_fake_api

KIND = (GROUP, VERSION, STATEFUL_ROUTE.plural)
GROUPS = {"groups": [{"name": GROUP, "versions": [{"version": VERSION}], "preferredVersion": {"version": VERSION}}]}


def _resources(name: str, kind: str, *, namespaced: bool) -> dict[str, Any]:
    verbs = ["list", "watch", "patch"]
    resource = {"name": name, "singularName": "", "kind": kind, "namespaced": namespaced, "verbs": verbs}
    return {"resources": [resource]}


#: The documents by which kopf finds the kinds; it waits until it has found that of namespaces.
DISCOVERY = {
    "/api": {"versions": ["v1"]},
    "/api/v1": _resources("namespaces", "Namespace", namespaced=False),
    "/apis": GROUPS,
    f"/apis/{API_VERSION}": _resources(STATEFUL_ROUTE.plural, STATEFUL_ROUTE.kind, namespaced=True),
}

Daemon = Callable[..., Coroutine[Any, Any, None]]


class Cluster:
    """An API server with some routes in each namespace, and an error in some namespaces."""

    def __init__(self, api: FakeAPI) -> None:
        self.routes_per_namespace = 1
        self.failing: frozenset[str] = frozenset()
        self._api = api
        self._serving = asyncio.create_task(self._serve())

    async def end(self) -> None:
        self._serving.cancel()
        await asyncio.wait([self._serving])

    def run(self, daemon: Daemon, *namespaces: str) -> KopfRun:
        """Makes a run of kopf that starts a daemon for each route."""
        registry = kopf.OperatorRegistry()

        async def login(**_: Any) -> kopf.AiohttpSession:
            return kopf.AiohttpSession(
                aiohttp_session=aiohttp.ClientSession(), server=self._api.server, default_namespace=None
            )

        kopf.on.login(registry=registry)(login)
        kopf.daemon(*KIND, registry=registry, cancellation_backoff=5.0, cancellation_timeout=1.0)(daemon)
        return KopfRun(registry, namespaces, on_start=lambda: None)

    async def _serve(self) -> None:
        while True:
            self._respond(await self._api.call())

    def _respond(self, call: Call) -> None:
        if call.path in DISCOVERY:
            call.respond(DISCOVERY[call.path])
        elif any(f"/{namespace}/" in call.path for namespace in self.failing):
            call.respond_error(422, "Invalid", "no")
        elif not call.is_watch:
            items = [_route(f"game-{number}", call.path) for number in range(self.routes_per_namespace)]
            call.respond({"metadata": {"resourceVersion": "7"}, "items": items})


def _route(name: str, path: str) -> dict[str, Any]:
    metadata = {
        "name": name,
        "namespace": "games",
        "uid": f"{name} of {path}",
        "resourceVersion": "5",
        "generation": 1,
        "finalizers": [FINALIZER],
    }
    return {"metadata": metadata, "spec": {}, "status": {"observedGeneration": 1}}


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with run_fake_api() as api:
        cluster = Cluster(api)
        yield cluster
        await cluster.end()


def tasks_of_kopf() -> list[str]:
    """The names of the tasks that kopf has named, because asyncio names the others."""
    return [name for task in asyncio.all_tasks() if not (name := task.get_name()).startswith("Task-")]


async def test_daemon_that_starts_while_kopf_ends_ends_with_it(cluster: Cluster) -> None:
    """Otherwise it would write when this operator has released the Lease, and again when it leads again."""
    cluster.routes_per_namespace = 20
    daemons: list[str] = []
    started: list[str] = []

    async def daemon(name: str, stopped: kopf.DaemonStopped, **_: Any) -> None:
        kopf_run.stop()  # while the handling of other routes begins
        daemons.append(name)
        started.append(name)
        try:
            await stopped.wait()
        finally:
            daemons.remove(name)

    kopf_run = cluster.run(daemon)
    await kopf_run.run()
    assert started
    assert (daemons, tasks_of_kopf()) == ([], [])


async def test_run_that_is_stopped_before_it_starts_starts_no_task(cluster: Cluster) -> None:
    kopf_run = cluster.run(lambda **_: asyncio.sleep(0))
    kopf_run.stop()
    await kopf_run.run()
    assert tasks_of_kopf() == []


async def test_error_in_one_namespace_ends_the_watches_of_the_others(cluster: Cluster) -> None:
    started = asyncio.Event()

    async def daemon(stopped: kopf.DaemonStopped, **_: Any) -> None:
        started.set()
        await stopped.wait()

    cluster.failing = frozenset({"chats"})
    with pytest.raises(Exception, match="no"):
        await cluster.run(daemon, "games", "chats").run()
    assert tasks_of_kopf() == []
