"""Which routes kopf receives, and how many at the same time."""

import asyncio
from typing import Any

import msgspec
import pytest

from statefulroute.api.group import FINALIZER
from statefulroute.controllers.routes import unhandled
from statefulroute.controllers.routes.unhandled import RouteObject, UnhandledRoutes
from unit.controllers.environment import eventually, idle


def route(
    name: str = "game", *, handled: int | None = 1, finalizers: tuple[str, ...] = (FINALIZER,), **more: Any
) -> Any:
    """A route of the first generation."""
    metadata = {"namespace": "games", "name": name, "generation": 1, "finalizers": list(finalizers), **more}
    status = {} if handled is None else {"status": {"observedGeneration": handled}}
    return msgspec.convert({"metadata": metadata, **status}, RouteObject)


@pytest.mark.parametrize(
    ("object_", "is_unhandled"),
    [
        (route(), False),
        (route(handled=None), True),
        (route(generation=2), True),
        (route(finalizers=()), True),
        (route(finalizers=("another",)), True),
        (route(deletionTimestamp="2026-01-01T00:00:00Z"), True),
        (route(deletionTimestamp="2026-01-01T00:00:00Z", finalizers=("another",), handled=None), False),
    ],
)
def test_route_is_unhandled_if_a_handler_or_the_finalizer_is_due(object_: Any, is_unhandled: bool) -> None:
    assert object_.is_unhandled is is_unhandled


def test_kopf_receives_unhandled_routes_and_the_result_of_its_own_patch() -> None:
    routes = UnhandledRoutes()
    assert not routes.selects(route())
    assert routes.selects(route(handled=None))
    assert routes.selects(route(handled=None))
    assert routes.selects(route()), "kopf waits for the result of its patch"
    assert not routes.selects(route())
    assert routes.selects(route(), is_deleted=True)


async def test_kopf_receives_only_some_routes_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unhandled, "_MAX_IN_PROGRESS", 2)
    routes = UnhandledRoutes()
    for name in ("one", "two"):
        await routes.wait_for_place()
        routes.selects(route(name, handled=None))
    waiting = asyncio.create_task(routes.wait_for_place())
    await idle()
    assert not waiting.done()
    routes.patched("games", "one")
    await waiting


async def test_routes_that_kopf_never_patches_hold_up_the_others_for_a_limited_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unhandled, "_MAX_IN_PROGRESS", 1)
    monkeypatch.setattr(unhandled, "_MAX_WAIT_SECONDS", 0.05)
    routes = UnhandledRoutes()
    routes.selects(route(handled=None))
    waiting = asyncio.create_task(routes.wait_for_place())
    await eventually(waiting.done)
