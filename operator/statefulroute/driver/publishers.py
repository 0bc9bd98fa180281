"""Publishes a server pod's load: as annotations of the pod, or at an HTTP endpoint that the operator polls."""

import msgspec
from aiohttp import web

from statefulroute.api.annotations import LOAD_STATE, REPORT_TIME, ROUTING_STATE, WAITING_TASKS
from statefulroute.api.load import HTTPLoad
from statefulroute.api.vocabulary import RoutingState
from statefulroute.cluster.client import Client
from statefulroute.domain.times import format_rfc3339
from statefulroute.driver.parts import PodReport, ServerInformation


class AnnotationPublisher:
    """Writes the annotations of the server's own pod.

    Args:
        client: the client of the API server.
        server: the identity of the pod.
    """

    def __init__(self, client: Client, server: ServerInformation) -> None:
        self._client = client
        self._path = f"/api/v1/namespaces/{server.namespace}/pods/{server.pod_name}"

    async def publish(self, report: PodReport) -> None:
        """Writes the whole report, and overwrites the previous one.

        Raises:
            ClusterError: the report was not written, or it is unknown whether it was.
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
        """Writes only the routing state.

        Raises:
            ClusterError: the routing state was not written, or it is unknown whether it was.
        """
        await self._write({ROUTING_STATE: routing_state})

    async def _write(self, annotations: dict[str, str]) -> None:
        await self._client.merge_patch(self._path, msgspec.json.encode({"metadata": {"annotations": annotations}}))


class LoadEndpoint:
    """Serves the report to the operator, at the port and path of the route's `load.http`.

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
        """Serves this report from now on.

        Raises:
            OSError: the port is in use.
        """
        self._report = report
        if self._runner is None:
            self._runner = await self._start_server()

    async def close(self) -> None:
        """Stops serving."""
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
        except BaseException:  # including cancellation: the next update must start the server again
            await runner.cleanup()
            raise
        return runner

    async def _handle(self, request: web.Request) -> web.Response:
        report = self._report
        if report is None or request.path != self.http.path:
            raise web.HTTPNotFound
        return web.json_response(
            {
                "loadState": report.load_state,
                "waitingTasks": report.waiting_tasks,
                "routingState": report.routing_state,
            }
        )
