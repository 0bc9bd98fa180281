"""Compares what the linters have found with the findings that exceptions.toml allows."""

import tomllib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

EXCEPTIONS = Path(__file__).with_name("exceptions.toml")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a linter has found.

    Attributes:
        rule: the linter and its rule, like `checkov/CKV_K8S_11`.
        subject: a kind and a component of the chart, like `Deployment/operator`, or a file.
        message: what is wrong.
        value_set: the name of the chart's values.
        changed: the values of the chart, by their paths, that differ from their defaults.
    """

    rule: str
    subject: str
    message: str
    value_set: str = ""
    changed: frozenset[str] = frozenset()

    def __str__(self) -> str:
        """Returns it as one line, which is the same for all sets of values."""
        return f"{self.rule}: {self.subject}: {self.message}"


@dataclass(frozen=True, slots=True)
class Exemption:
    """An entry of exceptions.toml: findings that are allowed.

    Attributes:
        reason: why.
        rules: the rules, as in `Finding`.
        subjects: patterns of the subjects.
        message: a pattern of the message.
        when: values, one of which must differ from its default; none: with all values.
    """

    reason: str
    rules: tuple[str, ...]
    subjects: tuple[str, ...] = ("*",)
    message: str = "*"
    when: frozenset[str] = frozenset()

    def allows(self, finding: Finding) -> bool:
        """Returns whether it allows a finding."""
        return (
            finding.rule in self.rules
            and any(fnmatchcase(finding.subject, pattern) for pattern in self.subjects)
            and fnmatchcase(finding.message, self.message)
            and (not self.when or bool(self.when & finding.changed))
        )


def read_exemptions(file: Path = EXCEPTIONS) -> list[Exemption]:
    """Reads the file of exceptions."""
    entries: list[dict[str, Any]] = tomllib.loads(file.read_text(encoding="utf-8"))["exception"]
    return [Exemption(**{name: _converted(name, value) for name, value in entry.items()}) for entry in entries]


def expect_no_problems(findings: Collection[Finding], exemptions: Iterable[Exemption], *linters: str) -> None:
    """Fails with the problems, one a line. The arguments are those of `problems`."""
    if lines := [*problems(findings, exemptions, *linters)]:
        pytest.fail(
            "\n".join([f"{len(lines)} problems; mend them, or give a reason in {EXCEPTIONS.name}:", *lines]),
            pytrace=False,
        )


def problems(findings: Collection[Finding], exemptions: Iterable[Exemption], *linters: str) -> Iterator[str]:
    """Yields, as one line each, the findings that no exception allows, and what exceptions allow in vain.

    Args:
        findings: all findings of these linters.
        exemptions: all exceptions.
        linters: the linters that have run, with all that they check.
    """
    known = [*exemptions]
    refused = [finding for finding in findings if not any(each.allows(finding) for each in known)]
    for line, example in sorted({str(finding): finding for finding in refused}.items()):
        yield f"{line} (values: {example.value_set})" if example.value_set else line
    for each in known:
        for rule in each.rules:
            for subject in each.subjects:
                part = Exemption(each.reason, (rule,), (subject,), each.message, each.when)
                if rule.partition("/")[0] in linters and not any(part.allows(finding) for finding in findings):
                    yield f"{EXCEPTIONS.name}: nothing is found any more by {rule} in {subject} ({each.reason})"


def _converted(name: str, value: Any) -> Any:
    if name == "when":
        return frozenset(value)
    return tuple(value) if isinstance(value, list) else value
