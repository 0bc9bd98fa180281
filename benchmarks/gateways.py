"""What the resolver answers in how long, and what it adds to a request through Envoy.

    python benchmarks/gateways.py [--links 100000] [--seconds 20]

One resolver follows `--links` links while 100 of them change each second. It is asked for links at 5,000 a second; as
often as it answers (by wrk); and by Envoy, by ext_authz at 1,000 requests a second and by ext_proc at 500, each by
turns with an Envoy that asks nobody. In the end ext_proc is asked more and more often, until it can do no more.
Requests are sent at their time whatever becomes of those before (vegeta), so a wait counts in full; every latency is
beside the status codes of its run. The pods are one nginx. Everything shares the machine: the load before and after
is in the result, and of what Envoy's question adds, the median of the turns and the best of them.
"""

import argparse
import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import yaml

from localcluster import LocalCluster
from localcluster.errors import LocalClusterError
from localcluster.processes import wait_until
from localcluster.progress import PlainProgress
from localgateways import configurations, processes, programs
from localgateways.configurations import Place
from statefulroute.api.group import API_VERSION
from statefulroute.cluster.client import Client
from statefulroute.cluster.connection import connect
from statefulroute.cluster.errors import APIError

ROOT = Path(__file__).parents[1]
NAMESPACE = "play"
POD_IP, POD_PORT, PODS = "127.255.0.1", 7777, 3
CHANGES_PER_SECOND = 100
LOOKUPS_PER_SECOND, AUTHZ_PER_SECOND, PROC_PER_SECOND = 5_000, 1_000, 500
LIMIT_STEPS = (1_000, 1_500, 2_000, 2_500, 3_000, 4_000)
_ROUNDS = 3
_TARGETS = 20_000
_AT_A_TIME = 24
_READY_SECONDS = 120.0
_TIME = "2026-01-01T00:00:00Z"

_POD_SERVER = """
pid FOLDER/pid; error_log stderr error; events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 1000000;
  client_body_temp_path FOLDER/1; proxy_temp_path FOLDER/2; fastcgi_temp_path FOLDER/3; uwsgi_temp_path FOLDER/4;
  scgi_temp_path FOLDER/5;
  server { listen POD; listen 127.0.0.1:PORT; return 200 "ok"; }
}
"""

#: What wrk runs: each request is for another user.
_WRK = """
request = function()
  return wrk.format("GET", "/v1/namespaces/play/routes/game/links/user-" .. math.random(0, LINKS - 1))
end
"""


@dataclass(frozen=True)
class Found:
    """What came of one run at an even rate; latencies in milliseconds.

    Attributes:
        what: what was asked.
        asked: requests a second that were to be sent.
        rate: those that were sent.
        p50: half of them took no longer.
        p99: nor did all but a hundredth.
        codes: how many of each status code; 0 is no answer.
    """

    what: str
    asked: int
    rate: float
    p50: float
    p99: float
    codes: dict[str, int]


class Bench:
    """The programs and the files of a run.

    Args:
        folder: where files go.
        seconds: how long each run is.
        links: how many there are.
    """

    def __init__(self, folder: Path, seconds: float, links: int) -> None:
        progress = PlainProgress()
        self.envoy, self.vegeta = programs.envoy(progress), programs.vegeta(progress)
        self.folder = folder
        self.seconds = seconds
        self.links = links
        chance = random.Random(links)
        self.uids = [f"user-{chance.randrange(links)}" for _ in range(_TARGETS)]

    async def press(self, what: str, rate: int, targets: Sequence[str], seconds: float | None = None) -> Found:
        """Send requests at an even rate; gives what came of them."""
        file, results = self.folder / "targets", self.folder / "results"
        file.write_text("\n".join(targets))
        attack: list[str | Path] = [self.vegeta, "attack", "-targets", file, "-output", results, "-rate", str(rate)]
        limits = ["-timeout", "5s", "-max-workers", "512", "-redirects", "-1"]
        await _run(*attack, *limits, "-duration", f"{seconds or self.seconds}s")
        said = json.loads(await _run(self.vegeta, "report", "-type", "json", results))
        latencies = said["latencies"]
        milliseconds = {name: round(latencies[name] / 1e6, 2) for name in ("50th", "99th")}
        return Found(what, rate, round(said["rate"]), milliseconds["50th"], milliseconds["99th"], said["status_codes"])

    def lookups(self, url: str) -> list[str]:
        """Targets that look users up."""
        return [f"GET {url}/v1/namespaces/{NAMESPACE}/routes/game/links/{uid}" for uid in self.uids]

    def requests(self, url: str) -> list[str]:
        """Targets that are users' requests through a gateway."""
        return [f"GET {url}/room\nx-user-id: {uid}\n" for uid in self.uids]


