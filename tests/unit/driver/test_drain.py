"""The wait of a stopping server pod for its users."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from statefulroute.api.route_status import StatefulRouteStatus
from statefulroute.domain.route import Route
from statefulroute.driver.drain import Drain
from statefulroute.driver.parts import ServerInformation
from unit.domain.builders import route

SERVER = ServerInformation(namespace="play", service="game", pod=0, pod_name="game-0")


class FakeRoutes:
    """One route, whose status the test sets."""

    def __init__(self, **pod: object) -> None:
        self.listeners: list[Callable[[], None]] = []
        self.route = route()
        self.put(**pod)

    def put(self, **pod: object) -> None:
        state = {"name": "game-0", "index": 0, "serviceState": "Terminating", "routingState": "DenyNewCall"} | pod
        self.write({"pods": [state]})

    def write(self, status: dict[str, Any]) -> None:
        self.route = replace(self.route, status=StatefulRouteStatus.model_validate(status))
        for listener in self.listeners:
            listener()

    def get(self, name: str) -> Route | None:
        return self.route if name == "game" else None

    def listen(self, name: str, listener: Callable[[], None]) -> Callable[[], None]:
        assert name == "game"
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)


async def test_drain_waits_for_the_users_of_all_routes_to_the_pod() -> None:
    routes = FakeRoutes(links=0, totalLinks=2)
    drain = Drain(routes, SERVER, asyncio.get_running_loop().time() + 60)
    waiting = asyncio.create_task(drain.wait(is_published=True))
    await asyncio.sleep(0)
    assert (drain.remaining, waiting.done()) == (2, False)
    routes.put(links=0)
    await waiting
    assert drain.remaining == 0


async def test_drain_waits_while_the_status_may_omit_the_pod() -> None:
    routes = FakeRoutes(links=2)
    drain = Drain(routes, SERVER, asyncio.get_running_loop().time() + 60)
    waiting = asyncio.create_task(drain.wait(is_published=True))
    await asyncio.sleep(0)
    routes.write({"pods": [], "omittedPods": {"count": 600}})
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    assert drain.remaining == 2  # as far as it is known
    routes.write({"pods": []})  # it is gone
    await waiting
    assert drain.remaining == 0


async def test_drain_waits_for_users_whom_the_status_does_not_count_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("statefulroute.driver.drain._POLL_SECONDS", 0.001)
    holds_users = True
    drain = Drain(FakeRoutes(links=0), SERVER, asyncio.get_running_loop().time() + 60, lambda: holds_users)
    waiting = asyncio.create_task(drain.wait(is_published=True))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    holds_users = False
    await waiting
