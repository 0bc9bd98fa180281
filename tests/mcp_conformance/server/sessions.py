"""Links each session of an MCP server to the pod that has it."""

import logging
from collections.abc import Sequence
from typing import NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from statefulroute import ServerDriver, ServerInformation, StatefulRouteError

log = logging.getLogger(__name__)

SESSION_HEADER = b"mcp-session-id"


class Pod(NamedTuple):
    """The driver of this pod, and who it is."""

    driver: ServerDriver
    server: ServerInformation


class LinkedSessions:
    """ASGI middleware: a session has a link before its client can use it, and none after its end.

    A session that cannot be linked would not be found again, so its client gets 503 instead.

    Args:
        app: the MCP server.
        pod: this pod.
        ttl_seconds: how long a link lasts that no request renews.
    """

    def __init__(self, app: ASGIApp, pod: Pod, ttl_seconds: int = 1800) -> None:
        self._app = app
        self._pod = pod
        self._ttl_seconds = ttl_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        session = _session(scope["headers"])
        is_refused = False

        async def respond(message: Message) -> None:
            nonlocal is_refused
            if message["type"] == "http.response.start":
                created = _session(message["headers"]) if session is None else None
                if created is not None and message["status"] < 400:
                    is_refused = not await self._is_linked(created)
                if session is not None and scope["method"] == "DELETE" and message["status"] < 300:
                    await self._unlink(session)
                if is_refused:
                    await send({"type": "http.response.start", "status": 503, "headers": [(b"retry-after", b"1")]})
                    await send({"type": "http.response.body"})
            if not is_refused:
                await send(message)

        await self._app(scope, receive, respond)

    async def _is_linked(self, session: str) -> bool:
        driver, server = self._pod
        try:
            await driver.set_linked_pod(
                server.namespace, session, server.service, server.pod, ttl_seconds=self._ttl_seconds
            )
        except StatefulRouteError as error:
            log.warning("the session %s is not linked: %s", session, error)
            return False
        return True

    async def _unlink(self, session: str) -> None:
        driver, server = self._pod
        try:
            await driver.remove_linked_pod_with_id(server.namespace, session, server.service, server.pod)
        except StatefulRouteError as error:
            log.warning("the link of the session %s stays until it expires: %s", session, error)


def _session(headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    return next((value.decode("ascii") for name, value in headers if name.lower() == SESSION_HEADER), None)
