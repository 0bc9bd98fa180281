"""Tests what the chart renders, without a cluster."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from chart.kinds import containers, documents, pod_specs
from chart.releases import CHART, Helm
from chart.samples import SAMPLES, dimensions, everything_on, nested
from helmchart.fields import values_of
from helmchart.observability import RUNBOOKS
from helmchart.values import Values
from statefulroute.cli.app import app

#: The longest name of a release that Helm accepts.
LONG_NAME = "r" * 53

STANDARD_LABELS = {
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/component",
    "app.kubernetes.io/version",
    "app.kubernetes.io/part-of",
    "app.kubernetes.io/managed-by",
    "helm.sh/chart",
}


class YamlSnapshot(SingleFileSnapshotExtension):
    """A snapshot as a YAML file, for review."""

    file_extension = "yaml"
    _write_mode = WriteMode.TEXT


def rendered(helm: Helm, values: dict[str, Any] | None = None, **options: Any) -> list[dict[str, Any]]:
    return documents(helm.render(values, "--namespace=play", **options).expect_success().stdout)


def test_chart_passes_helms_strict_lint(helm: Helm) -> None:
    helm.run("lint", "--strict", str(CHART)).expect_success()


def test_chart_passes_helms_strict_lint_with_everything_enabled(helm4: Helm) -> None:
    helm4.run("lint", "--strict", str(CHART), "--values=-", stdin=json.dumps(everything_on("play"))).expect_success()


def test_both_versions_of_helm_render_the_same(helm: Helm, helm4: Helm) -> None:
    assert rendered(helm, everything_on("play")) == rendered(helm4, everything_on("play"))


@pytest.mark.parametrize("what", ["default", "everything"])
def test_rendering_matches_the_snapshot(helm4: Helm, snapshot: SnapshotAssertion, what: str) -> None:
    values = everything_on("play") if what == "everything" else {}
    text = helm4.render(values, "--namespace=play").expect_success().stdout
    # The CRDs and the copied files are their own snapshots; a new version is not a change.
    pieces = [piece for piece in text.split("\n---\n") if not _is_copied(piece)]
    assert "\n---\n".join(pieces).replace(version("statefulroute"), "0.0.0") == snapshot(extension_class=YamlSnapshot)


def _is_copied(piece: str) -> bool:
    return any(
        f"/templates/{folder}" in piece for folder in ("crds/", "admission/", "monitoring/grafana", "monitoring/prom")
    )


def test_every_value_is_tested_with_more_than_its_default() -> None:
    leaves = {".".join(value.path) for value in values_of(Values()) if not value.is_group}
    tested = dimensions("play")
    missing = {path for path in leaves if path not in tested and path.rpartition(".")[0] not in tested}
    assert not missing
    assert not SAMPLES.keys() - tested.keys()
    assert all(options[0] != options[1] for options in tested.values())


@pytest.mark.parametrize("release", ["x", LONG_NAME, "a.b.c", f"{'a.' * 26}b"])
@pytest.mark.parametrize("override", ["", "n" * 63])
def test_no_name_or_label_is_too_long(helm4: Helm, release: str, override: str) -> None:
    names = {"nameOverride": override, "fullnameOverride": "", "image": {"tag": "v" * 128}}
    values = everything_on("play") | names | {"extraObjects": []}
    for item in rendered(helm4, values, release=release):
        metadata = item["metadata"]
        # After a dot, names of the cluster have the namespace of the release.
        assert all(len(label) <= 63 for label in metadata["name"].split(".")), metadata["name"]
        assert all(len(value) <= 63 for value in metadata["labels"].values()), metadata


def test_names_are_distinct_for_a_long_release_name(helm4: Helm) -> None:
    items = rendered(helm4, everything_on("play") | {"fullnameOverride": ""}, release=LONG_NAME)
    keys = [(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]) for item in items]
    assert len(keys) == len(set(keys))


def test_two_releases_of_some_namespaces_share_a_name_and_no_object(helm4: Helm) -> None:
    once = {name: {"install": False} for name in ("crds", "admissionPolicies")}
    alerts = {name: {"enabled": False} for name in ("prometheusRule", "grafanaDashboard")}
    values = everything_on("play") | once | alerts | {"namespaceOverride": ""}

    def keys(namespace: str) -> set[tuple[str, ...]]:
        text = helm4.render(values | {"watchNamespaces": [namespace]}, f"--namespace={namespace}").expect_success()
        return {
            (item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"])
            for item in documents(text.stdout)
        }

    play, work = keys("play"), keys("work")
    assert not play & work
    cluster_wide = {name for _, namespace, name in play if namespace != "play"}
    assert {name.partition(".")[2] for name in cluster_wide} == {"play"}
    reviews = {f"{'f' * length}-{kind}" for kind, length in (("operator-metrics", 46), ("resolver-tokens", 47))}
    assert {f"{name}.play" for name in reviews} < cluster_wide


def test_only_a_release_of_some_namespaces_has_its_namespace_in_names(helm4: Helm) -> None:
    values = {"metrics": {"tls": {"secretName": "tls"}, "authentication": True}}
    names = {item["metadata"]["name"] for item in rendered(helm4, values) if item["kind"] == "ClusterRole"}
    assert {"statefulroute-operator", "statefulroute-operator-metrics", "statefulroute-metrics-reader"} < names


@pytest.mark.parametrize("what", ["default", "everything"])
def test_every_object_has_the_standard_labels(helm4: Helm, what: str) -> None:
    values = everything_on("play") | {"extraObjects": []} if what == "everything" else {}
    for item in rendered(helm4, values):
        assert item["metadata"]["labels"].keys() >= STANDARD_LABELS, item["metadata"]


def test_custom_labels_do_not_replace_the_selector_labels(helm4: Helm) -> None:
    items = rendered(helm4, everything_on("play"))
    deployments = [item for item in items if item["kind"] == "Deployment" and "test" not in item["metadata"]["name"]]
    assert len(deployments) == 2
    for deployment in deployments:
        selector = deployment["spec"]["selector"]["matchLabels"]
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert selector.items() <= labels.items()
        assert {"team": "games", "sidecar": "no"}.items() <= labels.items()


def test_every_object_and_pod_has_the_common_annotations(helm4: Helm) -> None:
    common = {"example.com/owner": "games"}
    values = everything_on("play") | {"commonAnnotations": common, "watchNamespaces": ["work"], "extraObjects": []}
    items = rendered(helm4, values)
    templates = [item["spec"]["template"] for item in items if item["kind"] in {"Deployment", "Job"}]
    for item in [*items, *templates]:
        assert item["metadata"]["annotations"].items() >= common.items(), item["metadata"]


def test_common_annotations_replace_no_other_annotation(helm4: Helm) -> None:
    common = {
        "helm.sh/hook-weight": "7",
        "helm.sh/resource-policy": "delete",
        "kubectl.kubernetes.io/default-container": "proxy",
        "example.com/inject": "true",
    }

    def annotations(values: dict[str, Any]) -> list[dict[str, str]]:
        items = rendered(helm4, values)
        templates = [item["spec"]["template"] for item in items if item["kind"] in {"Deployment", "Job"}]
        return [item["metadata"].get("annotations", {}) for item in [*items, *templates]]

    values = everything_on("play") | {"commonAnnotations": {}, "extraObjects": []}
    pairs = zip(annotations(values), annotations(values | {"commonAnnotations": common}), strict=True)
    assert all(after == common | before for before, after in pairs)


def test_every_namespaced_object_has_its_namespace(helm4: Helm) -> None:
    for_the_cluster = {
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "FlowSchema",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    }
    for item in rendered(helm4, everything_on("play")):
        assert ("namespace" in item["metadata"]) == (item["kind"] not in for_the_cluster), item["metadata"]


@pytest.mark.parametrize("what", ["default", "everything"])
def test_command_accepts_every_command_line_of_the_chart(helm4: Helm, what: str) -> None:
    items = rendered(helm4, everything_on("play") if what == "everything" else {})
    command = typer.main.get_command(app)
    ours = [each for each in containers(items) if each["image"] != SAMPLES["extraContainers"][0]["image"]]
    lines = [container["args"] for container in ours if "command" not in container]
    resolver = {"resolver"} if what == "everything" else set()
    assert {line[0] for line in lines} == {"operator", "release", "link", "unlink"} | resolver
    for line in lines:
        subcommand = command.get_command(None, line[0])  # type: ignore[attr-defined]
        subcommand.make_context(line[0], list(line[1:])).close()


def test_without_leader_election_the_operator_stops_before_its_replacement_starts(helm4: Helm) -> None:
    items = rendered(helm4, {"leaderElection": {"enabled": False}, "replicas": 1})
    (deployment,) = (item for item in items if item["kind"] == "Deployment")
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert "--no-leader-elect" in container["args"]
    assert not [argument for argument in container["args"] if "lease" in argument]


def flow_schemas(items: list[dict[str, Any]]) -> dict[str, str]:
    """Returns the priority level of each FlowSchema, by name."""
    return {
        item["metadata"]["name"]: item["spec"]["priorityLevelConfiguration"]["name"]
        for item in items
        if item["kind"] == "FlowSchema"
    }


def test_lease_has_a_higher_priority_than_all_other_requests(helm4: Helm) -> None:
    both = {"statefulroute-operator-lease": "leader-election", "statefulroute-operator": "workload-low"}
    assert flow_schemas(rendered(helm4)) == both
    own = {"statefulroute-operator-lease": "leader-election", "statefulroute-operator": "routing"}
    assert flow_schemas(rendered(helm4, {"flowSchemas": {"priorityLevel": "routing"}})) == own
    without_lease = {"leaderElection": {"enabled": False}, "replicas": 1}
    assert flow_schemas(rendered(helm4, without_lease)) == {"statefulroute-operator": "workload-low"}


def test_flow_schemas_can_be_left_out(helm4: Helm) -> None:
    assert flow_schemas(rendered(helm4, {"flowSchemas": {"install": False}})) == {}
    assert flow_schemas(rendered(helm4, {"watchNamespaces": ["play"]})) == {}, "its installer may have no right to"


def patched_resources(items: list[dict[str, Any]], name: str) -> set[str]:
    """Returns the resources that the roles with a name may patch, without those of this project."""
    return {
        resource
        for item in items
        if item["kind"] in {"ClusterRole", "Role"} and item["metadata"]["name"] == name
        for rule in item["rules"]
        if "patch" in rule["verbs"] and rule["apiGroups"] != ["statefulroute.io"]
        for resource in rule["resources"]
    }


SCALES = {"statefulsets/scale", "deployments/scale", "replicasets/scale"}
ANNOTATED = {"pods", "statefulsets", "deployments", "replicasets"}


@pytest.mark.parametrize("namespaces", [[], ["play", "work"]], ids=["all namespaces", "some namespaces"])
@pytest.mark.parametrize(
    ("annotates", "plans", "operator", "release", "options"),
    [
        (True, True, ANNOTATED | SCALES, ANNOTATED, set()),
        (True, False, ANNOTATED, ANNOTATED, {"--no-plan-disruptions"}),
        (False, True, {"pods"} | SCALES, {"pods"}, {"--no-annotate"}),
        (False, False, set(), set(), {"--no-annotate", "--no-plan-disruptions"}),
    ],
)
def test_only_what_is_switched_on_may_be_patched(  # noqa: PLR0913, PLR0917 - values, and what follows from them
    helm4: Helm,
    annotates: bool,
    plans: bool,
    operator: set[str],
    release: set[str],
    options: set[str],
    namespaces: list[str],
) -> None:
    values = {"watchNamespaces": namespaces, "writeAnnotations": annotates, "planDisruptions": plans}
    items = rendered(helm4, values)
    assert patched_resources(items, "statefulroute-operator") == operator
    assert patched_resources(items, "statefulroute-release") == release
    (arguments,) = (container["args"] for container in containers(items) if container["args"][0] == "operator")
    assert {argument for argument in arguments if argument.startswith("--no-")} == options


@pytest.mark.parametrize("namespaces", [[], ["play"]], ids=["all namespaces", "some namespaces"])
@pytest.mark.parametrize("plans", [True, False])
def test_budgets_are_written_only_if_disruptions_are_planned_and_nodes_are_seen(
    helm4: Helm, plans: bool, namespaces: list[str]
) -> None:
    items = rendered(helm4, {"planDisruptions": plans, "watchNamespaces": namespaces})
    granted = {
        (item["metadata"]["name"], resource, verb)
        for item in items
        if item["kind"] in {"ClusterRole", "Role"}
        for rule in item["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if resource == "poddisruptionbudgets"
    }
    operator, release = "statefulroute-operator", "statefulroute-release"
    expected = {
        *((operator, "poddisruptionbudgets", verb) for verb in ("list", "create", "delete") if not namespaces),
        *((release, "poddisruptionbudgets", verb) for verb in ("list", "delete")),
    }
    assert granted == (expected if plans else set())


@pytest.mark.parametrize("namespaces", [[], ["play"]], ids=["all namespaces", "some namespaces"])
@pytest.mark.parametrize("creates", [True, False])
def test_operator_may_create_links_only_for_slots(helm4: Helm, creates: bool, namespaces: list[str]) -> None:
    items = rendered(helm4, {"createSlots": creates, "watchNamespaces": namespaces})
    creators = {
        item["metadata"]["name"]
        for item in items
        if item["kind"] in {"ClusterRole", "Role"}
        for rule in item["rules"]
        if "podlinks" in rule["resources"] and "create" in rule["verbs"]
    }
    assert ("statefulroute-operator" in creators) is creates
    assert "statefulroute-release" not in creators


def command_pods(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the pods, as objects or templates, of hooks and of `helm test`."""
    hooks = [item for item in items if "helm.sh/hook" in item["metadata"].get("annotations", {})]
    templates = [item["spec"]["template"] for item in hooks if item["kind"] in {"Job", "Deployment"}]
    return templates + [item for item in hooks if item["kind"] == "Pod"]


