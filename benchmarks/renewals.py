"""Measures how many temporary links are renewed per second, with managedFields and without.

    python benchmarks/renewals.py [--links 2000] [--pods 10] [--rounds 5]

16 clients renew bound links with the operations of the drivers, which have a cache of the links. One store keeps the
managedFields of its links; another removed those of its own by a first renewal, which does not count. No operator runs:
the cost of its status updates is in `apiserver`. The clock of the stores advances, so that each link is due in each
round.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from measuring.bench_service import NAMESPACE, ROUTE, BenchService, run_concurrently, start_cluster, start_service
from measuring.control_plane import ControlPlane
from measuring.report import Goal, Report, argument_parser, finish
from measuring.rounds import Figures, alternate, ratio
from statefulroute.cluster.client import Client
from statefulroute.cluster.codec import LINKS
from statefulroute.cluster.informer import run_reflectors
from statefulroute.cluster.link_store import LinkStore
from statefulroute.cluster.reflector import Reflector
from statefulroute.domain.link import Link
from statefulroute.domain.times import TimeInterval

RATE, CPU = "renewals/s", "client CPU ms a renewal"
APISERVER, ETCD = "apiserver CPU ms a renewal", "etcd CPU ms a renewal"
KEPT, REMOVED = "with managedFields", "without managedFields"
_TTL = timedelta(hours=1)


class Renewals:
    """Renews links by a store.

    Args:
        service: the service of the links.
        servers: the API server and etcd.
        links: the cache of the store.
        users: the numbers of the users whose links are renewed.
        keep_managed_fields: whether the links keep their managedFields.
    """

    def __init__(
        self,
        service: BenchService,
        servers: ControlPlane,
        links: Reflector[Link],
        users: Sequence[int],
        *,
        keep_managed_fields: bool,
    ) -> None:
        self._servers = servers
        self._users = users
        self._now = datetime.now(UTC)
        self._store = LinkStore(
            service.client,
            NAMESPACE,
            links=links,
            clock=lambda: TimeInterval.at(self._now),
            deadline_seconds=60,
            keep_managed_fields=keep_managed_fields,
        )

    async def create(self, service: BenchService) -> None:
        """Creates the links with a bound status, and renews them once."""

        async def create(user: int) -> None:
            renewed = self._now.isoformat(timespec="microseconds").replace("+00:00", "Z")
            times = {"ttlSeconds": int(_TTL.total_seconds()), "renewTime": renewed}
            await service.create_link(f"user-{user}", user % service.pods, **times)
            await service.write_bound_status(f"user-{user}", user % service.pods)

        await run_concurrently(create, self._users)
        await service.recorder.wait_until(lambda: not service.recorder.unbound)
        await self.measure()

    async def measure(self) -> Figures:
        """Renews every link once."""
        self._now += _TTL * 0.6
        await self._servers.wait_idle()
        before, started, own = self._servers.cpu_time(), time.monotonic(), time.process_time()
        await run_concurrently(lambda user: self._store.renew(ROUTE, f"user-{user}"), self._users)
        seconds, own = time.monotonic() - started, time.process_time() - own
        apiserver, etcd = self._servers.cpu_time().milliseconds_per_operation(before, len(self._users))
        renewals = len(self._users)
        return {RATE: renewals / seconds, APISERVER: apiserver, ETCD: etcd, CPU: own * 1000 / renewals}


async def measure(report: Report) -> None:
    """Runs all rounds."""
    options = report.options
    with start_cluster() as kubeconfig:
        async with start_service(kubeconfig, options["pods"]) as service, Client(service.connection, 1) as watcher:
            servers = ControlPlane(service.client)
            links = Reflector(watcher, LINKS.in_namespace(NAMESPACE))
            async with run_reflectors([links]):
                await links.synced.wait()
                users = {KEPT: range(options["links"]), REMOVED: range(options["links"], 2 * options["links"])}
                renewals = {
                    name: Renewals(service, servers, links, numbers, keep_managed_fields=name == KEPT)
                    for name, numbers in users.items()
                }
                for each in renewals.values():
                    await each.create(service)
                turns = {name: each.measure for name, each in renewals.items()}
                report.rounds = await alternate(turns, options["rounds"])
    removed, kept = report.rounds[REMOVED], report.rounds[KEPT]
    report.goals = [
        Goal("renewals/s, of those with managedFields", ratio(removed, kept, RATE).median, 1.3, at_least=True)
    ]


def main() -> None:
    """Runs the benchmark and reports its figures."""
    parser = argument_parser(__doc__, rounds=5)
    parser.add_argument("--links", type=int, default=2000, help="of each variant")
    parser.add_argument("--pods", type=int, default=10)
    options = parser.parse_args()
    report = Report("renewals", vars(options))
    asyncio.run(measure(report))
    finish(report, options)


if __name__ == "__main__":
    main()
