"""What no role gives, whatever else it gives."""

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
    rbac.resolver_cluster_role,
    rbac.resolver_role,
    rbac.resolver_tokens_cluster_role,
)

#: Whoever has one of these can give himself more than he has.
MIGHTY = {"secrets", "serviceaccounts/token", "pods/exec", "pods/ephemeralcontainers", "pods/attach", "nodes/proxy"}
MIGHTY_GROUPS = {"rbac.authorization.k8s.io", "admissionregistration.k8s.io", "apiextensions.k8s.io"}


@pytest.mark.parametrize("role", [*ROLES, lambda: rbac.stop_role("statefulroute-operator")])
def test_no_role_gives_everything_or_a_way_to_more(role: Callable[[], dict[str, Any]]) -> None:
    for rule in role()["rules"]:
        said = {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
        assert said & {"*", "escalate", "bind", "impersonate", "deletecollection"} == set()
        assert MIGHTY.isdisjoint(rule["resources"])
        assert MIGHTY_GROUPS.isdisjoint(rule["apiGroups"])


def test_no_role_is_forgotten() -> None:
    made = {name for name in vars(rbac) if name.endswith("_role") and not name.startswith("_")}
    assert made == {role.__name__ for role in ROLES} | {"stop_role"}
