"""Tests both charts as subcharts of an umbrella chart, with the values of all charts (`global`)."""

import json
import shutil
from pathlib import Path
from re import fullmatch
from typing import Any

import pytest

from chart.kinds import containers, documents, pod_specs
from chart.releases import CHART, Helm
from helmchart.files import CRDS_CHART
from support.kubectl import Result

_UMBRELLA = """\
apiVersion: v2
name: platform
version: 1.0.0
dependencies:
  - {name: statefulroute, version: "*", repository: ""}
  - {name: statefulroute, alias: routing, version: "*", repository: "", condition: routing.enabled}
  - {name: statefulroute, alias: Sticky_Routes, version: "*", repository: "", condition: Sticky_Routes.enabled}
  - {name: statefulroute-crds, version: "*", repository: "", condition: statefulroute-crds.enabled}
"""

#: Values of all charts, with some that only other charts know.
GLOBAL: dict[str, Any] = {
    "imageRegistry": "mirror.invalid",
    "imagePullSecrets": ["mirror", {"name": "second"}],
    "commonLabels": {"team": "platform", "cost-center": "7"},
    "priorityClassName": "platform",
    "nodeSelector": {"pool": "platform", "disk": "fast"},
    "tolerations": [{"key": "platform", "operator": "Exists"}],
    "storageClass": "fast",
    "postgresql": {"auth": {"username": "robot"}},
}

#: The nodes of every pod.
LINUX = {"kubernetes.io/os": "linux"}

#: The whole chart, with the pods of the resolver and of every hook.
WHOLE: dict[str, Any] = {"resolver": {"enabled": True}, "watchNamespaces": ["work"]}

#: The same values of the chart alone.
OWN: dict[str, Any] = {
    "image": {"registry": "registry.invalid:5000"},
    "imagePullSecrets": [{"name": "own"}, {"name": "second"}],
    "commonLabels": {"team": "games"},
    "nodeSelector": {"pool": "games"},
    "tolerations": [{"key": "games", "operator": "Exists"}],
    "priorityClassName": "games",
    "hooks": {"priorityClassName": "games"},
}


