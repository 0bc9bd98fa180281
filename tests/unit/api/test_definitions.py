"""The two kinds as Kubernetes gets to know them: names, vocabularies, the policies and the roles."""

from enum import StrEnum
from typing import Any

import pytest

from statefulroute.api import rbac
from statefulroute.api.admission import namespace_locality, own_pod
from statefulroute.api.crd import custom_resource_definition
from statefulroute.api.podlink import PodLink
from statefulroute.api.statefulroute import StatefulRoute
from statefulroute.api.vocabulary import (
    FOREIGN_NAMESPACE_MESSAGE,
    ConditionType,
    LinkPhase,
    LoadSource,
    PodLostAction,
    RoutingState,
    ServiceState,
    WorkloadState,
)

KINDS: dict[str, type[PodLink | StatefulRoute]] = {"podlinks": PodLink, "statefulroutes": StatefulRoute}
CRDS = {plural: custom_resource_definition(model) for plural, model in KINDS.items()}


def field(plural: str, path: str) -> dict[str, Any]:
    """The schema at a path like `status.pods[].routingState`."""
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
        ("podlinks", "status.phase", LinkPhase),
        ("podlinks", "status.conditions[].type", ConditionType),
        ("statefulroutes", "spec.load.source", LoadSource),
        ("statefulroutes", "spec.onPodLost.action", PodLostAction),
        ("statefulroutes", "status.routingState", RoutingState),
        ("statefulroutes", "status.workloadState", WorkloadState),
        ("statefulroutes", "status.pods[].serviceState", ServiceState),
        ("statefulroutes", "status.pods[].routingState", RoutingState),
        ("statefulroutes", "status.conditions[].type", ConditionType),
    ],
)
def test_a_field_takes_every_word_of_its_vocabulary_and_no_other(
    plural: str, path: str, vocabulary: type[StrEnum]
) -> None:
    assert field(plural, path)["enum"] == [str(word) for word in vocabulary]


@pytest.mark.parametrize("path", ["spec.routingState", "spec.pods[].routingState"])
def test_a_person_can_say_every_routing_state_but_unknown(path: str) -> None:
    said = [str(state) for state in RoutingState if state is not RoutingState.UNKNOWN]
    assert field("statefulroutes", path)["enum"] == said


@pytest.mark.parametrize("plural", KINDS)
def test_a_definition_is_named_by_its_plural_and_group(plural: str) -> None:
    definition = CRDS[plural]
    spec = definition["spec"]
    assert (
        definition["metadata"]["name"] == f"{spec['names']['plural']}.{spec['group']}" == f"{plural}.statefulroute.io"
    )
    assert spec["names"]["kind"] == KINDS[plural].__name__


def test_no_name_belongs_to_both_kinds_or_to_the_category() -> None:
    taken: list[str] = []
    for definition in CRDS.values():
        names = definition["spec"]["names"]
        taken += [names["plural"], names["singular"], *names["shortNames"]]
        assert names["categories"] == ["stateful-routing"]
    assert len({*taken, "stateful-routing"}) == len(taken) + 1


@pytest.mark.parametrize("plural", KINDS)
def test_columns_and_selectors_point_at_fields_that_are_there(plural: str) -> None:
    (version,) = CRDS[plural]["spec"]["versions"]
    paths = [column["jsonPath"] for column in version["additionalPrinterColumns"]]
    paths += [selector["jsonPath"] for selector in version.get("selectableFields", [])]
    for path in paths:
        if not path.startswith(".metadata."):
            assert field(plural, path.lstrip(".").replace("[?(@.type=='Ready')]", "[]"))


@pytest.mark.parametrize("plural", KINDS)
def test_the_status_is_written_at_an_address_of_its_own(plural: str) -> None:
    (version,) = CRDS[plural]["spec"]["versions"]
    assert version["subresources"] == {"status": {}}


def test_the_policy_denies_with_the_sentence_that_the_operator_uses_too() -> None:
    policy, binding = namespace_locality()
    (validation,) = policy["spec"]["validations"]
    assert validation["message"] == FOREIGN_NAMESPACE_MESSAGE == "only local namespace is supported"
    assert policy["spec"]["failurePolicy"] == "Fail"
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}


