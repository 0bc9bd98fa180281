"""A chat client: it joins a room by its uid, and follows the room from pod to pod.

python client.py alice
"""

import asyncio
import logging
import sys
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import aiohttp
import structlog
from yarl import URL

from statefulroute import ClientDriver, StatefulRouteError

SERVICE = "chat"

#: A pod that has gone without a word answers nothing: after this time it is asked again where the room is.
PATIENCE = aiohttp.ClientTimeout(total=None, sock_connect=3)
PAUSE_SECONDS = 0.5


# What StatefulRoute is used for.


async def main(uid: str) -> None:
    """Be in the room, wherever it goes, until there is no more to say."""
    lines = await typed_lines()
    async with (
        await ClientDriver.connect(services=[SERVICE]) as driver,
        aiohttp.ClientSession(timeout=PATIENCE) as http,
    ):
        while not lines.at_eof():
            try:
                pod = await driver.compute_link_if_absent(uid, SERVICE)  # the pod of the room, else the best one
                async with http.ws_connect(await url_of(driver, uid), heartbeat=10) as room:
                    await first(hear(room), speak(room, lines), leaves(driver, uid, pod))
            except (StatefulRouteError, aiohttp.ClientError, LookupError) as error:
                print(f"* not now: {error}")
            await asyncio.sleep(PAUSE_SECONDS)


async def url_of(driver: ClientDriver, uid: str) -> URL:
    """Where the room is."""
    address = await driver.address_of(uid, SERVICE)
    if address is None or address.port is None:
        raise LookupError("the room has just gone" if address is None else "the StatefulRoute names no port")
    path = f"/rooms/{quote(uid, safe='')}"
    return URL.build(scheme="ws", host=address.ip, port=address.port, path=path, encoded=True)


async def leaves(driver: ClientDriver, uid: str, pod: int | str) -> None:
    """Wait until the room is no longer at a pod."""
    changes = driver.events()
    while await driver.get_linked_pod(uid, SERVICE) == pod:
        await anext(changes)


# What any chat client does.


async def hear(room: aiohttp.ClientWebSocketResponse) -> None:
    """Print what is said until the room closes."""
    while (heard := await room.receive()).type is aiohttp.WSMsgType.TEXT:
        print(heard.data)
    print("* the room has closed:", heard.extra or "the connection broke off")


async def speak(room: aiohttp.ClientWebSocketResponse, lines: asyncio.StreamReader) -> None:
    """Say what is typed."""
    while line := await lines.readline():
        await room.send_str(line.decode().strip())


async def typed_lines() -> asyncio.StreamReader:
    """What is typed, from a terminal or a pipe."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    return lines


async def first(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Wait for the first of them to end, and end the others."""
    tasks = [asyncio.create_task(each) for each in coroutines]
    done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    for task in done:
        task.result()


if __name__ == "__main__":
    # The driver writes a line about everything that it does: to a terminal, only what goes wrong.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1]))
