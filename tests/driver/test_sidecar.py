"""The sidecar as a process of a pod: its probes, its streams, and how it ends."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
import requests
from pykube.objects import Pod

from chaos.proxy import FaultProxy
from driver.driver_factory import NO_REPORT
from driver.subjects import SidecarSubject
from localcluster import LocalCluster
from support.independent_client import PodLink
from support.service import Service
from support.sidecar_process import SidecarProcess
from support.waiting import eventually

Make = Callable[..., SidecarProcess]


@pytest.fixture
def make(cluster: LocalCluster, game: Service, tmp_path: Path) -> Iterator[Make]:
    """Makes sidecars of the pods of the service; those that run are killed after the test."""
    made: list[SidecarProcess] = []

    def make(*options: str, pod: int = 2, kubeconfig: Path | None = None) -> SidecarProcess:
        log = tmp_path / f"sidecar-{len(made)}.log"
        made.append(SidecarProcess(kubeconfig or cluster.kubeconfig, log, game.namespace, game.pod_name(pod), *options))
        return made[-1]

    yield make
    for process in made:
        if process.is_running:
            process.kill()
    game.client.delete_all(PodLink, game.namespace)
    for pod in range(3):
        game.annotate(pod, NO_REPORT)


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A client."""
    async with aiohttp.ClientSession() as session:
        yield session


def routing_state(game: Service, pod: int = 2) -> str | None:
    return game.annotations(Pod, game.pod_name(pod)).get("statefulroute.io/routing-state")


def test_probes_metrics_and_the_end(make: Make, game: Service) -> None:
    sidecar = make("--drain-seconds=20").start()
    assert requests.get(f"{sidecar.probes}/readyz", timeout=10).text == "ok"
    assert requests.get(f"{sidecar.probes}/healthz", timeout=10).text == "ok"
    assert routing_state(game) == "Ready"
    assert requests.put(f"{sidecar.url}/v1/routes/game/links/alice", timeout=10).json() == {"previous": None}
    stream = requests.get(f"{sidecar.url}/v1/events?handOver=true", stream=True, timeout=10)
    sidecar.request_stop()
    # The pod keeps its users, and stays ready, until they have left.
    eventually(lambda: routing_state(game) == "DenyNewCall", "the pod denies new users")
    assert requests.get(f"{sidecar.probes}/readyz", timeout=10).text == "ok"
    metrics = requests.get(f"{sidecar.probes}/metrics", timeout=10).text
    assert 'statefulroute_sidecar_answers_total{code="200",operation="set_linked_pod"} 1.0' in metrics
    assert "statefulroute_sidecar_streams 1.0" in metrics
    assert f'statefulroute_driver_link_writes_total{{change="bound",namespace="{game.namespace}"}} 1.0' in metrics
    assert requests.get(f"{sidecar.url}/v1/server", timeout=10).json()["isRunning"]
    assert requests.delete(f"{sidecar.url}/v1/routes/game/links/alice", timeout=10).json() == {"removed": True}
    assert sidecar.wait() == 0
    text = stream.content.decode()  # the stream has ended
    assert text.index("event: state") < text.index("event: left")
    assert sidecar.errors() == []


def test_a_second_signal_ends_the_wait_for_the_users(make: Make, game: Service) -> None:
    sidecar = make("--drain-seconds=20").start()
    requests.put(f"{sidecar.url}/v1/routes/game/links/alice", timeout=10)
    sidecar.request_stop()
    eventually(lambda: routing_state(game) == "DenyNewCall", "the pod denies new users")
    sidecar.stop()
    assert game.exists(PodLink, "game.alice")


def test_the_application_stops_the_driver(make: Make, game: Service) -> None:
    sidecar = make().start()
    assert requests.post(f"{sidecar.url}/v1/server/stop", json={"drainSeconds": 5}, timeout=20).status_code == 204
    assert routing_state(game) == "DenyNewCall"
    assert not requests.get(f"{sidecar.url}/v1/server", timeout=10).json()["isRunning"]
    assert requests.get(f"{sidecar.probes}/readyz", timeout=10).text == "ok"
    sidecar.stop()


async def test_a_stream_goes_on_after_a_reconnect(make: Make, session: aiohttp.ClientSession) -> None:
    sidecar = await asyncio.to_thread(make().start)
    subject = SidecarSubject(session, sidecar.url)
    stream = subject.stream()
    assert (await anext(stream))[1] == "state"
    await subject.call("set_linked_pod", "alice", "game", 2)
    seen = await anext(stream)
    assert (seen[1], seen[2]["uid"]) == ("arrived", "alice")
    await stream.aclose()  # type: ignore[attr-defined]
    await subject.call("set_linked_pod", "bob", "game", 2)
    await subject.call("remove_linked_pod", "alice", "game")
    stream = subject.stream(seen[0])
    assert [(name, data["uid"]) for _, name, data in [await anext(stream), await anext(stream)]] == [
        ("arrived", "bob"),
        ("left", "alice"),
    ]
    await stream.aclose()  # type: ignore[attr-defined]
    await asyncio.to_thread(sidecar.kill)
    await asyncio.to_thread(sidecar.start)
    stream = SidecarSubject(session, sidecar.url).stream(seen[0])
    _, name, state = await anext(stream)  # the id is of the sidecar before
    assert (name, [user["uid"] for user in state["users"]]) == ("state", ["bob"])
    await stream.aclose()  # type: ignore[attr-defined]
    await asyncio.to_thread(sidecar.stop)


