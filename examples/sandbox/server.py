"""The server of a sandbox: it lets one user into the pod, and ends with the user's session.

The first user whose link arrives owns the pod, for as long as the pod exists. The server refuses everybody else, and
removes their links, so that they get a pod of their own. It runs the owner's commands in the container `tools`
(tools.py), which has neither its token nor its files. When the session is over, it exits, and with it the pod.
"""

import argparse
import asyncio
import logging
import os
import signal
import time
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path

import aiohttp
from aiohttp import web

from statefulroute import (
    EventsLost,
    LeaveReason,
    RoutingState,
    ServerDriver,
    ServerEvent,
    StatefulRouteError,
    UserArrived,
    UserLeft,
)

log = logging.getLogger(__name__)

#: A session without requests is over. This is at most half of `links.temporarySeconds` of the route: a link whose half
#: is over is renewed by the next request, so it never expires before the session.
IDLE_SECONDS = 600.0

#: How long the first request of a user may be ahead of the user's link.
ARRIVAL_SECONDS = 2.0

MAX_COMMAND_BYTES = 64 * 1024

#: Longer than the tools let a command run: they may be in the hands of the user's commands.
TOOLS_TIMEOUT = aiohttp.ClientTimeout(total=90)

CHECK_SECONDS = 1.0


