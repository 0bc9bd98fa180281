"""The values of monitoring: metrics, alerts, the dashboard, traces."""

from typing import Annotated

from pydantic import Field

from helmchart.certificates import Certificate
from helmchart.model import (
    CipherSuites,
    Interval,
    MinTlsVersion,
    Object,
    OptionalInterval,
    OptionalName,
    StringMap,
    ValueGroup,
    text_pattern,
)
from statefulroute.monitoring.tls_protocol import TlsVersion


class Tracing(ValueGroup):
    """Traces by OpenTelemetry."""

    endpoint: str = Field(
        "",
        description="The collector, in the format of `OTEL_EXPORTER_OTLP_ENDPOINT` "
        "(`http://collector:4318`); empty disables traces.",
        **text_pattern("(https?://[^/].*)?", "a URL like http://collector:4318, or nothing"),
    )


class MetricsTls(ValueGroup):
    """TLS of the metrics."""

    secret_name: str = Field(
        "",
        description="A Secret with `tls.crt` and `tls.key`, and `ca.crt` for the monitors; empty serves metrics "
        "without TLS. Its certificate names the Services of the metrics: `...-metrics.NAMESPACE.svc` and "
        "`...-resolver-metrics.NAMESPACE.svc`. Renewed certificates need no restart.",
    )
    certificate: Certificate = Field(
        Certificate(),
        description="The Certificate of the metrics, if cert-manager issues it: of operator and resolver.",
    )
    min_version: MinTlsVersion = Field(TlsVersion.TLS_1_2)
    cipher_suites: CipherSuites = Field([])


class MetricsOtlp(ValueGroup):
    """Metrics that are sent by OpenTelemetry."""

    endpoint: str = Field(
        "",
        description="The receiver of the metrics of operator and resolver over OTLP: a collector "
        "(`http://collector:4318`), or Prometheus (`http://prometheus:9090/api/v1/otlp`), to which `/v1/metrics` is "
        "appended; empty sends none. They are served, too.",
        **text_pattern("(https?://[^/].*)?", "a URL like http://collector:4318, or nothing"),
    )
    interval_seconds: Annotated[int, Field(ge=1, le=86_400)] = Field(60, description="The interval between exports.")


class Metrics(ValueGroup):
    """How the operator and the resolver serve and send their metrics."""

    tls: MetricsTls = Field(MetricsTls(), description="TLS of the metrics, on a port apart from the probes.")
    authentication: bool = Field(
        default=False,
        description="Whether clients need a token whose user may `get` the path `/metrics`, as the ClusterRole "
        "`...-metrics-reader` allows (with `watchNamespaces`, `...-metrics-reader.NAMESPACE`). It needs "
        "`metrics.tls`, and a ClusterRole for operator and resolver, even if `watchNamespaces` is set: the "
        "API server reviews the tokens.",
    )
    otlp: MetricsOtlp = Field(MetricsOtlp(), description="Metrics that are sent by OpenTelemetry.")


class Profiling(ValueGroup):
    """Profiles of the running operator and resolver."""

    enabled: bool = Field(
        default=False,
        description="Whether operator and resolver serve profiles of their CPU time at `/debug/profile`, on loopback: "
        "only `kubectl port-forward` and the pod's other containers reach it.",
    )
    port: Annotated[int, Field(ge=1024, le=65_535)] = Field(6060, description="The port.")


class _Monitor(ValueGroup):
    enabled: bool = Field(
        default=False, description="Whether to create it; its CustomResourceDefinition must be installed."
    )
    namespace: OptionalName = Field("", description="Its namespace; empty is that of the operator.")
    labels: StringMap = Field({}, description="Labels by which Prometheus selects it.")
    interval: Interval = Field("30s", description="The interval between scrapes.")
    scrape_timeout: OptionalInterval = Field("", description="The timeout of a scrape; empty is Prometheus' default.")
    tls_config: Object = Field(
        {},
        description="The TLS settings of the scrapes, with `metrics.tls`; empty trusts the `ca.crt` of that Secret, "
        "which must then be in the monitor's namespace, and expects the name of the Service.",
    )
    authorization: Object = Field(
        {},
        description="The credentials of the scrapes, with `metrics.authentication`; empty is the token of Prometheus' "
        "own account, which a PodMonitor cannot use.",
    )
    relabelings: list[Object] = Field([], description="Relabelings of the target.")
    metric_relabelings: list[Object] = Field([], description="Relabelings of the metrics.")
    endpoint_config: Object = Field(
        {},
        description="Further fields of the endpoint, such as `honorTimestamps` or `proxyUrl`; they take precedence "
        "over those of the chart.",
    )
    sample_limit: Annotated[int, Field(ge=0, le=999_999)] = Field(
        0, description="The maximum number of samples of a scrape; a scrape with more fails. 0 is unlimited."
    )
    job_label: str = Field("", description="The label with the name of the job; empty is Prometheus' default.")
    pod_target_labels: list[str] = Field([], description="Labels of the pods that the metrics get, too.")


class ServiceMonitor(_Monitor):
    """A ServiceMonitor of the Prometheus operator."""

    target_labels: list[str] = Field([], description="Labels of the Services that the metrics get, too.")


class PodMonitor(_Monitor):
    """A PodMonitor of the Prometheus operator."""


#: The location of the runbooks in the alerts of deploy/monitoring.
RUNBOOKS = "https://statefulroute.io/latest/runbooks/"


class PrometheusRule(ValueGroup):
    """A PrometheusRule of the Prometheus operator."""

    enabled: bool = Field(
        default=False, description="Whether to create it; its CustomResourceDefinition must be installed."
    )
    namespace: OptionalName = Field("", description="Its namespace; empty is that of the operator.")
    labels: StringMap = Field({}, description="Labels by which Prometheus selects it.")
    runbook_url: str = Field(
        RUNBOOKS,
        description="The URL of the runbooks in your copy of the documentation site (`make docs`), to which the name "
        "of the alert and a slash are appended.",
        **text_pattern("https?://.+/", f"a URL that ends with a slash, like {RUNBOOKS}"),
    )


class GrafanaDashboard(ValueGroup):
    """The ConfigMap of the dashboard."""

    enabled: bool = Field(default=False, description="Whether to create it.")
    namespace: OptionalName = Field("", description="Its namespace; empty is that of the operator.")
    labels: StringMap = Field({"grafana_dashboard": "1"}, description="Labels by which Grafana's sidecar finds it.")
    annotations: StringMap = Field({}, description="Its annotations, such as the folder in Grafana.")
