"""An operator's ServiceAccount without some of its rights, which a test can grant later."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from support.kubectl import Kubectl
from support.namespaces import fresh_namespace

_ROLE = Path(__file__).parents[2] / "deploy" / "rbac" / "operator.yaml"
_GROUP = "rbac.authorization.k8s.io"
_NAME = "operator"


class RestrictedAccount:
    """A ServiceAccount with the operator's rights in the whole cluster, without some.

    Args:
        kubectl: A kubectl in the account's namespace.
        kubeconfig: The path of the account's kubeconfig.
        missing_rights: The missing rights, as `verb resource`.
    """

    def __init__(self, kubectl: Kubectl, kubeconfig: Path, missing_rights: tuple[str, ...]) -> None:
        self.kubeconfig = kubeconfig
        self._kubectl = kubectl
        self._role = {
            "apiVersion": f"{_GROUP}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": f"operator-{kubectl.namespace}"},
        }
        kubectl.run("create", "serviceaccount", _NAME).expect_success()
        kubectl.apply({**self._role, "rules": _rules(missing_rights)})
        role = f"--clusterrole={self.name}"
        account = f"--serviceaccount={kubectl.namespace}:{_NAME}"
        kubectl.run("create", "clusterrolebinding", self.name, role, account).expect_success()
        self._write_kubeconfig()

    @property
    def name(self) -> str:
        """The name of its role and its bindings."""
        return f"operator-{self._kubectl.namespace}"

    @property
    def reference(self) -> dict[str, str]:
        """The account, as subjects of roles and FlowSchemas name it."""
        return {"namespace": str(self._kubectl.namespace), "name": _NAME}

    def grant_all(self) -> None:
        """Grants all rights of the operator."""
        self._kubectl.apply({**self._role, "rules": _rules(())})

    def remove(self) -> None:
        """Deletes its role and its bindings; the account is deleted with its namespace."""
        self._kubectl.run("delete", "clusterrole,clusterrolebinding", self.name).expect_success()

    def _write_kubeconfig(self) -> None:
        token = self._kubectl.run("create", "token", _NAME).expect_success().stdout.strip()
        config = self._kubectl.run("config", "view", "--raw", "--minify", "--flatten", "--output=json").object
        users = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(json.dumps({**config, "users": users}))


def _rules(lacks: tuple[str, ...]) -> list[dict[str, Any]]:
    """Returns the rules of the shipped ClusterRole without these rights."""
    documents = yaml.safe_load_all(_ROLE.read_text(encoding="utf-8"))
    shipped = next(each for each in documents if each["kind"] == "ClusterRole")
    rules = []
    for rule in shipped["rules"]:
        (resource,) = rule["resources"] if len(rule["resources"]) == 1 else (None,)
        verbs = [verb for verb in rule["verbs"] if f"{verb} {resource}" not in lacks]
        rules += [{**rule, "verbs": verbs}] if verbs else []
    return rules


@contextmanager
def restricted_account(kubectl: Kubectl, folder: Path, *missing_rights: str) -> Iterator[RestrictedAccount]:
    """Creates such an account for the duration of the context.

    Args:
        kubectl: A kubectl that may create accounts and grant rights.
        folder: The folder of its kubeconfig.
        missing_rights: The missing rights, as `verb resource`.
    """
    with fresh_namespace(kubectl) as namespace:
        account = RestrictedAccount(kubectl.within(namespace), folder / "kubeconfig", missing_rights)
        yield account
        account.remove()
