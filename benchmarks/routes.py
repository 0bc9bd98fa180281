"""Measures what many routes cost an operator: memory, the time until all are served, stalls, tasks, and CPU time.

    python benchmarks/routes.py [--sizes 1000 5000 10000] [--namespaces 100] [--source Reported] [--seconds 30]

Each route has a StatefulSet with one pod. A simulated API server in a process of its own serves them over HTTP, so that
its CPU time and memory are not the operator's. For each size, an operator starts cold, with every status to write; then
another one starts, is idle with the default periods, and lists everything again after a 410; then a standby takes over
from a leader. A route is served when its state and its workload have been looked at.

"""

import asyncio
import json
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcluster.ports import free_port
from measuring.processes import MeasuredProcess, running_process
from measuring.report import Goal, Report, argument_parser, finish
from measuring.rounds import Figures, spreads

SERVED_COLD, SERVED, SERVED_LATER = "s to served, cold", "s to served, restart", "s to served, take-over"
PEAK_COLD, SETTLED, STALL = "MiB at the peak, cold", "MiB, restart", "s of the longest stall, restart"
TASKS, CORE, WRITES, RELIST = "tasks, idle", "cores, idle", "writes, restart", "writes, relist"

#: The limits with 10,000 routes.
LIMITS = {
    SERVED: 10.0,
    SERVED_LATER: 2.0,
    PEAK_COLD: 300.0,
    SETTLED: 200.0,
    STALL: 0.15,
    TASKS: 50.0,
    CORE: 0.2,
    WRITES: 0.0,
    RELIST: 0.0,
}
_CORE_OVER_HTTP = 0.4
_LIMITS_AT = 10_000
_SETTLE_SECONDS, _TIMEOUT_SECONDS, _POLL_SECONDS = 5.0, 300.0, 0.05


@dataclass(frozen=True, slots=True)
class RouteServers:
    """A simulated API server.

    Attributes:
        port: where it listens.
        routes: how many routes it has.
    """

    port: int
    routes: int

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """Returns the answer to a request."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}") as response:
            return json.loads(response.read())

    async def writes(self) -> Counter[str]:
        """Returns how many writes the server has received, by kind, except of Leases."""
        counts = await asyncio.to_thread(self.get, "/counts")
        return Counter(
            {
                name: count
                for name, count in counts.items()
                if name.split()[0] not in {"LIST", "GET"} and "leases" not in name
            }
        )

    async def wait_quiet(self) -> None:
        """Waits until nothing was written for some seconds."""
        before = None
        while (now := await self.writes()) != before:
            before = now
            await asyncio.sleep(_SETTLE_SECONDS)


class ObservedOperator:
    """An operator that reports what only its own process knows.

    Args:
        process: its process.
        file: the file that it reports to.
        routes: how many routes it has to serve.
    """

    def __init__(self, process: MeasuredProcess, file: Path, routes: int) -> None:
        self.process = process
        self._file = file
        self._routes = routes
        self.longest_stall = 0.0

    def observe(self) -> dict[str, float]:
        """Returns the last report."""
        if self.process.process.poll() is not None:
            raise SystemExit(f"the operator has ended:\n{self.process.log.read_text()[-2000:]}")
        report: dict[str, float] = json.loads(self._file.read_text()) if self._file.exists() else {}
        self.longest_stall = max(self.longest_stall, report.get("stall", 0.0))
        return report

    async def wait_until(self, holds: Callable[[dict[str, float]], bool]) -> float:
        """Waits until a report fulfils a condition; returns the time of the report."""
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while not (report := self.observe()) or not holds(report):
            if time.monotonic() > deadline:
                raise SystemExit(f"not all {self._routes} routes were served in time: {report}")
            await asyncio.sleep(_POLL_SECONDS)
        return report["at"]

    async def wait_served(self) -> float:
        """Waits until every route is served; returns when it was."""
        return await self.wait_until(
            lambda report: min(report.get("state", 0), report.get("workload", 0)) >= self._routes
        )

    async def wait(self, seconds: float) -> dict[str, float]:
        """Waits a time, and returns the last report then."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.observe()
            await asyncio.sleep(_POLL_SECONDS)
        return self.observe()