def test_pods_of_hooks_have_what_a_cluster_may_demand(helm4: Helm) -> None:
    hooks = {name: SAMPLES[f"hooks.{name}"] for name in ("podLabels", "podAnnotations", "resources")}
    values = {"hooks": hooks | {"priorityClassName": "low"}, "watchNamespaces": ["work"]}
    pods = command_pods(rendered(helm4, values))
    components = {pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in pods}
    assert components == {"release", "test", "test-server"}
    for pod in pods:
        assert pod["metadata"]["labels"]["sidecar"] == "no"
        assert pod["metadata"]["annotations"].items() >= hooks["podAnnotations"].items()
        assert pod["spec"]["priorityClassName"] == "low"
        for container in pod["spec"].get("initContainers", []) + pod["spec"]["containers"]:
            assert container["resources"] == hooks["resources"]


def test_every_pod_has_a_network_policy_unless_there_is_none(helm4: Helm) -> None:
    values = {"watchNamespaces": ["work"], "resolver": {"enabled": True}}
    items = rendered(helm4, values)
    policies = [item for item in items if item["kind"] == "NetworkPolicy"]
    deployments = [item["spec"]["template"] for item in items if item["kind"] == "Deployment"]
    for pod in command_pods(items) + deployments:
        labels = pod["metadata"]["labels"]
        assert any(each["spec"]["podSelector"]["matchLabels"].items() <= labels.items() for each in policies)
    off = {"networkPolicy": {"enabled": False}, "resolver": {"networkPolicy": {"enabled": False}}}
    assert not [item for item in rendered(helm4, values | off) if item["kind"] == "NetworkPolicy"]


