"""A chat server: each room lives in the memory of one pod, to which the room is linked.

A guest joins a room by its uid at `/rooms/{uid}`, a WebSocket. If the room is not, or no longer, at this pod, the
server closes the WebSocket with one of two codes; with both, the client looks the room up again and reconnects. A pod
that is to be removed hands its rooms over: at the next pod, they have their lines and the names of their members.
"""

import argparse
import asyncio
import json
import logging
import signal
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from statefulroute import (
    ArrivalCancelled,
    ArrivingUser,
    Configuration,
    EventsLost,
    HandOverConfiguration,
    HandOverError,
    LeavingUser,
    ServerDriver,
    ServerEvent,
    ServerInformation,
    StatefulRouteError,
    UserArrived,
    UserLeaving,
    UserLeft,
    UserStaying,
)

log = logging.getLogger(__name__)

#: Rooms that have been without guests for this time, or twice as long, are released.
EMPTY_SECONDS = 600

#: What a room keeps is far below the 4 MiB that a pod takes from another one.
MAX_LINES, MAX_MEMBERS, MAX_CHARACTERS = 1000, 100, 200

RETRY_SECONDS = 0.5


@dataclass
class Room:
    """A room with its lines, the names of its members, and its guests, who are connected."""

    lines: list[str] = field(default_factory=list)
    members: list[str] = field(default_factory=list)
    guests: set[web.WebSocketResponse] = field(default_factory=set)
    is_writable: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.is_writable.set()

    @property
    def greeting(self) -> list[str]:
        """What a guest receives first."""
        return ([f"* members: {', '.join(self.members)}"] if self.members else []) + self.lines

    def enter(self, guest: web.WebSocketResponse, name: str) -> None:
        """Adds a guest, and the name to those of the members."""
        self.guests.add(guest)
        if name and name not in self.members:
            self.members = [*self.members, name[:MAX_CHARACTERS]][-MAX_MEMBERS:]

    async def write(self, line: str) -> None:
        """Adds a line, and sends it to all guests; while the room is handed over, the line waits."""
        await self.is_writable.wait()
        self.lines = [*self.lines, line[:MAX_CHARACTERS]][-MAX_LINES:]
        await asyncio.gather(*(guest.send_str(line) for guest in self.guests), return_exceptions=True)

    async def close(self, reason: str) -> None:
        """Disconnects all guests, which then reconnect."""
        closing = (guest.close(code=WSCloseCode.SERVICE_RESTART, message=reason.encode()) for guest in self.guests)
        await asyncio.gather(*closing, return_exceptions=True)
        self.is_writable.set()  # lines that wait are lost

    def encode(self) -> bytes:
        """Returns what another pod needs."""
        return json.dumps({"lines": self.lines, "members": self.members}).encode()


