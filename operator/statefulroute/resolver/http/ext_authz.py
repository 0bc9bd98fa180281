"""Handles the checks of gateways: Envoy's ext_authz over HTTP, and nginx's auth_request."""

from collections.abc import Sequence

from aiohttp import web

from statefulroute.resolver.cache import ResolverCache
from statefulroute.resolver.endpoint_picker import EndpointPicker
from statefulroute.resolver.http.callers import HTTPCaller
from statefulroute.resolver.http.paths import RequestPath
from statefulroute.resolver.settings import POD_HEADER
from statefulroute.resolver.uid_sources import UidSource, find_uid, split_joined

#: The header that nginx is configured to send the original path in; Envoy appends the path to that of the check.
ORIGINAL_URI_HEADER = "X-Original-URI"


class _CheckRequest:
    """A gateway's check as a source of the uid."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request

    def header(self, name: str) -> Sequence[str]:
        """Returns the values of a header. Envoy joins them by commas."""
        return [part for value in self._request.headers.getall(name, ()) for part in split_joined(name, value)]

    @property
    def query(self) -> str:
        original = self._request.headers.get(ORIGINAL_URI_HEADER)
        return self._request.rel_url.raw_query_string if original is None else original.partition("?")[2]


class ExtAuthz:
    """Handles the checks of gateways.

    Every successful response has the headers with the endpoint and the pod, so that they always replace a client's own.
    Of the forwarded headers, only those are read that are sources of the uid.

    Args:
        cache: the resolver's cache.
        picker: picks the pod.
        sources: the sources of the uid.
        endpoint_header: the response header for the endpoint.
    """

    def __init__(
        self, cache: ResolverCache, picker: EndpointPicker, sources: Sequence[UidSource], endpoint_header: str
    ) -> None:
        self._cache = cache
        self._picker = picker
        self._sources = tuple(sources)
        self._endpoint_header = endpoint_header

    async def authorize(self, request: web.BaseRequest, path: RequestPath) -> web.Response:
        """Picks the pod for a request; the response has the endpoint and the pod in headers, and no body."""
        uid = find_uid(self._sources, _CheckRequest(request))
        pick = await self._picker.pick(path.route, uid, HTTPCaller(request, path))
        age = int(self._cache.age(path.route.namespace))
        return web.Response(headers={self._endpoint_header: pick.endpoint, POD_HEADER: pick.pod, "Age": str(age)})