def test_policies_of_cilium_match_the_snapshot(helm4: Helm, snapshot: SnapshotAssertion) -> None:
    values = everything_on("play", "CiliumNetworkPolicy") | {"watchNamespaces": ["work"]}
    text = helm4.render(values, "--namespace=play").expect_success().stdout
    pieces = [piece for piece in text.split("\n---\n") if "kind: CiliumNetworkPolicy" in piece]
    assert "\n---\n".join(pieces).replace(version("statefulroute"), "0.0.0") == snapshot(extension_class=YamlSnapshot)


#: The same clients and destinations in the format of each kind of policies.
GATEWAY, COLLECTOR = {"matchLabels": {"app": "gateway"}}, {"matchLabels": {"app": "collector"}}
RESTRICTIONS: dict[str, tuple[list[Any], list[Any]]] = {
    "NetworkPolicy": (
        [{"podSelector": GATEWAY}],
        [{"to": [{"podSelector": COLLECTOR}], "ports": [{"port": 4318, "protocol": "TCP"}]}],
    ),
    "CiliumNetworkPolicy": (
        [{"fromEndpoints": [GATEWAY]}],
        [{"toEndpoints": [COLLECTOR], "toPorts": [{"ports": [{"port": "4318", "protocol": "TCP"}]}]}],
    ),
}


