"""Tests what the chart renders for metrics over TLS, with authentication, and over OTLP, and for profiles."""

from typing import Any

import pytest
import typer

from chart.kinds import documents
from chart.releases import Helm
from chart.samples import nested
from statefulroute.cli.app import app

COMPONENT = "app.kubernetes.io/component"
PORT = "secure-metrics"

#: The name of the Service of each component, and the port of its probes.
COMPONENTS = {"operator": ("statefulroute-metrics", "http"), "resolver": ("statefulroute-resolver-metrics", "metrics")}

TLS = {"metrics.tls.secretName": "metrics-tls", "resolver.enabled": True}
AUTHENTICATED = {**TLS, "metrics.authentication": True}


def rendered(helm: Helm, values: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Renders the objects by kind and name."""
    text = helm.render(nested(values), "--namespace=play").expect_success().stdout
    return {(item["kind"], item["metadata"]["name"]): item for item in documents(text)}


def container(items: dict[tuple[str, str], dict[str, Any]], component: str) -> dict[str, Any]:
    deployment = items["Deployment", f"statefulroute-{component}"]
    (found,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(found)


def options(items: dict[tuple[str, str], dict[str, Any]], component: str) -> dict[str, Any]:
    """Returns the options of a component's command line."""
    arguments = container(items, component)["args"]
    command = typer.main.get_command(app).get_command(None, component).load()  # type: ignore[attr-defined]
    with command.make_context(component, arguments[1:]) as context:
        return {name: value for name, value in context.params.items() if name.startswith("metrics_")}


def granted(items: dict[tuple[str, str], dict[str, Any]], account: str) -> set[str]:
    """Returns the cluster-wide resources that an account may create."""
    roles = {
        binding["roleRef"]["name"]
        for (kind, _), binding in items.items()
        if kind == "ClusterRoleBinding" and account in {subject["name"] for subject in binding["subjects"]}
    }
    return {
        resource
        for role in roles
        for rule in items["ClusterRole", role]["rules"]
        if "create" in rule["verbs"]
        for resource in rule["resources"]
    }


@pytest.mark.parametrize("component", COMPONENTS)
def test_metrics_have_no_tls_by_default(helm4: Helm, component: str) -> None:
    service, probes = COMPONENTS[component]
    items = rendered(helm4, {"resolver.enabled": True, "serviceMonitor.enabled": True})
    params = options(items, component)
    assert not [name for name, value in params.items() if value and name != "metrics_tls_min_version"]
    assert PORT not in {port["name"] for port in container(items, component)["ports"]}
    (endpoint,) = items["ServiceMonitor", f"statefulroute-{component}"]["spec"]["endpoints"]
    assert endpoint["port"] == probes
    assert not {"scheme", "tlsConfig", "bearerTokenFile"} & endpoint.keys()
    assert items["Service", service]["spec"]["ports"][0]["targetPort"] == probes
    assert not {"tokenreviews", "subjectaccessreviews"} & granted(items, f"statefulroute-{component}")
    assert ("ClusterRole", "statefulroute-metrics-reader") not in items


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("authenticates", [False, True])
def test_metrics_are_served_with_the_certificate_of_the_secret(
    helm4: Helm, component: str, *, authenticates: bool
) -> None:
    items = rendered(helm4, AUTHENTICATED if authenticates else TLS)
    params = options(items, component)
    assert (params["metrics_address"], params["metrics_authentication"]) == (":8443", authenticates)
    files = [str(params["metrics_tls_certificate"]), str(params["metrics_tls_key"])]
    spec = items["Deployment", f"statefulroute-{component}"]["spec"]["template"]["spec"]
    (volume,) = (each for each in spec["volumes"] if each.get("secret") == {"secretName": "metrics-tls"})
    (mount,) = (each for each in container(items, component)["volumeMounts"] if each["name"] == volume["name"])
    assert mount["readOnly"]
    assert files == [f"{mount['mountPath']}/tls.crt", f"{mount['mountPath']}/tls.key"]


@pytest.mark.parametrize("component", COMPONENTS)
def test_versions_and_cipher_suites_of_metrics_are_those_of_the_values(helm4: Helm, component: str) -> None:
    by_default = options(rendered(helm4, TLS), component)
    assert by_default["metrics_tls_min_version"] == "VersionTLS12"
    assert by_default["metrics_tls_cipher_suites"] is None
    suites = ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"]
    values = {"metrics.tls.minVersion": "VersionTLS13", "metrics.tls.cipherSuites": suites}
    params = options(rendered(helm4, TLS | values), component)
    assert params["metrics_tls_min_version"] == "VersionTLS13"
    assert params["metrics_tls_cipher_suites"] == ",".join(suites)


@pytest.mark.parametrize("component", COMPONENTS)
def test_port_of_metrics_is_apart_from_the_probes(helm4: Helm, component: str) -> None:
    service, probes = COMPONENTS[component]
    items = rendered(helm4, TLS)
    ports = {port["name"]: port["containerPort"] for port in container(items, component)["ports"]}
    assert ports[PORT] == 8443
    for probe in ("livenessProbe", "readinessProbe"):
        assert container(items, component)[probe]["httpGet"]["port"] == probes
    (port,) = items["Service", service]["spec"]["ports"]
    assert (port["name"], port["targetPort"]) == (PORT, PORT)
    rules = items["NetworkPolicy", f"statefulroute-{component}"]["spec"]["ingress"]
    look_ups = set() if component == "operator" else {"http", "grpc"}
    assert {port["port"] for rule in rules for port in rule["ports"]} == look_ups | {PORT}


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize(("monitor", "key"), [("ServiceMonitor", "endpoints"), ("PodMonitor", "podMetricsEndpoints")])
def test_monitors_trust_the_authority_of_the_secret(helm4: Helm, component: str, monitor: str, key: str) -> None:
    items = rendered(helm4, {**TLS, f"{monitor[0].lower()}{monitor[1:]}.enabled": True})
    (endpoint,) = items[monitor, f"statefulroute-{component}"]["spec"][key]
    assert (endpoint["port"], endpoint["scheme"]) == (PORT, "https")
    assert endpoint["tlsConfig"] == {
        "ca": {"secret": {"name": "metrics-tls", "key": "ca.crt"}},
        "serverName": f"{COMPONENTS[component][0]}.play.svc",
    }
    assert not {"bearerTokenFile", "authorization"} & endpoint.keys()


def test_monitors_send_the_token_of_prometheus_or_another(helm4: Helm) -> None:
    items = rendered(helm4, {**AUTHENTICATED, "serviceMonitor.enabled": True})
    for component in COMPONENTS:
        (endpoint,) = items["ServiceMonitor", f"statefulroute-{component}"]["spec"]["endpoints"]
        assert endpoint["bearerTokenFile"] == "/var/run/secrets/kubernetes.io/serviceaccount/token"
    other = {"credentials": {"name": "prometheus", "key": "token"}}
    tls = {"insecureSkipVerify": True}
    values = {"podMonitor.enabled": True, "podMonitor.authorization": other, "podMonitor.tlsConfig": tls}
    items = rendered(helm4, {**AUTHENTICATED, **values})
    for component in COMPONENTS:
        (endpoint,) = items["PodMonitor", f"statefulroute-{component}"]["spec"]["podMetricsEndpoints"]
        assert (endpoint["authorization"], endpoint["tlsConfig"]) == (other, tls)
        assert "bearerTokenFile" not in endpoint


@pytest.mark.parametrize("namespaces", [[], ["play", "work"]])
def test_both_accounts_may_review_tokens_and_readers_may_read(helm4: Helm, namespaces: list[str]) -> None:
    items = rendered(helm4, {**AUTHENTICATED, "watchNamespaces": namespaces})
    for component in COMPONENTS:
        assert {"tokenreviews", "subjectaccessreviews"} <= granted(items, f"statefulroute-{component}")
    reader = items["ClusterRole", f"statefulroute-metrics-reader{'.play' if namespaces else ''}"]
    assert reader["rules"] == [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]
    assert reader["metadata"]["labels"][COMPONENT] == "metrics-reader"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"metrics.authentication": True},
            "metrics.authentication is true: set metrics.tls.secretName or metrics.tls.certificate.create, too",
        ),
        (
            {**AUTHENTICATED, "podMonitor.enabled": True},
            "set podMonitor.authorization to a Secret with a token, or use serviceMonitor",
        ),
    ],
)
def test_values_that_cannot_work_are_refused(helm4: Helm, values: dict[str, Any], message: str) -> None:
    assert message in helm4.render(nested(values)).stderr


