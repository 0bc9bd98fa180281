"""Tests the workflows of GitHub Actions: actionlint reports no errors, and each action is pinned."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from helmchart import programs
from localcluster.progress import PlainProgress
from pythons import SUPPORTED

ACTION = re.compile(r"[\w-]+/[\w/-]+@v\d+\.\d+\.\d+")


@pytest.fixture(scope="module")
def actionlint() -> Path:
    return programs.actionlint(PlainProgress())


@pytest.fixture
def workflows(root: Path) -> dict[str, dict[str, Any]]:
    return {file.stem: yaml.safe_load(file.read_text()) for file in sorted((root / ".github/workflows").glob("*.yaml"))}


def test_actionlint_reports_no_errors(actionlint: Path, root: Path) -> None:
    completed = subprocess.run([actionlint, "-no-color"], cwd=root, capture_output=True, text=True, check=False)
    assert (completed.returncode, completed.stdout + completed.stderr) == (0, "")


def test_each_action_is_pinned_to_one_version(workflows: dict[str, dict[str, Any]]) -> None:
    steps = [step for each in workflows.values() for job in each["jobs"].values() for step in job["steps"]]
    used = [step["uses"] for step in steps if "uses" in step]
    assert [action for action in used if not ACTION.fullmatch(action)] == []


def test_all_tests_run_on_every_supported_python(workflows: dict[str, dict[str, Any]]) -> None:
    assert tuple(workflows["ci"]["jobs"]["test"]["strategy"]["matrix"]["python"]) == SUPPORTED


def test_no_job_may_write_to_the_repository_or_run_without_a_timeout(workflows: dict[str, dict[str, Any]]) -> None:
    for workflow in workflows.values():
        assert workflow["permissions"] == {"contents": "read"}
        assert all("timeout-minutes" in job for job in workflow["jobs"].values())


def test_only_the_job_that_publishes_the_site_has_permissions_of_its_own(workflows: dict[str, dict[str, Any]]) -> None:
    jobs = {f"{file}.{name}": job for file, workflow in workflows.items() for name, job in workflow["jobs"].items()}
    own = {name: job["permissions"] for name, job in jobs.items() if "permissions" in job}
    assert own == {"docs.publish": {"pages": "write", "id-token": "write"}}
    assert jobs["docs.publish"]["if"] == "github.event_name != 'pull_request'"
