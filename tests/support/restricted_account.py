"""An account of the operator that lacks rights, and is given them when a test likes."""

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
    """A ServiceAccount that has the operator's rights in the whole cluster, but for some.

    Args:
        here: A kubectl in the account's namespace.
        kubeconfig: Where the account's kubeconfig is written.
        missing_rights: The rights that it has not: a verb and a resource each.
    """

    def __init__(self, here: Kubectl, kubeconfig: Path, missing_rights: tuple[str, ...]) -> None:
        self.kubeconfig = kubeconfig
        self._here = here
        self._role = {
            "apiVersion": f"{_GROUP}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": f"operator-{here.namespace}"},
        }
        here.run("create", "serviceaccount", _NAME).expect_success()
        here.apply({**self._role, "rules": _rules(missing_rights)})
        role = f"--clusterrole={self.name}"
        account = f"--serviceaccount={here.namespace}:{_NAME}"
        here.run("create", "clusterrolebinding", self.name, role, account).expect_success()
        self._write_kubeconfig()

    @property
    def name(self) -> str:
        """That of its role, and of what binds it."""
        return f"operator-{self._here.namespace}"

    def grant_all(self) -> None:
        """Give it all rights of the operator."""
        self._here.apply({**self._role, "rules": _rules(())})

    def remove(self) -> None:
        """Remove its role, and what binds it; the account goes with its namespace."""
        self._here.run("delete", "clusterrole,clusterrolebinding", self.name).expect_success()

    def _write_kubeconfig(self) -> None:
        token = self._here.run("create", "token", _NAME).expect_success().stdout.strip()
        known = self._here.run("config", "view", "--raw", "--minify", "--flatten", "--output=json").object
        users = [{"name": user["name"], "user": {"token": token}} for user in known["users"]]
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(json.dumps({**known, "users": users}))


def _rules(lacks: tuple[str, ...]) -> list[dict[str, Any]]:
    """The rules of the shipped ClusterRole, without these rights."""
    documents = yaml.safe_load_all(_ROLE.read_text(encoding="utf-8"))
    shipped = next(each for each in documents if each["kind"] == "ClusterRole")
    rules = []
    for rule in shipped["rules"]:
        (resource,) = rule["resources"] if len(rule["resources"]) == 1 else (None,)
        verbs = [verb for verb in rule["verbs"] if f"{verb} {resource}" not in lacks]
        rules += [{**rule, "verbs": verbs}] if verbs else []
    return rules


@contextmanager
def restricted_account(kubectl: Kubectl, folder: Path, *lacks: str) -> Iterator[RestrictedAccount]:
    """Such an account, for as long as the context lasts.

    Args:
        kubectl: Whoever may make accounts and give rights.
        folder: Where its kubeconfig is written.
        lacks: The rights that it has not: a verb and a resource each.
    """
    with fresh_namespace(kubectl) as namespace:
        made = RestrictedAccount(kubectl.within(namespace), folder / "kubeconfig", lacks)
        yield made
        made.remove()
