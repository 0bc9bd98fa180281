"""Tests that a driver notices a use where its watches do not run: after a fork, in another loop, after its end."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from driver.driver_factory import DriverFactory
from driver.recording import RecordingClient, RecordingLogger
from statefulroute import ClientDriver, DriverAlreadyRunningError, DriverNotOpenError, ErrorCode, ServerDriver
from support.independent_client import PodLink
from support.service import Service

#: Runs a program in the environment of the pod game-0, and checks that it succeeds.
Run = Callable[[str], None]

_COMMON = """
import asyncio, gc, os, sys, threading, time
from statefulroute import ClientDriver, DriverNotOpenError, ServerDriver, sync

here = os.environ["POD_NAMESPACE"]

def in_child(work):
    child = os.fork()
    if child == 0:
        work()
        sys.exit(0)  # with the usual end of the interpreter, as workers of web servers end
    return child

def succeeded(child):
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it has not happened"
        time.sleep(0.02)

def refused(call, message):
    try:
        call()
    except DriverNotOpenError as error:
        assert message in str(error), error
    else:
        raise AssertionError("it was not noticed")
"""

#: As a web server with --preload: the driver is opened in the master, and its workers are forked.
_FORKED_CLIENT = """
async def opened():
    return await (await ClientDriver.connect()).__aenter__()

loop = asyncio.new_event_loop()
driver = loop.run_until_complete(opened())
loop.run_until_complete(driver.link_if_absent("before", "game", 0))

def work():
    refused(lambda: driver.best_pod("game"), "before this process was forked")
    refused(lambda: asyncio.run(driver.get_linked_pod("before", "game")), "in gunicorn: post_fork")
    asyncio.run(driver.__aexit__(None, None, None))  # does not touch the connections of the parent
    for name in ("driver", "loop", "restarts"):
        del globals()[name]
    gc.collect()  # the destructors of the copies do not, either

restarts = lambda: [reflector.restarts for reflector in driver._reflectors]
succeeded(in_child(work))
with sync.ClientDriver.connect() as other:
    other.link_if_absent("after", "game", 1)

async def sees():
    while driver._cached_link("after", "game") is None:
        await asyncio.sleep(0.02)
    await driver.link_if_absent("again", "game", 1)
    assert restarts() == [0, 0, 0], restarts()  # the end of the child has not ended connections of the parent
    await driver.__aexit__(None, None, None)

loop.run_until_complete(asyncio.wait_for(sees(), 20))
"""

_FORKED_SERVER = """
async def opened():
    driver = ServerDriver.from_environment()
    await driver.start()
    return driver

loop = asyncio.new_event_loop()
driver = loop.run_until_complete(opened())

def work():
    assert not driver.is_running
    refused(lambda: driver.set_load_state(1), "before this process was forked")
    for call in (driver.start, driver.stop, lambda: driver.set_linked_pod(here, "alice", "game", 0)):
        refused(lambda: asyncio.run(call()), "before this process was forked")
    asyncio.run(driver.close())

succeeded(in_child(work))
assert driver.is_running
loop.run_until_complete(driver.set_linked_pod(here, "alice", "game", 0))
loop.run_until_complete(driver.close())
"""

#: The blocking drivers open their own connections in a forked process.
_FORKED_SYNC = """
client = sync.ClientDriver.connect().__enter__()
server = sync.ServerDriver.from_environment()
server.start()
server.set_linked_pod(here, "parent", "game", 0)
events = client.events()
go, went = os.pipe()

