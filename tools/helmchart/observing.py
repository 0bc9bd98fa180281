"""The values of what watches the operator and the resolver: metrics, alerts, the dashboard, traces."""

from pydantic import Field

from helmchart.model import Interval, Object, OptionalInterval, OwnName, Part, Texts, written


class Tracing(Part):
    """Traces by OpenTelemetry."""

    endpoint: str = Field(
        "",
        description="The collector, as `OTEL_EXPORTER_OTLP_ENDPOINT` has it (`http://collector:4318`); empty is none.",
        **written("(https?://[^/].*)?", "a URL like http://collector:4318, or nothing"),
    )


class _Monitor(Part):
    enabled: bool = Field(
        default=False, description="Whether there is one; its CustomResourceDefinition must be there."
    )
    namespace: OwnName = Field("", description="Where; empty is the release's namespace.")
    labels: Texts = Field({}, description="Labels by which Prometheus finds it.")
    interval: Interval = Field("30s", description="How often the metrics are read.")
    scrape_timeout: OptionalInterval = Field("", description="How long that may take; empty is Prometheus' own.")
    relabelings: list[Object] = Field([], description="Changes of the target's labels.")
    metric_relabelings: list[Object] = Field([], description="Changes of the metrics' labels.")


class ServiceMonitor(_Monitor):
    """A ServiceMonitor of the Prometheus operator."""


class PodMonitor(_Monitor):
    """A PodMonitor of the Prometheus operator."""


#: Where the alerts of deploy/monitoring say that their pages are.
RUNBOOKS = "https://statefulroute.io/docs/runbooks/"


class PrometheusRule(Part):
    """A PrometheusRule of the Prometheus operator."""

    enabled: bool = Field(
        default=False, description="Whether there is one; its CustomResourceDefinition must be there."
    )
    namespace: OwnName = Field("", description="Where; empty is the release's namespace.")
    labels: Texts = Field({}, description="Labels by which Prometheus finds it.")
    runbook_url: str = Field(
        RUNBOOKS,
        description="Where your copy of docs/runbooks is: what stands before the name of an alert's page.",
        **written("https?://.+/", f"a URL that ends with a slash, like {RUNBOOKS}"),
    )


class GrafanaDashboard(Part):
    """The ConfigMap of the dashboard."""

    enabled: bool = Field(default=False, description="Whether there is one.")
    namespace: OwnName = Field("", description="Where; empty is the release's namespace.")
    labels: Texts = Field({"grafana_dashboard": "1"}, description="Labels by which Grafana's sidecar finds it.")
    annotations: Texts = Field({}, description="Its annotations, such as the folder in Grafana.")
