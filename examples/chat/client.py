"""A chat client: joins a room by its uid, perhaps with a name, and follows the room from pod to pod.

python client.py alice Bob
"""

import asyncio
import sys
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from statefulroute import ClientDriver, StatefulRouteError

SERVICE = "chat"

#: A killed pod does not refuse connections: after this time the client looks the room up again.
TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=3)
PAUSE_SECONDS = 0.5


# The use of StatefulRoute.


async def main(uid: str, name: str = "") -> None:
    """Stays in the room, at any pod, until the input ends."""
    lines = await typed_lines()
    async with (
        await ClientDriver.connect(services=[SERVICE]) as driver,
        aiohttp.ClientSession(timeout=TIMEOUT) as http,
    ):
        while not lines.at_eof():
            try:
                pod = await driver.compute_link_if_absent(uid, SERVICE)  # the pod of the room, else the best one
                async with http.ws_connect(await url_of(driver, uid, name), heartbeat=10) as room:
                    await first_of(print_messages(room), send_lines(room, lines), wait_until_moved(driver, uid, pod))
            except (StatefulRouteError, aiohttp.ClientError, LookupError) as error:
                print(f"* not now: {error}")
            await asyncio.sleep(PAUSE_SECONDS)


async def url_of(driver: ClientDriver, uid: str, name: str) -> URL:
    """Returns the URL of the room."""
    address = await driver.address_of(uid, SERVICE)
    if address is None or address.port is None:
        raise LookupError("the room has just gone" if address is None else "the StatefulRoute names no port")
    path = f"/rooms/{quote(uid, safe='')}"
    url = URL.build(scheme="ws", host=address.ip, port=address.port, path=path, encoded=True)
    return url.with_query(name=name) if name else url


async def wait_until_moved(driver: ClientDriver, uid: str, pod: int | str) -> None:
    """Waits until the room is no longer at a pod."""
    changes = driver.events()
    while await driver.get_linked_pod(uid, SERVICE) == pod:
        await anext(changes)


# The chat client itself.


async def print_messages(room: aiohttp.ClientWebSocketResponse) -> None:
    """Prints messages until the room closes."""
    while (message := await room.receive()).type is aiohttp.WSMsgType.TEXT:
        print(message.data)
    print("* the room has closed:", message.extra or "the connection broke off")


async def send_lines(room: aiohttp.ClientWebSocketResponse, lines: asyncio.StreamReader) -> None:
    """Sends the typed lines."""
    while line := await lines.readline():
        await room.send_str(line.decode().strip())


async def typed_lines() -> asyncio.StreamReader:
    """Returns the lines from a terminal or a pipe."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    return lines


async def first_of(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Runs coroutines until the first one ends, and cancels the others."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    for task in done:
        task.result()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
