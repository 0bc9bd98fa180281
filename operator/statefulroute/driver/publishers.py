"""How a server pod tells its load: as its own annotations, or at an endpoint where the operator asks."""

import msgspec
from aiohttp import web

from statefulroute.api.annotations import LOAD_STATE, REPORT_TIME, ROUTING_STATE, WAITING_TASKS
from statefulroute.api.statefulroute import HTTPLoad
from statefulroute.api.vocabulary import RoutingState
from statefulroute.cluster.client import Client
from statefulroute.domain.times import format_rfc3339
from statefulroute.driver.parts import PodReport, ServerInformation


class AnnotationPublisher:
    """Writes annotations on the server's own pod.

    Args:
        client: how to reach the API server.
        server: which pod it is.
    """

    def __init__(self, client: Client, server: ServerInformation) -> None:
        self._client = client
        self._path = f"/api/v1/namespaces/{server.namespace}/pods/{server.pod_name}"

    async def publish(self, report: PodReport) -> None:
        """Write all of it, whatever stands there.

        Raises:
            ClusterError: it was not written, or it is not known whether it was.
        """
        await self._write(
            {
                LOAD_STATE: str(report.load_state),
                WAITING_TASKS: str(report.waiting_tasks),
                ROUTING_STATE: report.routing_state,
                REPORT_TIME: format_rfc3339(report.time),
            }
        )

    async def publish_routing_state(self, routing_state: RoutingState) -> None:
        """Write only whom the pod takes.

        Raises:
            ClusterError: it was not written, or it is not known whether it was.
        """
        await self._write({ROUTING_STATE: routing_state})

    async def _write(self, annotations: dict[str, str]) -> None:
        await self._client.merge_patch(self._path, msgspec.json.encode({"metadata": {"annotations": annotations}}))


class LoadEndpoint:
    """Answers the operator's question at the port and path of the route's `load.http`.

    Args:
        host: the address to listen on; empty is all.
        http: the port and the path.
    """

    def __init__(self, host: str, http: HTTPLoad) -> None:
        self.http = http
        self._host = host
        self._report: PodReport | None = None
        self._runner: web.AppRunner | None = None

    async def update(self, report: PodReport) -> None:
        """Answer this from now on.

        Raises:
            OSError: the port is taken.
        """
        self._report = report
        if self._runner is None:
            self._runner = await self._start_server()

    async def close(self) -> None:
        """Answer no more."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _start_server(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, handle_signals=False)
        try:
            await runner.setup()
            await web.TCPSite(runner, self._host or None, self.http.port).start()
        except BaseException:  # given up included: what does not listen is to be tried again
            await runner.cleanup()
            raise
        return runner

    async def _handle(self, request: web.Request) -> web.Response:
        said = self._report
        if said is None or request.path != self.http.path:
            raise web.HTTPNotFound
        return web.json_response(
            {
                "loadState": said.load_state,
                "waitingTasks": said.waiting_tasks,
                "routingState": said.routing_state,
            }
        )
