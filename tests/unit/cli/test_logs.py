"""The log: text for people, JSON for machines, libraries' own lines included; all of it on the standard error."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest

#: Sets the log up in a Python of its own, for it is the process's; then something happens.
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
print("the standard output is nobody's", end="")
"""

#: Likewise, and what is logged is hostile: it clears the screen, begins a line of its own, and turns it.
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
print("the standard output is nobody's", end="")
"""

#: What the renderer itself writes.
COLOUR = re.compile(r"\x1b\[\d+m")


def lines(level: str, log_format: str, script: str = SCRIPT) -> list[str]:
    result = subprocess.run(
        [sys.executable, "-c", script, level, log_format], capture_output=True, text=True, check=True
    )
    assert result.stdout == "the standard output is nobody's"
    return result.stderr.splitlines()


@pytest.fixture(scope="module")
def as_json() -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines("info", "json")]


def test_each_line_of_json_is_one_event_of_ours_or_of_a_library(as_json: list[dict[str, Any]]) -> None:
    assert [(line["level"], line["logger"], line["event"]) for line in as_json] == [
        ("info", "ours", "an event"),
        ("warning", "ours", "a problem"),
        ("info", "library", "in its own words"),
        ("warning", "kopf.reactor", "a word of kopf"),
        ("error", "ours", "a failure"),
    ]


def test_json_has_the_time_in_utc_and_the_events_own_fields(as_json: list[dict[str, Any]]) -> None:
    event = as_json[0]
    assert event["timestamp"].endswith("Z")
    assert (event["links"], event["key"]) == (3, ["games", "game"])
    assert all("timestamp" in line for line in as_json)


def test_a_traceback_in_json_is_structured(as_json: list[dict[str, Any]]) -> None:
    (failure,) = as_json[-1]["exception"]
    assert (failure["exc_type"], failure["exc_value"]) == ("RuntimeError", "a defect")


def test_json_is_written_where_nobody_looks_on() -> None:
    written = [json.loads(line)["event"] for line in lines("warning", "")]
    assert written == ["a problem", "a word of kopf", "a failure"]


@pytest.mark.parametrize(
    ("level", "events"),
    [
        ("debug", ["a detail", "an event", "a problem", "in its own words", "a word of kopf", "a failure"]),
        ("error", ["a failure"]),
    ],
)
def test_only_what_is_important_enough_is_written(level: str, events: list[str]) -> None:
    assert [json.loads(line)["event"] for line in lines(level, "json")] == events


def test_text_is_for_people() -> None:
    written = lines("info", "text")
    assert "an event" in written[0]
    assert "links" in written[0]
    assert not written[0].startswith("{")
    assert any("RuntimeError" in line for line in written)


def test_no_text_can_move_the_cursor_or_turn_the_line_of_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONUTF8", "1")
    text = [COLOUR.sub("", line) for line in lines("info", "text", HOSTILE)]
    assert [line for line in (*text, *lines("info", "json", HOSTILE)) if not line.isprintable()] == []
    first, second, third, *traceback = text
    assert ("an event" in first, "a failure" in third) == (True, True)
    assert "in its a\\u202e\\x1b[2J\\n\\x9b2Jb words" in second
    assert traceback[0] == "Traceback (most recent call last):"


def test_a_hostile_text_is_whole_in_json() -> None:
    written = [json.loads(line) for line in lines("info", "json", HOSTILE)]
    assert written[0]["uid"] == "a\u202e\x1b[2J\n\x9b2Jb"
