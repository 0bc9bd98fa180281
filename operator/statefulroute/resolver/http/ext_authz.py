"""What a gateway asks for each request: Envoy's ext_authz over HTTP, and nginx's auth_request."""

from collections.abc import Sequence

from aiohttp import web

from statefulroute.resolver.cache import ResolverCache
from statefulroute.resolver.endpoint_picker import EndpointPicker
from statefulroute.resolver.http.paths import RequestPath
from statefulroute.resolver.uid_sources import UidSource, find_uid

#: Where nginx is configured to say what it was asked for; Envoy asks with the path itself.
ORIGINAL_URI_HEADER = "X-Original-URI"


class _CheckRequest:
    """A gateway's request as a place to look for a uid in."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request

    def header(self, name: str) -> Sequence[str]:
        return self._request.headers.getall(name, ())

    @property
    def query(self) -> str:
        original = self._request.headers.get(ORIGINAL_URI_HEADER)
        return self._request.rel_url.raw_query_string if original is None else original.partition("?")[2]


class ExtAuthz:
    """Answers gateways.

    Every answer that lets a request pass has the endpoint's header, so that a client's own copy never survives it. Of
    the headers that the gateway forwards, none but those are read that a uid may be in.

    Args:
        cache: what is known.
        picker: picks the pod.
        sources: where the uid is looked for.
        endpoint_header: the header that the endpoint is told in.
    """

    def __init__(
        self, cache: ResolverCache, picker: EndpointPicker, sources: Sequence[UidSource], endpoint_header: str
    ) -> None:
        self._cache = cache
        self._picker = picker
        self._sources = tuple(sources)
        self._endpoint_header = endpoint_header

    async def authorize(self, request: web.BaseRequest, target: RequestPath) -> web.Response:
        """Where a request goes: an answer without a body, and the endpoint in a header."""
        pick = await self._picker.pick(target.route, find_uid(self._sources, _CheckRequest(request)))
        age = int(self._cache.age(target.route.namespace))
        return web.Response(headers={self._endpoint_header: pick.endpoint, "Age": str(age)})
