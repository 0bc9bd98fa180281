"""Measures how long users of one route wait while other routes are busy, or while the pods of other routes hang.

    python benchmarks/neighbours.py [--busy 1 10 40 200] [--links 3000] [--rate 10] [--seconds 10] [--rounds 1]

Each variant has `--links` links that wait to be bound, spread over that many busy routes in up to 20 namespaces: they
are created while the operator is stopped by a signal. Then it binds them as fast as it can, and from the first one on,
users of another route, in a namespace of its own, arrive at `--rate` per second. An API server on the same processors
is busy, too, and each write waits for it: so once more the operator binds the busy routes only, while clients make the
same three writes for the users of the other route (the ceiling).

In the variant `hanging`, no link waits, and four routes of one namespace read the load of 100 pods each that accept
connections and never answer, for the longest timeout; the other route reads its load over HTTP, too.
"""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import chain
from statistics import median

from measuring.bench_service import (
    NAMESPACE,
    BenchService,
    json_body,
    run_concurrently,
    start_cluster,
    start_service,
)
from measuring.binding import CHOSEN, P99, BindVariant, create_and_wait, idle_operator
from measuring.processes import MeasuredProcess, running_operator
from measuring.report import Goal, Report, argument_parser, finish
from measuring.rounds import Figures, ratio
from statefulroute.api.group import API_VERSION
from statefulroute.api.vocabulary import LinkPhase
from statefulroute.cluster.errors import ClusterError

ALONE, HANGING, ANSWERS = "alone", "hanging", "loads read, of those due"
CEILING_P99 = "p99 ms of the ceiling"
_NAMESPACES = 20
_HANGING_ROUTES, _HANGING_PODS = 4, 100
_POD_IP = "127.255.0.1"
_PERIOD_SECONDS = 1


def _collection(namespace: str, kind: str) -> str:
    group = {"pods": "/api/v1", "statefulsets": "/apis/apps/v1"}.get(kind, f"/apis/{API_VERSION}")
    return f"{group}/namespaces/{namespace}/{kind}"


def _namespace_of(number: int) -> str:
    return f"busy-{number % _NAMESPACES}"


async def _create_namespace(service: BenchService, name: str) -> None:
    client = service.client
    await client.post("/api/v1/namespaces", json_body({"metadata": {"name": name}}))
    await client.post(f"/api/v1/namespaces/{name}/serviceaccounts", json_body({"metadata": {"name": "default"}}))


async def _create_pod(service: BenchService, namespace: str, owner: dict[str, object], index: int) -> None:
    name, path = f"{owner['name']}-{index}", _collection(namespace, "pods")
    metadata = {"name": name, "labels": {"app": owner["name"]}, "ownerReferences": [{**owner, "controller": True}]}
    spec = {"containers": [{"name": "room", "image": "room"}]}
    await service.client.post(path, json_body({"metadata": metadata, "spec": spec}))
    status = {"phase": "Running", "podIP": _POD_IP, "podIPs": [{"ip": _POD_IP}], "conditions": [_READY]}
    await service.client.merge_patch(f"{path}/{name}/status", json_body({"status": status}))


_READY = {"type": "Ready", "status": "True"}