def policies_by_name(items: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """Returns the metadata of each network policy, and what it selects and allows, independently of its kind."""
    return {
        (item["metadata"]["namespace"], item["metadata"]["name"], meaning["pods"]): meaning
        for item in items
        if item["kind"] in RESTRICTIONS
        for meaning in [{"metadata": item["metadata"], **_meaning(item["spec"], item["kind"])}]
    }


def _meaning(spec: dict[str, Any], kind: str) -> dict[str, Any]:
    """Returns the selected pods, and the allowed connections as pairs of pods and ports; None allows everything."""
    if kind == "NetworkPolicy":
        limited = {direction.lower() for direction in spec["policyTypes"]}
        selector = spec["podSelector"]
    else:
        limited = spec.keys() & {"ingress", "egress"}
        selector = spec["endpointSelector"]
    allowed = {
        direction: None
        if direction not in limited
        else {pair for rule in spec.get(direction, []) for pair in _allowed(rule, way)}
        for direction, way in (("ingress", "from"), ("egress", "to"))
    }
    return {"pods": str(sorted(selector["matchLabels"].items())), **allowed}


def _allowed(rule: dict[str, Any], way: str) -> set[tuple[str, str, str]]:
    """Returns the pods, the port and the protocol of the allowed connections of a rule of either kind."""
    selectors = rule.get(f"{way}Endpoints") or [peer["podSelector"] for peer in rule.get(way, [])]
    if not rule:
        return set()  # of Cilium: nothing is allowed
    ports = rule.get("ports") or [port for each in rule["toPorts"] for port in each["ports"]]
    pods = {str(sorted(selector["matchLabels"].items())) for selector in selectors} or {"all"}
    return {(each, str(port["port"]), port["protocol"]) for each in pods for port in ports}


@pytest.mark.parametrize("restricted", [True, False])
def test_policies_of_both_kinds_mean_the_same(helm4: Helm, restricted: bool) -> None:
    def policies(kind: str) -> dict[tuple[str, str], dict[str, Any]]:
        clients, destinations = RESTRICTIONS[kind] if restricted else ([], [])
        limits = {"ingressFrom": clients, "egress": destinations}
        resolver = {"enabled": True, "networkPolicy": limits | {"metricsFrom": clients}}
        values = {"watchNamespaces": ["work"], "networkPolicy": limits | {"kind": kind}, "resolver": resolver}
        items = rendered(helm4, values)
        assert {item["kind"] for item in items} & RESTRICTIONS.keys() == {kind}
        return policies_by_name(items)

    of_kubernetes = policies("NetworkPolicy")
    assert len(of_kubernetes) == 5
    assert of_kubernetes == policies("CiliumNetworkPolicy")


def test_pods_of_hooks_reach_what_the_operator_reaches_and_the_test_the_resolver(helm4: Helm) -> None:
    egress = SAMPLES["networkPolicy.egress"]
    items = rendered(helm4, {"networkPolicy": {"egress": egress}, "resolver": {"enabled": True}})
    policies = {item["metadata"]["name"]: item["spec"] for item in items if item["kind"] == "NetworkPolicy"}
    release, test = policies["statefulroute-release"], policies["statefulroute-test"]
    assert release["policyTypes"] == test["policyTypes"] == ["Ingress", "Egress"]
    assert release["egress"] == egress
    *same, look_ups = test["egress"]
    assert same == egress
    assert look_ups["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "resolver"


def test_uninstallation_ends_soon_if_its_image_cannot_be_pulled(helm4: Helm) -> None:
    (job,) = (item for item in rendered(helm4) if item["kind"] == "Job")
    assert job["spec"]["activeDeadlineSeconds"] == 120


def test_metrics_of_the_resolver_are_not_at_the_service_of_gateways(helm4: Helm) -> None:
    items = rendered(helm4, {"resolver": {"enabled": True}, "serviceMonitor": {"enabled": True}})
    services = {item["metadata"]["name"]: item for item in items if item["kind"] == "Service"}
    ports = {name: {port["name"] for port in item["spec"]["ports"]} for name, item in services.items()}
    assert ports["statefulroute-resolver"] == {"http", "grpc"}
    assert ports["statefulroute-resolver-metrics"] == {"metrics"}
    (monitor,) = (
        item["spec"]
        for item in items
        if item["kind"] == "ServiceMonitor" and item["metadata"]["name"] == "statefulroute-resolver"
    )
    labels = services["statefulroute-resolver-metrics"]["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    assert monitor["endpoints"][0]["port"] == "metrics"


def test_values_of_the_node_apply_to_every_pod(helm4: Helm) -> None:
    values = {"hostUsers": False, "runtimeClassName": "gvisor", "resolver": {"enabled": True}}
    specs = pod_specs(rendered(helm4, values))
    assert len(specs) == 4
    assert all((spec["hostUsers"], spec["runtimeClassName"]) == (False, "gvisor") for spec in specs)
    assert not [spec for spec in pod_specs(rendered(helm4)) if "hostUsers" in spec or "runtimeClassName" in spec]


def test_scheduler_and_service_links_apply_to_every_pod(helm4: Helm) -> None:
    settings = {"schedulerName": "second-scheduler", "enableServiceLinks": False}
    specs = pod_specs(rendered(helm4, settings | {"resolver": {"enabled": True}}))
    assert len(specs) == 4
    assert all(spec.items() >= settings.items() for spec in specs)
    assert not [spec for spec in pod_specs(rendered(helm4)) if spec.keys() & settings.keys()]


@pytest.mark.parametrize("values", [{}, {"nodeSelector": {"pool": "a"}, "resolver": {"nodeSelector": {"pool": "b"}}}])
def test_every_pod_runs_on_linux(helm4: Helm, values: dict[str, Any]) -> None:
    resolver = {"enabled": True} | values.get("resolver", {})
    specs = pod_specs(rendered(helm4, values | {"resolver": resolver, "watchNamespaces": ["work"]}))
    assert len(specs) == 5
    assert all(spec["nodeSelector"]["kubernetes.io/os"] == "linux" for spec in specs)


def test_operating_system_of_the_nodes_can_be_left_out(helm4: Helm) -> None:
    specs = pod_specs(rendered(helm4, {"nodeSelector": {"kubernetes.io/os": None}, "resolver": {"enabled": True}}))
    assert not [spec for spec in specs if "nodeSelector" in spec]


def test_resolver_has_the_nodes_of_all_pods_or_its_own(helm4: Helm) -> None:
    linux = {"kubernetes.io/os": "linux"}
    settings = {"nodeSelector": SAMPLES["nodeSelector"] | linux, "tolerations": SAMPLES["tolerations"]}
    own = {"nodeSelector": {"pool": "gateways"} | linux, "tolerations": [{"key": "gateways", "operator": "Exists"}]}
    specs = pod_specs(rendered(helm4, settings | {"resolver": {"enabled": True}}))
    assert len(specs) == 4
    assert all(spec.items() >= settings.items() for spec in specs)

    specs = pod_specs(rendered(helm4, settings | {"resolver": {"enabled": True, **own}}))
    assert [spec.items() >= own.items() for spec in specs].count(True) == 1
    assert [spec.items() >= settings.items() for spec in specs].count(True) == 3


def test_network_settings_apply_to_every_pod(helm4: Helm) -> None:
    settings = {name: SAMPLES[name] for name in ("hostAliases", "dnsPolicy", "dnsConfig")}
    specs = pod_specs(rendered(helm4, settings | {"resolver": {"enabled": True}, "watchNamespaces": ["work"]}))
    assert len(specs) == 5
    assert all(spec.items() >= settings.items() for spec in specs)
    assert not [spec for spec in pod_specs(rendered(helm4)) if spec.keys() & settings.keys()]


@pytest.mark.parametrize(
    ("kind", "group", "key"),
    [("ServiceMonitor", "serviceMonitor", "endpoints"), ("PodMonitor", "podMonitor", "podMetricsEndpoints")],
)
def test_monitors_have_further_fields_which_take_precedence(helm4: Helm, kind: str, group: str, key: str) -> None:
    spec = {"sampleLimit": 50_000, "jobLabel": "app", "podTargetLabels": ["team"]}
    endpoint = {"honorTimestamps": False, "honorLabels": False, "path": "/other"}
    monitor = {"enabled": True, "endpointConfig": endpoint, **spec}
    items = rendered(helm4, {group: monitor, "resolver": {"enabled": True}})
    specs = [item["spec"] for item in items if item["kind"] == kind]
    assert len(specs) == 2
    for each in specs:
        assert each.items() >= spec.items()
        assert each[key][0] == {"port": each[key][0]["port"], "interval": "30s"} | endpoint

    plain = rendered(helm4, {group: {"enabled": True}})
    (default,) = (item["spec"] for item in plain if item["kind"] == kind)
    assert default[key] == [{"port": "http", "path": "/metrics", "honorLabels": True, "interval": "30s"}]
    assert default.keys() == {"namespaceSelector", "selector", key}


def test_deployments_have_annotations_of_their_own(helm4: Helm) -> None:
    resolver = {"enabled": True, "deploymentAnnotations": {"reload": "resolver"}}
    values = {"commonAnnotations": {"reload": "all", "owner": "a"}, "deploymentAnnotations": {"reload": "operator"}}
    deployments = [item for item in rendered(helm4, values | {"resolver": resolver}) if item["kind"] == "Deployment"]
    assert len(deployments) == 2
    for item in deployments:
        component = item["metadata"]["labels"]["app.kubernetes.io/component"]
        assert item["metadata"]["annotations"] == {"reload": component, "owner": "a"}
        assert item["spec"]["template"]["metadata"]["annotations"]["reload"] == "all"


@pytest.mark.parametrize(
    ("options", "adapt", "expected"),
    [
        ([], None, True),
        (["--api-versions=security.openshift.io/v1"], None, False),
        (["--api-versions=security.openshift.io/v1"], "disabled", True),
        (["--api-versions=security.openshift.io/v1beta1"], "auto", True),
        ([], "force", False),
    ],
)
def test_user_ids_are_left_to_openshift(helm4: Helm, options: list[str], adapt: str | None, *, expected: bool) -> None:
    compatibility = {} if adapt is None else {"openshift": {"adaptSecurityContext": adapt}}
    values = {"resolver": {"enabled": True}, "watchNamespaces": ["work"], "global": {"compatibility": compatibility}}
    specs = pod_specs(documents(helm4.render(values, "--namespace=play", *options).expect_success().stdout))
    assert len(specs) == 5
    ids = {"runAsUser", "runAsGroup", "fsGroup"}
    for spec in specs:
        assert spec["securityContext"].keys() & ids == (ids if expected else set())
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


def test_only_containers_that_call_the_api_server_have_a_token(helm4: Helm) -> None:
    added = {name: SAMPLES[name] for name in ("extraInitContainers", "extraContainers")}
    resolver = {"enabled": True, "authentication": {"tokenAudience": "resolver"}} | added
    specs = pod_specs(rendered(helm4, added | {"resolver": resolver, "watchNamespaces": ["work", "home"]}))
    assert not any(spec["automountServiceAccountToken"] for spec in specs)
    with_token = [
        container["name"]
        for spec in specs
        for container in (*spec.get("initContainers", ()), *spec["containers"])
        if "/var/run/secrets/kubernetes.io/serviceaccount" in _mounted_tokens(spec, container)
    ]
    assert sorted(with_token) == ["link", "operator", "release", "release-0", "resolver", "unlink"]


def _mounted_tokens(spec: dict[str, Any], container: dict[str, Any]) -> set[str]:
    """Returns where a container mounts a token for the API server, with its authority and the namespace."""
    sources = {"serviceAccountToken", "configMap", "downwardAPI"}
    volumes = {
        volume["name"]
        for volume in spec.get("volumes", ())
        if {kind for source in volume.get("projected", {}).get("sources", ()) for kind in source} == sources
    }
    return {mount["mountPath"] for mount in container.get("volumeMounts", ()) if mount["name"] in volumes}


@pytest.mark.parametrize("component", ["operator", "resolver"])
def test_containers_of_the_user_are_beside_the_components_own(helm4: Helm, component: str) -> None:
    added = {name: SAMPLES[name] for name in ("extraInitContainers", "extraContainers", "strategy")}
    values: dict[str, Any] = {"operator": added, "resolver": {"resolver": added}}[component]
    items = rendered(helm4, values | {"resolver": {"enabled": True} | values.get("resolver", {})})
    deployments = {item["metadata"]["name"]: item["spec"] for item in items if item["kind"] == "Deployment"}
    assert len(deployments) == 2
    for name, spec in deployments.items():
        own, *others = spec["template"]["spec"]["containers"]
        assert name == f"statefulroute-{own['name']}"
        if own["name"] == component:
            assert others == added["extraContainers"]
            assert spec["template"]["spec"]["initContainers"] == added["extraInitContainers"]
            assert spec["strategy"] == added["strategy"]
        else:
            assert not others
            assert "initContainers" not in spec["template"]["spec"]
            assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_objects_of_the_user_are_rendered_as_templates(helm4: Helm) -> None:
    items = rendered(helm4, {"extraObjects": SAMPLES["extraObjects"], "commonAnnotations": {"a": "b"}})
    added = {item["metadata"]["name"]: item for item in items if item["kind"] == "ConfigMap"}
    assert added.keys() == {"statefulroute-authorities", "statefulroute-settings"}
    assert added["statefulroute-authorities"]["data"] == {"operator": "statefulroute"}
    assert added["statefulroute-settings"]["metadata"]["labels"].keys() >= STANDARD_LABELS
    assert all("annotations" not in item["metadata"] for item in added.values())


def test_digest_takes_precedence_over_tag(helm4: Helm) -> None:
    digest = SAMPLES["image.digest"]
    images = {each["image"] for each in containers(rendered(helm4, {"image": {"digest": digest, "tag": "x"}}))}
    assert images == {f"statefulroute@{digest}"}


def test_password_with_any_characters_reaches_the_pull_secret(helm4: Helm) -> None:
    import base64  # noqa: PLC0415

    items = rendered(helm4, {"imageCredentials": SAMPLES["imageCredentials"]})
    (secret,) = (item for item in items if item["kind"] == "Secret")
    registry = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))["auths"]["registry.invalid"]
    assert registry["password"] == SAMPLES["imageCredentials"]["password"]
    assert base64.b64decode(registry["auth"]).decode() == f"robot:{registry['password']}"
    assert all(spec["imagePullSecrets"] == [{"name": secret["metadata"]["name"]}] for spec in pod_specs(items))


def test_password_is_in_no_other_object(helm4: Helm) -> None:
    text = helm4.render({"imageCredentials": {"registry": "r", "username": "u", "password": "verysecret"}}).stdout
    assert "verysecret" not in text


def test_uninstalling_keeps_the_crds_by_default(helm4: Helm) -> None:
    def policies(keep: bool) -> set[str | None]:
        items = rendered(helm4, {"crds": {"keep": keep}})
        definitions = [item["metadata"] for item in items if item["kind"] == "CustomResourceDefinition"]
        return {each.get("annotations", {}).get("helm.sh/resource-policy") for each in definitions}

    assert policies(keep=True) == {"keep"}
    assert policies(keep=False) == {None}


def test_values_that_are_empty_by_default_may_be_null(helm4: Helm) -> None:
    rendered(helm4, nested({path: None for path, options in dimensions("play").items() if options[0] in ("", [], {})}))


def monitoring_file(root: Path, name: str) -> str:
    file = root / "deploy" / "monitoring" / name
    if not file.exists():
        pytest.skip(f"{file.relative_to(root)} does not exist yet")
    return file.read_text()


def test_alerts_are_those_of_the_repository_with_the_configured_runbook_url(helm4: Helm, root: Path) -> None:
    alerts = monitoring_file(root, "alerts.yaml")
    assert RUNBOOKS in alerts
    pages = "https://wiki.invalid/"
    (rule,) = (
        item
        for item in rendered(helm4, {"prometheusRule": {"enabled": True, "runbookUrl": pages}})
        if item["kind"] == "PrometheusRule"
    )
    assert rule["spec"] == yaml.safe_load(alerts.replace(RUNBOOKS, pages))


def test_dashboard_is_that_of_the_repository(helm4: Helm, root: Path) -> None:
    dashboard = monitoring_file(root, "dashboard.json")
    items = rendered(helm4, {"grafanaDashboard": {"enabled": True}})
    (shown,) = (item for item in items if item["kind"] == "ConfigMap")
    assert json.loads(shown["data"]["statefulroute.json"]) == json.loads(dashboard)
