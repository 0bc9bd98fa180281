"""Measures slots: how evenly they spread users, and what it costs to bind all slots of a route.

    python benchmarks/slots.py [--users 1000000 10000000 100000000] [--slots 16384] [--pods 10 100 1000]
        [--bound 16384] [--bound-pods 100] [--asked 10000000] [--seconds 10] [--rounds 3]

The spread is simulated; up to a million users are really hashed. Then an operator binds `--bound` slots of a new route
on `--bound-pods` pods, with a real API server, and starts again; 0 leaves this out. Last, one resolver is asked for
`--asked` different users of a route with slots in batches, and for single users with links and without, in turns; 0
leaves this out.
"""

import asyncio
import time

from localgateways import programs
from measuring.bench_service import BenchService, start_cluster, start_service
from measuring.operator_start import PEAK, START_CPU, WRITES, restart
from measuring.processes import running_operator
from measuring.report import Goal, Report, argument_parser, finish
from measuring.requirements import require
from measuring.rounds import Figures
from measuring.slot_lookups import measure_resolver
from measuring.slots_simulation import FULLEST, SHARE, measure_lookups, simulate_spread

SECONDS, RATE, OPERATOR_CPU, SPREAD = (
    "s until all are bound",
    "slots/s",
    "operator, CPU ms a slot",
    "fullest - emptiest",
)

_RESOLVED_PODS = 10


async def bind_slots(service: BenchService, slots: int) -> Figures:
    """Gives the route slots, and waits until all are bound."""
    recorder = service.recorder
    async with running_operator(service.kubeconfig) as process:
        await process.wait_synced()
        await process.wait_idle()
        cpu, started, before = process.cpu_seconds, time.monotonic(), await service.count_writes()
        await service.bind_slots(slots)
        seconds = time.monotonic() - started
        await process.wait_idle()
        cpu, writes = process.cpu_seconds - cpu, await service.count_writes() - before
    per_pod = recorder.links_per_pod()
    of_links = sum(number for name, number in writes.items() if "podlinks" in name)
    return {
        SECONDS: seconds,
        RATE: slots / seconds,
        OPERATOR_CPU: cpu / slots * 1e3,
        "writes a slot": of_links / slots,
        SPREAD: max(per_pod.values()) - min(per_pod[pod] for pod in range(service.pods)),
    }


async def measure(report: Report) -> None:
    """Simulates each number of users and pods, then binds the slots of a route, and looks up its users."""
    simulate(report)
    if report.options["bound"]:
        await measure_binding(report)
    if report.options["asked"]:
        with start_cluster() as kubeconfig:
            async with start_service(kubeconfig, _RESOLVED_PODS) as service:
                await measure_resolver(report, service)


def simulate(report: Report) -> None:
    """Simulates each number of users and pods."""
    options = report.options
    for pods in options["pods"]:
        for users in options["users"]:
            report.rounds[f"{users:,} users, {pods:,} pods"] = [simulate_spread(users, options["slots"], pods)]
    report.rounds["look-up"] = [measure_lookups(options["slots"], options["pods"][-1])]
    for name, (figures, *_) in report.rounds.items():
        if SHARE in figures:
            report.goals.append(Goal(f"{SHARE}, {name}", figures[SHARE], 1.0 + options["pods"][-1] / options["slots"]))
    even = f"{options['users'][0]:,} users, {options['pods'][0]:,} pods"
    report.goals.append(Goal(f"{FULLEST}, {even}", report.rounds[even][0][FULLEST], 1.05))


async def measure_binding(report: Report) -> None:
    """Binds the slots of a route, and starts the operator again."""
    options = report.options
    with start_cluster() as kubeconfig:
        async with start_service(kubeconfig, options["bound_pods"]) as service:
            bound = await bind_slots(service, options["bound"])
            report.rounds[f"{options['bound']:,} slots bound"] = [bound]
            again = await restart(service)
            report.rounds["restart"] = [{name: again[name] for name in (WRITES, START_CPU, PEAK)}]
    report.goals += [
        Goal(SECONDS, bound[SECONDS], 60.0),
        Goal(SPREAD, bound[SPREAD], 1.0),
        Goal(f"{WRITES}, restart", again[WRITES], 0.0),
    ]


def main() -> None:
    """Runs the benchmark and reports its figures."""
    parser = argument_parser(__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=[1_000_000, 10_000_000, 100_000_000])
    parser.add_argument("--slots", type=int, default=16_384, help="of the simulation")
    parser.add_argument("--pods", type=int, nargs="+", default=[10, 100, 1_000], help="of the simulation")
    parser.add_argument("--bound", type=int, default=16_384, metavar="SLOTS", help="that are really bound")
    parser.add_argument("--bound-pods", type=int, default=100, metavar="PODS")
    parser.add_argument("--asked", type=int, default=10_000_000, metavar="USERS", help="by one resolver")
    parser.add_argument("--seconds", type=float, default=10, help="of each run of single look-ups")
    options = parser.parse_args()
    require(programs.vegeta, programs.nginx, programs.wrk)
    report = Report("slots", vars(options))
    asyncio.run(measure(report))
    finish(report, options)


if __name__ == "__main__":
    main()
