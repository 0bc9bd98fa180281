"""Tests what drivers log, and that they print nothing by themselves."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from driver.driver_factory import DriverFactory
from statefulroute import ClientDriver, InvalidParameterError, ServerDriver
from statefulroute.driver.parts import ServerParts
from support.independent_client import PodLink
from support.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")

UID = "alice-in-wonderland"

#: Uses both drivers: an operation of each succeeds, and one fails. The argument is the set-up of logging.
PROGRAM = """
import asyncio, contextlib, json, logging, os, sys
import statefulroute
from statefulroute import ClientDriver, ServerDriver, StatefulRouteError

class Fields(logging.Handler):
    def emit(self, record):
        print(json.dumps([record.levelname, record.name, record.getMessage(), record.statefulroute], default=str))

exec(sys.argv[1])
options = {"hash_uids": True} if len(sys.argv) > 2 else {}

async def main():
    here = os.environ["POD_NAMESPACE"]
    server = ServerDriver.from_environment(**options)
    await server.set_linked_pod(here, "alice-in-wonderland", "game", 0)
    with contextlib.suppress(StatefulRouteError):
        await server.set_linked_pod(here, "alice-in-wonderland", "game", -1)
    await server.close()
    async with await ClientDriver.connect(**options) as client:
        await client.compute_link_if_absent("alice-in-wonderland", "game")
    with contextlib.suppress(StatefulRouteError):
        await ClientDriver.connect("elsewhere", kubeconfig="/nowhere", **options)

asyncio.run(main())
"""

#: Runs the program with a set-up of logging, and with hashes of uids if there is another argument.
Run = Callable[..., subprocess.CompletedProcess[str]]

_FIELDS = "logging.basicConfig(level='INFO', handlers=[Fields()])"


@pytest.fixture
def run(in_a_pod: pytest.MonkeyPatch, shared_service: Service) -> Iterator[Run]:
    """Runs the program in a pod's environment, with a set-up of logging."""
    del in_a_pod

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )

    yield run
    shared_service.client.delete_all(PodLink, shared_service.namespace)


async def test_drivers_print_nothing_unless_the_application_logs(run: Run) -> None:
    done = run("pass")
    assert (done.stdout, done.stderr) == ("", "")


async def test_application_gets_messages_with_fields(run: Run) -> None:
    lines = [json.loads(line) for line in run(_FIELDS).stdout.splitlines()]
    ours = [line for line in lines if line[1].startswith("statefulroute.driver.")]
    (level, logger, message, fields), (refused, _, refusal, about), *others = [
        line for line in ours if line[2].startswith("set_linked_pod")
    ]
    assert others == []
    assert (level, logger) == ("INFO", "statefulroute.driver.server")
    assert (fields["uid"], fields["service"], fields["pod"]) == (UID, "game", 0)
    assert message.startswith(f"set_linked_pod namespace={fields['namespace']} uid={UID} service=game pod=0 ")
    assert (refused, about["code"]) == ("WARNING", "InvalidParameter")
    assert "error='pod must be" in refusal
    (bound,) = [line for line in ours if line[2].startswith("compute_link_if_absent")]
    assert (bound[1], bound[3]["holder"]) == ("statefulroute.driver.client", 0)


async def test_hashes_uids_on_request(run: Run) -> None:
    output = run(_FIELDS, "hash").stdout
    assert "compute_link_if_absent" in output
    assert UID not in output
    hashed = {json.loads(line)[3]["uid"] for line in output.splitlines() if '"uid"' in line}
    assert len(hashed) == 1  # one user can still be followed
    assert next(iter(hashed)).startswith("~")


async def _parts(servers: DriverFactory) -> ServerParts:
    parts = (await servers.make())._parts.opened  # noqa: SLF001
    assert parts is not None
    return parts


async def test_logs_by_a_logger_of_the_logging_module(
    servers: DriverFactory, game: Service, uid: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "chat")
    here = game.namespace
    for logger in (logging.getLogger("chat"), logging.LoggerAdapter(logging.getLogger("chat"), {"room": 7})):
        caplog.clear()
        driver = ServerDriver(here, await _parts(servers), logger=logger)
        await driver.set_linked_pod(here, uid, "game", 0)
        assert await driver.remove_linked_pod(here, uid, "game")
        assert [record.getMessage().partition(" ")[0] for record in caplog.records] == [
            "set_linked_pod",
            "remove_linked_pod",
        ]
        assert {record.name for record in caplog.records} == {"chat"}
        assert f"uid={uid}" in caplog.text


async def test_rejects_an_object_that_is_not_a_logger(servers: DriverFactory, game: Service) -> None:
    with pytest.raises(InvalidParameterError, match=r"^logger must be a logger of the logging module"):
        ServerDriver(game.namespace, await _parts(servers), logger=print)  # type: ignore[arg-type]
    with pytest.raises(InvalidParameterError, match=r"^logger must be"):
        ClientDriver(servers.client, game.namespace, logger="chat")  # type: ignore[arg-type]
