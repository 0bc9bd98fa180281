"""Handles the operations on links."""

import msgspec
from aiohttp import web

from statefulroute.domain.errors import InvalidParameterError
from statefulroute.domain.keys import PodKey
from statefulroute.driver.server import ServerDriver
from statefulroute.rest.bodies import decode, read_body
from statefulroute.rest.problems import not_linked
from statefulroute.sidecar.answers import (
    BindRequest,
    BoundAnswer,
    LinksAnswer,
    RemovedAnswer,
    address_answer,
    claim_answer,
    link_answer,
    optional_reference,
    pod_reference,
    requested_pod,
)
from statefulroute.sidecar.paths import RequestPath
from statefulroute.sidecar.queries import CONSISTENCIES, Query
from statefulroute.sidecar.responses import json_response

_bind = msgspec.json.Decoder(BindRequest)
_THIS_POD = BindRequest()


class LinkOperations:
    """Handles the operations on links.

    Args:
        driver: the driver of the pod.
        namespace: the namespace of the pod.
    """

    def __init__(self, driver: ServerDriver, namespace: str) -> None:
        self._driver = driver
        self._namespace = namespace

    async def get_linked_pod(self, request: web.BaseRequest, path: RequestPath) -> web.Response:
        """Returns the pod that holds a user."""
        query = Query(request, ["consistency"])
        fresh = query.choice("consistency", CONSISTENCIES) == "strong"
        uid = path.uid
        pod = await self._driver.get_linked_pod(self._namespace, uid, path.route, fresh=fresh)
        if pod is None:
            raise not_linked(path.route, uid)
        return json_response(link_answer(path.route, uid, pod))

    async def set_linked_pod(self, request: web.BaseRequest, path: RequestPath) -> web.Response:
        """Binds a user to a pod, and replaces any other binding."""
        Query(request)
        bind, pod = await self._read_bind_request(request)
        previous = await self._driver.set_linked_pod(
            self._namespace, path.uid, path.route, pod, ttl_seconds=bind.ttl_seconds
        )
        return json_response(BoundAnswer(optional_reference(previous)))

    async def try_set_linked_pod(self, request: web.BaseRequest, path: RequestPath) -> web.Response:
        """Binds a user to a pod, unless the user has a persistent link to another pod."""
        Query(request)
        bind, pod = await self._read_bind_request(request)
        attempt = await self._driver.try_set_linked_pod(
            self._namespace, path.uid, path.route, pod, ttl_seconds=bind.ttl_seconds
        )
        return json_response(claim_answer(attempt))

    async def remove_linked_pod(self, request: web.BaseRequest, path: RequestPath) -> web.Response:
        """Removes a link, to any pod or only to a given one."""
        query = Query(request, ["graceSeconds", "ifPodIndex", "ifPodName"])
        grace, index, name = query.integer("graceSeconds"), query.integer("ifPodIndex"), query.text("ifPodName")
        here, uid = self._namespace, path.uid
        if index is not None and name is not None:
            raise InvalidParameterError("ifPodIndex", "and ifPodName exclude each other: name one pod")
        pod = name if index is None else index
        if pod is None:
            removed = await self._driver.remove_linked_pod(here, uid, path.route, grace_seconds=grace)
        else:
            removed = await self._driver.remove_linked_pod_with_id(here, uid, path.route, pod, grace_seconds=grace)
        return json_response(RemovedAnswer(removed))

    async def links_of(self, request: web.BaseRequest, path: RequestPath) -> web.Response:
        """Returns the pods that hold a user, by route."""
        routes = Query(request, repeated=["route"]).texts("route")
        links = await self._driver.links_of(self._namespace, path.uid, routes)
        return json_response(LinksAnswer({route: pod_reference(pod) for route, pod in links.items()}))

    async def address_of(self, request: web.BaseRequest, path: RequestPath) -> web.Response:
        """Returns the address of the pod that holds a user."""
        Query(request)
        uid = path.uid
        address = await self._driver.address_of(self._namespace, uid, path.route)
        if address is None:
            raise not_linked(path.route, uid)
        return json_response(address_answer(address))

    async def _read_bind_request(self, request: web.BaseRequest) -> tuple[BindRequest, PodKey]:
        """Returns the body of a binding with the pod that it names; without a body, this pod."""
        body = await read_body(request)
        bind = decode(body, _bind) if body else _THIS_POD
        pod = requested_pod(bind)
        return bind, (await self._driver.init()).pod if pod is None else pod
