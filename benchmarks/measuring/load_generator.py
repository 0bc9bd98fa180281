"""Sends look-ups and requests, at a fixed rate or as fast as they are answered, and runs the servers that answer."""

import asyncio
import json
import random
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from localcluster.ports import free_port
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
"""Nanoseconds per millisecond."""

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
"""Connections of the closed loop."""

#: The script of wrk: UID is an expression for the user of each request.
_WRK = """
local number = 0
request = function()
  number = number + 1
  return wrk.format("GET", "PATH/links/" .. UID)
end
done = function(s, l, r)
  io.write(string.format("%d %d %d", s.requests, s.duration, s.errors.status + s.errors.timeout + s.errors.read))
end
"""


class LoadGenerator:
    """Sends requests for the users of a service.

    Args:
        folder: the folder for files.
        seconds: how long each run takes.
        links: how many users there are.

    Attributes:
        seconds: how long each run takes.
    """

    def __init__(self, folder: Path, seconds: float, links: int) -> None:
        self._vegeta = programs.vegeta(PlainProgress())
        self._folder = folder
        self.seconds = seconds
        self._links = links
        random_numbers = random.Random(links)
        self._uids = [f"user-{random_numbers.randrange(links)}" for _ in range(_TARGETS)]
        self.codes: dict[str, Counter[str]] = {}
        """How often each variant returned each status code; 0 means no response."""

    async def run_at_rate(
        self, variant: str, rate: int, targets: Sequence[str], seconds: float | None = None
    ) -> Figures:
        """Sends requests at a fixed rate, even while earlier ones are pending: a wait counts in full."""
        file, results = self._folder / "targets", self._folder / "results"
        file.write_text("\n".join(targets))
        attack: list[str | Path] = [self._vegeta, "attack", "-targets", file, "-output", results, "-rate", str(rate)]
        limits = ["-timeout", "5s", "-max-workers", "512", "-redirects", "-1"]
        await _run(*attack, *limits, "-duration", f"{seconds or self.seconds}s")
        report = json.loads(await _run(self._vegeta, "report", "-type", "json", results))
        codes = Counter[str](report["status_codes"])
        self.codes[variant] = self.codes.get(variant, Counter()) + codes
        waits = {name: report["latencies"][key] / _NANOSECONDS for name, key in ((P50, "50th"), (P99, "99th"))}
        return {RATE: report["throughput"], **waits, FAILED: codes.total() - codes["200"]}

    async def run_closed_loop(self, url: str, new_users: str | None = None) -> Figures:
        """Looks users up over 32 connections; each sends the next request when the last one is answered.

        Args:
            url: the URL of the resolver.
            new_users: the prefix of the uids, of which each is asked for once; None asks for users with links.
        """
        uid = f'"user-" .. math.random(0, {self._links - 1})' if new_users is None else f'"{new_users}-" .. number'
        script = self._folder / "wrk.lua"
        script.write_text(_WRK.replace("PATH", _path()).replace("UID", uid))
        settings = ["-t1", f"-c{_CONNECTIONS}", f"-d{self.seconds:g}s"]
        output = await _run(programs.wrk(PlainProgress()), *settings, "-s", script, url)
        requests, microseconds, failed = map(int, output.decode().split()[-3:])
        return {RATE: requests * 1e6 / microseconds, FAILED: failed}

    def lookup_targets(self, url: str, uids: Iterable[str] | None = None) -> list[str]:
        """Returns targets that look users up: the given ones, or those with links."""
        return [f"GET {url}{_path()}/links/{uid}" for uid in (self._uids if uids is None else uids)]

    def request_targets(self, url: str) -> list[str]:
        """Returns targets that send users' requests through a gateway."""
        return [f"GET {url}/room\nx-user-id: {uid}\n" for uid in self._uids]


def _path() -> str:
    return f"/v1/namespaces/{NAMESPACE}/routes/{ROUTE}"


async def _run(*command: str | Path) -> bytes:
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    if process.returncode:
        raise SystemExit(f"{command[0]} failed with exit code {process.returncode}")
    return output


def gateway_addresses(folder: Path, resolver_port: int = 0) -> GatewayPlace:
    """Returns the addresses of a gateway that calls a resolver on this machine."""
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
    """Runs the server that answers for all pods; yields a second address of it."""
    addresses = gateway_addresses(folder)
    replacements = {"FOLDER": str(folder), "POD": f"{POD_IP}:{POD_PORT}", "PORT": str(addresses.port)}
    text = configurations.replace_all(_POD_SERVER, replacements)
    with processes.nginx(programs.nginx(PlainProgress()), text, addresses) as server:
        yield server.url


async def make_reachable(service: BenchService) -> None:
    """Sets the address of the pods, and writes the status of a healthy route as the operator would."""
    await service.edit_route(port=POD_PORT)
    state = {"serviceState": "Ready", "routingState": "Ready", "links": 0}
    pods = [{"name": f"{ROUTE}-{pod}", "index": pod, **state} for pod in range(service.pods)]
    status = {"routingState": "Ready", "workloadState": "Normal", "pods": pods}
    await service.client.merge_patch(f"{NAMESPACE_PATH}/statefulroutes/{ROUTE}/status", json_body({"status": status}))
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": _TIME}
    running_pod = {"phase": "Running", "podIP": POD_IP, "podIPs": [{"ip": POD_IP}], "conditions": [ready]}
    for pod in range(service.pods):
        await service.client.merge_patch(f"{_PODS}/{ROUTE}-{pod}/status", json_body({"status": running_pod}))


@asynccontextmanager
async def running_resolver(kubeconfig: Path, http: int, grpc: int, *options: str) -> AsyncIterator[MeasuredProcess]:
    """Runs a resolver whose caches are synced."""
    addresses = ["--http-address", f"127.0.0.1:{http}", "--grpc-address", f"127.0.0.1:{grpc}"]
    command: list[str | Path] = [PROGRAM, "resolver", "--kubeconfig", kubeconfig, *addresses, *options]
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
    """Moves 100 links per second to other pods."""

    async def move() -> None:
        turn = 0
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            while True:
                await asyncio.sleep(max(0.0, started + turn / CHANGES_PER_SECOND - time.monotonic()))
                group.create_task(service.set_pod(f"user-{turn % links}", (turn // links + turn + 1) % service.pods))
                turn += 1

    task = asyncio.create_task(move())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
