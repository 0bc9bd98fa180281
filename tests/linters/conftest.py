"""The linters' environments, and the charts as the linters see them."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from chart.releases import CHART, ROOT, Helm
from helmchart import programs
from helmchart.files import CRDS_CHART
from linters.findings import Exemption, read_exemptions
from linters.programs import Rendering
from linters.value_sets import ValueSet, value_sets
from localcluster.progress import PlainProgress
from support.scale import IS_LONG
from support.timeouts import extend_timeouts

#: The first test that needs kube-score or kubeconform has to build it, which takes minutes.
BUILD_SECONDS = 1800

#: Faults of a rendering, each of which one or more linters must report: a field that no schema has, a root file system
#: that is writable, and a tag instead of a digest.
FAULTS = {
    "  revisionHistoryLimit: 5\n": "  revisionHistoryLimits: 5\n",
    "readOnlyRootFilesystem: true": "readOnlyRootFilesystem: false",
    f"@sha256:{'0123456789abcdef' * 4}": ":latest",
}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gives the tests with a fixture that may build a linter the time for it."""
    extend_timeouts(items, {"renderings", "broken"}, BUILD_SECONDS)


@pytest.fixture(scope="session")
def environment() -> Path:
    """The virtual environment with checkov, hadolint and the schemas of Kubernetes."""
    return _environment("linters")


@pytest.fixture(scope="session")
def package_environment() -> Path:
    """The virtual environment with the linters of Python packages."""
    return _environment("package-linters")


@pytest.fixture(scope="session")
def exemptions() -> list[Exemption]:
    """The findings that are allowed."""
    return read_exemptions()


@pytest.fixture(scope="session")
def renderings(
    environment: Path,  # noqa: ARG001 - without the linters, nothing is rendered
    tmp_path_factory: pytest.TempPathFactory,
) -> Sequence[Rendering]:
    """The chart with every set of values, and the chart of the CRDs, each in a folder of the same folder."""
    folder = tmp_path_factory.mktemp("rendered")
    helm = Helm(programs.helm4(PlainProgress()), tmp_path_factory.mktemp("helm4"))
    operator = [_rendering(helm, CHART, each, folder) for each in value_sets(is_long=IS_LONG)]
    return [*operator, _rendering(helm, ROOT / CRDS_CHART, ValueSet("crds", {}, frozenset()), folder)]


@pytest.fixture(scope="session")
def broken(renderings: Sequence[Rendering]) -> Rendering:
    """The rendering of the defaults with faults."""
    defaults = renderings[0]
    text = defaults.file.read_text(encoding="utf-8").replace("namespace: defaults", "namespace: broken")
    for old, new in FAULTS.items():
        assert old in text
        text = text.replace(old, new)
    return _written(text, ValueSet("broken", {}, frozenset()), defaults.file.parents[1])


def _environment(name: str) -> Path:
    folder = ROOT / ".venv" / name
    if not (folder / ".synced").exists():
        pytest.skip("the linters are not installed: `make lint-release` installs and runs them")
    return folder


def _rendering(helm: Helm, chart: Path, value_set: ValueSet, folder: Path) -> Rendering:
    command = ["template", "statefulroute", str(chart), "--values=-", f"--namespace={value_set.name}"]
    rendered = helm.run(*command, stdin=json.dumps(value_set.values)).expect_success()
    return _written(rendered.stdout, value_set, folder)


def _written(text: str, value_set: ValueSet, folder: Path) -> Rendering:
    file = folder / value_set.name / "objects.yaml"
    file.parent.mkdir()
    file.write_text(text, encoding="utf-8")
    return Rendering(file, value_set)