@asynccontextmanager
async def serving(routes: int, namespaces: int, source: str) -> AsyncIterator[tuple[RouteServers, Path]]:
    """Runs a simulated API server; yields it with a kubeconfig."""
    port = free_port()
    options = map(str, (port, routes, namespaces, source))
    command = [sys.executable, "-m", "measuring.simulated_routes", *options]
    environment = {"PYTHONPATH": str(Path(__file__).parent)}
    with tempfile.TemporaryDirectory() as folder:
        kubeconfig = Path(folder) / "kubeconfig"
        entry = {"name": "bench", "cluster": {"server": f"http://127.0.0.1:{port}"}}
        context = {"name": "bench", "context": {"cluster": "bench", "user": "bench"}}
        config = {"clusters": [entry], "contexts": [context], "users": [{"name": "bench", "user": {}}]}
        kubeconfig.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "bench", **config}))
        async with running_process(command, environment) as process:
            while "serving" not in process.log.read_text():  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(_POLL_SECONDS)
            yield RouteServers(port, routes), kubeconfig


@asynccontextmanager
async def operating(kubeconfig: Path, routes: int, *options: str) -> AsyncIterator[ObservedOperator]:
    """Runs an operator."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report"
        command: list[str | Path] = [sys.executable, "-m", "measuring.observed_operator", kubeconfig, file, *options]
        environment = {"PYTHONPATH": str(Path(__file__).parent)}
        async with running_process(command, environment) as process:
            yield ObservedOperator(process, file, routes)


async def start_cold(server: RouteServers, kubeconfig: Path) -> Figures:
    """Starts an operator on routes that none has seen, and waits until every status is written."""
    async with operating(kubeconfig, server.routes) as operator:
        served = await operator.wait_served() - operator.process.started
        await server.wait_quiet()
        return {SERVED_COLD: served, PEAK_COLD: operator.process.mebibytes[1]}


async def restart(server: RouteServers, kubeconfig: Path, seconds: float) -> Figures:
    """Starts an operator on routes whose statuses are true; then it is idle, and lists again after a 410."""
    before = await server.writes()
    async with operating(kubeconfig, server.routes) as operator:
        served = await operator.wait_served() - operator.process.started
        await operator.wait(_SETTLE_SECONDS)
        settled, cpu, started = operator.process.mebibytes[0], operator.process.cpu_seconds, time.monotonic()
        report = await operator.wait(seconds)
        core = (operator.process.cpu_seconds - cpu) / (time.monotonic() - started)
        stall, writes = operator.longest_stall, await server.writes()
        await asyncio.to_thread(server.get, "/expire")
        await operator.wait(2 * _SETTLE_SECONDS)
        relist_writes = (await server.writes() - writes).total()
    return {
        SERVED: served,
        SETTLED: settled,
        STALL: stall,
        TASKS: report["tasks"],
        CORE: core,
        WRITES: (writes - before).total(),
        RELIST: relist_writes,
    }


async def take_over(server: RouteServers, kubeconfig: Path) -> Figures:
    """Stops a leader, and waits until a standby with full caches serves every route."""
    async with operating(kubeconfig, server.routes, "--leader-elect") as leader:
        await leader.wait_served()
        async with operating(kubeconfig, server.routes, "--leader-elect") as standby:
            await standby.process.wait_synced()
            await standby.wait(_SETTLE_SECONDS)
            stopped = time.monotonic()
            leader.process.process.terminate()
            return {SERVED_LATER: await standby.wait_served() - stopped}


async def measure(report: Report) -> None:
    """Measures each size in turn."""
    options = report.options
    for size in options["sizes"]:
        rounds: list[Figures] = []
        for _ in range(options["rounds"]):
            async with serving(size, options["namespaces"], options["source"]) as (server, kubeconfig):
                cold = await start_cold(server, kubeconfig)
                warm = await restart(server, kubeconfig, options["seconds"])
                rounds.append({**cold, **warm, **await take_over(server, kubeconfig)})
        report.rounds[f"{size:,} routes"] = rounds
    largest = max(options["sizes"])
    figures = spreads(report.rounds[f"{largest:,} routes"])
    if largest == _LIMITS_AT or options["namespaces"] == 1:
        limits = LIMITS | ({CORE: _CORE_OVER_HTTP} if options["source"] == "HTTP" else {})
        report.goals = [Goal(name, figures[name].median, limit) for name, limit in limits.items()]
    report.extra["sizes"] = options["sizes"]


def main() -> None:
    """Runs the benchmark and reports its figures."""
    parser = argument_parser(__doc__, rounds=1)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 5000, _LIMITS_AT], metavar="ROUTES")
    parser.add_argument("--namespaces", type=int, default=100)
    parser.add_argument("--source", choices=["Reported", "HTTP"], default="Reported", help="of the pods' loads")
    parser.add_argument("--seconds", type=float, default=30, help="how long the idle operator is measured")
    options = parser.parse_args()
    report = Report("routes", vars(options))
    asyncio.run(measure(report))
    finish(report, options)


if __name__ == "__main__":
    main()
