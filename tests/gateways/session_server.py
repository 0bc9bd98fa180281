"""A server in a pod that keeps sessions in memory, names new ones in a header of its responses, and links none.

python session_server.py IP PORT NAME

A request without a session begins one: with a random name, or with the one in `x-mint`. A session of another server is
unknown: 404. With `x-mute` the response names no session, with `x-mint-twice` two, and with `x-status` it has this
status; pods in `x-refused-by` respond 503. The response to GET is a stream of two events: the second one is sent when
the session has sent another request.
"""

import asyncio
import sys
from uuid import uuid4

from aiohttp import web

SESSION = "mcp-session-id"


class SessionServer:
    """The application.

    Args:
        name: the name of the pod.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._sessions: dict[str, asyncio.Event] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = request.headers
        if self._name in headers.get("x-refused-by", "").split(","):
            return web.Response(status=503)
        session = headers.get(SESSION)
        if session is not None and session not in self._sessions:
            return web.Response(status=404, headers={"x-pod": self._name})
        if session is not None:
            self._sessions[session].set()
            return web.Response(text="known", headers={"x-pod": self._name, SESSION: session})
        response = web.StreamResponse(status=int(headers.get("x-status", "200")), headers={"x-pod": self._name})
        self._begin(request, response)
        return await self._send_events(request, response) if request.method == "GET" else response

    def _begin(self, request: web.Request, response: web.StreamResponse) -> None:
        headers = request.headers
        session = headers.get("x-mint", uuid4().hex)
        self._sessions[session] = asyncio.Event()
        for name in () if "x-mute" in headers else (session, uuid4().hex)[: 2 if "x-mint-twice" in headers else 1]:
            response.headers.add(SESSION, name)

    async def _send_events(self, request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
        response.content_type = "text/event-stream"
        await response.prepare(request)
        await response.write(b"data: first\n\n")
        await self._sessions[response.headers[SESSION]].wait()
        await response.write(b"data: second\n\n")
        return response


def main() -> None:
    ip, port, name = sys.argv[1:]
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", SessionServer(name).handle)
    web.run_app(application, host=ip, port=int(port), print=None, access_log=None)


if __name__ == "__main__":
    main()
