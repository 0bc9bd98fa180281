"""Tests which findings the exceptions allow, and that an exception is reported when it allows nothing any more."""

from pathlib import Path

from linters.findings import Finding, problems, read_exemptions

EXCEPTIONS = """
[[exception]]
reason = "a reason"
rules = ["score/policy"]
subjects = ["Deployment/operator", "Pod/*"]
message = "*egress*"

[[exception]]
reason = "the user turned it off"
rules = ["score/policy", "check/policy"]
when = ["policy.enabled", "policy.kind"]
"""

ALLOWED = (
    Finding("score/policy", "Deployment/operator", "no egress policy"),
    Finding("score/policy", "Pod/test", "no egress policy"),
    Finding("score/policy", "Deployment/operator", "no policy", "pairs-1", frozenset({"policy.enabled", "replicas"})),
    Finding("check/policy", "Deployment/operator", "no policy", "pairs-2", frozenset({"policy.kind"})),
)


def lines(folder: Path, *findings: Finding) -> list[str]:
    file = folder / "exceptions.toml"
    file.write_text(EXCEPTIONS, encoding="utf-8")
    return [*problems(findings, read_exemptions(file), "score", "check")]


def test_findings_with_a_reason_are_allowed(tmp_path: Path) -> None:
    assert lines(tmp_path, *ALLOWED) == []


def test_other_findings_are_reported_once(tmp_path: Path) -> None:
    others = [
        Finding("score/image", "Deployment/operator", "no egress policy"),
        Finding("score/policy", "Deployment/resolver", "no egress policy"),
        Finding("score/policy", "Deployment/operator", "no policy", "pairs-1", frozenset({"replicas"})),
        Finding("score/policy", "Deployment/operator", "no policy", "pairs-2"),
    ]
    assert lines(tmp_path, *ALLOWED, *others) == [
        "score/image: Deployment/operator: no egress policy",
        "score/policy: Deployment/operator: no policy (values: pairs-2)",
        "score/policy: Deployment/resolver: no egress policy",
    ]


def test_each_part_of_an_exception_must_allow_a_finding(tmp_path: Path) -> None:
    assert lines(tmp_path, ALLOWED[0], ALLOWED[2]) == [
        "exceptions.toml: nothing is found any more by score/policy in Pod/* (a reason)",
        "exceptions.toml: nothing is found any more by check/policy in * (the user turned it off)",
    ]


def test_each_exception_has_a_reason() -> None:
    assert all(len(exemption.reason.split()) > 3 for exemption in read_exemptions())
