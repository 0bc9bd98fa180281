"""Runs the functions of the guides of use cases, with real drivers in a cluster in memory."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import statefulroute
from statefulroute.testing import InMemoryCluster

GUIDES = Path(__file__).parents[3] / "docs" / "guides"
#: Servers do not wait for their users at the end.
AT_ONCE = statefulroute.Configuration(drain_seconds=0)

SNIPPET = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def functions(page: str) -> dict[str, Any]:
    """Returns what the snippets of a guide define."""
    defined: dict[str, Any] = {name: getattr(statefulroute, name) for name in statefulroute.__all__}
    defined["Callable"] = Callable
    for snippet in SNIPPET.findall((GUIDES / page).read_text(encoding="utf-8")):
        exec(compile(snippet, page, "exec"), defined)  # noqa: S102 - the pages are ours
    return defined


def service(name: str) -> InMemoryCluster:
    cluster = InMemoryCluster("play")
    cluster.add_service(name, pods=2, port=7777)
    return cluster


async def test_a_match_has_an_address_until_it_ends() -> None:
    cluster, page = service("game"), functions("game-rooms.md")
    async with cluster.client_driver() as client, cluster.server_driver("game", 0, configuration=AT_ONCE) as server:
        assert await page["start_match"](client, "room") == "game-0.game.play.svc:7777"
        await page["end_match"](server, "room")
    assert cluster.links("game") == {}


async def test_the_second_pod_may_not_open_a_document_and_the_first_one_learns_of_its_move() -> None:
    cluster, page = service("documents"), functions("collaborative-documents.md")
    first = cluster.server_driver("documents", 0, configuration=AT_ONCE, follow_users=True)
    disconnected = asyncio.Queue[str]()
    second = cluster.server_driver("documents", 1, configuration=AT_ONCE)
    async with first, second:
        page["follow"](first, disconnected.put_nowait)
        assert await page["may_open"](first, "plan")
        assert not await page["may_open"](second, "plan")
        await second.set_linked_pod("play", "plan", "documents", 1)
        async with asyncio.timeout(5):
            assert await disconnected.get() == "plan"
        await page["close"](first, "plan")  # which does not have it any more
        assert cluster.links("documents") == {"plan": 1}
        await page["close"](second, "plan")
    assert cluster.links("documents") == {}


async def test_a_session_is_bound_to_the_pod_that_has_created_it() -> None:
    cluster, page = service("agents"), functions("ai-agents.md")
    async with cluster.server_driver("agents", 1, configuration=AT_ONCE) as server:
        await page["new_session"](server, "session")
    assert cluster.links("agents") == {"session": 1}


async def test_a_notebook_is_linked_while_it_is_open() -> None:
    cluster, page = service("notebooks"), functions("mcp-servers.md")
    async with cluster.server_driver("notebooks", 1, configuration=AT_ONCE) as server:
        notebooks = dict[str, list[str]]()
        handle = await page["open_notebook"](server, notebooks)
        assert (cluster.links("notebooks"), notebooks) == ({handle: 1}, {handle: []})
        await page["close_notebook"](server, notebooks, handle)
    assert (cluster.links("notebooks"), notebooks) == ({}, {})