def test_the_policy_judges_creations_and_updates_of_links_alone() -> None:
    policy, _ = namespace_locality()
    assert policy["spec"]["matchConstraints"]["resourceRules"] == [
        {
            "apiGroups": ["statefulroute.io"],
            "apiVersions": ["v1alpha1"],
            "operations": ["CREATE", "UPDATE"],
            "resources": ["podlinks"],
        }
    ]


def test_the_policy_of_own_pods_judges_updates_of_pods_alone_and_refuses_what_it_cannot_judge() -> None:
    policy, binding = own_pod()
    assert policy["spec"]["matchConstraints"]["resourceRules"] == [
        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["pods"]}
    ]
    assert policy["spec"]["failurePolicy"] == "Fail"
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}


def test_the_policy_of_own_pods_forbids_and_has_a_sentence_for_each_demand() -> None:
    validations = own_pod()[0]["spec"]["validations"]
    assert {each["reason"] for each in validations} == {"Forbidden"}
    assert len({each["message"] for each in validations}) == len(validations) == 5


ROLES = {
    "operator": rbac.operator_cluster_role(),
    "operator in a namespace": rbac.operator_role(),
    "holder of the Lease": rbac.lease_role(),
    "release": rbac.release_cluster_role(),
    "stop": rbac.stop_role("statefulroute-operator"),
    "server": rbac.server_role(),
    "client": rbac.client_role(),
    "resolver": rbac.resolver_cluster_role(),
    "resolver in a namespace": rbac.resolver_role(),
    "resolver that knows callers by tokens": rbac.resolver_tokens_cluster_role(),
}


def verbs(who: str, resource: str) -> set[str]:
    """All that a role allows to be done with a resource."""
    return {verb for rule in ROLES[who]["rules"] if resource in rule["resources"] for verb in rule["verbs"]}


@pytest.mark.parametrize("who", ROLES)
def test_nobody_may_do_anything_to_everything(who: str) -> None:
    for rule in ROLES[who]["rules"]:
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]


@pytest.mark.parametrize("who", ROLES)
def test_nobody_can_read_secrets(who: str) -> None:
    assert not verbs(who, "secrets")


@pytest.mark.parametrize("who", ["server", "client"])
def test_a_role_of_a_driver_is_good_in_any_namespace(who: str) -> None:
    assert ROLES[who]["kind"] == "Role"
    assert ROLES[who]["metadata"]["name"] == f"statefulroute-{who}"
    assert "namespace" not in ROLES[who]["metadata"]


def test_an_operator_needs_the_same_rights_in_a_namespace_except_to_nodes_which_are_in_none() -> None:
    everywhere = ROLES["operator"]["rules"]
    assert [rule for rule in everywhere if rule["resources"] != ["nodes"]] == ROLES["operator in a namespace"]["rules"]


def test_operators_change_no_lease_but_their_own() -> None:
    named = [rule for rule in rbac.lease_role("ours")["rules"] if rule["verbs"] != ["create"]]
    assert [rule.get("resourceNames") for rule in named] == [["ours"]]


def test_a_release_may_stop_one_operator_and_no_other_deployment() -> None:
    rules = [rule for rule in rbac.stop_role("ours")["rules"] if rule["apiGroups"] == ["apps"]]
    assert {name for rule in rules for name in rule.get("resourceNames", ["*"])} == {"ours"}


def test_only_servers_are_marked_as_such() -> None:
    assert [who for who in ROLES if "report" in verbs(who, "statefulroutes")] == ["server"]


def test_a_server_may_not_update_pods_by_which_the_policy_knows_those_that_it_leaves_alone() -> None:
    assert verbs("server", "pods") == {"get", "patch"}


def test_a_client_changes_links_and_nothing_else() -> None:
    changed = {
        resource
        for rule in rbac.client_role()["rules"]
        for resource in rule["resources"]
        if not {"get", "list", "watch"}.issuperset(rule["verbs"])
    }
    assert changed == {"podlinks"}


def test_a_resolver_binds_and_renews_and_releases_nobody() -> None:
    assert verbs("resolver", "podlinks") == {"get", "list", "watch", "create", "patch"}
    assert verbs("resolver", "statefulroutes") == verbs("resolver", "pods") == {"list", "watch"}
    assert ROLES["resolver"]["rules"] == ROLES["resolver in a namespace"]["rules"]


def test_a_resolver_asks_whose_token_it_is_only_where_that_is_wanted() -> None:
    assert [who for who in ROLES if verbs(who, "tokenreviews")] == ["resolver that knows callers by tokens"]