@pytest.fixture(scope="session")
def umbrella(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chart that contains both charts."""
    folder = tmp_path_factory.mktemp("umbrella")
    (folder / "Chart.yaml").write_text(_UMBRELLA, encoding="utf-8")
    for chart in (CHART, CHART.parent / CRDS_CHART.name):
        shutil.copytree(chart, folder / "charts" / chart.name)
    return folder


def template(helm: Helm, umbrella: Path, values: dict[str, Any]) -> Result:
    off = {name: {"enabled": False} for name in ("routing", "Sticky_Routes", "statefulroute-crds")}
    command = ("template", "platform", str(umbrella), "--namespace=play", "--values=-")
    return helm.run(*command, stdin=json.dumps(off | values))


def rendered(helm: Helm, umbrella: Path, values: dict[str, Any]) -> list[dict[str, Any]]:
    return documents(template(helm, umbrella, values).expect_success().stdout)


def test_subchart_renders_what_the_chart_renders(helm: Helm, umbrella: Path) -> None:
    alone = helm.render(WHOLE, "--namespace=play", release="platform").expect_success().stdout
    assert rendered(helm, umbrella, {"statefulroute": WHOLE}) == documents(alone)


def test_every_pod_has_the_values_of_all_charts(helm: Helm, umbrella: Path) -> None:
    items = rendered(helm, umbrella, {"global": GLOBAL, "statefulroute": WHOLE})
    specs = pod_specs(items)
    assert len(specs) == 5
    settings = {name: GLOBAL[name] for name in ("priorityClassName", "tolerations")}
    for spec in specs:
        assert spec.items() >= settings.items()
        assert spec["nodeSelector"] == GLOBAL["nodeSelector"] | LINUX
        assert spec["imagePullSecrets"] == [{"name": "mirror"}, {"name": "second"}]
    images = {container["image"].rpartition(":")[0] for container in containers(items)}
    assert images == {"mirror.invalid/statefulroute"}
    templates = [item["spec"]["template"] for item in items if item["kind"] in {"Deployment", "Job"}]
    assert all(item["metadata"]["labels"].items() >= GLOBAL["commonLabels"].items() for item in [*items, *templates])


def test_values_of_the_chart_take_precedence(helm: Helm, umbrella: Path) -> None:
    resolver = WHOLE["resolver"] | {"priorityClassName": "games"}
    items = rendered(helm, umbrella, {"global": GLOBAL, "statefulroute": WHOLE | OWN | {"resolver": resolver}})
    settings = {name: OWN[name] for name in ("priorityClassName", "tolerations")}
    for spec in pod_specs(items):
        assert spec.items() >= settings.items()
        assert spec["nodeSelector"] == {"pool": "games", "disk": "fast"} | LINUX
        assert spec["imagePullSecrets"] == [{"name": name} for name in ("own", "second", "mirror")]
    assert {container["image"].rpartition(":")[0] for container in containers(items)} == {
        "registry.invalid:5000/statefulroute"
    }
    labels = {"team": "games", "cost-center": "7"}
    assert all(item["metadata"]["labels"].items() >= labels.items() for item in items)


@pytest.mark.parametrize(
    ("repository", "image"),
    [
        ("statefulroute", "mirror.invalid/statefulroute"),
        ("team/statefulroute", "mirror.invalid/team/statefulroute"),
        ("ghcr.invalid/team/statefulroute", "mirror.invalid/team/statefulroute"),
        ("ghcr:5000/statefulroute", "mirror.invalid/statefulroute"),
        ("localhost/statefulroute", "mirror.invalid/statefulroute"),
        ("state.ful", "mirror.invalid/state.ful"),
    ],
)
def test_registry_replaces_that_of_the_repository(helm4: Helm, repository: str, image: str) -> None:
    digest = f"sha256:{'0' * 64}"
    for registry in ("mirror.invalid", "mirror.invalid/"):
        values = {"global": {"imageRegistry": registry}, "image": {"repository": repository, "digest": digest}}
        items = documents(helm4.render(values).expect_success().stdout)
        assert {container["image"] for container in containers(items)} == {f"{image}@{digest}"}


@pytest.mark.parametrize("nothing", [{}, None, dict.fromkeys(("imageRegistry", "priorityClassName"))])
def test_values_of_all_charts_may_be_missing(helm: Helm, umbrella: Path, nothing: dict[str, Any] | None) -> None:
    without = rendered(helm, umbrella, {"statefulroute": WHOLE})
    assert rendered(helm, umbrella, {"global": nothing, "statefulroute": WHOLE}) == without
    assert not [spec for spec in pod_specs(without) if {"imagePullSecrets", "tolerations"} & spec.keys()]


def test_a_value_of_all_charts_of_the_wrong_type_is_refused(helm: Helm, umbrella: Path) -> None:
    result = template(helm, umbrella, {"global": {"tolerations": "all"}})
    assert "/global/tolerations" in result.stderr.replace(".", "/")


def test_subcharts_with_an_alias_and_of_the_definitions_share_no_object(helm: Helm, umbrella: Path) -> None:
    off = {name: {"install": False} for name in ("crds", "admissionPolicies")}
    values = {
        "global": GLOBAL,
        "statefulroute": {"watchNamespaces": ["work"], **off},
        "routing": {"watchNamespaces": ["play"], "enabled": True, **off},
        "statefulroute-crds": {"enabled": True},
    }
    items = rendered(helm, umbrella, values)
    keys = [(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]) for item in items]
    assert len(keys) == len(set(keys))
    definitions = [item for item in items if item["kind"] == "CustomResourceDefinition"]
    assert len(definitions) == 2
    assert all(item["metadata"]["labels"].items() >= GLOBAL["commonLabels"].items() for item in definitions)
    deployments = {
        item["metadata"]["name"]
        for item in items
        if item["kind"] == "Deployment" and "test" not in item["metadata"]["name"]
    }
    assert deployments == {"platform-statefulroute-operator", "platform-routing-operator"}


def test_names_are_valid_for_an_alias_with_capitals_and_underscores(helm: Helm, umbrella: Path) -> None:
    items = rendered(helm, umbrella, {"Sticky_Routes": {**WHOLE, "enabled": True}})
    assert "platform-sticky-routes-resolver" in {item["metadata"]["name"] for item in items}
    assert not [item["metadata"]["name"] for item in items if not fullmatch(r"[a-z0-9.-]+", item["metadata"]["name"])]