def work():
    assert not server.is_running  # the parent reports
    os.read(go, 1)
    assert client.get_linked_pod("moved", "game") == 2
    until(lambda: client._driver.read(lambda driver: driver._cached_link("late", "game")) is not None)
    server.set_linked_pod(here, "child", "game", 1)
    refused(lambda: next(events), "call events() again")
    threads = [threading.Thread(target=client.get_linked_pod, args=("moved", "game")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.__exit__(None, None, None)
    server.close()

children = [in_child(work) for _ in range(3)]
client.link_if_absent("moved", "game", 2)
os.write(went, b"...")
time.sleep(0.3)
client.link_if_absent("late", "game", 0)
for child in children:
    succeeded(child)
until(lambda: client._driver.read(lambda driver: driver._cached_link("child", "game")) is not None)
assert server.is_running
server.close()
client.__exit__(None, None, None)
"""

_SECOND_LOOP = """
async def opened():
    return await (await ClientDriver.connect()).__aenter__()

async def started():
    driver = ServerDriver.from_environment()
    await driver.start()
    return driver

client, server = asyncio.run(opened()), asyncio.run(started())
refused(lambda: asyncio.run(client.get_linked_pod("alice", "game")), "belongs to another event loop")
refused(lambda: client.best_pod("game"), "belongs to another event loop")
refused(lambda: asyncio.run(server.start()), "belongs to another event loop")
refused(lambda: asyncio.run(server.set_linked_pod(here, "alice", "game", 0)), "belongs to another event loop")
"""

_REOPENED_SERVER = """
driver = ServerDriver.from_environment()

async def life(pod):
    await driver.set_linked_pod(here, "alice", "game", pod)
    async with driver:
        await driver.set_linked_pod(here, "alice", "game", pod + 1)

for pod in (0, 1):
    asyncio.run(life(pod))
"""


@pytest.fixture
def run(in_a_pod: pytest.MonkeyPatch, shared_service: Service) -> Iterator[Run]:
    del in_a_pod

    def run(program: str) -> None:
        command = [sys.executable, "-W", "ignore", "-c", _COMMON + program]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr

    yield run
    shared_service.client.delete_all(PodLink, shared_service.namespace)


@pytest.mark.parametrize(
    "program",
    [_FORKED_CLIENT, _FORKED_SERVER, _FORKED_SYNC, _SECOND_LOOP, _REOPENED_SERVER],
    ids=["forked client", "forked server", "forked blocking drivers", "second loop", "reopened server"],
)
def test_program(run: Run, program: str) -> None:
    run(program)


@pytest.mark.asyncio(loop_scope="module")
async def test_closed_client_driver_refuses_every_use(client: RecordingClient, game: Service) -> None:
    driver = ClientDriver(client, game.namespace, logger=RecordingLogger())
    with pytest.raises(DriverNotOpenError, match="is not open"):
        await driver.get_linked_pod("alice", "game")
    async with driver:
        with pytest.raises(DriverAlreadyRunningError):
            await driver.__aenter__()
    calls = {
        "get_linked_pod": ("alice", "game"),
        "get_linked_pod_if_persistent": ("alice", "game"),
        "links_of": ("alice",),
        "batch_get": (["alice"], "game"),
        "address_of": ("alice", "game"),
        "link_if_absent": ("alice", "game", 0),
        "compute_link_if_absent": ("alice", "game"),
        "renew": ("alice", "game"),
        "best_pod": ("game",),
        "alive_pods": ("game",),
        "routable_pods": ("game",),
        "is_routable": ("game", 0),
        "is_available": ("game", 0),
        "is_workload_ready": ("game",),
        "services_of_tag": ("all",),
    }
    for name, arguments in calls.items():
        with pytest.raises(DriverNotOpenError, match="is closed: open a new one") as refused:
            await _result(getattr(driver, name)(*arguments))
        assert refused.value.code is ErrorCode.DRIVER_NOT_OPEN, name
    assert [event async for event in driver.events()] == []  # an ended iterator: a consumer may be late


async def _result(answer: object) -> object:
    return await answer if asyncio.iscoroutine(answer) else answer


@pytest.mark.asyncio(loop_scope="module")
async def test_use_in_another_thread_is_refused(client: RecordingClient, game: Service, servers: DriverFactory) -> None:
    errors: list[BaseException] = []

    def use(driver: ClientDriver, server: ServerDriver) -> None:
        server.set_load_state(3)  # a number: threads may set it
        for call in (lambda: driver.best_pod("game"), lambda: asyncio.run(driver.get_linked_pod("alice", "game"))):
            try:
                call()
            except DriverNotOpenError as error:
                errors.append(error)
        with suppress(DriverNotOpenError):
            asyncio.run(server.start())
            errors.clear()

    async with (
        servers.started() as server,
        ClientDriver(client, game.namespace, logger=RecordingLogger()) as driver,
    ):
        thread = threading.Thread(target=use, args=(driver, server))
        thread.start()
        await asyncio.to_thread(thread.join)
        assert server.get_load_state() == 3
    assert ["statefulroute.sync" in str(error) for error in errors] == [True, True]
