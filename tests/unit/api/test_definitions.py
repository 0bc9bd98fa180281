"""The CRDs, admission policies and RBAC roles."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from statefulroute.api import rbac
from statefulroute.api.admission import namespace_locality, operator_budgets, operator_writes, own_pod
from statefulroute.api.crd import custom_resource_definition
from statefulroute.api.podlink import PodLink
from statefulroute.api.statefulroute import StatefulRoute
from statefulroute.api.vocabulary import (
    FOREIGN_NAMESPACE_MESSAGE,
    ConditionType,
    LinkPhase,
    LoadSource,
    MoveReason,
    OpenEnum,
    PodLostAction,
    RoutingState,
    ServiceState,
    WorkloadState,
)

KINDS: dict[str, type[PodLink | StatefulRoute]] = {"podlinks": PodLink, "statefulroutes": StatefulRoute}
CRDS = {plural: custom_resource_definition(model) for plural, model in KINDS.items()}
POLICIES = [make()[0] for make in (namespace_locality, operator_budgets, operator_writes, own_pod)]


def field(plural: str, path: str) -> dict[str, Any]:
    """Returns the schema at a path such as `status.pods[].routingState`."""
    (version,) = CRDS[plural]["spec"]["versions"]
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    for name in path.split("."):
        schema = schema["properties"][name.removesuffix("[]")]
        if name.endswith("[]"):
            schema = schema["items"]
    return schema


@pytest.mark.parametrize(
    ("plural", "path", "vocabulary"),
    [
        ("statefulroutes", "spec.load.source", LoadSource),
        ("statefulroutes", "spec.onPodLost.action", PodLostAction),
    ],
)
def test_enum_of_a_setting_is_its_vocabulary(plural: str, path: str, vocabulary: type[OpenEnum]) -> None:
    assert field(plural, path)["enum"] == [str(member) for member in vocabulary.known()]


@pytest.mark.parametrize(
    ("plural", "path", "vocabulary"),
    [
        ("podlinks", "status.phase", LinkPhase),
        ("podlinks", "status.previous.reason", MoveReason),
        ("podlinks", "status.conditions[].type", ConditionType),
        ("statefulroutes", "status.routingState", RoutingState),
        ("statefulroutes", "status.workloadState", WorkloadState),
        ("statefulroutes", "status.pods[].serviceState", ServiceState),
        ("statefulroutes", "status.pods[].routingState", RoutingState),
        ("statefulroutes", "status.conditions[].type", ConditionType),
    ],
)
def test_status_may_have_values_of_later_versions(plural: str, path: str, vocabulary: type[OpenEnum]) -> None:
    schema = field(plural, path)
    assert f"One of {', '.join(vocabulary.known())}, or a value of a later version." in schema["description"]
    assert (schema["type"], schema["pattern"], schema["maxLength"]) == ("string", "^[A-Z][A-Za-z0-9]*$", 128)
    assert "enum" not in schema


@pytest.mark.parametrize("plural", KINDS)
def test_only_the_status_of_a_condition_is_a_closed_enum_in_a_status(plural: str) -> None:
    (version,) = CRDS[plural]["spec"]["versions"]
    status = version["schema"]["openAPIV3Schema"]["properties"]["status"]
    assert enums(status) == [["True", "False", "Unknown"]]


def enums(schema: dict[str, Any]) -> list[list[str]]:
    """Returns all enums inside a schema."""
    inner = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]
    return [*([schema["enum"]] if "enum" in schema else []), *(enum for each in inner for enum in enums(each))]


@pytest.mark.parametrize("path", ["spec.routingState", "spec.pods[].routingState"])
def test_users_can_set_all_routing_states_except_unknown(path: str) -> None:
    settable = [str(state) for state in RoutingState if state is not RoutingState.UNKNOWN]
    assert field("statefulroutes", path)["enum"] == settable


@pytest.mark.parametrize("plural", KINDS)
def test_name_of_a_crd_is_plural_and_group(plural: str) -> None:
    definition = CRDS[plural]
    spec = definition["spec"]
    assert (
        definition["metadata"]["name"] == f"{spec['names']['plural']}.{spec['group']}" == f"{plural}.statefulroute.io"
    )
    assert spec["names"]["kind"] == KINDS[plural].__name__


def test_names_of_kinds_and_category_are_unique() -> None:
    all_names: list[str] = []
    for definition in CRDS.values():
        names = definition["spec"]["names"]
        all_names += [names["plural"], names["singular"], *names["shortNames"]]
        assert names["categories"] == ["stateful-routing"]
    assert len({*all_names, "stateful-routing"}) == len(all_names) + 1


@pytest.mark.parametrize("plural", KINDS)
def test_printer_columns_and_selectable_fields_exist_in_the_schema(plural: str) -> None:
    (version,) = CRDS[plural]["spec"]["versions"]
    paths = [column["jsonPath"] for column in version["additionalPrinterColumns"]]
    paths += [selector["jsonPath"] for selector in version.get("selectableFields", [])]
    for path in paths:
        if not path.startswith(".metadata."):
            assert field(plural, path.lstrip(".").replace("[?(@.type=='Ready')]", "[]"))


@pytest.mark.parametrize("plural", KINDS)
def test_status_is_a_subresource(plural: str) -> None:
    (version,) = CRDS[plural]["spec"]["versions"]
    assert version["subresources"]["status"] == {}


def test_only_routes_have_a_scale_whose_paths_exist_in_the_schema() -> None:
    scales = {plural: CRDS[plural]["spec"]["versions"][0]["subresources"].get("scale") for plural in KINDS}
    assert [plural for plural, scale in scales.items() if scale] == ["statefulroutes"]
    for path in scales["statefulroutes"].values():
        assert field("statefulroutes", path.lstrip("."))


def test_namespace_policy_denies_with_the_message_of_the_operator() -> None:
    policy, binding = namespace_locality()
    (validation,) = policy["spec"]["validations"]
    assert validation["message"] == FOREIGN_NAMESPACE_MESSAGE == "only local namespace is supported"
    assert policy["spec"]["failurePolicy"] == "Fail"
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}


def test_namespace_policy_matches_only_creations_and_updates_of_links() -> None:
    policy, _ = namespace_locality()
    assert policy["spec"]["matchConstraints"]["resourceRules"] == [
        {
            "apiGroups": ["statefulroute.io"],
            "apiVersions": ["v1alpha1"],
            "operations": ["CREATE", "UPDATE"],
            "resources": ["podlinks"],
        }
    ]


def test_own_pod_policy_matches_only_updates_of_pods_and_fails_closed() -> None:
    policy, binding = own_pod()
    assert policy["spec"]["matchConstraints"]["resourceRules"] == [
        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["pods"]}
    ]
    assert policy["spec"]["failurePolicy"] == "Fail"
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}


def test_own_pod_policy_forbids_with_a_message_for_each_validation() -> None:
    validations = own_pod()[0]["spec"]["validations"]
    assert {each["reason"] for each in validations} == {"Forbidden"}
    assert len({each["message"] for each in validations}) == len(validations) == 5


def test_policy_of_operator_writes_judges_updates_of_pods_and_annotated_workloads() -> None:
    policy, binding = operator_writes()
    rules = policy["spec"]["matchConstraints"]["resourceRules"]
    assert [operation for rule in rules for operation in rule["operations"]] == ["UPDATE", "UPDATE"]
    judged = {(group, name) for rule in rules for group in rule["apiGroups"] for name in rule["resources"]}
    patched = {
        (group, name)
        for rule in rbac.annotation_rules()
        if "patch" in rule["verbs"]
        for group in rule["apiGroups"]
        for name in rule["resources"]
    }
    assert judged == patched
    assert policy["spec"]["failurePolicy"] == "Fail"
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}
    assert len({validation["message"] for validation in policy["spec"]["validations"]}) == 4


def test_policy_of_operator_writes_allows_the_label_of_pods() -> None:
    spec = operator_writes()[0]["spec"]
    (labels,) = (variable["expression"] for variable in spec["variables"] if variable["name"] == "labels")
    assert labels == "variables.isPod ? ['statefulroute.io/occupied'] : []"
    messages = [validation["message"] for validation in spec["validations"]]
    assert "the operator may change only these labels: statefulroute.io/occupied of pods" in messages


def test_policy_of_operator_budgets_judges_what_the_roles_grant_and_fails_closed() -> None:
    policy, binding = operator_budgets()
    (judged,) = policy["spec"]["matchConstraints"]["resourceRules"]
    (granted,) = (rule for rule in rbac.disruption_rules() if "poddisruptionbudgets" in rule["resources"])
    assert (judged["apiGroups"], judged["resources"]) == (granted["apiGroups"], granted["resources"])
    assert {verb.lower() for verb in judged["operations"]} == set(granted["verbs"]) - {"list"}
    assert policy["spec"]["failurePolicy"] == "Fail"
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}


@pytest.mark.parametrize("role", [rbac.operator_cluster_role, rbac.operator_role, rbac.release_role])
def test_roles_without_planned_disruptions_grant_nothing_for_them(role: Callable[..., dict[str, Any]]) -> None:
    def resources(**options: bool) -> set[str]:
        return {resource for rule in role(**options)["rules"] for resource in rule["resources"]}

    scales, evictions, budgets = "statefulsets/scale", "pods/eviction", "poddisruptionbudgets"
    granted = {
        rbac.operator_cluster_role: {scales, evictions, budgets},
        rbac.operator_role: {scales, evictions},  # it sees no nodes, so it guards no pods
        rbac.release_role: {budgets},
    }
    assert resources() & {scales, evictions, budgets} == granted[role]
    assert not resources(plans_disruptions=False) & {scales, evictions, budgets}


ROLES = {
    "operator": rbac.operator_cluster_role(),
    "operator in a namespace": rbac.operator_role(),
    "Lease": rbac.lease_role(),
    "release": rbac.release_cluster_role(),
    "stop": rbac.stop_role("statefulroute-operator"),
    "server": rbac.server_role(),
    "client": rbac.client_role(),
    "view": rbac.view_cluster_role(),
    "edit": rbac.edit_cluster_role(),
    "resolver": rbac.resolver_cluster_role(),
    "resolver in a namespace": rbac.resolver_role(),
    "resolver with tokens": rbac.resolver_tokens_cluster_role(),
    "reviews for metrics": rbac.metrics_reviews_cluster_role(),
}


def verbs(component: str, resource: str) -> set[str]:
    """Returns the verbs that a role grants on a resource."""
    return {verb for rule in ROLES[component]["rules"] if resource in rule["resources"] for verb in rule["verbs"]}


@pytest.mark.parametrize("component", ROLES)
def test_roles_contain_no_wildcards(component: str) -> None:
    for rule in ROLES[component]["rules"]:
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]


@pytest.mark.parametrize("component", ROLES)
def test_roles_grant_no_access_to_secrets(component: str) -> None:
    assert not verbs(component, "secrets")


@pytest.mark.parametrize("component", ["server", "client"])
def test_roles_of_drivers_name_no_namespace(component: str) -> None:
    assert ROLES[component]["kind"] == "Role"
    assert ROLES[component]["metadata"]["name"] == f"statefulroute-{component}"
    assert "namespace" not in ROLES[component]["metadata"]


def test_namespaced_operator_role_has_all_rules_except_nodes_and_what_needs_them() -> None:
    needs_nodes = (["nodes"], ["poddisruptionbudgets"])
    rules = [rule for rule in ROLES["operator"]["rules"] if rule["resources"] not in needs_nodes]
    assert rules == ROLES["operator in a namespace"]["rules"]


def test_lease_role_is_restricted_to_one_lease() -> None:
    named_rules = [rule for rule in rbac.lease_role("ours")["rules"] if rule["verbs"] != ["create"]]
    assert [rule.get("resourceNames") for rule in named_rules] == [["ours"]]


def test_stop_role_is_restricted_to_one_deployment() -> None:
    rules = [rule for rule in rbac.stop_role("ours")["rules"] if rule["apiGroups"] == ["apps"]]
    assert {name for rule in rules for name in rule.get("resourceNames", ["*"])} == {"ours"}


def test_only_the_server_role_grants_report() -> None:
    assert [component for component in ROLES if "report" in verbs(component, "statefulroutes")] == ["server"]


def test_server_role_does_not_grant_update_of_pods() -> None:
    assert verbs("server", "pods") == {"get", "patch"}


def test_client_role_grants_writes_of_links_only() -> None:
    changed = {
        resource
        for rule in rbac.client_role()["rules"]
        for resource in rule["resources"]
        if not {"get", "list", "watch"}.issuperset(rule["verbs"])
    }
    assert changed == {"podlinks"}


def test_editors_write_links_and_routes_but_no_status() -> None:
    assert verbs("edit", "podlinks") == verbs("edit", "statefulroutes") >= {"create", "patch", "delete"}
    assert not verbs("edit", "podlinks/status") | verbs("edit", "statefulroutes/status")


def test_viewers_only_read() -> None:
    assert {verb for rule in ROLES["view"]["rules"] for verb in rule["verbs"]} == {"get", "list", "watch"}


def test_resolver_role_grants_create_and_patch_but_not_delete_of_links() -> None:
    assert verbs("resolver", "podlinks") == {"get", "list", "watch", "create", "patch"}
    assert verbs("resolver", "statefulroutes") == verbs("resolver", "pods") == {"list", "watch"}
    assert ROLES["resolver"]["rules"] == ROLES["resolver in a namespace"]["rules"]


def test_reviews_are_granted_only_by_roles_for_them() -> None:
    def granting(resource: str) -> list[str]:
        return [component for component in ROLES if verbs(component, resource)]

    assert granting("tokenreviews") == ["resolver with tokens", "reviews for metrics"]
    assert granting("subjectaccessreviews") == ["reviews for metrics"]


def expressions(value: object) -> Iterator[str]:
    """Returns the CEL expressions in a definition."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in {"rule", "messageExpression", "expression"}:
                yield inner
            else:
                yield from expressions(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from expressions(inner)


@pytest.mark.parametrize("definition", [*CRDS.values(), *POLICIES], ids=lambda each: each["metadata"]["name"])
def test_templates_are_literals_as_the_api_server_of_kubernetes_1_31_crashes_over_others(
    definition: dict[str, Any],
) -> None:
    used = [expression for expression in expressions(definition) if ".format(" in expression]
    assert [each for each in used if each.count(".format(") != each.count("'.format(")] == []