async def test_a_pod_that_is_to_be_removed(make: Make, game: Service, session: aiohttp.ClientSession) -> None:
    sidecar = await asyncio.to_thread(make("--drain-seconds=0").start)
    subject = SidecarSubject(session, sidecar.url)
    await subject.call("set_linked_pod", "alice", "game", 2)
    stream = subject.stream()
    assert (await anext(stream))[2]["users"] == [{"route": "game", "uid": "alice", "leavingDeadline": None}]
    try:
        await asyncio.to_thread(game.edit_route, replicas=2)
        _, name, leaving = await anext(stream)
        assert (name, leaving["uid"], leaving["to"]) == ("leaving", "alice", None)
        again = subject.stream()
        assert (await anext(again))[2]["users"][0]["leavingDeadline"] == leaving["deadline"]
        await again.aclose()  # type: ignore[attr-defined]
    finally:
        await asyncio.to_thread(game.edit_route, replicas=3)
    assert (await anext(stream))[1] == "staying"
    await asyncio.to_thread(game.edit_route, replicas=None)
    await stream.aclose()  # type: ignore[attr-defined]
    await asyncio.to_thread(sidecar.stop)


async def test_a_pod_that_is_cut_off(
    make: Make, game: Service, cluster: LocalCluster, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    with FaultProxy(cluster.kubeconfig, tmp_path / "proxy") as proxy:
        sidecar = make("--fence-after-seconds=5", "--drain-seconds=0", kubeconfig=proxy.kubeconfig)
        await asyncio.to_thread(sidecar.start)
        subject = SidecarSubject(session, sidecar.url)
        await subject.call("set_linked_pod", "alice", "game", 2)
        await subject.call("set_linked_pod", "bob", "game", 2)
        stream = subject.stream()
        assert not (await anext(stream))[2]["isCutOff"]
        proxy.half_open()
        event_id, name, _ = await anext(stream)
        assert name == "cut-off"
        assert (await subject.request("GET", "/v1/server"))["isCutOff"]
        again = subject.stream()
        assert (await anext(again))[2]["isCutOff"]
        await again.aclose()  # type: ignore[attr-defined]
        await asyncio.to_thread(game.client.delete, PodLink, "game.bob", game.namespace)
        proxy.heal()
        again = subject.stream(event_id)  # what has happened meanwhile comes before `reconnected`
        events = [await anext(again), await anext(again)]
        assert [(name, data.get("uid")) for _, name, data in events] == [("left", "bob"), ("reconnected", None)]
        for each in (stream, again):
            await each.aclose()  # type: ignore[attr-defined]
        await asyncio.to_thread(sidecar.stop)


def test_a_pod_starts_without_the_api_server(make: Make, cluster: LocalCluster, tmp_path: Path) -> None:
    unreachable = tmp_path / "kubeconfig"
    unreachable.write_text(re.sub(r"(https://[^/:]+):\d+", r"\1:1", cluster.kubeconfig.read_text()))
    sidecar = make("--deadline-seconds=1", kubeconfig=unreachable).start()
    assert requests.get(f"{sidecar.probes}/readyz", timeout=10).text == "ok"
    assert requests.put(f"{sidecar.url}/v1/load-state", json={"loadState": 3}, timeout=10).status_code == 204
    problem = requests.get(f"{sidecar.url}/v1/users", timeout=10)
    assert (problem.status_code, problem.json()["type"].rpartition(":")[2]) == (503, "not-open")
    problem = requests.put(f"{sidecar.url}/v1/routes/game/links/alice", timeout=10)
    assert (problem.status_code, problem.json()["type"].rpartition(":")[2]) == (503, "api-server-away")
    sidecar.stop()


def test_a_sidecar_that_cannot_start_says_why(make: Make, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("")
    for options, message in (
        ((), "there is no pod 'game-9' in namespace"),
        (("--token-file", str(tmp_path / "token")), "is empty"),
        (("--http-address=localhost:99999",), "there is no port 99999"),
    ):
        sidecar = make(*options, pod=9)
        sidecar.launch()
        assert sidecar.wait() != 0
        assert message in sidecar.log_text
        assert "Traceback" not in sidecar.log_text
