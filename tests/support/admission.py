"""Removes the admission policy or the CEL rules of a kind, as if a cluster had been set up in the wrong order."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from pykube.exceptions import HTTPError

from statefulroute.api.vocabulary import FOREIGN_NAMESPACE_MESSAGE
from support.kubectl import Kubectl
from support.objects import pod_link
from support.service import Service
from support.waiting import eventually

ADMISSION = Path(__file__).parents[2] / "deploy" / "admission"
LINKS = Path(__file__).parents[2] / "crds" / "podlinks.yaml"

_RULES = "x-kubernetes-validations"


@contextmanager
def without_policy(game: Service, kubectl: Kubectl) -> Iterator[None]:
    """Removes the admission policies while the context is active."""
    kubectl.run("delete", "validatingadmissionpolicybinding", "--all").expect_success()
    try:
        yield
    finally:
        kubectl.run("apply", "--filename", str(ADMISSION)).expect_success()
        stranger = pod_link(uid="stranger", namespace="kube-system")
        eventually(
            lambda: FOREIGN_NAMESPACE_MESSAGE in game.kubectl.dry_run(stranger).stderr, "the policy is in force again"
        )


def is_admitted(game: Service, link: dict[str, object]) -> bool:
    """Returns whether the API server accepts the link now."""
    try:
        game.client.create(link, game.namespace)
    except HTTPError as refusal:
        assert FOREIGN_NAMESPACE_MESSAGE in str(refusal)  # noqa: PT017 - any other refusal is a failure
        return False
    return True


@contextmanager
def without_rules(game: Service, kubectl: Kubectl) -> Iterator[None]:
    """Removes every CEL rule of PodLink while the context is active; the schema stays."""
    broken = pod_link("misnamed", uid="zoe")
    kubectl.run("replace", "--filename=-", stdin=_without_rules(yaml.safe_load(LINKS.read_text()))).expect_success()
    try:
        eventually(lambda: not game.kubectl.dry_run(broken).code, "the rules are removed")
        _await_storage(game)
        yield
    finally:
        kubectl.run("replace", "--filename", str(LINKS)).expect_success()
        eventually(lambda: "must be game.zoe" in game.kubectl.dry_run(broken).stderr, "the rules are back")
        _await_storage(game)


def _await_storage(game: Service) -> None:
    """Waits for the storage of a changed CRD: until it is initialized, lists fail."""
    eventually(lambda: not game.kubectl.run("get", "podlinks").code, "links can be listed")


def _without_rules(value: Any) -> Any:
    """Returns a definition without its CEL rules."""
    if isinstance(value, list):
        return [_without_rules(each) for each in value]
    if isinstance(value, dict):
        return {name: _without_rules(each) for name, each in value.items() if name != _RULES}
    return value
