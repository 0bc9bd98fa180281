"""The server in a pod: logs every request to a file, and echoes it with the name of the pod.

python backend.py IP PORT NAME FILE
"""

import sys
import time
from pathlib import Path
from typing import TextIO

from aiohttp import web

#: The header with the number of a request, which identifies it in the logs of client and pod.
NUMBER = "x-number"


class EchoServer:
    """The application.

    Args:
        name: the name of the pod.
        log: the file for the requests: time, number and user of each.
    """

    def __init__(self, name: str, log: TextIO) -> None:
        self._name = name
        self._log = log

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = request.headers
        entry = (f"{time.monotonic():.6f}", headers.get(NUMBER, "-"), headers.get("x-user-id", "-"))
        self._log.write("\t".join(entry) + "\n")
        self._log.flush()
        if headers.get("upgrade", "").lower() == "websocket":
            return await self._echo_websocket(request)
        received = [[name.lower(), value] for name, value in headers.items()]
        echo = {"pod": self._name, "headers": received, "bytes": len(await request.read())}
        return web.json_response(echo, headers={"x-pod": self._name})

    async def _echo_websocket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(self._name)
        async for message in socket:
            await socket.send_str(message.data)
        return socket


def main() -> None:
    ip, port, name, file = sys.argv[1:]
    with Path(file).open("a", encoding="utf-8") as log:
        application = web.Application(client_max_size=2**26)
        application.router.add_route("*", "/{path:.*}", EchoServer(name, log).handle)
        web.run_app(application, host=ip, port=int(port), print=None, access_log=None)


if __name__ == "__main__":
    main()
