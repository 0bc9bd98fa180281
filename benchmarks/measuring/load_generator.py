"""Look-ups and requests, at an even rate or as many as are answered; and who answers them."""

import asyncio
import json
import random
import socket
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from localcluster.progress import PlainProgress
from localgateways import configurations, processes, programs
from localgateways.configurations import GatewayAddresses as GatewayPlace
from measuring.bench_service import NAMESPACE, NAMESPACE_PATH, ROUTE, BenchService, json_body
from measuring.processes import PROGRAM, MeasuredProcess, running_process
from measuring.rounds import Figures

RATE, P50, P99, FAILED = "a second", "p50 ms", "p99 ms", "not answered by 200"

POD_IP, POD_PORT = "127.255.0.1", 7777
CHANGES_PER_SECOND = 100
_PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
_TARGETS = 20_000
_TIME = "2026-01-01T00:00:00Z"
_NANOSECONDS = 1e6
"""In a millisecond."""

_POD_SERVER = """
pid FOLDER/pid; error_log stderr error; events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 1000000;
  client_body_temp_path FOLDER/1; proxy_temp_path FOLDER/2; fastcgi_temp_path FOLDER/3; uwsgi_temp_path FOLDER/4;
  scgi_temp_path FOLDER/5;
  server { listen POD; listen 127.0.0.1:PORT; return 200 "ok"; }
}
"""

_CONNECTIONS = 32
"""Of those who ask again as soon as they are answered."""

#: What wrk runs: each request is for another user.
_WRK = """
request = function()
  return wrk.format("GET", "PATH/links/user-" .. math.random(0, LINKS - 1))
end
done = function(s, l, r)
  io.write(string.format("%d %d %d", s.requests, s.duration, s.errors.status + s.errors.timeout + s.errors.read))
end
"""


class LoadGenerator:
    """Asks for the users of a service.

    Args:
        folder: where files go.
        seconds: how long each run is.
        links: how many users there are.
    """

    def __init__(self, folder: Path, seconds: float, links: int) -> None:
        self._vegeta = programs.vegeta(PlainProgress())
        self._folder = folder
        self._seconds = seconds
        self._links = links
        chance = random.Random(links)
        self._uids = [f"user-{chance.randrange(links)}" for _ in range(_TARGETS)]
        self.codes: dict[str, Counter[str]] = {}
        """How often each way was answered by each status code; 0 is no answer."""

    async def run_at_rate(self, way: str, rate: int, targets: Sequence[str], seconds: float | None = None) -> Figures:
        """Send each request at its time, whatever becomes of those before: a wait counts in full."""
        file, results = self._folder / "targets", self._folder / "results"
        file.write_text("\n".join(targets))
        attack: list[str | Path] = [self._vegeta, "attack", "-targets", file, "-output", results, "-rate", str(rate)]
        limits = ["-timeout", "5s", "-max-workers", "512", "-redirects", "-1"]
        await _run(*attack, *limits, "-duration", f"{seconds or self._seconds}s")
        said = json.loads(await _run(self._vegeta, "report", "-type", "json", results))
        codes = Counter[str](said["status_codes"])
        self.codes[way] = self.codes.get(way, Counter()) + codes
        waits = {name: said["latencies"][key] / _NANOSECONDS for name, key in ((P50, "50th"), (P99, "99th"))}
        return {RATE: said["throughput"], **waits, FAILED: codes.total() - codes["200"]}

    async def run_closed_loop(self, url: str) -> Figures:
        """Look users up over 32 connections, each as soon as the one before is answered."""
        script = self._folder / "wrk.lua"
        script.write_text(_WRK.replace("PATH", _path()).replace("LINKS", str(self._links)))
        pace = ["-t1", f"-c{_CONNECTIONS}", f"-d{self._seconds:g}s"]
        output = await _run(programs.wrk(), *pace, "-s", script, url)
        requests, microseconds, failed = map(int, output.decode().split()[-3:])
        return {RATE: requests * 1e6 / microseconds, FAILED: failed}

    def lookup_targets(self, url: str) -> list[str]:
        """Targets that look users up."""
        return [f"GET {url}{_path()}/links/{uid}" for uid in self._uids]

    def request_targets(self, url: str) -> list[str]:
        """Targets that are users' requests through a gateway."""
        return [f"GET {url}/room\nx-user-id: {uid}\n" for uid in self._uids]


def _path() -> str:
    return f"/v1/namespaces/{NAMESPACE}/routes/{ROUTE}"


async def _run(*command: str | Path) -> bytes:
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with {process.returncode}")
    return output


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def gateway_addresses(folder: Path, resolver_port: int = 0) -> GatewayPlace:
    """Where a gateway is that asks a resolver on this machine."""
    return GatewayPlace(
        port=free_port(),
        admin_port=free_port(),
        folder=folder,
        namespace=NAMESPACE,
        pods=POD_IP,
        pod_port=POD_PORT,
        resolvers=[f"127.0.0.1:{resolver_port}"],
    )


@contextmanager
def pod_server(folder: Path) -> Iterator[str]:
    """What answers in the pods and does nothing else, as long as the context lasts; gives another address of it."""
    place = gateway_addresses(folder)
    own = {"FOLDER": str(folder), "POD": f"{POD_IP}:{POD_PORT}", "PORT": str(place.port)}
    text = configurations.replace_all(_POD_SERVER, own)
    with processes.nginx(programs.nginx(PlainProgress()), text, place) as server:
        yield server.url


async def make_reachable(service: BenchService) -> None:
    """Give the pods their address, and say of the route what an operator would say that found all well."""
    await service.edit_route(port=POD_PORT)
    said = {"serviceState": "Ready", "routingState": "Ready", "links": 0}
    told = [{"name": f"{ROUTE}-{pod}", "index": pod, **said} for pod in range(service.pods)]
    status = {"routingState": "Ready", "workloadState": "Normal", "pods": told}
    await service.client.merge_patch(f"{NAMESPACE_PATH}/statefulroutes/{ROUTE}/status", json_body({"status": status}))
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": _TIME}
    running_pod = {"phase": "Running", "podIP": POD_IP, "podIPs": [{"ip": POD_IP}], "conditions": [ready]}
    for pod in range(service.pods):
        await service.client.merge_patch(f"{_PODS}/{ROUTE}-{pod}/status", json_body({"status": running_pod}))


@asynccontextmanager
async def running_resolver(kubeconfig: Path, http: int, grpc: int) -> AsyncIterator[MeasuredProcess]:
    """A resolver that has read everything, as long as the context lasts."""
    addresses = ["--http-address", f"127.0.0.1:{http}", "--grpc-address", f"127.0.0.1:{grpc}"]
    command: list[str | Path] = [PROGRAM, "resolver", "--kubeconfig", kubeconfig, *addresses]
    async with running_process([*command, "--bind-address", f"127.0.0.1:{free_port()}"]) as process:
        await process.wait_synced()
        for port in (http, grpc):
            await _wait_until_listening(port)
        yield process


async def _wait_until_listening(port: int) -> None:
    while True:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.05)


@asynccontextmanager
async def moving_links(service: BenchService, links: int) -> AsyncIterator[None]:
    """Links are moved to other pods, 100 a second, as long as the context lasts."""

    async def move() -> None:
        turn = 0
        begun = time.monotonic()
        async with asyncio.TaskGroup() as group:
            while True:
                await asyncio.sleep(max(0.0, begun + turn / CHANGES_PER_SECOND - time.monotonic()))
                group.create_task(service.set_pod(f"user-{turn % links}", (turn // links + turn + 1) % service.pods))
                turn += 1

    task = asyncio.create_task(move())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
