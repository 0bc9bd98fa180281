"""The server of a pod in the demo: counts the requests of each user in its memory, as a stateful service does.

python -m demo.room IP PORT NAME
"""

import sys
from collections import Counter

from aiohttp import web

UID_HEADER = "x-user-id"


class Room:
    """The application.

    Args:
        name: The name of the pod.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._requests: Counter[str] = Counter()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answers with the pod and the number of requests of the user; echoes the messages of a WebSocket."""
        uid = request.headers.get(UID_HEADER, "anybody")
        self._requests[uid] += 1
        text = f"{self._name}: request {self._requests[uid]} of {uid}"
        if request.headers.get("upgrade", "").lower() != "websocket":
            return web.Response(text=f"{text}\n", headers={"x-pod": self._name})
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(text)
        async for message in socket:
            await socket.send_str(f"{self._name}: {message.data}")
        return socket


def main() -> None:
    """Runs the server."""
    ip, port, name = sys.argv[1:]
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", Room(name).handle)
    web.run_app(application, host=ip, port=int(port), print=None, access_log=None, shutdown_timeout=1.0)


if __name__ == "__main__":
    main()
