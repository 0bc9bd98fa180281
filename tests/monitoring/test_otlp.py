"""A real Prometheus receives over OTLP the metrics of an operator and a resolver, as it would scrape them."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from localcluster import LocalCluster, LocalClusterError
from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.metrics import ANY_PORT, MonitoredOperator, Scrape, http_get
from support.namespaces import fresh_namespace
from support.operator_process import OperatorProcess, OperatorSlot
from support.prometheus import Prometheus, running_prometheus
from support.resolver_process import ResolverProcess
from support.service import Service
from support.waiting import eventually

INTERVAL_MILLISECONDS = "200"

#: Labels that only Prometheus adds.
OF_PROMETHEUS = {"job", "instance", "otel_scope_name", "otel_scope_version"}

Series = frozenset[tuple[str, str | float]]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus without targets, to which the programs send."""
    try:
        with (
            running_prometheus(tmp_path_factory.mktemp("prometheus")) as running,
            pytest.MonkeyPatch.context() as environment,
        ):
            environment.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", f"{running.otlp_endpoint}/v1/metrics")
            environment.setenv("OTEL_METRIC_EXPORT_INTERVAL", INTERVAL_MILLISECONDS)
            environment.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=test")
            yield running
    except LocalClusterError as error:
        pytest.skip(str(error))


def series(name: str, labels: Mapping[str, str]) -> Series:
    """Returns the identity of a series; a bound of a bucket is a number, however it is written."""
    own = {label: value for label, value in labels.items() if value and label not in {"__name__", *OF_PROMETHEUS}}
    return frozenset({"__name__": name, **own, **({"le": float(own["le"])} if "le" in own else {})}.items())


def scraped(text: str) -> dict[Series, float]:
    """Returns the value of each series of a scrape."""
    families = Scrape(text).families.values()
    return {series(each.name, each.labels): each.value for family in families for each in family.samples}


def received(prometheus: Prometheus, job: str, instance: str = "test") -> dict[Series, float]:
    """Returns the value of each series that a program has sent."""
    selected = prometheus.series(f'{{job="{job}", instance="{instance}", __name__!="target_info"}}')
    return {series(labels["__name__"], labels): value for labels, value in selected}


def await_equal(prometheus: Prometheus, job: str, address: str) -> dict[Series, float]:
    """Waits until the received series are the scraped ones, with their values; returns them.

    Values that change between two scrapes, such as ages and CPU times, are between those of the scrapes.
    """
    compared: list[dict[Series, float]] = []
    unequal: list[object] = []

    def are_equal() -> bool:
        before = scraped(http_get(address, "/metrics").text)
        sent = received(prometheus, job)
        after = scraped(http_get(address, "/metrics").text)
        unequal[:] = sorted(before.keys() ^ sent.keys(), key=str) or [
            (sorted(name, key=str), before[name], sent[name], after.get(name))
            for name in sent
            if before[name] == after.get(name) and sent[name] != before[name]
        ]
        compared[:] = [sent]
        return not unequal

    try:
        eventually(are_equal, "what Prometheus receives is what it would scrape")
    except TimeoutError as late:
        raise AssertionError(f"{late}: {unequal[:5]}") from None
    return compared[0]


def value(values: Mapping[Series, float], name: str, **labels: str | float) -> float:
    """Returns the sum of the series of a name with at least these labels."""
    wanted = {("__name__", name), *labels.items()}
    found = [each for key, each in values.items() if wanted <= key]
    assert found, f"no {name} has {labels}"
    return sum(found)


def test_received_metrics_of_an_operator_are_those_that_are_scraped(
    prometheus: Prometheus,
    runs_pods: None,
    installed: Kubectl,
    independent_client: IndependentClient,
    operator_slot: OperatorSlot,
) -> None:
    del runs_pods
    with operator_slot.acquire(None, *ANY_PORT) as process, fresh_namespace(installed) as namespace:
        operator = MonitoredOperator(process.start())
        service = Service(installed.within(namespace), independent_client)
        service.start()
        service.await_bound(service.link("alice"))
        sent = await_equal(prometheus, "statefulroute-operator", operator.address)
        own = {"namespace": namespace, "route": service.name}
        assert value(sent, "statefulroute_links", **own, phase="Bound") == 1
        assert value(sent, "statefulroute_bindings_total", **own) == 1
        assert value(sent, "statefulroute_bind_duration_seconds_bucket", le=float("inf")) == 1
        assert value(sent, "statefulroute_build_info") == 1
        process.stop()
        assert process.errors() == []


def test_received_metrics_of_a_resolver_are_those_that_are_scraped(
    prometheus: Prometheus, cluster: LocalCluster, installed: Kubectl, tmp_path: Path
) -> None:
    with fresh_namespace(installed) as namespace:
        process = ResolverProcess(cluster.kubeconfig, tmp_path / "log", "--watch-namespace", namespace).start()
        assert http_get(process.lookups, f"/v1/namespaces/{namespace}/routes/game").code == 404
        sent = await_equal(prometheus, "statefulroute-resolver", process.probes)
        assert value(sent, "statefulroute_resolver_answers_total", operation="get_route") == 1
        process.stop()
        assert process.errors() == []


def test_last_metrics_are_sent_at_the_end(
    prometheus: Prometheus,
    cluster: LocalCluster,
    installed: Kubectl,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    del installed
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "3600000")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=short")
    process = ResolverProcess(cluster.kubeconfig, tmp_path / "log").start()
    assert received(prometheus, "statefulroute-resolver", "short") == {}
    process.stop()
    assert value(received(prometheus, "statefulroute-resolver", "short"), "statefulroute_build_info") == 1


def test_receiver_that_is_away_is_one_warning_and_delays_no_request(
    cluster: LocalCluster, installed: Kubectl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del installed
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://127.0.0.1:1/v1/metrics")
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", INTERVAL_MILLISECONDS)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "2")
    process = ResolverProcess(cluster.kubeconfig, tmp_path / "log").start()
    eventually(lambda: any("cannot be sent" in line["event"] for line in process.lines), "it is logged")
    assert http_get(process.probes, "/readyz").text == "ok"
    process.stop()
    warnings = [line for line in process.lines if line["level"] == "warning"]
    assert [line["event"] for line in warnings] == ["metrics cannot be sent: trying again at each interval"]
    assert "Connection refused" in warnings[0]["error"]


def test_protocol_that_is_not_supported_ends_the_process_with_one_sentence(
    cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    process: OperatorProcess = ResolverProcess(cluster.kubeconfig, tmp_path / "log")
    assert process.launch().wait() == 1
    assert process.log_text.startswith("statefulroute: metrics cannot be sent by grpc: set ")
