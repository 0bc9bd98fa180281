"""Tests that no role grants rights that allow privilege escalation."""

from collections.abc import Callable
from typing import Any

import pytest

from statefulroute.api import rbac

ROLES: tuple[Callable[[], dict[str, Any]], ...] = (
    rbac.operator_cluster_role,
    rbac.operator_role,
    rbac.lease_role,
    rbac.release_cluster_role,
    rbac.release_role,
    rbac.server_role,
    rbac.client_role,
    rbac.view_cluster_role,
    rbac.edit_cluster_role,
    rbac.resolver_cluster_role,
    rbac.resolver_role,
    rbac.resolver_tokens_cluster_role,
    rbac.metrics_reviews_cluster_role,
    rbac.metrics_reader_cluster_role,
    rbac.resolver_link_changes_cluster_role,
    rbac.resolver_link_changes_role,
)

#: An account with one of these rights can escalate its privileges.
ESCALATING = {"secrets", "serviceaccounts/token", "pods/exec", "pods/ephemeralcontainers", "pods/attach", "nodes/proxy"}
ESCALATING_GROUPS = {"rbac.authorization.k8s.io", "admissionregistration.k8s.io", "apiextensions.k8s.io"}


@pytest.mark.parametrize("role", [*ROLES, lambda: rbac.stop_role("statefulroute-operator")])
def test_no_role_grants_wildcards_or_privilege_escalation(role: Callable[[], dict[str, Any]]) -> None:
    for rule in role()["rules"]:
        groups, resources = rule.get("apiGroups", []), rule.get("resources", [])
        values = {*groups, *resources, *rule["verbs"], *rule.get("nonResourceURLs", [])}
        if role is not rbac.edit_cluster_role:  # people who edit a namespace may empty it
            assert "deletecollection" not in values
        assert values & {"*", "escalate", "bind", "impersonate"} == set()
        assert ESCALATING.isdisjoint(resources)
        assert ESCALATING_GROUPS.isdisjoint(groups)


def test_all_roles_are_listed() -> None:
    roles = {name for name in vars(rbac) if name.endswith("_role") and not name.startswith("_")}
    assert roles == {role.__name__ for role in ROLES} | {"stop_role"}
