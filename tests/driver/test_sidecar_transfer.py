"""A sidecar and a Python driver send the states of users to each other, with real tokens of pods."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from driver.subjects import SidecarSubject
from driver.test_hand_over import ask, take
from driver.test_state_transfer import Pods, bind, pods
from localcluster import LocalCluster
from statefulroute import LeavingUser, UserArrived
from support.sidecar_process import SidecarProcess

__all__ = ["pods"]  # a fixture

STATE = bytes(range(256)) * 3000


def sidecar_of(pods: Pods, cluster: LocalCluster, folder: Path, pod: int) -> SidecarProcess:
    """Makes the sidecar of a pod that has its address and its tokens."""
    pods.prepare(pod)
    options = (
        "--drain-seconds=0",
        f"--hand-over-port={pods.port}",
        f"--hand-over-host={pods.ip(pod)}",
        f"--hand-over-tokens={folder / f'game-{pod}'}",
    )
    return SidecarProcess(cluster.kubeconfig, folder / "sidecar.log", pods.service.namespace, f"game-{pod}", *options)


async def next_of(stream: Any, name: str) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while (event := await anext(stream))[1] != name:
            pass
    return event[2]


async def test_states_between_a_sidecar_and_a_python_driver(
    in_a_pod: pytest.MonkeyPatch, cluster: LocalCluster, pods: Pods, tmp_path: Path
) -> None:
    await bind(pods, "alice", 0)
    process = await asyncio.to_thread(sidecar_of, pods, cluster, tmp_path, 1)
    await asyncio.to_thread(process.start)
    async with pods.driver(in_a_pod, 0) as python, aiohttp.ClientSession() as session:
        events = python.events()
        await take(events)
        sidecar = SidecarSubject(session, process.url)
        stream = sidecar.stream(query={"handOver": "true"})
        assert (await anext(stream))[1] == "state"

        async def send(user: LeavingUser) -> None:
            await user.send(STATE)

        # To the sidecar.
        python.on_leaving(send)
        await asyncio.to_thread(ask, pods.service, "alice", 1)
        arriving = await next_of(stream, "arriving")
        assert (arriving["uid"], arriving["origin"]["podIndex"]) == ("alice", 0)
        async with session.get(f"{process.url}/v1/arrivals/{arriving['id']}/state") as response:
            assert await response.read() == STATE
        await sidecar.request("POST", f"/v1/arrivals/{arriving['id']}/confirm")
        assert (await next_of(stream, "arrived"))["previous"] == {"podIndex": 0, "podName": None}
        assert await sidecar.call("users") == {"alice"}

        # And back.
        await take(events, 2)
        await asyncio.to_thread(ask, pods.service, "alice", 0)
        leaving = await next_of(stream, "hand-over")
        state = STATE[::-1]
        async with session.put(f"{process.url}/v1/hand-overs/{leaving['id']}/state", data=state) as response:
            assert response.status == 204, await response.text()
        assert (await next_of(stream, "left"))["uid"] == "alice"
        assert pods.received == {"alice": state}
        assert await take(events) == [UserArrived("game", "alice", 1)]
        await stream.aclose()  # type: ignore[attr-defined]
    await asyncio.to_thread(process.stop)
    assert process.errors() == []
