"""`--hash-uids`: the log has no uid, but one user can still be followed through it."""

import hashlib
import hmac
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from statefulroute.cluster.field_logger import HASH_KEY
from statefulroute.domain.keys import link_name
from statefulroute.domain.log_redaction import LogRedactor
from statefulroute.domain.redaction import UidRedactor

ALICE = "~" + hashlib.sha256(b"alice").hexdigest()[:16]
PATH = "/apis/statefulroute.io/v1alpha1/namespaces/games/podlinks"


def redacted(**line: Any) -> dict[str, Any]:
    """Returns a log line after the processor."""
    return dict(LogRedactor(UidRedactor()).redact({"logger": "statefulroute.x", "event": "a test", **line}))


def test_link_name_becomes_its_route_and_the_hash_of_its_uid() -> None:
    assert redacted(link="game.alice")["link"] == f"game.{ALICE}"


def test_link_name_of_a_slot_stays_because_it_names_no_user() -> None:
    assert redacted(link="game.x-slot-7")["link"] == "game.x-slot-7"


def test_hash_equals_that_of_sha256sum() -> None:
    command = "printf %s alice | sha256sum | cut -c1-16"
    shown = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == ALICE.removeprefix("~")


def test_hash_with_a_key_is_an_hmac() -> None:
    expected = hmac.new(b"secret", b"alice", hashlib.sha256).hexdigest()[:16]
    assert UidRedactor(b"secret").redact_link_name("game.alice") == f"game.~{expected}" != f"game.{ALICE}"


def test_encoded_uid_has_the_hash_of_the_decoded_uid() -> None:
    name = link_name("game", "Alice Müller")
    assert redacted(link=name)["link"] == f"game.~{hashlib.sha256('Alice Müller'.encode()).hexdigest()[:16]}"


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
def test_redacts_link_names_in_errors_of_other_programs(error: str, field: str) -> None:
    line = redacted(**{"logger": "asyncio", field: error})
    assert "alice" not in line[field]
    assert ALICE in line[field]


@pytest.mark.parametrize(
    "uid", ["alice", "Alice Müller", 'a "quoted" uid', "back\\slash", "line\nbreak", "a/b?c=d&e", "x-61", "日本", "1"]
)
@pytest.mark.parametrize(
    "template",
    ["{}", "uid {} is taken", "{!r} is taken", "GET /podlinks?fieldSelector=spec.uid%3D{}", "[{}]", "uid={};"],
)
def test_redacts_every_spelling_of_a_uid(uid: str, template: str) -> None:
    name = link_name("game", uid)
    line = redacted(link=name, error=template.format(uid), more=[json.dumps({"uid": uid}), {"name": f"<{name}>"}])
    text = json.dumps(line, ensure_ascii=False)
    for spelling in (uid, name, name.removeprefix("game."), json.dumps(uid)[1:-1], repr(uid)[1:-1]):
        assert len(spelling) == 1 or spelling not in text
    assert text.count(UidRedactor().redact_uid(uid)) == 4


def test_redacts_only_whole_words() -> None:
    assert redacted(link="game.a", error="a capital: a")["error"].count("~") == 2
    assert "c~" not in redacted(link="game.a", error="a capital: a")["error"]


def test_keeps_words_of_the_program_that_equal_a_uid() -> None:
    line = redacted(link="game.test", namespace="test", reason="test")
    assert (line["event"], line["namespace"], line["reason"]) == ("a test", "test", "test")


def test_keeps_a_line_without_a_link() -> None:
    line = {"resource": f"{PATH}", "links": 3, "error": "403 Forbidden: podlinks.statefulroute.io is forbidden"}
    assert redacted(**line) == {"logger": "statefulroute.x", "event": "a test", **line}


def test_redacts_values_that_are_not_strings() -> None:
    line = redacted(link="game.alice", cause=ValueError("alice?"), pair=("alice", 1), count=5, known=True, nothing=None)
    assert line["cause"] == f"{ALICE}?"
    assert line["pair"] == [ALICE, 1]
    assert (line["count"], line["known"], line["nothing"]) == (5, True, None)


#: Sets up the log in a new interpreter, because it is global to a process; then causes errors.
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

async def unawaited():
    fail("game.alice")

async def main():
    task = asyncio.create_task(unawaited())
    await asyncio.wait([task])
    del task
    gc.collect()

asyncio.run(main())
"""


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_no_log_line_has_a_uid_or_the_value_of_a_variable(log_format: str) -> None:
    command = [sys.executable, "-W", "always", "-c", SCRIPT, log_format]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {HASH_KEY: ""})
    # A traceback has no source lines of this script, because it is not in a file.
    for message in ("a detail", "a failure", "a defect", "Unclosed response", "never closed", "never retrieved"):
        assert message in result.stderr
    assert "alice" not in result.stderr
    assert "s3cret" not in result.stderr
    assert result.stderr.count(ALICE) >= 8


def test_key_is_read_from_the_environment() -> None:
    command = [sys.executable, "-c", SCRIPT, "json"]
    result = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | {HASH_KEY: "a secret"}
    )
    assert UidRedactor(b"a secret").redact_uid("alice") in result.stderr
    assert ALICE not in result.stderr
