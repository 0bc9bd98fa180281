"""Measures what the resolver adds to a request through Envoy, compared with the same Envoy without it.

    python benchmarks/gateways.py [--links 10000] [--seconds 10] [--rounds 3]

One resolver follows `--links` links while 100 of them change each second. Envoy calls it by ext_authz at 1,000 requests
per second and by ext_proc at 500, in turns with an Envoy without a resolver. At the end the rate of ext_proc rises step
by step to the limit. One nginx answers for all pods. All processes share the machine; the API server has a low
priority.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import yaml

from localcluster.ports import free_port
from localcluster.progress import PlainProgress
from localgateways import configurations, processes, programs
from measuring.bench_service import start_cluster, start_service
from measuring.load_generator import (
    FAILED,
    P50,
    P99,
    LoadGenerator,
    gateway_addresses,
    make_reachable,
    moving_links,
    pod_server,
    running_resolver,
)
from measuring.report import Goal, Report, argument_parser, finish
from measuring.requirements import require
from measuring.rounds import Spread, alternate, spreads

AUTHZ_PER_SECOND, PROC_PER_SECOND = 1_000, 500
LIMIT_STEPS = (1_000, 1_500, 2_000, 2_500, 3_000, 4_000)
AUTHZ, AUTHZ_PLAIN = "ext_authz", "without resolver, beside ext_authz"
PROC, PROC_PLAIN = "ext_proc", "without resolver, beside ext_proc"
LIMIT_ADDED_P50, LIMIT_P99 = 1.0, 5.0
_WARM_SECONDS = 3.0


def _without_resolver(configuration: str) -> str:
    """Returns the configuration of the same Envoy without the resolver, which sends requests to any pod."""
    parsed = yaml.safe_load(configuration)
    resources = parsed["static_resources"]
    (chain,) = resources["listeners"][0]["filter_chains"]
    manager = chain["filters"][0]["typed_config"]
    manager["http_filters"] = [item for item in manager["http_filters"] if ".ext_" not in item["name"]]
    del next(item for item in resources["clusters"] if item["name"] == "pods")["load_balancing_policy"]
    return str(yaml.safe_dump(parsed))


@contextmanager
def _start_envoys(folder: Path, file: str, resolver_port: int) -> Iterator[tuple[str, str]]:
    """Starts an Envoy that calls the resolver at a port and one without a resolver; yields the URLs of both."""
    program = programs.envoy(PlainProgress())
    with ExitStack() as stack:
        urls = []
        for has_resolver in (True, False):
            addresses = gateway_addresses(Path(tempfile.mkdtemp(dir=folder)), resolver_port)
            text = configurations.envoy(file, addresses)
            text = text if has_resolver else _without_resolver(text)
            urls.append(stack.enter_context(processes.envoy(program, text, addresses)).url)
        with_resolver, without_resolver = urls
        yield with_resolver, without_resolver


async def _compare(load: LoadGenerator, report: Report, variants: dict[str, str], rate: int) -> None:
    """Sends requests through each variant in turn."""
    for variant, url in variants.items():
        await load.run_at_rate(variant, rate, load.request_targets(url), _WARM_SECONDS)
    turns = {
        variant: partial(load.run_at_rate, variant, rate, load.request_targets(url))
        for variant, url in variants.items()
    }
    report.rounds |= await alternate(turns, report.options["rounds"])


async def measure(report: Report, folder: Path) -> None:
    """Runs all rounds."""
    links = report.options["links"]
    load = LoadGenerator(folder, report.options["seconds"], links)
    http, grpc = free_port(), free_port()
    with start_cluster(low_priority=True) as kubeconfig, pod_server(folder):
        async with start_service(kubeconfig, report.options["pods"]) as service:
            await make_reachable(service)
            await service.populate(links)
            async with running_resolver(kubeconfig, http, grpc), moving_links(service, links):
                with _start_envoys(folder, "envoy-ext-authz.yaml", http) as (url, url_without_resolver):
                    await _compare(load, report, {AUTHZ: url, AUTHZ_PLAIN: url_without_resolver}, AUTHZ_PER_SECOND)
                with _start_envoys(folder, "envoy-ext-proc.yaml", grpc) as (url, url_without_resolver):
                    await _compare(load, report, {PROC: url, PROC_PLAIN: url_without_resolver}, PROC_PER_SECOND)
                    for rate in LIMIT_STEPS:
                        variant = f"ext_proc, {rate:,} a second"
                        report.rounds[variant] = [await load.run_at_rate(variant, rate, load.request_targets(url))]
    report.extra["codes"] = load.codes
    report.goals = [
        Goal("ext_authz adds, p50 ms", _added_milliseconds(report, AUTHZ, AUTHZ_PLAIN, P50), LIMIT_ADDED_P50),
        Goal(f"ext_proc at {PROC_PER_SECOND} a second, p99 ms", spreads(report.rounds[PROC])[P99].median, LIMIT_P99),
        Goal("not answered by 200", _failed_requests(report), 0),
    ]


def _added_milliseconds(report: Report, variant: str, plain: str, figure: str) -> float:
    pairs = zip(report.rounds[variant], report.rounds[plain], strict=True)
    return Spread.of([figures[figure] - baseline[figure] for figures, baseline in pairs]).median


def _failed_requests(report: Report) -> float:
    """Counts the requests without status 200 at the rates that the resolver must sustain."""
    return sum(
        figures[FAILED] for variant in (AUTHZ, AUTHZ_PLAIN, PROC, PROC_PLAIN) for figures in report.rounds[variant]
    )


def main() -> None:
    """Runs the benchmark and reports its figures."""
    parser = argument_parser(__doc__)
    parser.add_argument("--links", type=int, default=10_000)
    parser.add_argument("--pods", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=10, help="of each run")
    options = parser.parse_args()
    require(programs.vegeta, programs.nginx, programs.envoy)
    report = Report("gateways", vars(options))
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(report, Path(folder)))
    finish(report, options)


if __name__ == "__main__":
    main()
