"""Runs hadolint and checkov on all Dockerfiles of the repository, and on one with faults."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from chart.releases import ROOT
from linters.findings import Exemption, Finding, expect_no_problems
from linters.programs import checkov_of_dockerfiles, hadolint

BROKEN = "broken/Dockerfile"
FAULTS = "FROM debian:latest\nRUN cd /tmp\n"


@pytest.fixture(scope="module")
def dockerfiles() -> Sequence[str]:
    """The paths of all Dockerfiles."""
    listed = subprocess.run(
        ["git", "ls-files", "Dockerfile", "*/Dockerfile"],  # noqa: S607 - the user's git
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return listed.stdout.split()


@pytest.fixture(scope="module")
def findings(
    environment: Path, dockerfiles: Sequence[str], tmp_path_factory: pytest.TempPathFactory
) -> Sequence[Finding]:
    """What is found in copies of them, and in one with faults."""
    folder = tmp_path_factory.mktemp("dockerfiles")
    for path in [*dockerfiles, BROKEN]:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        if path == BROKEN:
            (folder / path).write_text(FAULTS, encoding="utf-8")
        else:
            shutil.copy(ROOT / path, folder / path)
    found = hadolint(environment, folder.rglob("Dockerfile"), folder)
    return [*found, *checkov_of_dockerfiles(environment, folder)]


def test_nothing_is_found_that_is_not_allowed(findings: Sequence[Finding], exemptions: list[Exemption]) -> None:
    found = [finding for finding in findings if finding.subject != BROKEN]
    expect_no_problems(found, exemptions, "hadolint", "checkov-dockerfile")


def test_both_linters_report_faults(findings: Sequence[Finding]) -> None:
    found = {finding.rule for finding in findings if finding.subject == BROKEN}
    assert found >= {"hadolint/DL3003", "hadolint/DL3007"}
    assert found >= {"checkov-dockerfile/CKV_DOCKER_3", "checkov-dockerfile/CKV_DOCKER_7"}


def test_base_images_that_are_arguments_have_versions(dockerfiles: Sequence[str]) -> None:
    texts = [(ROOT / path).read_text(encoding="utf-8") for path in dockerfiles]
    defaults = [image for text in texts for image in re.findall(r"^ARG \w+_IMAGE=([^$].+)$", text, re.MULTILINE)]
    assert defaults
    assert [image for image in defaults if not re.search(r":\d", image)] == []
