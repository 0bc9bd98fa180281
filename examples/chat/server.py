"""A chat server: each room lives in the memory of one pod, to which the room is linked.

A guest joins a room by its uid at `/rooms/{uid}`, a WebSocket. If the room is not, or no longer, at this pod, the
server closes the WebSocket with one of two codes; with both, the client looks the room up again and reconnects.
"""

import argparse
import asyncio
import logging
import signal
from contextlib import suppress
from dataclasses import dataclass, field

from aiohttp import WSCloseCode, WSMsgType, web

from statefulroute import Attempt, ServerDriver, ServerInformation, StatefulRouteError

#: The interval between checks that the rooms are still linked to this pod.
CHECK_SECONDS = 5.0


@dataclass
class Room:
    """A room with its lines and guests."""

    lines: list[str] = field(default_factory=list)
    guests: set[web.WebSocketResponse] = field(default_factory=set)

    async def send(self, line: str) -> None:
        """Adds a line, and sends it to all guests."""
        self.lines.append(line)
        await asyncio.gather(*(guest.send_str(line) for guest in self.guests), return_exceptions=True)

    async def close(self, reason: str) -> None:
        """Disconnects all guests, which then reconnect."""
        closing = (guest.close(code=WSCloseCode.SERVICE_RESTART, message=reason.encode()) for guest in self.guests)
        await asyncio.gather(*closing, return_exceptions=True)


class Rooms:
    """The rooms of this pod."""

    def __init__(self, driver: ServerDriver, server: ServerInformation) -> None:
        self._driver = driver
        self._server = server
        self._rooms: dict[str, Room] = {}
        self._is_draining = False

    # The use of StatefulRoute.

    async def claim(self, uid: str) -> Attempt:
        """Binds a room to this pod, unless another pod holds it."""
        return await self._driver.try_set_linked_pod(
            self._server.namespace, uid, self._server.service, self._server.pod
        )

    async def release(self, uid: str) -> None:
        """Releases a room, so that the next guest binds it to another pod."""
        await self._driver.remove_linked_pod_with_id(
            self._server.namespace, uid, self._server.service, self._server.pod
        )

    async def refusal(self, uid: str) -> str | None:
        """Claims a room; returns why it cannot be at this pod, or None if it is."""
        try:
            attempt = await self.claim(uid)
            if attempt.won and self._is_draining:
                await self.release(uid)
        except StatefulRouteError as error:
            return str(error)
        if not attempt.won:
            return f"pod {attempt.holder} holds the room"
        return "this pod is about to end" if self._is_draining else None

    async def check(self) -> None:
        """Closes rooms that were moved to another pod by the operator or by a user."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            for uid in tuple(self._rooms):
                with suppress(StatefulRouteError):  # without the API server, nothing has moved
                    attempt = await self.claim(uid)
                    if not attempt.won:
                        await self._close(uid, f"pod {attempt.holder} holds the room")

    async def drain(self) -> None:
        """Releases all rooms, and refuses new ones. Their lines are lost; a real server would store them."""
        self._is_draining = True
        for uid in tuple(self._rooms):
            with suppress(StatefulRouteError):  # the guests then wait until this pod comes back
                await self.release(uid)
            await self._close(uid, "this pod is about to end")

    # The chat server itself.

    async def join(self, request: web.Request) -> web.WebSocketResponse:
        """Keeps a guest in a room until the guest leaves or the room closes."""
        uid = request.match_info["uid"]
        socket = web.WebSocketResponse(heartbeat=20)
        await socket.prepare(request)
        refusal = await self.refusal(uid)
        if refusal is not None:
            await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=refusal.encode()[:120])
            return socket
        room = self._rooms.setdefault(uid, Room())
        self._driver.set_load_state(len(self._rooms))
        room.guests.add(socket)
        try:
            await socket.send_str("\n".join((f"* {uid} is at {self._server.pod_name}", *room.lines)))
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await room.send(message.data)
        finally:
            room.guests.discard(socket)
        return socket

    async def show(self, _: web.Request) -> web.Response:
        """Returns the number of guests of each room."""
        return web.json_response({uid: len(room.guests) for uid, room in self._rooms.items()})

    async def _close(self, uid: str, reason: str) -> None:
        room = self._rooms.pop(uid)
        self._driver.set_load_state(len(self._rooms))
        await room.close(reason)


async def main(host: str, port: int) -> None:
    """Serves until SIGTERM, and then releases all rooms."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with ServerDriver.from_environment() as driver:
        rooms = Rooms(driver, await driver.init())
        app = web.Application()
        app.add_routes([web.get("/rooms", rooms.show), web.get("/rooms/{uid}", rooms.join)])
        runner = web.AppRunner(app, shutdown_timeout=2)
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        checking = asyncio.create_task(rooms.check())
        await stopping.wait()
        checking.cancel()
        await asyncio.gather(driver.stop(), rooms.drain())  # stop() denies new rooms, and waits until none is left
        await runner.cleanup()


if __name__ == "__main__":
    options = argparse.ArgumentParser(description="One pod of the chat.")
    options.add_argument("--host", default=None)
    options.add_argument("--port", type=int, default=8080)
    arguments = options.parse_args()
    logging.basicConfig(level=logging.INFO)  # the driver logs every operation
    asyncio.run(main(arguments.host, arguments.port))
