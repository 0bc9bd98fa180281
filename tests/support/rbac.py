"""Applies roles, including the shipped ones, and binds ServiceAccounts to them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from support.kubectl import Kubectl

RBAC_FOLDER = Path(__file__).parents[2] / "deploy" / "rbac"
GROUP = "rbac.authorization.k8s.io"


def apply_role(kubectl: Kubectl, name: str) -> str:
    """Applies the Role deploy/rbac/<name>.yaml in the namespace, and returns its `kind/name`."""
    kubectl.run("apply", "--filename", str(RBAC_FOLDER / f"{name}.yaml")).expect_success()
    return f"Role/statefulroute-{name}"


def apply_lease_role(kubectl: Kubectl) -> str:
    """Applies the Role for the operators' Lease in the namespace, and returns its `kind/name`."""
    return f"Role/{kubectl.apply(_shipped('operator', 'Role'))['metadata']['name']}"


@contextmanager
def operator_role(kubectl: Kubectl, name: str) -> Iterator[str]:
    """Applies the operator's ClusterRole under another name while the context is active, and yields its `kind/name`."""
    with _renamed(kubectl, _shipped("operator", "ClusterRole"), name) as role:
        yield role


@contextmanager
def release_role(kubectl: Kubectl, name: str) -> Iterator[str]:
    """Applies the ClusterRole of `release` under another name while the context is active; yields its `kind/name`."""
    with _renamed(kubectl, _shipped("release", "ClusterRole"), name) as role:
        yield role


@contextmanager
def cluster_role(kubectl: Kubectl, file: str, name: str) -> Iterator[str]:
    """Applies the ClusterRole of deploy/rbac/<file>.yaml under another name meanwhile, and yields its `kind/name`."""
    with _renamed(kubectl, _shipped(file, "ClusterRole"), name) as role:
        yield role


@contextmanager
def _renamed(kubectl: Kubectl, role: dict[str, Any], name: str) -> Iterator[str]:
    kubectl.create({**role, "metadata": {"name": name}})
    yield f"ClusterRole/{name}"
    kubectl.run("delete", "clusterrole", name).expect_success()


def _shipped(file: str, kind: str) -> dict[str, Any]:
    """Returns the role of this kind in deploy/rbac/<file>.yaml."""
    documents = yaml.safe_load_all((RBAC_FOLDER / f"{file}.yaml").read_text(encoding="utf-8"))
    return next(dict(each) for each in documents if each["kind"] == kind)


@contextmanager
def create_account(kubectl: Kubectl, name: str, *roles: str, cluster_wide: bool = False) -> Iterator[None]:
    """Creates a ServiceAccount with these roles in its namespace, or in the whole cluster.

    The user `<name>-<namespace>` gets the same roles. Cluster-wide bindings are deleted at the end of the context; the
    other objects are deleted with the namespace.
    """
    kubectl.run("create", "serviceaccount", name).expect_success()
    bindings = [_binding(kubectl, name, role, cluster_wide=cluster_wide) for role in roles]
    yield
    if cluster_wide:
        kubectl.run("delete", "clusterrolebinding", *bindings).expect_success()


def _binding(kubectl: Kubectl, account: str, role: str, *, cluster_wide: bool) -> str:
    kind, _, name = role.partition("/")
    binding = kubectl.create(
        {
            "apiVersion": f"{GROUP}/v1",
            "kind": "ClusterRoleBinding" if cluster_wide else "RoleBinding",
            "metadata": {"generateName": f"{account}-"},
            "roleRef": {"apiGroup": GROUP, "kind": kind, "name": name},
            "subjects": [
                {"kind": "ServiceAccount", "name": account, "namespace": kubectl.namespace},
                {"kind": "User", "apiGroup": GROUP, "name": f"{account}-{kubectl.namespace}"},
            ],
        }
    )
    return str(binding["metadata"]["name"])
