"""The log on the standard error: text or JSON, also for lines of libraries."""

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest

from support.terminal import TerminalSession

#: Sets up the log in a new interpreter, because it is global to a process; then logs some events.
SCRIPT = """
import logging, sys
import structlog
from statefulroute.cli.logs import LogFormat, LogLevel, set_up_logging

level, log_format = sys.argv[1:]
set_up_logging(LogLevel(level), LogFormat(log_format) if log_format else None)
log = structlog.get_logger("ours")
log.debug("a detail", link="game.alice")
log.info("an event", links=3, key=("games", "game"))
log.warning("a problem")
logging.getLogger("library").info("in its %s words", "own")
logging.getLogger("kopf.objects").info("several lines an object")
logging.getLogger("kopf.reactor").info("chatter")
logging.getLogger("kopf.reactor").warning("a word of kopf")
try:
    raise RuntimeError("a defect")
except RuntimeError:
    log.exception("a failure")
print("only on the standard output", end="")
"""

#: As above, with hostile texts that clear the screen, start a new line, and change the direction of writing.
HOSTILE = """
import logging, sys
import structlog
from statefulroute.cli.logs import LogFormat, LogLevel, set_up_logging

level, log_format = sys.argv[1:]
set_up_logging(LogLevel(level), LogFormat(log_format))
log = structlog.get_logger("ours")
uid = "a\\u202e\\x1b[2J\\n\\x9b2Jb"
log.warning("an event", uid=uid, uids=[uid], short="c\\u202ed")
logging.getLogger("library").warning("in its %s words", uid)
try:
    raise RuntimeError(uid)
except RuntimeError:
    log.exception("a failure")
print("only on the standard output", end="")
"""

#: The colors that the renderer writes.
COLOR = re.compile(r"\x1b\[\d+m")


def lines(level: str, log_format: str, script: str = SCRIPT) -> list[str]:
    result = subprocess.run(
        [sys.executable, "-c", script, level, log_format], capture_output=True, text=True, check=True
    )
    assert result.stdout == "only on the standard output"
    return result.stderr.splitlines()


@pytest.fixture(scope="module")
def as_json() -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines("info", "json")]


def test_each_json_line_is_one_event_of_the_program_or_a_library(as_json: list[dict[str, Any]]) -> None:
    assert [(line["level"], line["logger"], line["event"]) for line in as_json] == [
        ("info", "ours", "an event"),
        ("warning", "ours", "a problem"),
        ("info", "library", "in its own words"),
        ("warning", "kopf.reactor", "a word of kopf"),
        ("error", "ours", "a failure"),
    ]


def test_json_has_the_time_in_utc_and_the_fields_of_the_event(as_json: list[dict[str, Any]]) -> None:
    event = as_json[0]
    assert event["timestamp"].endswith("Z")
    assert (event["links"], event["key"]) == (3, ["games", "game"])
    assert all("timestamp" in line for line in as_json)


def test_traceback_in_json_is_structured(as_json: list[dict[str, Any]]) -> None:
    (failure,) = as_json[-1]["exception"]
    assert (failure["exc_type"], failure["exc_value"]) == ("RuntimeError", "a defect")


def test_default_format_without_a_terminal_is_json() -> None:
    written = [json.loads(line)["event"] for line in lines("warning", "")]
    assert written == ["a problem", "a word of kopf", "a failure"]


@pytest.mark.parametrize(
    ("level", "events"),
    [
        ("debug", ["a detail", "an event", "a problem", "in its own words", "a word of kopf", "a failure"]),
        ("error", ["a failure"]),
    ],
)
def test_lines_below_the_level_are_not_written(level: str, events: list[str]) -> None:
    assert [json.loads(line)["event"] for line in lines(level, "json")] == events


def test_text_format_is_readable() -> None:
    written = lines("info", "text")
    assert "an event" in written[0]
    assert "links" in written[0]
    assert not written[0].startswith("{")
    assert any("RuntimeError" in line for line in written)


def test_text_has_no_colors_outside_of_a_terminal() -> None:
    assert not [line for line in lines("info", "text") if "\x1b" in line]


@pytest.mark.parametrize(
    ("variables", "has_colors"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_text_has_colors_on_a_terminal_unless_they_are_disabled(variables: dict[str, str], has_colors: bool) -> None:
    command = [sys.executable, "-c", SCRIPT, "info", "text"]
    with TerminalSession(command, 120, os.environ, variables) as session:
        code, screen = session.close()
    assert (code, "an event" in screen, COLOR.search(screen) is not None) == (0, True, has_colors)


def test_log_escapes_unprintable_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONUTF8", "1")
    text = [COLOR.sub("", line) for line in lines("info", "text", HOSTILE)]
    assert [line for line in (*text, *lines("info", "json", HOSTILE)) if not line.isprintable()] == []
    first, second, third, *traceback = text
    assert ("an event" in first, "a failure" in third) == (True, True)
    assert "in its a\\u202e\\x1b[2J\\n\\x9b2Jb words" in second
    assert traceback[0] == "Traceback (most recent call last):"


def test_json_keeps_a_hostile_text() -> None:
    written = [json.loads(line) for line in lines("info", "json", HOSTILE)]
    assert written[0]["uid"] == "a\u202e\x1b[2J\n\x9b2Jb"
