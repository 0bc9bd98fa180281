"""Tests what the chart renders for the resolver, without a cluster."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from chart.kinds import documents, pod_specs
from chart.releases import CHART, Helm
from chart.samples import everything_on, nested
from statefulroute.cli.app import app

COMPONENT = "app.kubernetes.io/component"


def rendered(helm: Helm, values: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Renders the objects by kind and component; of several, the last."""
    text = helm.render(nested({"resolver.enabled": True} | values), "--namespace=play").expect_success().stdout
    return {(item["kind"], item["metadata"]["labels"][COMPONENT]): item for item in documents(text)}


def container(items: dict[tuple[str, str], dict[str, Any]]) -> dict[str, Any]:
    own, *_ = items["Deployment", "resolver"]["spec"]["template"]["spec"]["containers"]
    return dict(own)


def resolver_options(helm: Helm, values: dict[str, Any]) -> dict[str, Any]:
    """Returns the options of its command line."""
    arguments = container(rendered(helm, values))["args"]
    command = typer.main.get_command(app).get_command(None, "resolver").load()  # type: ignore[attr-defined]
    with command.make_context("resolver", arguments[1:]) as context:
        return dict(context.params)


def test_disabled_resolver_renders_nothing(helm4: Helm) -> None:
    assert not [key for key in rendered(helm4, {"resolver.enabled": False}) if key[1].startswith("resolver")]


def test_options_match_the_values(helm4: Helm) -> None:
    params = resolver_options(
        helm4, {"resolver": everything_on("play")["resolver"], "watchNamespaces": ["play", "work"]}
    )
    expected = {
        "watch_namespace": ["play", "work"],
        "unknown_uid": "refuse",
        "uid_from": ["cookie:uid", "mcp-param:notebook", "jwt:https://example.com/uid@x-jwt-payload"],
        "endpoint_header": "x-pod",
        "new_links": "temporary",
        "requests_per_second": 50,
        "token_audience": "resolver",
        "default_route": "play/game",
        "uid_from_response": "mcp-session-id",
        "max_age": 300,
        "drain_seconds": 0,
        "tls_min_version": "VersionTLS13",
        "tls_cipher_suites": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "bindings_per_second": 7,  # of extraArgs, which come last
    }
    assert {name: params[name] for name in expected} == expected
    assert [str(params[name]) for name in ("tls_certificate", "tls_key", "client_ca")] == [
        "/tls/tls.crt",
        "/tls/tls.key",
        "/tls/ca.crt",
    ]


def test_new_links_may_be_persistent(helm4: Helm) -> None:
    assert resolver_options(helm4, {"resolver.temporaryLinks": False})["new_links"] == "persistent"


def test_default_options_are_the_commands_defaults(helm4: Helm) -> None:
    params = resolver_options(helm4, {})
    command = typer.main.get_command(app).get_command(None, "resolver").load()  # type: ignore[attr-defined]
    overridden = {
        "http_address",
        "grpc_address",
        "bind_address",
        "log_format",
        "drain_seconds",
        "uid_from",
        "endpoint_header",
    }
    with command.make_context("resolver", []) as context:
        assert {name for name, value in context.params.items() if params[name] != value} <= overridden


def test_autoscaled_deployment_has_no_replicas(helm4: Helm) -> None:
    items = rendered(helm4, {"resolver.autoscaling.enabled": True})
    deployment = items["Deployment", "resolver"]
    assert "replicas" not in deployment["spec"]
    target = items["HorizontalPodAutoscaler", "resolver"]["spec"]["scaleTargetRef"]
    assert target == {key: deployment[key] for key in ("apiVersion", "kind")} | {"name": deployment["metadata"]["name"]}
    (metric,) = items["HorizontalPodAutoscaler", "resolver"]["spec"]["metrics"]
    assert metric["containerResource"]["container"] == container(items)["name"]


def targets(helm: Helm, values: dict[str, Any]) -> dict[str, set[str]]:
    """Returns the target ports of the resolver's Services, by the end of their names."""
    text = helm.render(nested({"resolver.enabled": True} | values), "--namespace=play").expect_success().stdout
    services = [
        item for item in documents(text) if item["kind"] == "Service" and "resolver" in item["metadata"]["name"]
    ]
    return {
        item["metadata"]["name"].removeprefix("statefulroute-"): {port["targetPort"] for port in item["spec"]["ports"]}
        for item in services
    }