async def _create_route(service: BenchService, namespace: str, name: str, pods: int, **spec: object) -> None:
    """Creates a route with its StatefulSet and pods."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "room", "image": "room"}]}}
    workload = {"serviceName": name, "replicas": pods, "selector": {"matchLabels": labels}, "template": template}
    path, body = _collection(namespace, "statefulsets"), {"metadata": {"name": name}, "spec": workload}
    await service.client.post(path, json_body(body))
    uid = (await service.client.get(f"{path}/{name}")).partition(b'"uid":"')[2].partition(b'"')[0].decode()
    owner: dict[str, object] = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": name, "uid": uid}
    await run_concurrently(lambda index: _create_pod(service, namespace, owner, index), range(pods))
    route = {"apiVersion": API_VERSION, "kind": "StatefulRoute", "metadata": {"name": name}, "spec": spec}
    await service.client.post(_collection(namespace, "statefulroutes"), json_body(route))


async def _create_waiting_links(service: BenchService, routes: int, links: int) -> None:
    """Creates links of busy routes while the operator is stopped."""

    async def create(number: int) -> None:
        name = f"busy-{number % routes}"
        spec = {"routeName": name, "uid": f"user-{number}", "podIndex": 0}
        item = {"apiVersion": API_VERSION, "kind": "PodLink", "metadata": {"name": f"{name}.user-{number}"}}
        await service.client.post(
            _collection(_namespace_of(number % routes), "podlinks"), json_body({**item, "spec": spec})
        )

    await run_concurrently(create, range(links))


async def _delete_links(service: BenchService) -> None:
    """Deletes the links of all routes. The API server stops after a minute."""
    recorder = service.recorder
    while namespaces := {link.route.namespace for link in recorder.links.values()}:
        for namespace in namespaces:
            with suppress(ClusterError):
                await service.client.delete(_collection(namespace, "podlinks"), b"{}")
        with suppress(TimeoutError):
            await asyncio.wait_for(recorder.wait_until(lambda: not recorder.links), 5)
    recorder.reset()


async def _arrive(service: BenchService, variant: BindVariant, rate: float, seconds: float) -> Figures:
    """Lets users of the quiet route arrive; returns how long they wait."""
    return await create_and_wait(service, variant, range(max(1, round(rate * seconds))), rate)


async def _wait_served(service: BenchService) -> None:
    """Waits until the operator binds links of the quiet route: its start is not measured."""
    await service.create_link("first")
    await service.recorder.wait_until(lambda: not service.recorder.unbound)


def _is_any_busy_link_bound(service: BenchService) -> bool:
    return any(
        link.route.namespace != NAMESPACE and link.status is not None and link.status.phase is LinkPhase.BOUND
        for link in service.recorder.links.values()
    )


async def _make_busy(service: BenchService, operator: MeasuredProcess, routes: int, links: int) -> None:
    """Gives the operator links of busy routes to bind; returns when it has bound the first one."""
    operator.process.send_signal(signal.SIGSTOP)
    await _create_waiting_links(service, routes, links)
    operator.process.send_signal(signal.SIGCONT)
    await service.recorder.wait_until(lambda: _is_any_busy_link_bound(service))


async def beside_busy(service: BenchService, routes: int, links: int, rate: float, seconds: float) -> Figures:
    """Measures the quiet route while the links of busy routes are bound."""
    async with running_operator(service.kubeconfig) as operator:
        await _wait_served(service)
        await operator.wait_idle()
        if routes:
            await _make_busy(service, operator, routes, links)
        figures = await _arrive(service, CHOSEN["operator"], rate, seconds)
    await _delete_links(service)
    busy_namespaces = chain.from_iterable(("--watch-namespace", _namespace_of(number)) for number in range(_NAMESPACES))
    async with idle_operator(service, *busy_namespaces) as operator:
        if routes:
            await _make_busy(service, operator, routes, links)
        ceiling = await _arrive(service, CHOSEN["ceiling"], rate, seconds)
    await _delete_links(service)
    return {P99: figures[P99], CEILING_P99: ceiling[P99]}


class _PodServer:
    """Answers for the pods: one port returns a load, the other accepts connections and never answers."""

    def __init__(self) -> None:
        self.answers = 0
        self.ports: tuple[int, int] = (0, 0)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serves both ports."""
        servers = [await asyncio.start_server(each, _POD_IP, 0) for each in (self._answer, self._hang)]
        answering, hanging = (int(server.sockets[0].getsockname()[1]) for server in servers)
        self.ports = answering, hanging
        try:
            yield
        finally:
            for server in servers:
                server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.answers += 1
        body = b'{"loadState": 1}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()

    async def _hang(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        writer.close()


def _load(port: int, timeout_seconds: int = 1) -> dict[str, object]:
    return {"source": "HTTP", "http": {"port": port, "timeoutSeconds": timeout_seconds}}


async def beside_hanging(service: BenchService, rate: float, seconds: float) -> Figures:
    """Measures the quiet route while the load endpoints of other routes hang."""
    server = _PodServer()
    async with server.running():
        answering, hanging = server.ports
        await _create_namespace(service, HANGING)
        for number in range(_HANGING_ROUTES):
            load = _load(hanging, timeout_seconds=60)
            await _create_route(
                service, HANGING, f"{HANGING}-{number}", _HANGING_PODS, load=load, statePeriodSeconds=_PERIOD_SECONDS
            )
        for pod in range(service.pods):
            status = {"podIP": _POD_IP, "podIPs": [{"ip": _POD_IP}]}
            path = f"{_collection(NAMESPACE, 'pods')}/game-{pod}/status"
            await service.client.merge_patch(path, json_body({"status": status}))
        await service.edit_route(load=_load(answering), statePeriodSeconds=_PERIOD_SECONDS)
        async with running_operator(service.kubeconfig):
            await _wait_served(service)
            await asyncio.sleep(2 * _PERIOD_SECONDS)  # the requests hang
            server.answers, started = 0, time.monotonic()
            figures = await _arrive(service, CHOSEN["operator"], rate, seconds)
            due = (time.monotonic() - started) / _PERIOD_SECONDS * service.pods
            answers = server.answers / due
    await _delete_links(service)
    return {P99: figures[P99], ANSWERS: answers}


async def measure(report: Report) -> None:
    """Runs all rounds."""
    options = report.options
    levels: Sequence[int] = options["busy"]
    arguments = options["links"], options["rate"], options["seconds"]
    names = {0: ALONE, **{level: f"beside {level} busy" for level in levels}}
    report.rounds = {name: [] for name in (*names.values(), HANGING)}
    with start_cluster() as kubeconfig:
        async with start_service(kubeconfig, options["pods"]) as service:
            for number in range(_NAMESPACES):
                await _create_namespace(service, _namespace_of(number))
            for number in range(max(levels)):
                await _create_route(service, _namespace_of(number), f"busy-{number}", 1)
            for _ in range(options["rounds"]):
                for level, name in names.items():
                    report.rounds[name].append(await beside_busy(service, level, *arguments))
            report.rounds[HANGING].append(await beside_hanging(service, *arguments[1:]))
    alone, busy = report.rounds[ALONE], [name for name in names.values() if name != ALONE]
    report.goals = [
        Goal(f"p99 {name}, of that alone", ratio(report.rounds[name], alone, P99).median, 3.0) for name in busy
    ]
    report.goals += [
        Goal(
            f"p99 {name}, of the ceiling's", median(each[P99] / each[CEILING_P99] for each in report.rounds[name]), 3.0
        )
        for name in busy
    ]
    hanging = report.rounds[HANGING][0]
    report.goals += [
        Goal("p99 beside hanging routes, of that alone", hanging[P99] / alone[0][P99], 3.0),
        Goal(ANSWERS + ", beside hanging routes", hanging[ANSWERS], 0.8, at_least=True),
    ]


def main() -> None:
    """Runs the benchmark and reports its figures."""
    parser = argument_parser(__doc__, rounds=1)
    parser.add_argument("--busy", type=int, nargs="+", default=[1, 10, 40, 200], help="how many routes are busy")
    parser.add_argument("--links", type=int, default=3000, help="that wait to be bound, of all busy routes")
    parser.add_argument("--rate", type=float, default=10, help="how many users arrive per second")
    parser.add_argument("--seconds", type=float, default=10, help="for how long they arrive")
    parser.add_argument("--pods", type=int, default=10, help="of the quiet route")
    options = parser.parse_args()
    report = Report("neighbours", vars(options))
    asyncio.run(measure(report))
    finish(report, options)


if __name__ == "__main__":
    main()
