"""What `check` finds, and how it is written."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from statefulroute.cli.output.printable import printable
from statefulroute.cli.output.table import Terminal


class Level(StrEnum):
    """How a finding counts."""

    OK = "ok"
    """As it should be."""
    NOTICE = "notice"
    """Worth knowing; it may be meant so, or could not be found out."""
    PROBLEM = "problem"
    """Users cannot be bound, served or told apart as they should: the exit code is 1."""


_STYLE = {Level.OK: "good", Level.NOTICE: "warn", Level.PROBLEM: "bad"}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One thing that a check has found.

    Attributes:
        check: which check it was.
        level: how it counts.
        message: what is so, as a sentence.
        remedy: how to put it right; empty where there is nothing to be put right.
        count: how many objects it is about; 0 where it is about none.
        example: one of them, as `namespace/name`.
    """

    check: str
    level: Level
    message: str
    remedy: str = ""
    count: int = 0
    example: str = ""


class Report:
    """Findings, written as they come, or as one JSON object at the end.

    Args:
        terminal: where to.
        as_json: whether for a program.
    """

    def __init__(self, terminal: Terminal, *, as_json: bool) -> None:
        self._terminal = terminal
        self._as_json = as_json
        self._kept: list[dict[str, Any]] = []
        self._counts = dict.fromkeys(Level, 0)

    @property
    def is_healthy(self) -> bool:
        """Whether there was no problem."""
        return not self._counts[Level.PROBLEM]

    def add(self, finding: CheckResult) -> None:
        """Write a finding."""
        self._counts[finding.level] += 1
        if self._as_json:
            self._kept.append({"check": finding.check, **msgspec.to_builtins(finding)})
            return
        level = self._terminal.styled(f"{finding.level:<8}", _STYLE[finding.level])
        self._terminal.write_line(f"{level} {finding.check:<12} {printable(finding.message)}")
        if finding.remedy:
            self._terminal.write_line(f"{'':<21} -> {printable(finding.remedy)}")
        self._terminal.stream.flush()

    def end(self) -> None:
        """Write the verdict."""
        if self._as_json:
            verdict = {"healthy": self.is_healthy, "findings": self._kept}
            self._terminal.write_line(msgspec.json.format(msgspec.json.encode(verdict), indent=2).decode())
            return
        found = [f"{self._counts[level]} {level}{'s' if self._counts[level] > 1 else ''}"
                 for level in (Level.PROBLEM, Level.NOTICE) if self._counts[level]]  # fmt: skip
        self._terminal.write_line(" and ".join(found) if found else "all is well")
