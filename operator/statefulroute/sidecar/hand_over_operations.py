"""Handles the operations on hand-overs."""

from collections.abc import AsyncIterator

from aiohttp import web

from statefulroute.rest.bodies import read_body
from statefulroute.sidecar.hand_overs import HandOvers
from statefulroute.sidecar.paths import RequestPath
from statefulroute.sidecar.queries import Query
from statefulroute.sidecar.responses import no_content

_STATE_HEADERS = {"Content-Type": "application/octet-stream", "Cache-Control": "no-store"}


class HandOverOperations:
    """Handles the operations on hand-overs.

    Args:
        hand_overs: the hand-overs of the pod.
    """

    def __init__(self, hand_overs: HandOvers) -> None:
        self._hand_overs = hand_overs

    async def send_state(self, request: web.BaseRequest, path: RequestPath) -> web.Response:
        """Sends the state of a user to the new pod as it is received, and lets the driver move the user."""
        Query(request)
        await self._hand_overs.leaving_user(path.hand_over_id).send(_parts(request))
        return no_content()

    async def send_slot_state(self, request: web.BaseRequest, path: RequestPath) -> web.Response:
        """Sends the state of one user of a slot to the new pod as it is received."""
        Query(request)
        await self._hand_overs.leaving_slot(path.hand_over_id).send(path.uid, _parts(request))
        return no_content()

    async def confirm_leaving(self, request: web.BaseRequest, path: RequestPath) -> web.Response:
        """Lets the driver move a user or a slot to the new pod."""
        Query(request)
        await read_body(request)
        await self._hand_overs.leaving(path.hand_over_id).confirm()
        return no_content()

    async def read_state(self, request: web.BaseRequest, path: RequestPath) -> web.StreamResponse:
        """Returns the state of a user who arrives, as it is received."""
        Query(request)
        parts = self._hand_overs.arriving(path.hand_over_id).read()
        try:
            first = await anext(parts, b"")
            response = web.StreamResponse(headers=_STATE_HEADERS)
            try:
                await response.prepare(request)
                await response.write(first)
                async for part in parts:
                    await response.write(part)
                await response.write_eof()
            except Exception:  # noqa: BLE001 - the response has begun: the client must see that it is not complete
                if request.transport is not None:
                    request.transport.abort()
            return response
        finally:
            await parts.aclose()  # type: ignore[attr-defined]

    async def confirm_arriving(self, request: web.BaseRequest, path: RequestPath) -> web.Response:
        """Tells the other pod that the application has the state of a user."""
        Query(request)
        await read_body(request)
        self._hand_overs.arriving(path.hand_over_id).confirm()
        return no_content()

    async def refuse_arriving(self, request: web.BaseRequest, path: RequestPath) -> web.Response:
        """Tells the other pod that the application does not take the state of a user."""
        Query(request)
        await read_body(request)
        self._hand_overs.arriving(path.hand_over_id).refuse()
        return no_content()


async def _parts(request: web.BaseRequest) -> AsyncIterator[bytes]:
    async for part in request.content.iter_any():
        yield part
