"""`--hash-uids`: whoever reads the log learns no uid, and can still follow one user through it."""

import hashlib
import hmac
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from statefulroute.cli.redaction import HASH_KEY, LogRedactor
from statefulroute.domain.keys import link_name
from statefulroute.domain.redaction import UidRedactor

ALICE = "~" + hashlib.sha256(b"alice").hexdigest()[:16]
PATH = "/apis/statefulroute.io/v1alpha1/namespaces/games/podlinks"


def hidden(**line: Any) -> dict[str, Any]:
    """A line of the log after it went through the processor."""
    return dict(LogRedactor(UidRedactor())(None, "info", {"logger": "statefulroute.x", "event": "a test", **line}))


def test_a_link_is_named_by_its_route_and_the_hash_of_its_uid() -> None:
    assert hidden(link="game.alice")["link"] == f"game.{ALICE}"


def test_the_hash_can_be_made_by_hand() -> None:
    command = "printf %s alice | sha256sum | cut -c1-16"
    shown = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == ALICE.removeprefix("~")


def test_a_key_makes_other_hashes_which_can_be_made_by_hand_too() -> None:
    expected = hmac.new(b"secret", b"alice", hashlib.sha256).hexdigest()[:16]
    assert UidRedactor(b"secret").redact_link_name("game.alice") == f"game.~{expected}" != f"game.{ALICE}"


def test_a_uid_that_stands_in_a_name_as_hex_has_the_hash_of_the_uid() -> None:
    name = link_name("game", "Alice Müller")
    assert hidden(link=name)["link"] == f"game.~{hashlib.sha256('Alice Müller'.encode()).hexdigest()[:16]}"


@pytest.mark.parametrize(
    "error",
    [
        f"PATCH {PATH}/game.alice/status: Server disconnected",
        f"DELETE {PATH}/game.alice: TimeoutError",
        '409 Conflict: Operation cannot be fulfilled on podlinks.statefulroute.io "game.alice": the object has changed',
        '404 NotFound: podlinks.statefulroute.io "game.alice" not found',
        'PodLink.statefulroute.io "game.alice" is invalid: spec.uid: Invalid value: "alice": metadata.name must be x',
        '403: {"message":"podlinks.statefulroute.io \\"game.alice\\" is forbidden: User \\"a\\" cannot patch"}',
        '403 Forbidden: events.events.k8s.io "game.alice.0123456789abcdef" is forbidden',
        "500: etcdserver: /registry/statefulroute.io/podlinks/games/game.alice is too large",
        "KeyError: LinkKey(route=RouteKey(namespace='games', name='game'), name='game.alice')",
    ],
)
@pytest.mark.parametrize("field", ["error", "event"])
def test_what_others_say_of_a_link_that_the_line_does_not_name_holds_no_uid(error: str, field: str) -> None:
    line = hidden(**{"logger": "asyncio", field: error})
    assert "alice" not in line[field]
    assert ALICE in line[field]


@pytest.mark.parametrize(
    "uid", ["alice", "Alice Müller", 'a "quoted" uid', "back\\slash", "line\nbreak", "a/b?c=d&e", "x-61", "日本", "1"]
)
@pytest.mark.parametrize(
    "said", ["{}", "uid {} is taken", "{!r} is taken", "GET /podlinks?fieldSelector=spec.uid%3D{}", "[{}]", "uid={};"]
)
def test_a_uid_is_found_in_whatever_is_said_of_its_link(uid: str, said: str) -> None:
    name = link_name("game", uid)
    line = hidden(link=name, error=said.format(uid), more=[json.dumps({"uid": uid}), {"name": f"<{name}>"}])
    text = json.dumps(line, ensure_ascii=False)
    for form in (uid, name, name.removeprefix("game."), json.dumps(uid)[1:-1], repr(uid)[1:-1]):
        assert len(form) == 1 or form not in text
    assert text.count(UidRedactor().redact_uid(uid)) == 4


def test_only_a_word_of_its_own_is_a_uid() -> None:
    assert hidden(link="game.a", error="a capital: a")["error"].count("~") == 2
    assert "c~" not in hidden(link="game.a", error="a capital: a")["error"]


def test_words_of_this_program_stay_though_somebody_is_called_so() -> None:
    line = hidden(link="game.test", namespace="test", reason="test")
    assert (line["event"], line["namespace"], line["reason"]) == ("a test", "test", "test")


def test_a_line_that_is_about_no_link_stays_as_it_is() -> None:
    line = {"resource": f"{PATH}", "links": 3, "error": "403 Forbidden: podlinks.statefulroute.io is forbidden"}
    assert hidden(**line) == {"logger": "statefulroute.x", "event": "a test", **line}


def test_values_that_are_no_text_are_looked_through_too() -> None:
    line = hidden(link="game.alice", cause=ValueError("alice?"), pair=("alice", 1), count=5, known=True, nothing=None)
    assert line["cause"] == f"{ALICE}?"
    assert line["pair"] == [ALICE, 1]
    assert (line["count"], line["known"], line["nothing"]) == (5, True, None)


#: Sets the log up in a Python of its own, for it is the process's; then things go wrong.
SCRIPT = """
import asyncio, gc, logging, sys, warnings
import structlog
from statefulroute.cli.logs import LogFormat, LogLevel, set_up_logging
from statefulroute.cluster.errors import UnreachableError

set_up_logging(LogLevel.DEBUG, LogFormat(sys.argv[1]), hash_uids=True)
PATH = "/apis/statefulroute.io/v1alpha1/namespaces/games/podlinks/game.alice"
log = structlog.get_logger("statefulroute.x")
log.debug("a detail", link="game.alice", uid="alice")

def fail(link):
    token = "s3cret"
    raise UnreachableError(f"PATCH {PATH}: broken")

try:
    try:
        fail("game.alice")
    except UnreachableError as error:
        raise RuntimeError("the user alice") from error
except RuntimeError:
    log.exception("a failure", link="game.alice")
try:
    {}["game.alice"]
except KeyError:
    log.exception("a defect")
logging.getLogger("aiohttp.client").error("Unclosed response: %s", f"<ClientResponse(https://x{PATH}) [200 OK]>")
warnings.warn(f"never closed: {PATH}", stacklevel=1)

async def forgotten():
    fail("game.alice")

async def main():
    task = asyncio.create_task(forgotten())
    await asyncio.wait([task])
    del task
    gc.collect()

asyncio.run(main())
"""


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_no_line_of_ours_or_of_a_library_holds_a_uid_or_the_value_of_a_variable(log_format: str) -> None:
    command = [sys.executable, "-W", "always", "-c", SCRIPT, log_format]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {HASH_KEY: ""})
    # A traceback shows the code, and this script is none that Python could show.
    for told in ("a detail", "a failure", "a defect", "Unclosed response", "never closed", "never retrieved"):
        assert told in result.stderr
    assert "alice" not in result.stderr
    assert "s3cret" not in result.stderr
    assert result.stderr.count(ALICE) >= 8


def test_the_key_comes_from_the_environment() -> None:
    command = [sys.executable, "-c", SCRIPT, "json"]
    result = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | {HASH_KEY: "a secret"}
    )
    assert UidRedactor(b"a secret").redact_uid("alice") in result.stderr
    assert ALICE not in result.stderr
