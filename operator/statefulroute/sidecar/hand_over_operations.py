"""Handles the operations on hand-overs."""

from aiohttp import web

from statefulroute.rest.bodies import read_body
from statefulroute.sidecar.hand_overs import HandOvers
from statefulroute.sidecar.paths import RequestPath
from statefulroute.sidecar.queries import Query
from statefulroute.sidecar.responses import no_content


class HandOverOperations:
    """Handles the operations on hand-overs.

    Args:
        hand_overs: the hand-overs of the pod.
    """

    def __init__(self, hand_overs: HandOvers) -> None:
        self._hand_overs = hand_overs

    async def confirm_leaving(self, request: web.BaseRequest, path: RequestPath) -> web.Response:
        """Lets the driver move a user to the new pod."""
        Query(request)
        await read_body(request)
        await self._hand_overs.confirm(path.hand_over_id)
        return no_content()
