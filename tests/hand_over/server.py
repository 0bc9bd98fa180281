"""The server of a pod: its users send their writes, `PUT /users/UID/NUMBER`.

python server.py HOST PORT STORE_PORT TOKENS RECORD
"""

import asyncio
import logging
import os
import sys
from pathlib import Path

import msgspec
from aiohttp import web

from hand_over.application import Application, NotHereError
from hand_over.record import FileWriter
from hand_over.store import RemoteStore
from statefulroute import Configuration, DriverNotOpenError, HandOverConfiguration, ServerDriver


def make_app(application: Application) -> web.Application:
    """Returns the HTTP server of an application."""

    async def write(request: web.Request) -> web.Response:
        try:
            answer = await application.write(request.match_info["uid"], int(request.match_info["number"]))
        except (NotHereError, DriverNotOpenError) as error:
            return web.json_response({"reason": str(error)}, status=409)
        return web.Response(body=msgspec.json.encode(answer), content_type="application/json")

    async def users(_: web.Request) -> web.Response:
        return web.json_response(sorted(application.sessions))

    app = web.Application()
    app.add_routes([web.put("/users/{uid}/{number}", write), web.get("/users", users)])
    return app


async def main(host: str, port: str, store_port: str, tokens: str, record: str) -> None:
    """Serves until it is killed."""
    settings = Configuration(hand_over=HandOverConfiguration(listen_host=host, tokens=Path(tokens)))
    driver = ServerDriver.from_environment(configuration=settings, follow_users=True)
    pod = int(os.environ["POD_NAME"].rpartition("-")[2])
    application = Application(pod, driver, RemoteStore(int(store_port)), FileWriter(Path(record)))
    runner = web.AppRunner(make_app(application), access_log=None)
    await runner.setup()
    async with driver:
        await web.TCPSite(runner, host, int(port)).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(main(*sys.argv[1:]))
