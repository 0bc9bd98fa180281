"""Handles the operations on the pod itself: its identity, what it reports, its users and slots."""

import msgspec
from aiohttp import web

from statefulroute.api.vocabulary import RoutingState
from statefulroute.domain.errors import UserNotHeldError
from statefulroute.driver.server import ServerDriver
from statefulroute.rest.bodies import decode, read_body
from statefulroute.sidecar.answers import (
    LoadState,
    RoutingStateBody,
    ServerAnswer,
    SlotsAnswer,
    StopRequest,
    TokenAnswer,
    UserAnswer,
    UsersAnswer,
    WaitingTasks,
)
from statefulroute.sidecar.paths import RequestPath
from statefulroute.sidecar.queries import CONSISTENCIES, Query
from statefulroute.sidecar.responses import json_response, no_content

_stop = msgspec.json.Decoder(StopRequest)
_load_state = msgspec.json.Decoder(LoadState)
_waiting_tasks = msgspec.json.Decoder(WaitingTasks)
_routing_state = msgspec.json.Decoder(RoutingStateBody)


class ServerOperations:
    """Handles the operations on the pod itself.

    Args:
        driver: the driver of the pod.
    """

    def __init__(self, driver: ServerDriver) -> None:
        self._driver = driver

    async def get_server(self, request: web.BaseRequest, _: RequestPath) -> web.Response:
        """Returns the identity of the pod, and what its driver does."""
        Query(request)
        server = await self._driver.init()
        index = server.pod if isinstance(server.pod, int) else None
        return json_response(
            ServerAnswer(
                server.namespace,
                server.service,
                server.pod_name,
                index,
                self._driver.is_running,
                self._driver.is_cut_off,
            )
        )

    async def start(self, request: web.BaseRequest, _: RequestPath) -> web.Response:
        """Starts the driver again after a stop."""
        Query(request)
        await read_body(request)
        await self._driver.start()
        return no_content()

    async def stop(self, request: web.BaseRequest, _: RequestPath) -> web.Response:
        """Denies new users, waits until the present ones have left, and stops the driver."""
        Query(request)
        body = await read_body(request)
        await self._driver.stop(decode(body, _stop).drain_seconds if body else None)
        return no_content()

    async def get_load_state(self, request: web.BaseRequest, _: RequestPath) -> web.Response:
        """Returns the load state."""
        Query(request)
        return json_response(LoadState(self._driver.get_load_state()))

    async def set_load_state(self, request: web.BaseRequest, _: RequestPath) -> web.Response:
        """Sets the load state."""
        Query(request)
        self._driver.set_load_state(decode(await read_body(request), _load_state).load_state)
        return no_content()

    async def get_waiting_tasks(self, request: web.BaseRequest, _: RequestPath) -> web.Response:
        """Returns the number of waiting tasks."""
        Query(request)
        return json_response(WaitingTasks(self._driver.get_waiting_tasks()))

    async def set_waiting_tasks(self, request: web.BaseRequest, _: RequestPath) -> web.Response:
        """Sets the number of waiting tasks."""
        Query(request)
        self._driver.set_waiting_tasks(decode(await read_body(request), _waiting_tasks).waiting_tasks)
        return no_content()

    async def get_routing_state(self, request: web.BaseRequest, _: RequestPath) -> web.Response:
        """Returns the routing state."""
        Query(request)
        return json_response({"routingState": self._driver.get_routing_state()})

    async def set_routing_state(self, request: web.BaseRequest, _: RequestPath) -> web.Response:
        """Sets the routing state."""
        Query(request)
        state = decode(await read_body(request), _routing_state).routing_state
        await self._driver.set_routing_state(RoutingState(state))
        return no_content()

    async def users(self, request: web.BaseRequest, _: RequestPath) -> web.Response:
        """Returns the users of the pod."""
        route = Query(request, ["route"]).text("route")
        users = sorted(self._driver.users(route))
        return json_response(UsersAnswer(await self._own_route() if route is None else route, users))

    async def slots(self, request: web.BaseRequest, _: RequestPath) -> web.Response:
        """Returns the slots of the pod, and the number of all slots."""
        route = Query(request, ["route"]).text("route")
        slots, number = sorted(self._driver.slots(route)), self._driver.number_of_slots(route)
        return json_response(SlotsAnswer(await self._own_route() if route is None else route, slots, number))

    async def owns(self, request: web.BaseRequest, path: RequestPath) -> web.Response:
        """Returns whether the pod holds a user, by a link or by the user's slot."""
        route, uid = Query(request, ["route"]).text("route"), path.uid
        owned, slot = self._driver.owns(uid, route), self._driver.slot_of(uid, route)
        return json_response(UserAnswer(await self._own_route() if route is None else route, uid, owned, slot))

    async def token(self, request: web.BaseRequest, path: RequestPath) -> web.Response:
        """Returns the fencing token of a user; a user whom only a slot binds needs `consistency=strong`."""
        query = Query(request, ["route", "consistency"])
        route, uid = query.text("route"), path.uid
        if query.choice("consistency", CONSISTENCIES) == "strong":
            return json_response(TokenAnswer(await self._driver.read_token(uid, route)))
        try:
            return json_response(TokenAnswer(self._driver.token(uid, route)))
        except UserNotHeldError:
            if self._driver.number_of_slots(route) is None:
                raise
            problem = f"no link binds {uid!r} to this pod: for a user of one of its slots, use ?consistency=strong"
            raise UserNotHeldError(problem) from None

    async def _own_route(self) -> str:
        return (await self._driver.init()).service