class Rooms:
    """The rooms of this pod."""

    def __init__(self, driver: ServerDriver, server: ServerInformation) -> None:
        self._driver = driver
        self._server = server
        self._rooms: dict[str, Room] = {}
        self._arriving: dict[str, tuple[Room, int]] = {}
        """The rooms that other pods have sent, and that are not linked to this pod yet, with their numbers."""
        self._is_draining = False
        self._is_closing = False
        """Whether the pod is to be removed on purpose: it need not wait for rooms without guests."""
        self._tasks: set[asyncio.Task[None]] = set()

    # The use of StatefulRoute.

    def follow(self) -> None:
        """Follows the rooms that are linked to this pod, and takes part in their hand-overs."""
        self._driver.on_leaving(self.send)
        self._driver.on_arriving(self.receive)
        self._driver.listen(self.handle)

    async def send(self, leaving: LeavingUser) -> None:
        """Sends a room to another pod. When this returns, the driver links the room to that pod."""
        room = self._rooms.get(leaving.uid)
        if room is None:
            return
        room.is_writable.clear()  # a line that is written from now on would be lost
        try:
            while not await self._is_sent(leaving, room):  # noqa: ASYNC110 - nothing says when it may succeed
                await asyncio.sleep(RETRY_SECONDS)  # the other pod may be restarting; at the deadline this is cancelled
        except asyncio.CancelledError:  # the room stays, or goes to yet another pod
            room.is_writable.set()
            raise

    async def receive(self, arriving: ArrivingUser) -> None:
        """Keeps a room that another pod has sent. When this returns, that pod lets the room go."""
        self._arriving[arriving.uid] = Room(**json.loads(await arriving.read())), arriving.number

    def handle(self, event: ServerEvent) -> None:
        """Opens and closes rooms."""
        match event:
            case UserArrived(uid=uid):
                self._open(uid)
            case UserLeft(uid=uid):
                self._close(uid, "this pod is about to end" if self._is_draining else "the room has left this pod")
            case UserLeaving(uid=uid, to=None):
                self._is_closing = True
                self._stay(uid)
            case UserStaying(uid=uid):
                self._is_closing = False
                self._stay(uid)
            case ArrivalCancelled(uid=uid, number=number):
                if uid in self._arriving and self._arriving[uid][1] == number:  # else, a newer one is here
                    del self._arriving[uid]
            case EventsLost():
                for uid in self._rooms.keys() - self._driver.users():
                    self._close(uid, "the room has left this pod")
                for uid in self._driver.users():
                    self._open(uid)
                self._arriving.clear()  # one of them may have been cancelled

    async def release(self, uid: str) -> None:
        """Releases a room, so that the next guest binds it to another pod. Its lines are lost."""
        with suppress(StatefulRouteError):  # without the API server, the room stays
            await self._driver.remove_linked_pod_with_id(
                self._server.namespace, uid, self._server.service, self._server.pod
            )

    async def refusal(self, uid: str) -> str | None:
        """Binds a room to this pod, unless another one holds it; returns why it cannot be here, or None if it is."""
        if self._is_draining:
            return "this pod is about to end"
        if uid in self._rooms:
            return None if self._rooms[uid].is_writable.is_set() else "the room is handed over to another pod"
        try:
            attempt = await self._driver.try_set_linked_pod(
                self._server.namespace, uid, self._server.service, self._server.pod
            )
        except StatefulRouteError as error:
            return str(error)
        return None if attempt.won else f"pod {attempt.holder} holds the room"

    async def release_empty_rooms(self, seconds: float) -> None:
        """Releases the rooms that have been without guests for this time."""
        empty: set[str] = set()
        while True:
            await asyncio.sleep(seconds)
            before, empty = empty, {uid for uid, room in self._rooms.items() if not room.guests}
            for uid in before & empty:
                await self.release(uid)

    async def drain(self) -> None:
        """Releases all rooms, and refuses new ones: the pod ends before it could hand them over."""
        self._is_draining = True
        for uid in tuple(self._rooms):
            await self.release(uid)  # without the API server, the guests wait until this pod comes back
            self._close(uid, "this pod is about to end")
        await asyncio.gather(*self._tasks)

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
        room = self._open(uid)
        room.enter(socket, request.query.get("name", ""))
        try:
            await socket.send_str("\n".join((f"* {uid} is at {self._server.pod_name}", *room.greeting)))
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await room.write(message.data)
        finally:
            room.guests.discard(socket)
            if self._is_closing:
                self._stay(uid)
        return socket

    async def show(self, _: web.Request) -> web.Response:
        """Returns the number of guests of each room."""
        return web.json_response({uid: len(room.guests) for uid, room in self._rooms.items()})

    def _open(self, uid: str) -> Room:
        """Returns a room of this pod: as another pod has sent it, or a new one."""
        arrived = self._arriving.pop(uid, None)
        room = self._rooms.setdefault(uid, arrived[0] if arrived else Room())
        self._driver.set_load_state(len(self._rooms))
        return room

    def _stay(self, uid: str) -> None:
        """Lets a room go on; without guests, a pod that is to be removed releases it."""
        room = self._rooms.get(uid)
        if room is not None:
            room.is_writable.set()
            if self._is_closing and not room.guests:
                self._start(self.release(uid))

    def _close(self, uid: str, reason: str) -> None:
        room = self._rooms.pop(uid, None)
        if room is not None:
            self._driver.set_load_state(len(self._rooms))
            self._start(room.close(reason))

    async def _is_sent(self, leaving: LeavingUser, room: Room) -> bool:
        """Sends a room; returns whether the other pod has it."""
        try:
            await leaving.send(room.encode())
        except HandOverError as error:
            log.warning("the room %s is not handed over yet: %s", leaving.uid, error)
            return False
        return True

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def main(host: str | None, port: int, tokens: Path, empty_seconds: float) -> None:
    """Serves until SIGTERM, and then releases all rooms."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    settings = Configuration(hand_over=HandOverConfiguration(listen_host=host or "", tokens=tokens))
    async with ServerDriver.from_environment(configuration=settings, follow_users=True) as driver:
        rooms = Rooms(driver, await driver.init())
        rooms.follow()
        app = web.Application()
        app.add_routes([web.get("/rooms", rooms.show), web.get("/rooms/{uid}", rooms.join)])
        runner = web.AppRunner(app, shutdown_timeout=2)
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        releasing = asyncio.create_task(rooms.release_empty_rooms(empty_seconds))
        await stopping.wait()
        releasing.cancel()
        await asyncio.gather(driver.stop(), rooms.drain())  # stop() denies new rooms, and waits until none is left
        await runner.cleanup()


if __name__ == "__main__":
    options = argparse.ArgumentParser(description="One pod of the chat.")
    options.add_argument("--host", default=None)
    options.add_argument("--port", type=int, default=8080)
    options.add_argument("--tokens", type=Path, default=HandOverConfiguration().tokens)
    options.add_argument("--empty-seconds", type=float, default=EMPTY_SECONDS)
    arguments = options.parse_args()
    logging.basicConfig(level=logging.INFO)  # the driver logs every operation
    asyncio.run(main(arguments.host, arguments.port, arguments.tokens, arguments.empty_seconds))
