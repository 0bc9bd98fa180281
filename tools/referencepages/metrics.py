"""The page of the metrics of all programs, from the collectors that they register."""

from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any, cast

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from referencepages.markdown import code, head, lines, prose, table
from statefulroute.cluster.expiry_clock import ExpiryClock
from statefulroute.controllers.assembly import assemble as assemble_operator
from statefulroute.controllers.monitoring.trace_hooks import TraceHooks
from statefulroute.controllers.settings import Settings as OperatorSettings
from statefulroute.driver.metrics import DriverMetrics
from statefulroute.monitoring.api_requests import APIRequestMetrics
from statefulroute.resolver.metrics import ResolverMetrics
from statefulroute.sidecar.metrics import SidecarMetrics

_INTRODUCTION = """\
[Monitoring](monitoring.md) describes how they are scraped, and what their labels mean. The type and the labels are the
first line of a description. A minor version may change those of [features in alpha](features.md#stages); all others
keep name, type, labels and unit until their [deprecation](versions.md#deprecation) is over.
"""


def metrics_page() -> str:
    """Returns the page, in Markdown."""
    return "\n".join([head("Metrics", "the collectors of the programs"), _INTRODUCTION, *_sections()])


def _sections() -> Iterator[str]:
    yield "## Operator\n"
    yield from _table(_operator_collectors())
    yield "## Resolver\n"
    yield "A resolver also has the operator's metrics of its version, clock, caches and requests to the API server.\n"
    yield from _table(ResolverMetrics().collectors)
    yield "## Sidecar\n"
    yield "A sidecar also has the metrics of its driver.\n"
    yield from _table(SidecarMetrics().collectors)
    yield "## Drivers\n"
    yield "[With `metrics=`](drivers.md#metrics), drivers have these.\n"
    yield from _table(vars(DriverMetrics(CollectorRegistry())).values())


def _operator_collectors() -> Iterable[Collector]:
    """Returns the collectors of an operator that does not lead, and so reads nothing and sends no request."""
    leadership = SimpleNamespace(is_leader=False, identity="", losses=0)
    client, load_client = cast("Any", SimpleNamespace(expiry_clock=ExpiryClock())), cast("Any", None)
    components = assemble_operator(OperatorSettings(), cast("Any", leadership), client, load_client, TraceHooks())
    return (*components.collectors, APIRequestMetrics())


def _table(collectors: Iterable[Collector]) -> Iterator[str]:
    families = [(family, collector) for collector in collectors for family in collector.collect()]
    families.sort(key=lambda each: each[0].name)
    yield from table(("metric", "type, labels and meaning"), (_row(*each) for each in families))


def _row(family: Metric, collector: Collector) -> tuple[str, str]:
    labels = ", ".join(map(code, _labels(family, collector)))
    kind = "gauge" if family.type == "info" else family.type
    suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
    return code(family.name + suffix), lines(f"{kind}, by {labels}" if labels else kind, prose(family.documentation))


def _labels(family: Metric, collector: Collector) -> list[str]:
    """Returns the names of the labels of a family, sorted as they are exposed; `le` of buckets is none of them."""
    declared = getattr(family, "_labelnames", None) or getattr(collector, "_labelnames", None) or ()
    return sorted({*declared, *(name for sample in family.samples for name in sample.labels)} - {"le"})