@pytest.mark.parametrize("credentials", ["authorization", "basicAuth", "oauth2", "bearerTokenSecret"])
def test_scrapes_have_credentials_of_one_kind(helm4: Helm, credentials: str) -> None:
    own = {f"serviceMonitor.endpointConfig.{credentials}": {"name": "prometheus"}}
    items = rendered(helm4, {**AUTHENTICATED, "serviceMonitor.enabled": True, **own})
    (endpoint,) = items["ServiceMonitor", "statefulroute-operator"]["spec"]["endpoints"]
    assert endpoint[credentials] == {"name": "prometheus"}
    assert "bearerTokenFile" not in endpoint


@pytest.mark.parametrize("component", COMPONENTS)
def test_profiles_are_served_on_loopback_if_they_are_enabled(helm4: Helm, component: str) -> None:
    by_default = container(rendered(helm4, {"resolver.enabled": True}), component)
    assert not [argument for argument in by_default["args"] if "profiling" in argument]
    profiled = container(rendered(helm4, {"resolver.enabled": True, "profiling.enabled": True}), component)
    assert "--profiling-address=127.0.0.1:6060" in profiled["args"]
    assert profiled["ports"] == by_default["ports"]


def test_profiles_have_a_port_of_their_own(helm4: Helm) -> None:
    items = rendered(helm4, {**TLS, "profiling.enabled": True})
    listening = {each["containerPort"] for component in COMPONENTS for each in container(items, component)["ports"]}
    for port in listening:
        refused = helm4.render(nested({**TLS, "profiling.enabled": True, "profiling.port": port})).stderr
        assert f"profiling.port is {port}, at which operator or resolver listen already" in refused