class Owner:
    """The user of this pod. A file keeps the name, so that a restarted container does not take a second user.

    Args:
        file: a file that the user's commands cannot reach.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.uid: str | None = None
        self.is_known = asyncio.Event()

    @property
    def is_of_earlier_container(self) -> bool:
        """Whether an earlier container of this pod had a user, whose files may still be here."""
        return self._file.exists()

    def set(self, uid: str) -> None:
        """Makes a user the owner. The file is on the disk when this returns: a node may restart at any time."""
        with self._file.open("x", encoding="utf-8") as file:
            file.write(uid)
            file.flush()
            os.fsync(file.fileno())
        self.uid = uid
        self.is_known.set()


class Sandbox:
    """The session of one user.

    Args:
        driver: the driver, which follows the users of this pod.
        owner: the user of this pod.
        tools: sends requests to the container `tools`.
    """

    def __init__(self, driver: ServerDriver, owner: Owner, tools: aiohttp.ClientSession) -> None:
        self._driver = driver
        self._owner = owner
        self._tools = tools
        self._tasks: set[asyncio.Task[None]] = set()
        self._requests = 0
        self._used_at = time.monotonic()
        self.is_over = asyncio.Event()
        self._is_released = asyncio.Event()

    # The use of StatefulRoute.

    def handle(self, event: ServerEvent) -> None:
        """Follows the users who are linked to this pod."""
        match event:
            case UserArrived(uid=uid):
                self._admit(uid)
            case UserLeft(uid=uid, reason=reason) if reason is not LeaveReason.MISSED:  # else, the user is here again
                self._lose(uid)
            case EventsLost():
                users = self._driver.users()
                if self._owner.uid is not None and self._owner.uid not in users:
                    self._lose(self._owner.uid)
                for uid in users:
                    self._admit(uid)

    def _admit(self, uid: str) -> None:
        """Makes the first user the owner, and sends everybody else away: two callers may choose one pod at a time."""
        if self._owner.uid is None and not self.is_over.is_set():
            self._used_at = time.monotonic()
            try:
                self._owner.set(uid)
            except OSError as error:  # a pod that may forget its user takes none
                self.end(f"the user cannot be stored: {error}")
        elif uid != self._owner.uid or self.is_over.is_set():
            self._start(self._unlink(uid))

    def _lose(self, uid: str) -> None:
        if uid == self._owner.uid:
            self.end("the link of the user is gone")

    async def _unlink(self, uid: str) -> None:
        """Removes the link of a user to this pod: the next request of the user binds another pod."""
        with suppress(StatefulRouteError):  # without the API server, the operator does it when the pod has ended
            server = await self._driver.init()
            await self._driver.remove_linked_pod_with_id(server.namespace, uid, server.service, server.pod)

    def end(self, reason: str) -> None:
        """Ends the session: no request is answered any more."""
        if not self.is_over.is_set():
            log.info("the session is over: %s", reason)
            self.is_over.set()

    async def run_until_over(self, idle_seconds: float) -> None:
        """Waits until the session is over, and releases the pod: a session without requests for so long is over."""
        watching = asyncio.create_task(self._end_when_idle(idle_seconds))
        await self.is_over.wait()
        watching.cancel()
        await self._release()

    async def _end_when_idle(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(min(CHECK_SECONDS, seconds))
            if self._owner.uid is not None and not self._requests and time.monotonic() > self._used_at + seconds:
                self.end("it was idle")

    async def _release(self) -> None:
        """Refuses new users, removes the link of the owner, and waits until the operator sees no user on this pod."""
        with suppress(StatefulRouteError):  # as for `_unlink`
            await self._driver.set_routing_state(RoutingState.DENY_NEW_CALL)  # before the place is free
            await asyncio.gather(*map(self._unlink, self._driver.users()))
        self._is_released.set()
        await self._driver.stop()
        await asyncio.gather(*self._tasks)

    # The server itself.

    def application(self) -> web.Application:
        """Returns what answers requests."""
        app = web.Application(client_max_size=MAX_COMMAND_BYTES)
        routes = web.post("/run", self.run), web.delete("/session", self.close), web.get("/healthz", self.show_health)
        app.add_routes(routes)
        return app

    async def run(self, request: web.Request) -> web.StreamResponse:
        """Runs the command in the body; answers with its output, and with its exit code in a header."""
        await self._check(request)
        self._requests += 1
        try:
            async with self._tools.post("http://tools/", data=await request.read()) as answer:
                response = web.StreamResponse(headers={"x-exit-code": answer.headers.get("x-exit-code", "")})
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                return response
        except (
            aiohttp.ClientError,
            TimeoutError,
        ) as error:  # commands may harm their own container
            raise web.HTTPBadGateway(text=f"the tools do not answer: {error}\n") from error
        finally:
            self._requests -= 1
            self._used_at = time.monotonic()

    async def close(self, request: web.Request) -> web.Response:
        """Ends the session; when this returns, the next request of the user begins a new one, in another pod."""
        await self._check(request)
        self.end("the user has ended it")
        await self._is_released.wait()
        return web.Response(status=204)

    async def show_health(self, _: web.Request) -> web.Response:
        """Returns whether the session may go on."""
        return web.Response(status=503 if self.is_over.is_set() else 200)

    async def _check(self, request: web.Request) -> None:
        """Raises an error unless the request is one of the owner."""
        if not self._owner.is_known.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._owner.is_known.wait(), ARRIVAL_SECONDS)
        uid = request.headers.get("x-user-id")
        if uid is None or uid != self._owner.uid or self.is_over.is_set():
            raise web.HTTPServiceUnavailable(text="this pod is not yours: try again\n", headers={"Retry-After": "1"})

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def main(host: str | None, port: int, socket: Path, owner_file: Path, idle_seconds: float) -> None:
    """Serves one session, or until SIGTERM."""
    owner = Owner(owner_file)
    if owner.is_of_earlier_container:
        raise SystemExit("this pod has had a user: delete it, and the next one begins without files")
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket)), timeout=TOOLS_TIMEOUT) as tools,
        ServerDriver.from_environment(follow_users=True) as driver,
    ):
        sandbox = Sandbox(driver, owner, tools)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, sandbox.end, "the pod is deleted")
        driver.listen(sandbox.handle)
        runner = web.AppRunner(sandbox.application(), shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        await sandbox.run_until_over(idle_seconds)
        await runner.cleanup()


if __name__ == "__main__":
    options = argparse.ArgumentParser(description="The server of a sandbox.")
    options.add_argument("--host", default=None)
    options.add_argument("--port", type=int, default=8080)
    options.add_argument("--socket", type=Path, default=Path("/run/tools/socket"))
    options.add_argument("--owner-file", type=Path, default=Path("/run/owner/uid"))
    options.add_argument("--idle-seconds", type=float, default=IDLE_SECONDS)
    arguments = options.parse_args()
    logging.basicConfig(level=logging.INFO)  # the driver logs every operation
    asyncio.run(main(arguments.host, arguments.port, arguments.socket, arguments.owner_file, arguments.idle_seconds))
