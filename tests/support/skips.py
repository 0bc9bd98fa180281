"""The reasons of skipped tests: one line each, and what installs that which is missing."""

import re
from collections.abc import Iterable

import pytest

#: The longest reason that is printed for each skipped test.
LONGEST_REASON = 240

_COMMAND = re.compile(r"`(make [a-z-]+)`")


def shorten(reason: str) -> str:
    """Returns a reason as one line of at most `LONGEST_REASON` characters.

    The rest of a longer one is what a program has printed. A command that installs what is missing is kept.
    """
    line = reason.strip().partition("\n")[0].rstrip()
    if len(line) > LONGEST_REASON:
        line = f"{line[: LONGEST_REASON - 1].rstrip()}…"
    lost = [command for command in install_commands([reason]) if f"`{command}`" not in line]
    return line + "".join(f" `{command}` installs it." for command in lost)


def install_commands(reasons: Iterable[str]) -> list[str]:
    """Returns the make targets in reasons, each once and sorted."""
    return sorted({command for reason in reasons for command in _COMMAND.findall(reason)})


def shorten_report(report: pytest.TestReport) -> None:
    """Shortens the reason of a skipped test. The whole of it is shown with the report."""
    if report.skipped and isinstance(report.longrepr, tuple):
        path, line, reason = report.longrepr
        if (short := shorten(reason)) != reason:
            report.sections.append(("why it was skipped", reason))
            report.longrepr = (path, line, short)


def summarize(reporter: pytest.TerminalReporter) -> None:
    """Prints how many tests were skipped, and the commands that install what they need."""
    skipped = reporter.stats.get("skipped", [])
    commands = install_commands(report.longrepr[2] for report in skipped if isinstance(report.longrepr, tuple))
    if commands:
        reporter.section("skipped tests")
        reporter.line(f"{len(skipped)} tests were skipped; install what they need by: {', '.join(commands)}")
