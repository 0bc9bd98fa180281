"""The results of checks, and the report of `check`."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from statefulroute.cli.output.messages import printable
from statefulroute.cli.output.terminal import Terminal


class Level(StrEnum):
    """The severity of a result."""

    OK = "ok"
    """As it should be."""
    NOTICE = "notice"
    """Worth knowing: it may be intended, or could not be checked."""
    PROBLEM = "problem"
    """Users cannot be bound, served or distinguished as they should: the exit code is 1."""


_STYLES = {Level.OK: "good", Level.NOTICE: "warn", Level.PROBLEM: "bad"}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One result of a check.

    Attributes:
        check: the name of the check.
        level: the severity.
        message: what the check has found.
        fix: how to fix it; empty if there is nothing to fix. In JSON it is `remedy`.
        count: the number of objects that it concerns; 0 if it concerns none.
        example: one of them, as `namespace/name`.
    """

    check: str
    level: Level
    message: str
    fix: str = ""
    count: int = 0
    example: str = ""

    def document(self) -> dict[str, Any]:
        """Returns the result for JSON."""
        return {
            "check": self.check,
            "level": self.level,
            "message": self.message,
            "remedy": self.fix,
            "count": self.count,
            "example": self.example,
        }


class Report:
    """Writes results as they arrive, or as one JSON object at the end.

    Args:
        terminal: where to write them.
        as_json: whether to write JSON.
    """

    def __init__(self, terminal: Terminal, *, as_json: bool) -> None:
        self._terminal = terminal
        self._as_json = as_json
        self._documents: list[dict[str, Any]] = []
        self._counts = dict.fromkeys(Level, 0)

    @property
    def is_healthy(self) -> bool:
        """Whether no result is a problem."""
        return not self._counts[Level.PROBLEM]

    def add(self, result: CheckResult) -> None:
        """Write a result."""
        self._counts[result.level] += 1
        if self._as_json:
            self._documents.append(result.document())
            return
        level = self._terminal.styled(f"{result.level:<8}", _STYLES[result.level])
        self._terminal.write_line(f"{level} {result.check:<12} {printable(result.message)}")
        if result.fix:
            self._terminal.write_line(f"{'':<21} -> {printable(result.fix)}")
        self._terminal.stream.flush()

    def close(self) -> None:
        """Write the summary."""
        if self._as_json:
            document = {"healthy": self.is_healthy, "findings": self._documents}
            self._terminal.write_line(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
            return
        counts = [(self._counts[level], level) for level in (Level.PROBLEM, Level.NOTICE) if self._counts[level]]
        summary = " and ".join(f"{count} {level}{'s' if count > 1 else ''}" for count, level in counts)
        self._terminal.write_line(summary or "no problems")


def tally(count: int, total: int, state: str) -> str:
    """Returns how many of all objects are in a state: `2 of 3 are Ready`."""
    return f"{count:,} of {total:,} {'is' if count == 1 else 'are'} {state}" if total else "there are none"
