"""Tests that the values of deploy/hardening do what docs/guides/harden.md says.

tests/chart/test_combinations.py asks an API server about them.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart.kinds import containers, documents, pod_specs
from chart.releases import Helm
from helmchart.fields import values_of
from helmchart.values import Values

#: The kinds of objects that the operator may change at most for annotations, planned disruptions and slots.
_OPTIONAL = {"pods", "pods/eviction", "poddisruptionbudgets", "statefulsets", "deployments", "replicasets"}
_WRITES = {"create", "update", "patch", "delete"}


@pytest.fixture
def hardened(root: Path) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((root / "deploy/hardening/values.yaml").read_text(encoding="utf-8"))
    return values


@pytest.fixture
def rendered(helm: Helm, hardened: dict[str, Any]) -> list[dict[str, Any]]:
    return documents(helm.render(hardened, "--namespace=statefulroute-system").expect_success().stdout)


def leaves(values: dict[str, Any], known: set[str], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Returns the values of the chart that are set, by their paths."""
    for key, value in values.items():
        path = f"{prefix}{key}"
        if path in known:
            yield path, value
        else:
            yield from leaves(value, known, f"{path}.")


def test_each_value_differs_from_the_default_and_is_explained(root: Path, hardened: dict[str, Any]) -> None:
    defaults = {".".join(value.path): value.default for value in values_of(Values()) if not value.is_group}
    page = (root / "docs/guides/harden.md").read_text(encoding="utf-8")
    table = page.partition("| value | what it does |")[2].partition("\n\n")[0]
    for path, value in leaves(hardened, set(defaults)):
        assert value != defaults[path], path
        explained = path in table or path.rpartition(".")[0] in table or path.startswith("resolver.network")
        assert explained or path == "resolver.enabled", path


def test_operator_has_no_rights_for_what_is_switched_off(rendered: list[dict[str, Any]]) -> None:
    roles = [item for item in rendered if item["kind"].endswith("Role") and "-operator" in item["metadata"]["name"]]
    assert roles
    rules = [rule for role in roles for rule in role["rules"]]
    writable = {name for rule in rules if _WRITES & {*rule["verbs"]} for name in rule["resources"]}
    assert not {name for name in writable if name.partition("/")[0] in _OPTIONAL}
    assert not [rule for rule in rules if "podlinks" in rule["resources"] and "create" in rule["verbs"]]
    assert not [item for item in rendered if re.search("-(view|edit)$", item["metadata"]["name"])]


def test_pods_hide_uids_and_authenticate_the_readers_of_metrics(rendered: list[dict[str, Any]]) -> None:
    operator, resolver = (
        next(each["args"] for each in containers(rendered) if each["name"] == name) for name in ("operator", "resolver")
    )
    for arguments in (operator, resolver):
        assert {"--hash-uids", "--metrics-authentication"} <= {*arguments}
    assert [option for option in resolver if option.startswith("--tls-certificate")]
    deployments = [item for item in rendered if item["kind"] == "Deployment"]
    assert {spec["priorityClassName"] for spec in pod_specs(deployments)} == {"system-cluster-critical"}
    assert {spec["enableServiceLinks"] for spec in pod_specs(rendered)} == {False}


def test_every_port_has_its_clients(rendered: list[dict[str, Any]]) -> None:
    policies = [item["spec"] for item in rendered if item["kind"] == "NetworkPolicy"]
    assert len(policies) == 4
    open_to_all = [rule for policy in policies for rule in policy.get("ingress", []) if not rule.get("from")]
    assert open_to_all == []
