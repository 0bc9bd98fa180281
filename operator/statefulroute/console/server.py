"""Serves the pages of the console, and what they show, over HTTP."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus

import msgspec
from aiohttp import web

from statefulroute.api.limits import INT32_MAX
from statefulroute.cli.cluster import Cluster
from statefulroute.cli.output.messages import print_message
from statefulroute.cli.runner import error_message
from statefulroute.cluster.clock import utc_now
from statefulroute.cluster.errors import ClusterError
from statefulroute.console.acts import ActRequest, Rights, perform
from statefulroute.console.checks import InstallationChecks
from statefulroute.console.events import RouteEvents
from statefulroute.console.namespaces import Scope
from statefulroute.console.responses import RequestError, json_response
from statefulroute.console.security import INDEX, OPEN, Access, CodeUsedTwiceError, add_headers, guard
from statefulroute.console.static_files import load_static_files
from statefulroute.console.stream import Page, stream_page
from statefulroute.console.views import AbsentRoute, found_links, link_page, overview, route_page
from statefulroute.console.watcher import Watcher
from statefulroute.domain.keys import PodKey, RouteKey
from statefulroute.domain.validation import is_dns_label

#: The maximum and the usual number of routes and links in a page.
_MAX_PAGE, _PAGE = 200, 50

#: The number of links that a search by uid in all routes returns.
_MAX_FOUND = 50

#: The number of browser pages that receive changes at the same time.
_MAX_STREAMS = 32

#: The size of the description of an act.
_MAX_REQUEST_BYTES = 16_384

#: The least time between two snapshots of a page, in seconds.
_OVERVIEW_PAUSE, _ROUTE_PAUSE = 1.0, 0.4


@dataclass
class ConsoleServer:
    """The handlers of requests.

    Args:
        cluster: the cluster, as the user of the console.
        watcher: the routes and links.
        scope: which namespaces it shows.
        access: who may use it.
    """

    cluster: Cluster
    watcher: Watcher
    scope: Scope
    access: Access

    def __post_init__(self) -> None:
        namespaces = self.scope.namespaces
        self._checked = replace(self.cluster, namespace=namespaces[0] if len(namespaces) == 1 else None)
        self._checks = InstallationChecks(self._checked)
        self._events = RouteEvents(self.cluster)
        self._rights = Rights(self.cluster)
        self._files = load_static_files()
        self._streams = 0

    def application(self) -> web.Application:
        """Returns the application for aiohttp."""
        app = web.Application(middlewares=[guard(self.access)], client_max_size=_MAX_REQUEST_BYTES)
        app.on_response_prepare.append(add_headers)
        app.on_shutdown.append(self._stop)
        route = "/{token}/api/routes/{namespace}/{name}"
        app.add_routes(
            [
                web.get("/open/{code}", self._open, name=OPEN),
                web.get("/{token}/", self._static, name=INDEX),
                web.get("/{token}/api/health", self._health),
                web.get("/{token}/api/routes", self._list_routes),
                web.get("/{token}/api/stream", self._stream_overview),
                web.get("/{token}/api/checks", self._list_checks),
                web.get("/{token}/api/links", self._find_links),
                web.get(route, self._show_route),
                web.get(f"{route}/stream", self._stream_route),
                web.get(f"{route}/links", self._list_links),
                web.get(f"{route}/events", self._list_events),
                web.get(f"{route}/history", self._show_history),
                web.get(f"{route}/rights", self._list_rights),
                web.post(f"{route}/acts", self._act),
                web.get("/{token}/{path:.*}", self._static),
            ]
        )
        return app

    async def _stop(self, _: web.Application) -> None:
        self.access.end_sessions()

    async def _open(self, request: web.Request) -> web.Response:
        """Leads the browser that the command has opened to an address with a token of its own."""
        try:
            session = self.access.use_code(request.match_info["code"])
        except CodeUsedTwiceError:
            print_message(
                "warning: the address for the browser was used twice, so the page that it has opened first is closed: "
                "another program may have read it. Open the address above",
                err=True,
            )
            raise
        return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": f"/{session.token}/"})

    async def _health(self, _: web.Request) -> web.Response:
        """Tells a page whose stream has ended why: this server does not run, or refuses the token or the stream."""
        self._check_streams()
        return json_response({})

    async def _static(self, request: web.Request) -> web.Response:
        file = self._files.get(request.match_info.get("path") or "index.html")
        if file is None:
            raise RequestError(HTTPStatus.NOT_FOUND, "there is no such path")
        return web.Response(body=file.content, content_type=file.content_type, charset="utf-8")

    async def _list_routes(self, request: web.Request) -> web.Response:
        return json_response(self._overview(request)())

    async def _stream_overview(self, request: web.Request) -> web.StreamResponse:
        page = Page(self._version, self._overview(request), _no_changes, _OVERVIEW_PAUSE)
        return await self._stream(request, page)

    def _overview(self, request: web.Request) -> Callable[[], object]:
        search, (offset, limit) = request.query.get("search", "")[:300], _range(request)
        return lambda: overview(
            self.watcher, scope=self.scope.label, search=search, offset=offset, limit=limit, now=utc_now()
        )

    def _version(self) -> object:
        return self.watcher.version, self.watcher.is_current, self.watcher.is_synced

    async def _list_checks(self, _: web.Request) -> web.Response:
        return json_response(await self._checks.results())

    async def _find_links(self, request: web.Request) -> web.Response:
        uid = request.query.get("uid", "")
        return json_response(found_links(self.watcher, uid, _MAX_FOUND, utc_now()))

    async def _show_route(self, request: web.Request) -> web.Response:
        page = route_page(self.watcher, _route_key(request), scope=self.scope.label, now=utc_now())
        if isinstance(page, AbsentRoute):
            if not page.connection.is_synced:
                raise RequestError(HTTPStatus.SERVICE_UNAVAILABLE, "the routes have not been read yet")
            raise RequestError(HTTPStatus.NOT_FOUND, "the route does not exist")
        return json_response(page)

    async def _stream_route(self, request: web.Request) -> web.StreamResponse:
        key = _route_key(request)

        def snapshot() -> object:
            return route_page(self.watcher, key, scope=self.scope.label, now=utc_now())

        def changes(number: int) -> tuple[object, int]:
            return self.watcher.changes.since(number, key), self.watcher.changes.last_number

        def version() -> object:
            return self.watcher.version_of(key), self.watcher.is_current, self.watcher.is_synced

        return await self._stream(request, Page(version, snapshot, changes, _ROUTE_PAUSE))

    async def _stream(self, request: web.Request, page: Page) -> web.StreamResponse:
        self._check_streams()
        ended = self.access.session(request.match_info["token"]).ended
        self._streams += 1
        try:
            return await stream_page(request, page, self.watcher.changes.last_number, ended)
        finally:
            self._streams -= 1

    def _check_streams(self) -> None:
        """Check that another browser page may receive changes.

        Raises:
            RequestError: too many do.
        """
        if self._streams >= _MAX_STREAMS:
            message = f"{_MAX_STREAMS} pages of this console are visible, and more are not updated: close some of them"
            raise RequestError(HTTPStatus.SERVICE_UNAVAILABLE, message)

    async def _list_links(self, request: web.Request) -> web.Response:
        query, (_, limit) = request.query, _range(request)
        pod, search, after = _pod_key(request), query.get("search", ""), query.get("after", "")
        return json_response(
            link_page(
                self.watcher, _route_key(request), pod=pod, search=search, after=after, limit=limit, now=utc_now()
            )
        )

    async def _show_history(self, request: web.Request) -> web.Response:
        return json_response(self.watcher.history.of_route(_route_key(request)))

    async def _list_events(self, request: web.Request) -> web.Response:
        return json_response(await self._events.of_route(_route_key(request)))

    async def _list_rights(self, request: web.Request) -> web.Response:
        try:
            return json_response(await self._rights.in_namespace(_route_key(request).namespace))
        except ClusterError as error:
            raise RequestError(HTTPStatus.BAD_GATEWAY, error_message(error)) from error

    async def _act(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            raise RequestError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "an act is sent as application/json")
        try:
            act = msgspec.json.decode(await request.read(), type=ActRequest)
        except msgspec.DecodeError as error:
            raise RequestError(HTTPStatus.BAD_REQUEST, f"this is not an act: {error}") from error
        return json_response(await perform(self.cluster, _route_key(request), act))


def _no_changes(number: int) -> tuple[object, int]:
    return (), number


def _route_key(request: web.Request) -> RouteKey:
    """Returns the route in a path; it becomes a part of paths of the API server."""
    key = RouteKey(request.match_info["namespace"], request.match_info["name"])
    if not all(map(is_dns_label, key)):
        raise RequestError(HTTPStatus.NOT_FOUND, "the route does not exist")
    return key


def _pod_key(request: web.Request) -> PodKey | None:
    """Returns the pod of a query: `podIndex`, or `podName`; None if it names none."""
    if "podIndex" in request.query:
        return _number(request, "podIndex", 0, INT32_MAX)
    return request.query.get("podName")


def _range(request: web.Request) -> tuple[int, int]:
    """Returns the offset and the limit of a page."""
    return _number(request, "offset", 0, INT32_MAX), _number(request, "limit", _PAGE, _MAX_PAGE)


def _number(request: web.Request, name: str, default: int, maximum: int) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and int(text) <= maximum):
        raise RequestError(HTTPStatus.BAD_REQUEST, f"{name} must be a number of at most {maximum}")
    return int(text)
