"""The notebooks of the MCP server keep their lines when they are handed over, also those of requests in progress."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from statefulroute import (
    Configuration,
    DeadlineExceededError,
    EventsLost,
    HandOverConfiguration,
    LeaveReason,
    ServerDriver,
    ServerEvent,
    StatefulRouteError,
    UserArrived,
    UserLeft,
)
from statefulroute.testing import InMemoryCluster
from support.recipes import load_example
from support.waiting import wait_until

SETTINGS = Configuration(deadline_seconds=1, drain_seconds=0, hand_over=HandOverConfiguration())


module = load_example("mcp/notebooks.py", "mcp_notebooks")


def handle_event(notebooks: Any, event: ServerEvent) -> None:
    """Lets the notebooks of a pod take an event that a cluster in memory does not have."""
    notebooks._handle(event)  # noqa: SLF001 - as the driver calls it


def miss_changes(notebooks: Any, handle: str) -> None:
    """Lets a pod miss several changes of the link of a notebook."""
    for event in (UserLeft("notebooks", handle, LeaveReason.MISSED), UserArrived("notebooks", handle, None)):
        handle_event(notebooks, event)


@pytest.fixture
def cluster() -> InMemoryCluster:
    cluster = InMemoryCluster("play")
    cluster.add_service("notebooks", pods=2, port=8080, hand_over_seconds=10)
    return cluster


@pytest.fixture
async def pods(cluster: InMemoryCluster) -> AsyncIterator[list[Any]]:
    """The notebooks of two pods."""
    async with AsyncExitStack() as stack:
        made = []
        for index in range(2):
            driver = cluster.server_driver("notebooks", index, configuration=SETTINGS, follow_users=True)
            await stack.enter_async_context(driver)
            made.append(module.Notebooks(driver, await driver.init()))
        yield made


async def test_notebook_is_linked_when_its_handle_is_known(cluster: InMemoryCluster, pods: list[Any]) -> None:
    handle = await pods[1].open()
    assert cluster.links("notebooks") == {handle: 1}
    await pods[1].close(handle)
    assert cluster.links("notebooks") == {}
    assert pods[1].get(handle) is None
    assert await pods[1].next_address(handle) is None


async def test_without_the_api_server_no_notebook_is_opened_or_closed(
    cluster: InMemoryCluster, pods: list[Any]
) -> None:
    handle = await pods[0].open()
    cluster.set_available(is_available=False)
    with pytest.raises(StatefulRouteError):
        await pods[0].open()
    with pytest.raises(StatefulRouteError):
        await pods[0].close(handle)
    assert pods[0].get(handle) is not None
    cluster.set_available(is_available=True)


async def test_hand_over_waits_for_requests_and_requests_wait_for_the_hand_over(
    cluster: InMemoryCluster, pods: list[Any]
) -> None:
    first, second = pods
    handle = await first.open()

    async def write(line: str) -> bool:
        async with first.using(handle) as is_here:
            if is_here:
                first.get(handle).lines.append(line)
            return bool(is_here)

    async with first.using(handle):
        first.get(handle).lines.append("one")
        cluster.hand_over("notebooks", handle, 1)
        await wait_until(lambda: not first.get(handle).is_open.is_set(), "it is handed over")
        waiting = asyncio.create_task(write("three"))
        await asyncio.sleep(0)
        first.get(handle).lines.append("two")
        assert cluster.links("notebooks") == {handle: 0}
    assert not await waiting  # it is for the other pod
    assert cluster.links("notebooks") == {handle: 1}
    async with second.using(handle) as is_here:
        assert is_here
        assert second.get(handle).lines == ["one", "two"]
    assert (await first.next_address(handle)).pod == "notebooks-1"
    assert await second.next_address(handle) is None


async def test_withdrawn_hand_over_lets_requests_go_on(cluster: InMemoryCluster, pods: list[Any]) -> None:
    first = pods[0]
    handle = await first.open()
    async with first.using(handle):
        cluster.hand_over("notebooks", handle, 1)
        await wait_until(lambda: not first.get(handle).is_open.is_set(), "it is handed over")
        cluster.withdraw_hand_over("notebooks", handle)
        await wait_until(first.get(handle).is_open.is_set, "it stays")
    async with first.using(handle) as is_here:
        assert is_here


async def test_link_without_a_notebook_is_removed(cluster: InMemoryCluster, pods: list[Any]) -> None:
    handle = await pods[0].open()
    cluster.hand_over("notebooks", handle, 1)
    async with pods[0].using(handle):
        cluster.end_hand_over("notebooks", handle)  # at the deadline, without its lines
        await wait_until(lambda: not cluster.links("notebooks"), "no pod has its lines, and none is linked")
    async with pods[1].using(handle) as is_here:
        assert not is_here


async def test_end_of_a_pod_removes_the_links_of_its_notebooks(cluster: InMemoryCluster, pods: list[Any]) -> None:
    handles = [await pods[0].open() for _ in range(2)]
    other = await pods[1].open()
    await pods[0].release_all()
    assert cluster.links("notebooks") == {other: 1}
    assert [pods[0].get(handle) for handle in handles] == [None, None]


async def test_notebook_whose_renewals_were_missed_keeps_its_lines(cluster: InMemoryCluster, pods: list[Any]) -> None:
    handle = await pods[0].open()
    pods[0].get(handle).lines.append("one")
    miss_changes(pods[0], handle)
    await asyncio.sleep(0.05)
    assert pods[0].get(handle).lines == ["one"]
    assert cluster.links("notebooks") == {handle: 0}


async def test_notebook_that_was_missed_elsewhere_has_the_lines_of_there(pods: list[Any]) -> None:
    handle = await pods[0].open()
    pods[0].get(handle).lines.append("one")
    pods[0]._arriving[handle] = module.Notebook(["one", "two"]), 1  # noqa: SLF001 - sent by another pod
    miss_changes(pods[0], handle)
    assert pods[0].get(handle).lines == ["one", "two"]


async def test_lost_events_end_no_notebook_that_is_being_opened(cluster: InMemoryCluster, pods: list[Any]) -> None:
    kept, ended = await pods[0].open(), "ended"
    pods[0]._notebooks[ended] = module.Notebook()  # noqa: SLF001 - its link is gone
    opening = asyncio.create_task(pods[0].open())
    await asyncio.sleep(0)
    handle_event(pods[0], EventsLost(1))
    handle = await opening
    assert pods[0].get(ended) is None
    await asyncio.sleep(0.05)
    assert pods[0].get(handle) is not None
    assert cluster.links("notebooks") == {kept: 0, handle: 0}


async def test_notebook_that_was_being_sent_when_changes_were_missed_is_over(
    cluster: InMemoryCluster, pods: list[Any]
) -> None:
    handle = await pods[0].open()
    pods[0].get(handle).is_open.clear()  # another pod may have it, and newer lines
    miss_changes(pods[0], handle)
    await wait_until(lambda: not cluster.links("notebooks"), "its link is removed")


async def test_link_whose_answer_was_lost_is_removed(
    cluster: InMemoryCluster, pods: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_linked_pod = ServerDriver.set_linked_pod

    async def write(driver: ServerDriver, *arguments: Any, **options: Any) -> None:
        await set_linked_pod(driver, *arguments, **options)
        await asyncio.sleep(0.05)  # the pod sees the link
        raise DeadlineExceededError("of this test")

    monkeypatch.setattr(ServerDriver, "set_linked_pod", write)
    with pytest.raises(DeadlineExceededError):
        await pods[0].open()
    await wait_until(lambda: not cluster.links("notebooks"), "no pod waits for a notebook that nobody has")
