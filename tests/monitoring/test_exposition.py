"""The alerts, the dashboard and the documentation name exactly the metrics that an operator and a resolver expose."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from prometheus_client import Metric

from localcluster import LocalCluster
from monitoring.manifests import ROOT, alert_queries, panel_queries, scaler_queries, variable_queries
from support.metrics import MonitoredOperator, Scrape, http_get
from support.resolver_process import ResolverProcess
from support.service import Service

PREFIX = "statefulroute_"

#: The prefix of metrics that only a resolver exposes.
RESOLVER_PREFIX = f"{PREFIX}resolver_"

#: The number is independent of the number of links.
SERIES_OF_A_ROUTE = 24

#: How many more there are with autoscaling, and with a rollout beside it.
SERIES_OF_AUTOSCALING = 8
SERIES_OF_A_ROLLOUT = 1

#: Labels that Prometheus adds to samples.
SCRAPE_LABELS = frozenset({"job", "instance", "namespace", "pod"})

#: The used keywords of PromQL, and of Grafana for a variable.
KEYWORDS = frozenset(
    [
        "and",
        "by",
        "on",
        "or",
        "unless",
        "absent",
        "count",
        "deriv",
        "histogram_quantile",
        "increase",
        "label_values",
        "max",
        "max_over_time",
        "min",
        "min_over_time",
        "offset",
        "rate",
        "sum",
        "topk",
        "vector",
    ]
)

SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
STRING = re.compile(r'"[^"]*"')
DURATION = re.compile(r"\[\w+\]")
WORD = re.compile(r"\b[a-zA-Z_:][\w:]*")

#: Labels whose values have a sample only after an event.
EVENT_LABELS = frozenset({"code"})


@dataclass(frozen=True)
class ProcessMetrics:
    """The metrics of a running process.

    Attributes:
        scraped: one scrape.
        labels: the labels of the samples by name, including `le`.
    """

    scraped: Scrape
    labels: dict[str, dict[str, None]]

    @classmethod
    def of(cls, scraped: Scrape) -> "ProcessMetrics":
        """Returns the metrics of a scrape."""
        labels: dict[str, dict[str, None]] = {}
        for family in scraped.families.values():
            for sample in family.samples:
                labels.setdefault(sample.name, {}).update(dict.fromkeys(sample.labels))
        return cls(scraped, labels)

    @property
    def families(self) -> list[Metric]:
        """The metric families of StatefulRoute, sorted by name."""
        found = (each for each in self.scraped.families.values() if each.name.startswith(PREFIX))
        return sorted(found, key=lambda each: each.name)

    def is_known(self, word: str) -> bool:
        """Returns whether a word of an expression is a metric, a label, or a keyword."""
        return (
            word in self.labels
            or word in KEYWORDS | SCRAPE_LABELS
            or any(word in each for each in self.labels.values())
        )


@pytest.fixture(scope="module")
def operator_metrics(monitored_operator: MonitoredOperator, game: Service) -> ProcessMetrics:
    """The metrics of an operator that has bound a link, knows the load of the pods, and scales a route.

    Another route has slots and no pods.
    """
    own = {"namespace": game.namespace}  # routes of earlier tests may still exist
    game.create_route("documents", slots=2)
    game.await_bound(game.link("alice"))
    autoscaling = {"minReplicas": 3, "maxReplicas": 3, "linksPerPod": 100}
    game.edit_route(links={"max": 100}, autoscaling=autoscaling, rollout={})
    monitored_operator.await_value(3, f"{PREFIX}desired_replicas", **own)
    condition = f"{PREFIX}disruption_condition"
    monitored_operator.await_value(1, condition, **own, type="Scaled", reason="Scaled")
    monitored_operator.await_value(1, condition, **own, type="RolledOut", reason="UpdateStrategyNotOnDelete")
    monitored_operator.await_value(100, f"{PREFIX}links_limit", **own)
    monitored_operator.await_value(2, f"{PREFIX}slots", **own, state="unbound")
    for pod in range(3):
        game.report(pod, load_state=2)
    monitored_operator.await_value(3, f"{PREFIX}pods", **own, state="available")
    monitored_operator.await_value(0, f"{PREFIX}pods", **own, state="stale")
    monitored_operator.await_value(0.6, f"{PREFIX}workload_load", **own)
    return ProcessMetrics.of(monitored_operator.scrape())


@pytest.fixture(scope="module")
def resolver_metrics(
    cluster: LocalCluster, game: Service, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProcessMetrics]:
    """The metrics of a resolver that has answered a request."""
    log = tmp_path_factory.mktemp("resolver") / "log"
    process = ResolverProcess(cluster.kubeconfig, log, "--watch-namespace", game.namespace)
    process.start()
    assert http_get(process.lookups, f"/v1/namespaces/{game.namespace}/routes/game").code == 200
    yield ProcessMetrics.of(Scrape(http_get(process.probes, "/metrics").text))
    process.stop()


@pytest.fixture(scope="module")
def all_metrics(operator_metrics: ProcessMetrics, resolver_metrics: ProcessMetrics) -> ProcessMetrics:
    """The metrics of the operator, and the additional ones of the resolver."""
    own = (line for line in resolver_metrics.scraped.text.splitlines() if RESOLVER_PREFIX in line)
    return ProcessMetrics.of(Scrape("\n".join([*operator_metrics.scraped.text.splitlines()[:-1], *own, "# EOF", ""])))


@pytest.mark.parametrize("expression", [*alert_queries(), *panel_queries(), *variable_queries(), *scaler_queries()])
def test_the_metrics_of_a_query_exist(all_metrics: ProcessMetrics, expression: str) -> None:
    words = DURATION.sub("", STRING.sub("", expression))
    assert [word for word in WORD.findall(words) if not all_metrics.is_known(word)] == []
    for metric, matchers in SELECTOR.findall(expression):
        for label, operator, value in MATCHER.findall(matchers):
            assert label in all_metrics.labels[metric].keys() | SCRAPE_LABELS, f"{metric} has no label {label}"
            if operator == "=" and label not in EVENT_LABELS:
                assert all_metrics.scraped.value(metric, **{label: value}) is not None, (
                    f"no {metric} has {label}={value}"
                )


def test_each_metric_is_used_by_the_dashboard_or_an_alert(all_metrics: ProcessMetrics) -> None:
    queries = " ".join([*alert_queries(), *panel_queries()])
    assert [each.name for each in all_metrics.families if each.name not in queries] == []


def test_a_route_has_the_documented_number_of_series_and_a_pod_has_three(
    operator_metrics: ProcessMetrics, game: Service
) -> None:
    samples = [
        sample
        for family in operator_metrics.families
        for sample in family.samples
        if (sample.labels.get("namespace"), sample.labels.get("route")) == (game.namespace, "game")
    ]
    by_pod = Counter(sample.labels.get("pod") for sample in samples)
    more = 1 + SERIES_OF_AUTOSCALING + SERIES_OF_A_ROLLOUT
    assert by_pod == {"game-0": 3, "game-1": 3, "game-2": 3, "": 1, None: SERIES_OF_A_ROUTE - 1 + more}
    documented = [
        f"| route | {SERIES_OF_A_ROUTE} |",
        "| pod of a route | 3 |",
        "| route with `links.max` | 1 more |",
        f"| route with `autoscaling` | {SERIES_OF_AUTOSCALING} more |",
    ]
    page = (ROOT / "docs/reference/monitoring.md").read_text(encoding="utf-8")
    assert [row for row in documented if row not in page.splitlines()] == []


def test_each_metric_of_the_operator_is_documented(operator_metrics: ProcessMetrics) -> None:
    assert _documented("Operator") == "\n".join(_row(operator_metrics, family) for family in operator_metrics.families)


def test_each_metric_of_the_resolver_is_documented_or_is_one_of_the_operators(
    operator_metrics: ProcessMetrics, resolver_metrics: ProcessMetrics
) -> None:
    own = [family for family in resolver_metrics.families if family.name.startswith(RESOLVER_PREFIX)]
    assert _documented("Resolver") == "\n".join(_row(resolver_metrics, family) for family in own)
    others = {family.name for family in resolver_metrics.families} - {family.name for family in own}
    assert others <= {family.name for family in operator_metrics.families}


def _documented(program: str) -> str:
    """Returns the rows of the metrics in the documentation."""
    page = (ROOT / "docs/reference/metrics.md").read_text(encoding="utf-8")
    section = page.partition(f"\n## {program}\n")[2].partition("\n## ")[0]
    return "\n".join(line for line in section.splitlines() if line.startswith(f"| `{PREFIX}"))


def _row(metrics: ProcessMetrics, family: Metric) -> str:
    """Returns the row of a metric in the documentation."""
    name = f"{family.name}_total" if family.type == "counter" else family.name
    sample = f"{name}_count" if family.type == "histogram" else name
    labels = ", ".join(f"`{label}`" for label in metrics.labels[sample])
    return f"| `{name}` | {family.type}{', by ' if labels else ''}{labels}<br>{family.documentation} |"
