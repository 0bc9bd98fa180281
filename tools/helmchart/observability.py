"""The values of what watches the operator and the resolver: metrics, alerts, the dashboard, traces."""

from pydantic import Field

from helmchart.model import Interval, Object, OptionalInterval, OptionalName, StringMap, ValueGroup, text_pattern


class Tracing(ValueGroup):
    """Traces by OpenTelemetry."""

    endpoint: str = Field(
        "",
        description="The collector, as `OTEL_EXPORTER_OTLP_ENDPOINT` has it (`http://collector:4318`); empty is none.",
        **text_pattern("(https?://[^/].*)?", "a URL like http://collector:4318, or nothing"),
    )


class _Monitor(ValueGroup):
    enabled: bool = Field(
        default=False, description="Whether there is one; its CustomResourceDefinition must be there."
    )
    namespace: OptionalName = Field("", description="Where; empty is the release's namespace.")
    labels: StringMap = Field({}, description="Labels by which Prometheus finds it.")
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


class PrometheusRule(ValueGroup):
    """A PrometheusRule of the Prometheus operator."""

    enabled: bool = Field(
        default=False, description="Whether there is one; its CustomResourceDefinition must be there."
    )
    namespace: OptionalName = Field("", description="Where; empty is the release's namespace.")
    labels: StringMap = Field({}, description="Labels by which Prometheus finds it.")
    runbook_url: str = Field(
        RUNBOOKS,
        description="Where your copy of docs/runbooks is: what stands before the name of an alert's page.",
        **text_pattern("https?://.+/", f"a URL that ends with a slash, like {RUNBOOKS}"),
    )


class GrafanaDashboard(ValueGroup):
    """The ConfigMap of the dashboard."""

    enabled: bool = Field(default=False, description="Whether there is one.")
    namespace: OptionalName = Field("", description="Where; empty is the release's namespace.")
    labels: StringMap = Field({"grafana_dashboard": "1"}, description="Labels by which Grafana's sidecar finds it.")
    annotations: StringMap = Field({}, description="Its annotations, such as the folder in Grafana.")
