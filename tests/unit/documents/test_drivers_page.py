"""Runs the functions of the page on drivers that save and send states, with real drivers in a cluster in memory."""

import asyncio
import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

import statefulroute
from statefulroute.testing import InMemoryCluster

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "drivers.md"
SNIPPET = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Room:
    """A room, as the page uses it."""

    def __init__(self, lines: bytes) -> None:
        self.lines, self.is_leaving = lines, False

    def state(self) -> bytes:
        return self.lines


class Store(dict[str, bytes]):
    async def put(self, uid: str, state: bytes) -> None:
        self[uid] = state


def functions(name: str, rooms: dict[str, Room]) -> dict[str, Any]:
    """Returns what the snippet with a function defines, without its driver."""
    snippet = next(each for each in SNIPPET.findall(PAGE.read_text(encoding="utf-8")) if f"def {name}(" in each)
    lines = [line for line in snippet.splitlines() if not line.startswith("driver")]
    names = {each: getattr(statefulroute, each) for each in statefulroute.__all__}
    defined: dict[str, Any] = {**names, "rooms": rooms, "Room": Room, "store": Store()}
    exec(compile("\n".join(lines), str(PAGE), "exec"), defined)  # noqa: S102 - the page is ours
    return defined


@pytest.mark.parametrize("name", ["save", "send"])
async def test_a_room_that_another_pod_takes_instead_keeps_its_state(name: str) -> None:
    cluster = InMemoryCluster("play")
    cluster.add_service("game", pods=3, hand_over_seconds=3600)
    settings = statefulroute.Configuration(drain_seconds=0, hand_over=statefulroute.HandOverConfiguration())
    rooms, others = {"alice": Room(b"one")}, dict[str, Room]()
    old = cluster.server_driver("game", 0, configuration=settings, follow_users=True)
    new = cluster.server_driver("game", 2, configuration=settings, follow_users=True)
    called, page = asyncio.Event(), functions(name, rooms)

    async def leave(user: statefulroute.LeavingUser) -> None:
        called.set()
        await page[name](user)
        if user.to == 1:  # it is withdrawn before the driver has moved the user
            await asyncio.Event().wait()

    async with AsyncExitStack() as stack:
        for driver in (old, new):
            await stack.enter_async_context(driver)
        old.on_leaving(leave)
        new.on_arriving(functions("take", others)["take"])
        await old.set_linked_pod("play", "alice", "game", 0)
        cluster.hand_over("game", "alice", 1)  # which takes no states
        await called.wait()
        await asyncio.sleep(0.05)
        cluster.hand_over("game", "alice", 2)
        async with asyncio.timeout(5):
            while cluster.links("game") != {"alice": 2}:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.005)
        assert page["store"].get("alice", b"") + b"".join(room.lines for room in others.values()) == b"one"
