"""The answers to the criteria of the OpenSSF's passing badge, which its site reads from .bestpractices.json.

The criteria are those of level 0 in criteria/criteria.yml of github.com/coreinfrastructure/best-practices-badge as of
June 2026, and its docs/bestpractices-json.md describes the file.
"""

import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCE = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Source"]
ANSWERS = json.loads((ROOT / ".bestpractices.json").read_text(encoding="utf-8"))
URL = re.compile(r"https?://[^\s,;()]*[^\s,;().:]")

CRITERIA = (
    *("description_good", "interact", "contribution", "contribution_requirements"),
    *("floss_license", "floss_license_osi", "license_location"),
    *("documentation_basics", "documentation_interface", "sites_https", "discussion", "english", "maintained"),
    *("repo_public", "repo_track", "repo_interim", "repo_distributed"),
    *("version_unique", "version_semver", "version_tags", "release_notes", "release_notes_vulns"),
    *("report_process", "report_tracker", "report_responses", "enhancement_responses", "report_archive"),
    *("vulnerability_report_process", "vulnerability_report_private", "vulnerability_report_response"),
    *("build", "build_common_tools", "build_floss_tools"),
    *("test", "test_invocation", "test_most", "test_continuous_integration"),
    *("test_policy", "tests_are_added", "tests_documented_added"),
    *("warnings", "warnings_fixed", "warnings_strict"),
    *("know_secure_design", "know_common_errors"),
    *("crypto_published", "crypto_call", "crypto_floss", "crypto_keylength", "crypto_working", "crypto_weaknesses"),
    *("crypto_pfs", "crypto_password_storage", "crypto_random"),
    *("delivery_mitm", "delivery_unsigned", "vulnerabilities_fixed_60_days", "vulnerabilities_critical_fixed"),
    "no_leaked_credentials",
    *("static_analysis", "static_analysis_common_vulnerabilities", "static_analysis_fixed", "static_analysis_often"),
    *("dynamic_analysis", "dynamic_analysis_unsafe", "dynamic_analysis_enable_assertions", "dynamic_analysis_fixed"),
)

#: The criteria whose answer `Met` needs a URL.
WITH_URL = {
    "contribution",
    "contribution_requirements",
    "license_location",
    "release_notes",
    "report_process",
    "report_archive",
    "vulnerability_report_process",
    "vulnerability_report_private",
}

#: The criteria that may be not applicable, of those that are.
NOT_APPLICABLE = {
    "release_notes_vulns",
    "vulnerability_report_response",
    "crypto_password_storage",
    "dynamic_analysis_unsafe",
}


def test_each_criterion_is_answered_with_a_reason() -> None:
    assert list(ANSWERS) == [f"{name}_{part}" for name in CRITERIA for part in ("status", "justification")]
    assert all(answer.strip() for answer in ANSWERS.values())


@pytest.mark.parametrize("name", CRITERIA)
def test_answer_is_one_that_the_criterion_allows(name: str) -> None:
    status, reason = ANSWERS[f"{name}_status"], ANSWERS[f"{name}_justification"]
    assert status in ({"N/A"} if name in NOT_APPLICABLE else {"Met", "Unmet"})
    assert status != "Met" or name not in WITH_URL or URL.search(reason)


def test_each_file_and_target_that_an_answer_names_exists() -> None:
    text = "\n".join(ANSWERS.values())
    paths = {url.removeprefix(SOURCE) for url in URL.findall(text)} - {"", "/issues"}
    kinds = {path: ROOT / path.removeprefix("/blob/main/").removeprefix("/tree/main/") for path in paths}
    assert len(kinds) > 20
    assert {
        path for path, file in kinds.items() if not (file.is_dir() if "/tree/" in path else file.is_file())
    } == set()
    targets = set(re.findall(r"`make ([\w-]+)`", text))
    assert targets
    assert (
        targets - set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)) == set()
    )


def test_number_of_unmet_criteria_is_what_the_comparison_of_packaging_says() -> None:
    unmet = [name for name in CRITERIA if ANSWERS[f"{name}_status"] == "Unmet"]
    page = (ROOT / "docs/explanation/packaging.md").read_text(encoding="utf-8")
    assert f"{len(unmet)} of the [answers](../../.bestpractices.json) for its {len(CRITERIA)} criteria" in page
