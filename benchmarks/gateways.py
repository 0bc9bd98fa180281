"""What the resolver adds to a request through Envoy, beside the same Envoy that asks nobody.

    python benchmarks/gateways.py [--links 10000] [--seconds 10] [--rounds 3]

One resolver follows `--links` links while 100 of them change each second. Envoy asks it by ext_authz at 1,000 requests
a second and by ext_proc at 500, each by turns with an Envoy that asks nobody. In the end ext_proc is asked more and
more often, until it can do no more. The pods are one nginx. Everything shares
the machine, and the API server gives way.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import yaml

from localcluster.progress import PlainProgress
from localgateways import configurations, processes, programs
from measuring.bench_service import start_cluster, start_service
from measuring.load_generator import (
    FAILED,
    P50,
    P99,
    LoadGenerator,
    free_port,
    gateway_addresses,
    make_reachable,
    moving_links,
    pod_server,
    running_resolver,
)
from measuring.report import Goal, Report, argument_parser, finish
from measuring.rounds import Spread, alternate, spreads

AUTHZ_PER_SECOND, PROC_PER_SECOND = 1_000, 500
LIMIT_STEPS = (1_000, 1_500, 2_000, 2_500, 3_000, 4_000)
AUTHZ, AUTHZ_PLAIN = "ext_authz", "nobody asked, beside ext_authz"
PROC, PROC_PLAIN = "ext_proc", "nobody asked, beside ext_proc"
LIMIT_ADDED_P50, LIMIT_P99 = 1.0, 5.0
_WARM_SECONDS = 3.0


def _without_resolver(configuration: str) -> str:
    """The same Envoy without the resolver: to any pod."""
    said = yaml.safe_load(configuration)
    resources = said["static_resources"]
    (chain,) = resources["listeners"][0]["filter_chains"]
    manager = chain["filters"][0]["typed_config"]
    manager["http_filters"] = [each for each in manager["http_filters"] if ".ext_" not in each["name"]]
    del next(each for each in resources["clusters"] if each["name"] == "pods")["load_balancing_policy"]
    return str(yaml.safe_dump(said))


@contextmanager
def _start_envoys(folder: Path, file: str, asked: int) -> Iterator[tuple[str, str]]:
    """An Envoy that asks the resolver at a port, and one that asks nobody; gives where they listen."""
    program = programs.envoy(PlainProgress())
    with ExitStack() as stack:
        urls = []
        for is_asking in (True, False):
            place_of_it = gateway_addresses(Path(tempfile.mkdtemp(dir=folder)), asked)
            text = configurations.envoy(file, place_of_it)
            text = text if is_asking else _without_resolver(text)
            urls.append(stack.enter_context(processes.envoy(program, text, place_of_it)).url)
        asking, plain = urls
        yield asking, plain


async def _compare(pressure: LoadGenerator, report: Report, ways: dict[str, str], rate: int) -> None:
    """Requests by each way in turn."""
    for way, url in ways.items():
        await pressure.run_at_rate(way, rate, pressure.request_targets(url), _WARM_SECONDS)
    turns = {way: partial(pressure.run_at_rate, way, rate, pressure.request_targets(url)) for way, url in ways.items()}
    report.rounds |= await alternate(turns, report.options["rounds"])


async def measure(report: Report, folder: Path) -> None:
    """All rounds."""
    links = report.options["links"]
    pressure = LoadGenerator(folder, report.options["seconds"], links)
    http, grpc = free_port(), free_port()
    with start_cluster(low_priority=True) as kubeconfig, pod_server(folder):
        async with start_service(kubeconfig, report.options["pods"]) as here:
            await make_reachable(here)
            await here.populate(links)
            async with running_resolver(kubeconfig, http, grpc), moving_links(here, links):
                with _start_envoys(folder, "envoy-ext-authz.yaml", http) as (asking, plain):
                    await _compare(pressure, report, {AUTHZ: asking, AUTHZ_PLAIN: plain}, AUTHZ_PER_SECOND)
                with _start_envoys(folder, "envoy-ext-proc.yaml", grpc) as (asking, plain):
                    await _compare(pressure, report, {PROC: asking, PROC_PLAIN: plain}, PROC_PER_SECOND)
                    for rate in LIMIT_STEPS:
                        way = f"ext_proc, {rate:,} a second"
                        report.rounds[way] = [await pressure.run_at_rate(way, rate, pressure.request_targets(asking))]
    report.extra["codes"] = pressure.codes
    report.goals = [
        Goal("ext_authz adds, p50 ms", _added_milliseconds(report, AUTHZ, AUTHZ_PLAIN, P50), LIMIT_ADDED_P50),
        Goal(f"ext_proc at {PROC_PER_SECOND} a second, p99 ms", spreads(report.rounds[PROC])[P99].median, LIMIT_P99),
        Goal("not answered by 200", _failed_requests(report), 0),
    ]


def _added_milliseconds(report: Report, way: str, plain: str, figure: str) -> float:
    both = zip(report.rounds[way], report.rounds[plain], strict=True)
    return Spread.of([mine[figure] - other[figure] for mine, other in both]).median


def _failed_requests(report: Report) -> float:
    """How many were not answered by 200 where the resolver was not to be pressed beyond its limit."""
    return sum(each[FAILED] for way in (AUTHZ, AUTHZ_PLAIN, PROC, PROC_PLAIN) for each in report.rounds[way])


def main() -> None:
    """Measure, and say what was found."""
    options = argument_parser(__doc__)
    options.add_argument("--links", type=int, default=10_000)
    options.add_argument("--pods", type=int, default=10)
    options.add_argument("--seconds", type=float, default=10, help="of each run")
    asked = options.parse_args()
    report = Report("gateways", vars(asked))
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(report, Path(folder)))
    finish(report, asked)


if __name__ == "__main__":
    main()