async def _run(*command: str | Path) -> bytes:
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with {process.returncode}")
    return output


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def resolver(kubeconfig: Path, folder: Path, http: int, grpc: int) -> Iterator[int]:
    """A resolver that has read everything, as long as the context lasts; gives the id of its process."""
    addresses = ["--http-address", f"127.0.0.1:{http}", "--grpc-address", f"127.0.0.1:{grpc}"]
    probes = _free_port()
    program = Path(sys.executable).with_name("statefulroute")
    command: list[str | Path] = [program, "resolver", "--kubeconfig", kubeconfig, *addresses]
    with (folder / "resolver.log").open("wb") as log:
        process = subprocess.Popen([*command, "--bind-address", f"127.0.0.1:{probes}"], stdout=log, stderr=log)
    try:
        if not wait_until(lambda: _is_ready(probes), _READY_SECONDS):
            raise SystemExit((folder / "resolver.log").read_text())
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def _is_ready(port: int) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
        return bool(answer.status == 200)  # noqa: PLR2004 - OK
    return False


def _memory(pid: int) -> int:
    """The resident memory of a process in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) // 1024


async def make(client: Client, links: int) -> None:
    """A service with three pods, and so many links."""
    while True:
        with suppress(APIError):
            await client.get(f"/apis/{API_VERSION}/podlinks")
            await client.get(f"/apis/{API_VERSION}/statefulroutes")
            break
        await asyncio.sleep(0.2)
    await _post(client, "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    await _post(client, f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": "default"}})
    ours, pods = f"/apis/{API_VERSION}/namespaces/{NAMESPACE}", f"/api/v1/namespaces/{NAMESPACE}/pods"
    kind = {"apiVersion": API_VERSION, "kind": "StatefulRoute"}
    await _post(client, f"{ours}/statefulroutes", {**kind, "metadata": {"name": "game"}, "spec": {"port": POD_PORT}})
    said = {"serviceState": "Ready", "routingState": "Ready", "links": 0}
    told = [{"name": f"game-{pod}", "index": pod, **said} for pod in range(PODS)]
    status = {"routingState": "Ready", "workloadState": "Normal", "pods": told}
    await client.merge_patch(f"{ours}/statefulroutes/game/status", msgspec.json.encode({"status": status}))
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": _TIME}
    running = {"phase": "Running", "podIP": POD_IP, "podIPs": [{"ip": POD_IP}], "conditions": [ready]}
    for pod in range(PODS):
        spec = {"schedulerName": "nobody", "containers": [{"name": "room", "image": "room.invalid/room"}]}
        await _post(client, pods, {"metadata": {"name": f"game-{pod}"}, "spec": spec})
        await client.merge_patch(f"{pods}/game-{pod}/status", msgspec.json.encode({"status": running}))
    kind = {"apiVersion": API_VERSION, "kind": "PodLink"}
    slots = asyncio.Semaphore(_AT_A_TIME)

    async def link(uid: str, pod: int) -> None:
        async with slots:
            spec = {"routeName": "game", "uid": uid, "podIndex": pod}
            await _post(client, f"{ours}/podlinks", {**kind, "metadata": {"name": f"game.{uid}"}, "spec": spec})

    await asyncio.gather(*(link(f"user-{number}", number % PODS) for number in range(links)))


async def _post(client: Client, path: str, item: dict[str, Any]) -> None:
    with suppress(APIError):  # a namespace's own account may be there already
        await client.post(path, msgspec.json.encode(item))


@asynccontextmanager
async def changing(client: Client, links: int) -> AsyncIterator[None]:
    """Links are moved, 100 a second, as long as the context lasts."""

    async def move() -> None:
        turn = 0
        begun = time.monotonic()
        async with asyncio.TaskGroup() as group:
            while True:
                await asyncio.sleep(max(0.0, begun + turn / CHANGES_PER_SECOND - time.monotonic()))
                path = f"/apis/{API_VERSION}/namespaces/{NAMESPACE}/podlinks/game.user-{turn % links}"
                body = msgspec.json.encode({"spec": {"podIndex": (turn // links + turn + 1) % PODS}})
                group.create_task(client.merge_patch(path, body))
                turn += 1

    task = asyncio.create_task(move())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _asking_nobody(configuration: str) -> str:
    """The same Envoy without the resolver: to any pod."""
    said = yaml.safe_load(configuration)
    resources = said["static_resources"]
    (chain,) = resources["listeners"][0]["filter_chains"]
    manager = chain["filters"][0]["typed_config"]
    manager["http_filters"] = [each for each in manager["http_filters"] if ".ext_" not in each["name"]]
    del next(each for each in resources["clusters"] if each["name"] == "pods")["load_balancing_policy"]
    return str(yaml.safe_dump(said))


def _name(file: str) -> str:
    return file.removesuffix(".yaml").removeprefix("envoy-")


def _place(folder: Path, resolver_port: int) -> Place:
    return Place(
        port=_free_port(),
        admin_port=_free_port(),
        folder=folder,
        namespace=NAMESPACE,
        pods=POD_IP,
        pod_port=POD_PORT,
        resolvers=[f"127.0.0.1:{resolver_port}"],
    )


@contextmanager
def pods(folder: Path) -> Iterator[None]:
    """What answers in the pods, as long as the context lasts."""
    place = _place(folder, 0)
    own = {"FOLDER": str(folder), "POD": f"{POD_IP}:{POD_PORT}", "PORT": str(place.port)}
    with processes.nginx(programs.nginx(PlainProgress()), configurations.replaced(_POD_SERVER, own), place):
        yield


async def through_envoy(bench: Bench, file: str, asked: int, rate: int) -> list[Found]:
    """Requests through an Envoy that asks the resolver, and through one that does not, by turns."""
    with ExitStack() as stack:
        urls = {}
        for what in ("asking nobody", _name(file)):
            place = _place(Path(tempfile.mkdtemp(dir=bench.folder)), asked)
            text = configurations.envoy(file, place)
            if what == "asking nobody":
                text = _asking_nobody(text)
            urls[what] = stack.enter_context(processes.envoy(bench.envoy, text, place)).url
        for url in urls.values():
            await bench.press("warm", rate, bench.requests(url), 3)
        found = []
        for _ in range(_ROUNDS):
            for what, url in urls.items():
                found.append(await bench.press(what, rate, bench.requests(url), bench.seconds / 2))
        if "ext-proc" in file:
            targets, seconds = bench.requests(urls[_name(file)]), bench.seconds / 4
            found += [await bench.press("limit of ext_proc", step, targets, seconds) for step in LIMIT_STEPS]
    return found


async def saturation(bench: Bench, url: str) -> dict[str, Any]:
    """As many look-ups as are answered, and how many of them failed."""
    try:
        wrk = programs.wrk(PlainProgress())
    except LocalClusterError as error:
        return {"saturation": f"not measured: {error}"}
    script = bench.folder / "wrk.lua"
    told = 'done = function(s, l, r) io.write(string.format("%d %d %d", s.requests, s.duration, s.errors.status)) end'
    script.write_text(_WRK.replace("LINKS", str(bench.links)) + told)
    output = await _run(wrk, "-t1", "-c32", f"-d{bench.seconds:g}s", "-s", script, url)
    requests, microseconds, failed = map(int, output.decode().split()[-3:])
    return {"lookupsPerSecond": round(requests * 1e6 / microseconds), "lookupsFailed": failed}


async def measure(bench: Bench, kubeconfig: Path) -> dict[str, Any]:
    """All of it."""
    http, grpc = _free_port(), _free_port()
    url = f"http://127.0.0.1:{http}"
    result: dict[str, Any] = {"links": bench.links, "loadBefore": os.getloadavg()[0]}
    async with connect(kubeconfig) as connection, Client(connection) as client:
        await make(client, bench.links)
        with resolver(kubeconfig, bench.folder, http, grpc) as pid:
            result["mebibytes"] = _memory(pid)
            async with changing(client, bench.links):
                rows = [await bench.press("look-ups", LOOKUPS_PER_SECOND, bench.lookups(url))]
                result |= await saturation(bench, url)
                rows += await through_envoy(bench, "envoy-ext-authz.yaml", http, AUTHZ_PER_SECOND)
                rows += await through_envoy(bench, "envoy-ext-proc.yaml", grpc, PROC_PER_SECOND)
            result["mebibytesAtTheEnd"] = _memory(pid)
    return result | {"loadAfter": os.getloadavg()[0], "runs": [asdict(row) for row in rows]}


def _added(rows: Sequence[Any], what: str, rate: int, name: str) -> str:
    """By how much a figure is higher than that of the Envoy that asks nobody."""
    mine, plain = (
        [row[name] for row in rows if (row["what"], row["asked"]) == (each, rate)] for each in (what, "asking nobody")
    )
    added = [each - other for each, other in zip(mine, plain, strict=True)]
    return f"{median(added):.2f} ms at {name} ({min(added):.2f} at best)"


def _show(result: dict[str, Any]) -> None:
    rows = result["runs"]
    sys.stdout.write(f"{'':22}{'a second':>10}{'p50 ms':>10}{'p99 ms':>10}  codes\n")
    for row in rows:
        sys.stdout.write(f"{row['what']:22}{row['rate']:>10}{row['p50']:>10}{row['p99']:>10}  {row['codes']}\n")
    for what, rate in (("ext-authz", AUTHZ_PER_SECOND), ("ext-proc", PROC_PER_SECOND)):
        added = " and ".join(_added(rows, what, rate, name) for name in ("p50", "p99"))
        sys.stdout.write(f"{what} adds {added}, at {rate} a second\n")
    sys.stdout.write(f"{json.dumps(result)}\n")


def main() -> None:
    """Measure, print a table, and JSON after it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--links", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=20, help="of each run; those through Envoy are half as long")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        pods(Path(folder)),
        LocalCluster.start(name=f"bench-{os.getpid()}", nodes=0) as cluster,
    ):
        kubectl: list[str | Path] = [cluster.kubectl, "--kubeconfig", cluster.kubeconfig]
        subprocess.run([*kubectl, "apply", "-f", ROOT / "crds"], check=True)
        _show(asyncio.run(measure(Bench(Path(folder), options.seconds, options.links), cluster.kubeconfig)))


if __name__ == "__main__":
    main()
