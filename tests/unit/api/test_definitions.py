"""The two kinds as Kubernetes gets to know them: names, vocabularies, the policy and the operator's role."""

from enum import StrEnum
from typing import Any

import pytest

from statefulroute.api import PodLink, StatefulRoute
from statefulroute.api.admission import namespace_locality
from statefulroute.api.crd import custom_resource_definition
from statefulroute.api.rbac import operator_cluster_role
from statefulroute.api.vocabulary import (
    ONLY_LOCAL_NAMESPACE,
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
    assert validation["message"] == ONLY_LOCAL_NAMESPACE == "only local namespace is supported"
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


def test_the_operator_may_do_nothing_to_everything() -> None:
    for rule in operator_cluster_role()["rules"]:
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]


def test_the_operator_cannot_read_secrets() -> None:
    assert not any("secrets" in rule["resources"] for rule in operator_cluster_role()["rules"])