@pytest.mark.parametrize("picks", [True, False])
def test_service_network_policy_and_monitors_use_ports_of_the_container(helm4: Helm, *, picks: bool) -> None:
    for monitor, endpoints in (("ServiceMonitor", "endpoints"), ("PodMonitor", "podMetricsEndpoints")):
        switch = f"{monitor[0].lower()}{monitor[1:]}.enabled"
        items = rendered(helm4, {"resolver.picker.enabled": picks, switch: True})
        ports = {port["name"] for port in container(items)["ports"]}
        assert ports == {"http", "metrics"} | ({"grpc"} if picks else set())
        assert targets(helm4, {"resolver.picker.enabled": picks}) == {
            "resolver": ports - {"metrics"},
            "resolver-metrics": {"metrics"},
        }
        rules = items["NetworkPolicy", "resolver"]["spec"]["ingress"]
        assert {port["port"] for rule in rules for port in rule["ports"]} == ports
        assert [each["port"] for each in items[monitor, "resolver"]["spec"][endpoints]] == ["metrics"]


def test_restricted_resolver_accepts_the_releases_test(helm4: Helm) -> None:
    items = rendered(
        helm4,
        {
            "resolver.networkPolicy.ingressFrom": [{"podSelector": {"matchLabels": {"app": "gateway"}}}],
            "resolver.authentication": {
                "tokenAudience": "resolver",
                "allowUsers": ["system:serviceaccount:play:gateway"],
            },
        },
    )
    test = items["Pod", "test"]
    sources = items["NetworkPolicy", "resolver"]["spec"]["ingress"][0]["from"]
    assert any(each["podSelector"]["matchLabels"].items() <= test["metadata"]["labels"].items() for each in sources)
    assert f"--allow-user=system:serviceaccount:play:{test['spec']['serviceAccountName']}" in container(items)["args"]


def test_releases_test_runs_the_script_of_the_chart(helm4: Helm) -> None:
    (spec,) = pod_specs([rendered(helm4, {})["Pod", "test"]])
    (look_up,) = (each for each in spec["initContainers"] if each["name"] == "look-up")
    assert look_up["command"][-1].strip() == (CHART / "files/look_up.py").read_text(encoding="utf-8").strip()


@pytest.mark.parametrize("namespaces", [[], ["play", "work"]])
def test_resolver_may_delete_links_only_if_its_callers_may_change_them(helm4: Helm, namespaces: list[str]) -> None:
    def deleting(**values: bool) -> list[str]:
        items = rendered(
            helm4, {"watchNamespaces": namespaces, **{f"resolver.{each}": values[each] for each in values}}
        )
        roles = {
            name: item["rules"] for (kind, name), item in items.items() if kind.endswith("Role") and "resolver" in name
        }
        assert roles
        return [name for name, rules in roles.items() if any("delete" in rule["verbs"] for rule in rules)]

    assert deleting() == []
    assert len(deleting(linkChanges=True)) == 1
    assert resolver_options(helm4, {"resolver.linkChanges": True})["link_changes"] is True


def test_token_reviews_need_a_separate_cluster_role(helm4: Helm) -> None:
    def reviewers(**values: str) -> list[str]:
        rows = rendered(helm4, {f"resolver.authentication.{name}": value for name, value in values.items()})
        return [kind for (kind, _), item in rows.items() if "tokenreviews" in str(item.get("rules"))]

    assert reviewers() == []
    assert reviewers(tokenAudience="resolver") == ["ClusterRole"]


def test_documented_release_with_only_a_resolver_needs_no_operator_and_no_cluster_wide_objects(
    helm4: Helm, root: Path
) -> None:
    page = (root / "docs/reference/resolver.md").read_text(encoding="utf-8")
    command = page.partition("    helm install game charts/statefulroute ")[2].partition("\n\n")[0].replace("\\\n", "")
    items = documents(helm4.run("template", "game", str(CHART), *shlex.split(command)).expect_success().stdout)
    keys = {(item["kind"], item["metadata"]["name"]) for item in items}
    assert {("Deployment", "game-resolver"), ("Service", "game-resolver")} <= keys
    (operator,) = (
        item for item in items if item["kind"] == "Deployment" and item["metadata"]["name"] == "game-operator"
    )
    assert operator["spec"]["replicas"] == 0
    assert not {kind for kind, _ in keys} & {"ClusterRole", "CustomResourceDefinition", "Job"}
