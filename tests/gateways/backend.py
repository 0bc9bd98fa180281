"""What runs in a pod: says who it is, and notes every request before it answers it.

python backend.py IP PORT NAME FILE
"""

import sys
import time
from pathlib import Path
from typing import TextIO

from aiohttp import web

#: A request's own number, so that what its client says of it can be held to what the pod says.
NUMBER = "x-number"


class EchoServer:
    """The application.

    Args:
        name: the pod's.
        notes: where every request is noted: the moment, its number, its user.
    """

    def __init__(self, name: str, notes: TextIO) -> None:
        self._name = name
        self._notes = notes

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = request.headers
        noted = (f"{time.monotonic():.6f}", headers.get(NUMBER, "-"), headers.get("x-user-id", "-"))
        self._notes.write("\t".join(noted) + "\n")
        self._notes.flush()
        if headers.get("upgrade", "").lower() == "websocket":
            return await self._echo_websocket(request)
        told = [[name.lower(), value] for name, value in headers.items()]
        said = {"pod": self._name, "headers": told, "bytes": len(await request.read())}
        return web.json_response(said, headers={"x-pod": self._name})

    async def _echo_websocket(self, request: web.Request) -> web.StreamResponse:
        room = web.WebSocketResponse()
        await room.prepare(request)
        await room.send_str(self._name)
        async for message in room:
            await room.send_str(message.data)
        return room


def main() -> None:
    ip, port, name, file = sys.argv[1:]
    with Path(file).open("a", encoding="utf-8") as notes:
        application = web.Application(client_max_size=2**26)
        application.router.add_route("*", "/{path:.*}", EchoServer(name, notes).handle)
        web.run_app(application, host=ip, port=int(port), print=None, access_log=None)


if __name__ == "__main__":
    main()