@pytest.mark.parametrize("component", COMPONENTS)
def test_no_metrics_are_sent_by_default(helm4: Helm, component: str) -> None:
    assert "env" not in container(rendered(helm4, {"resolver.enabled": True}), component)


@pytest.mark.parametrize("component", COMPONENTS)
def test_metrics_are_sent_to_the_endpoint_at_the_interval(helm4: Helm, component: str) -> None:
    values = {"resolver.enabled": True, "metrics.otlp.endpoint": "http://prometheus:9090/api/v1/otlp/"}
    metrics = [
        {
            "name": "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
            "value": "http://prometheus:9090/api/v1/otlp/v1/metrics",
        },
        {"name": "OTEL_METRIC_EXPORT_INTERVAL", "value": "60000"},
    ]
    assert container(rendered(helm4, values), component)["env"] == metrics
    own = {"name": "OTEL_EXPORTER_OTLP_HEADERS", "value": "a=b"}
    extra = {"extraEnv": [own], "resolver.extraEnv": [own], "metrics.otlp.intervalSeconds": 1_000_000}
    assert helm4.render(nested(values | extra), "--namespace=play").code
    extra |= {"metrics.otlp.intervalSeconds": 15}
    metrics[1]["value"] = "15000"
    assert container(rendered(helm4, values | extra), component)["env"] == [*metrics, own]


def test_traces_have_an_endpoint_of_their_own(helm4: Helm) -> None:
    values = {"tracing.endpoint": "http://traces:4318", "metrics.otlp.endpoint": "http://metrics:4318"}
    (traces, metrics, _) = container(rendered(helm4, values), "operator")["env"]
    assert traces == {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://traces:4318"}
    assert metrics["value"] == "http://metrics:4318/v1/metrics"
