"""The alerts, the dashboard and the documentation name what a live operator and resolver expose, and nothing else."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from prometheus_client import Metric

from localcluster import LocalCluster
from monitoring.shipped import ROOT, alert_queries, panel_queries, variable_queries
from support.metrics import MonitoredOperator, Scrape, http_get
from support.resolver_process import ResolverProcess
from support.service import Service

PREFIX = "statefulroute_"

#: What only a resolver tells.
OF_RESOLVERS = f"{PREFIX}resolver_"

#: However many links it has.
SERIES_OF_A_ROUTE = 20

#: Labels that Prometheus puts on what it scrapes.
ATTACHED = frozenset({"job", "instance", "namespace", "pod"})

#: The language's own words, as far as they are used; and Grafana's for a variable.
WORDS = frozenset(
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
        "min",
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

#: Values that have a sample only when something has happened.
HAPPENINGS = frozenset({"code"})


@dataclass(frozen=True)
class OperatorMetrics:
    """What an operator exposes that has done a bit of everything.

    Attributes:
        scraped: one scrape of it.
        labels: the labels of each sample by its name, `le` among them.
    """

    scraped: Scrape
    labels: dict[str, dict[str, None]]

    @classmethod
    def of(cls, scraped: Scrape) -> "OperatorMetrics":
        """What was scraped."""
        labels: dict[str, dict[str, None]] = {}
        for family in scraped.families.values():
            for sample in family.samples:
                labels.setdefault(sample.name, {}).update(dict.fromkeys(sample.labels))
        return cls(scraped, labels)

    @property
    def ours(self) -> list[Metric]:
        """The families that are not those of each Python program, by their names."""
        found = (each for each in self.scraped.families.values() if each.name.startswith(PREFIX))
        return sorted(found, key=lambda each: each.name)

    def knows(self, word: str) -> bool:
        """Whether a word of an expression is a metric, a label, or one of the language."""
        return word in self.labels or word in WORDS | ATTACHED or any(word in each for each in self.labels.values())


@pytest.fixture(scope="module")
def live(monitored_operator: MonitoredOperator, game: Service) -> OperatorMetrics:
    """An operator that has bound a link, and that knows the loads of the pods."""
    game.await_bound(game.link("alice"))
    for pod in range(3):
        game.report(pod, load_state=2)
    monitored_operator.await_value(3, f"{PREFIX}pods", state="available")
    monitored_operator.await_value(0, f"{PREFIX}pods", state="stale")
    monitored_operator.await_value(0.6, f"{PREFIX}workload_load")
    return OperatorMetrics.of(monitored_operator.scrape())


@pytest.fixture(scope="module")
def resolving(
    cluster: LocalCluster, game: Service, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorMetrics]:
    """A resolver that has answered."""
    log = tmp_path_factory.mktemp("resolver") / "log"
    process = ResolverProcess(cluster.kubeconfig, log, "--watch-namespace", game.namespace)
    process.start()
    assert http_get(process.lookups, f"/v1/namespaces/{game.namespace}/routes/game").code == 200
    yield OperatorMetrics.of(Scrape(http_get(process.probes, "/metrics").text))
    process.stop()


@pytest.fixture(scope="module")
def both(live: OperatorMetrics, resolving: OperatorMetrics) -> OperatorMetrics:
    """What the operator exposes, and what only the resolver does."""
    own = (line for line in resolving.scraped.text.splitlines() if OF_RESOLVERS in line)
    return OperatorMetrics.of(Scrape("\n".join([*live.scraped.text.splitlines()[:-1], *own, "# EOF", ""])))


@pytest.mark.parametrize("expression", [*alert_queries(), *panel_queries(), *variable_queries()])
def test_what_is_asked_for_is_there(both: OperatorMetrics, expression: str) -> None:
    bare = DURATION.sub("", STRING.sub("", expression))
    assert [word for word in WORD.findall(bare) if not both.knows(word)] == []
    for metric, matchers in SELECTOR.findall(expression):
        for label, operator, value in MATCHER.findall(matchers):
            assert label in both.labels[metric].keys() | ATTACHED, f"{metric} has no label {label}"
            if operator == "=" and label not in HAPPENINGS:
                assert both.scraped.value(metric, **{label: value}) is not None, f"no {metric} has {label}={value}"


def test_each_metric_of_ours_is_asked_for_by_the_dashboard_or_an_alert(both: OperatorMetrics) -> None:
    asked = " ".join([*alert_queries(), *panel_queries()])
    assert [each.name for each in both.ours if each.name not in asked] == []


def test_a_route_has_the_documented_number_of_series_and_a_pod_two_however_many_links_there_are(
    live: OperatorMetrics,
) -> None:
    samples = [sample for family in live.ours for sample in family.samples if sample.labels.get("route") == "game"]
    by_pod = Counter(sample.labels.get("pod") for sample in samples)
    assert by_pod == {"game-0": 2, "game-1": 2, "game-2": 2, None: SERIES_OF_A_ROUTE}
    assert f"A route has {SERIES_OF_A_ROUTE} series, and 2 a pod" in _page()


def test_each_metric_of_ours_is_documented_as_it_is(live: OperatorMetrics) -> None:
    assert _documented("operator") == "\n".join(_row(live, family) for family in live.ours)


def test_each_metric_of_the_resolver_is_documented_as_it_is_or_is_one_of_the_operators(
    live: OperatorMetrics, resolving: OperatorMetrics
) -> None:
    own = [family for family in resolving.ours if family.name.startswith(OF_RESOLVERS)]
    assert _documented("resolver") == "\n".join(_row(resolving, family) for family in own)
    others = {family.name for family in resolving.ours} - {family.name for family in own}
    assert others <= {family.name for family in live.ours}


def _documented(what: str) -> str:
    """The rows of the metrics in the documentation."""
    section = _page().partition(f"\n## Metrics of the {what}\n")[2].partition("\n## ")[0]
    return "\n".join(line for line in section.splitlines() if line.startswith(f"| `{PREFIX}"))


def _page() -> str:
    return (ROOT / "docs/monitoring.md").read_text(encoding="utf-8")


def _row(live: OperatorMetrics, family: Metric) -> str:
    """The row of a metric in the documentation."""
    name = f"{family.name}_total" if family.type == "counter" else family.name
    sample = f"{name}_count" if family.type == "histogram" else name
    labels = ", ".join(f"`{label}`" for label in live.labels[sample])
    return f"| `{name}` | {family.type} | {labels} | {family.documentation} |".replace("|  |", "| |")
