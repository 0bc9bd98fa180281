"""Measures how soon users are answered whom the resolver holds until the first pod of a service is Ready.

    python benchmarks/wake.py [--tries 20] [--users 1000] [--rounds 3]

The service has no pod. In each try, one user's request is held, a pod is created, and then its status becomes Ready;
the time is from the write of this status to the response. In each round, `--users` users are held at once and answered
in the same way. They are compared with the rate at which the operator binds as many links that name their pod, as in
`bind`. Nothing but the operator and the resolver reacts to the pod.
"""

import asyncio
import json
import resource
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import aiohttp

from localcluster.ports import free_port
from measuring.bench_service import NAMESPACE, ROUTE, BenchService, json_body, start_cluster, start_service
from measuring.binding import NAMED, RATE, bind, idle_operator, warm_up
from measuring.load_generator import POD_IP, POD_PORT, running_resolver
from measuring.processes import MeasuredProcess
from measuring.report import Goal, Report, argument_parser, finish
from measuring.rounds import Figures, alternate, quantile, spreads
from statefulroute.cluster.errors import APIError

P50, P99, SECONDS, MEMORY = "p50 ms", "p99 ms", "s for all users", "KiB a held request"

LIMIT_P99_MS, LIMIT_EXTRA_SECONDS = 100, 1

_POD = f"/api/v1/namespaces/{NAMESPACE}/pods/{ROUTE}-0"
_HOLD = ("--hold-seconds", "600", "--bindings-per-second", "1000", "--max-held", "100000")

#: The client, the resolver and the API server have a connection for each held request.
_OPEN_FILES = 65_536

#: Containers need longer to start: the route's status names the new pod before it is Ready.
_START_SECONDS = 1.0


class Waking:
    """Wakes a service that has no pods.

    Args:
        service: the service.
        port: the port of the resolver.
        session: sends the requests.
    """

    def __init__(self, service: BenchService, port: int, session: aiohttp.ClientSession) -> None:
        self._service = service
        self._url = f"http://127.0.0.1:{port}/authorize/{NAMESPACE}/{ROUTE}"
        self._session = session

    async def wake(self, users: int, resolver: MeasuredProcess | None = None) -> tuple[list[float], float]:
        """Holds requests of a number of users, and then lets the first pod be Ready.

        Returns:
            The seconds until each response, sorted; and the KiB that the resolver takes for each held request.
        """
        await self._service.clear()
        await self._remove_pod()
        before = resolver.mebibytes[0] if resolver else 0.0
        responses = [asyncio.create_task(self._check(f"user-{number}")) for number in range(users)]
        await self._service.recorder.wait_until(lambda: len(self._service.recorder.links) == users)
        kibibytes = (resolver.mebibytes[0] - before) * 1024 / users if resolver else 0.0
        await self._create_pod()
        await asyncio.sleep(_START_SECONDS)
        started = time.monotonic()
        await self._set_status(is_ready=True)
        answered_at = await asyncio.gather(*responses)
        return sorted(at - started for at in answered_at), kibibytes

    async def _check(self, uid: str) -> float:
        async with self._session.get(self._url, headers={"x-user-id": uid}) as response:
            if response.status != 200:  # noqa: PLR2004 - OK
                raise RuntimeError(f"{uid}: {response.status} {await response.text()}")
        return time.monotonic()

    async def _remove_pod(self) -> None:
        with suppress(APIError):
            await self._service.client.delete(_POD, json_body({"gracePeriodSeconds": 0}))
        await asyncio.sleep(_START_SECONDS)

    async def _create_pod(self) -> None:
        stateful_set = json.loads(
            await self._service.client.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/{ROUTE}")
        )
        owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": ROUTE, "uid": stateful_set["metadata"]["uid"]}
        template = stateful_set["spec"]["template"]
        metadata = {
            "name": f"{ROUTE}-0",
            "labels": template["metadata"]["labels"],
            "ownerReferences": [{**owner, "controller": True}],
        }
        containers = [{"name": "room", "image": "room"}]
        pod = {"metadata": metadata, "spec": {"containers": containers}}
        await self._service.client.post(_POD.rpartition("/")[0], json_body(pod))
        await self._set_status(is_ready=False)

    async def _set_status(self, *, is_ready: bool) -> None:
        condition = {"type": "Ready", "status": str(is_ready)}
        address = {"podIP": POD_IP, "podIPs": [{"ip": POD_IP}]}
        status = {"phase": "Running", "conditions": [condition], **address}
        await self._service.client.merge_patch(f"{_POD}/status", json_body({"status": status}))


@asynccontextmanager
async def _waking(service: BenchService) -> AsyncIterator[tuple[Waking, MeasuredProcess]]:
    """Runs an operator and a resolver that holds requests."""
    port = free_port()
    async with (
        idle_operator(service),
        running_resolver(service.kubeconfig, port, free_port(), *_HOLD) as resolver,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        yield Waking(service, port, session), resolver


async def _wake_one(service: BenchService, tries: int) -> Figures:
    async with _waking(service) as (waking, _):
        milliseconds = sorted([(await waking.wake(1))[0][0] * 1000 for _ in range(tries)])
    return {P50: quantile(milliseconds, 0.5), P99: quantile(milliseconds, 0.99)}


async def _wake_many(service: BenchService, users: int) -> Figures:
    async with _waking(service) as (waking, resolver):
        seconds, kibibytes = await waking.wake(users, resolver)
    await service.clear()
    return {SECONDS: seconds[-1], MEMORY: kibibytes}


async def measure(report: Report) -> None:
    """Runs all tries and rounds."""
    options = report.options
    users = options["users"]
    with start_cluster() as kubeconfig:
        async with start_service(kubeconfig, 1) as service:
            await service.edit_route(port=POD_PORT)
            await warm_up(service)
            one = await _wake_one(service, options["tries"])
            turns = {
                f"{users} users": partial(_wake_many, service, users),
                "bind": partial(bind, service, NAMED["operator"], users),
            }
            rounds = await alternate(turns, options["rounds"])
    report.rounds = {"one user": [one], **rounds}
    many, rate = spreads(rounds[f"{users} users"]), spreads(rounds["bind"])[RATE].median
    report.goals = [
        Goal("one user after Ready: p99, ms", one[P99], LIMIT_P99_MS),
        Goal(f"{users:,} users after Ready, s", many[SECONDS].median, users / rate + LIMIT_EXTRA_SECONDS),
    ]


def main() -> None:
    """Runs the benchmark and reports its figures."""
    parser = argument_parser(__doc__)
    parser.add_argument("--tries", type=int, default=20, help="with one user")
    parser.add_argument("--users", type=int, default=1000, help="that are held at once")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(_OPEN_FILES, hard), hard))
    report = Report("wake", vars(options))
    asyncio.run(measure(report))
    finish(report, options)


if __name__ == "__main__":
    main()
