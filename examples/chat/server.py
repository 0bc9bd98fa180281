"""A chat server: each room lives in the memory of one pod, and its link says of which.

A guest joins a room by its uid at `/rooms/{uid}`, a WebSocket. Whoever cannot be in a room here, or no longer, gets one
of two close codes that both mean "look where the room is, and come again".
"""

import argparse
import asyncio
import signal
from contextlib import suppress
from dataclasses import dataclass, field

from aiohttp import WSCloseCode, WSMsgType, web

from statefulroute import Attempt, ServerDriver, ServerInformation, StatefulRouteError

#: How often it is looked whether the rooms are still this pod's.
CHECK_SECONDS = 5.0


@dataclass
class Room:
    """A room: what was said in it, and who listens."""

    lines: list[str] = field(default_factory=list)
    guests: set[web.WebSocketResponse] = field(default_factory=set)

    async def say(self, line: str) -> None:
        """Tell it to everybody."""
        self.lines.append(line)
        await asyncio.gather(*(guest.send_str(line) for guest in self.guests), return_exceptions=True)

    async def close(self, why: str) -> None:
        """Send everybody away, to come again."""
        closing = (guest.close(code=WSCloseCode.SERVICE_RESTART, message=why.encode()) for guest in self.guests)
        await asyncio.gather(*closing, return_exceptions=True)


class Rooms:
    """The rooms of this pod."""

    def __init__(self, driver: ServerDriver, me: ServerInformation) -> None:
        self._driver = driver
        self._me = me
        self._rooms: dict[str, Room] = {}
        self._drains = False

    # What StatefulRoute is used for.

    async def claim(self, uid: str) -> Attempt:
        """Bind a room to this pod, unless another one holds it."""
        return await self._driver.try_set_linked_pod(self._me.namespace, uid, self._me.service, self._me.pod)

    async def release(self, uid: str) -> None:
        """Let a room go, so that the next guest finds it another pod."""
        await self._driver.remove_linked_pod_with_id(self._me.namespace, uid, self._me.service, self._me.pod)

    async def refusal(self, uid: str) -> str | None:
        """Why a room cannot be here; None where it is here now."""
        try:
            attempt = await self.claim(uid)
            if attempt.won and self._drains:
                await self.release(uid)
        except StatefulRouteError as error:
            return str(error)
        if not attempt.won:
            return f"pod {attempt.holder} holds the room"
        return "this pod is about to end" if self._drains else None

    async def check(self) -> None:
        """Close the rooms that have been moved to another pod: by the operator, after a Shutdown, or by somebody."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            for uid in tuple(self._rooms):
                with suppress(StatefulRouteError):  # who cannot be asked has moved nothing either
                    attempt = await self.claim(uid)
                    if not attempt.won:
                        await self._close(uid, f"pod {attempt.holder} holds the room")

    async def drain(self) -> None:
        """Let all rooms go, and have no new ones. What was said in them is forgotten: a real server would store it."""
        self._drains = True
        for uid in tuple(self._rooms):
            with suppress(StatefulRouteError):  # else its guests wait until this pod has come back
                await self.release(uid)
            await self._close(uid, "this pod is about to end")

    # What any chat server does.

    async def join(self, request: web.Request) -> web.WebSocketResponse:
        """Have a guest in a room until one of them leaves."""
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
            await socket.send_str("\n".join((f"* {uid} is at {self._me.pod_name}", *room.lines)))
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await room.say(message.data)
        finally:
            room.guests.discard(socket)
        return socket

    async def show(self, _: web.Request) -> web.Response:
        """Which rooms are here, and how many guests each has."""
        return web.json_response({uid: len(room.guests) for uid, room in self._rooms.items()})

    async def _close(self, uid: str, why: str) -> None:
        room = self._rooms.pop(uid)
        self._driver.set_load_state(len(self._rooms))
        await room.close(why)


async def main(host: str, port: int) -> None:
    """Serve until Kubernetes asks to end, and leave no guest behind."""
    told_to_end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told_to_end.set)
    async with ServerDriver.from_environment() as driver:
        rooms = Rooms(driver, await driver.init())
        app = web.Application()
        app.add_routes([web.get("/rooms", rooms.show), web.get("/rooms/{uid}", rooms.join)])
        runner = web.AppRunner(app, shutdown_timeout=2)
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        checking = asyncio.create_task(rooms.check())
        await told_to_end.wait()
        checking.cancel()
        await asyncio.gather(driver.stop(), rooms.drain())  # stop: no new rooms, and wait until none is left
        await runner.cleanup()


if __name__ == "__main__":
    options = argparse.ArgumentParser(description="One pod of the chat.")
    options.add_argument("--host", default=None)
    options.add_argument("--port", type=int, default=8080)
    asked = options.parse_args()
    asyncio.run(main(asked.host, asked.port))
