"""Makes server drivers for the pods of a service, as their containers would."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from pykube.objects import Pod

from driver.recording import RecordingLogger
from statefulroute import Configuration, ServerDriver, ServerParts
from statefulroute.cluster.client import Client
from statefulroute.cluster.link_store import LinkStore
from statefulroute.driver.environment import read_server
from statefulroute.driver.publishers import AnnotationPublisher
from statefulroute.driver.routes import RouteCache
from statefulroute.driver.service_reader import RequestedServices
from support.service import Service

#: The fields of a report in the annotations of a pod.
REPORT_FIELDS = ("load-state", "waiting-tasks", "routing-state", "report-time")

NO_REPORT: Mapping[str, None] = {f"statefulroute.io/{each}": None for each in REPORT_FIELDS}

#: A timer period longer than any test, so that only operations publish.
NEVER = 3600.0


@dataclass(frozen=True, slots=True)
class DriverFactory:
    """Makes drivers.

    Attributes:
        client: the drivers' client.
        service: the service of their pods.
        routes: the cached services of the namespace.
    """

    client: Client
    service: Service
    routes: RouteCache

    async def make(
        self, pod: int = 0, *, grace: float = 60.0, logger: RecordingLogger | None = None, **configuration: Any
    ) -> ServerDriver:
        """Makes a driver and does not start it.

        Args:
            pod: the index of its pod.
            grace: the termination grace period in seconds; that of the real pods is only one second.
            logger: where it logs.
            configuration: fields of its configuration; by default its timers do not run.
        """
        name = self.service.pod_name(pod)
        server = await read_server(self.client, self.service.namespace, name, None)
        services = RequestedServices(self.client, self.service.namespace, self.routes)
        parts = ServerParts(
            LinkStore(self.client, self.service.namespace, slots_of=services.slots_of),
            self.routes,
            AnnotationPublisher(self.client, server),
            replace(server, termination_grace_seconds=grace),
            services,
        )
        settings = {"state_period_seconds": NEVER, "workload_period_seconds": NEVER, **configuration}
        return ServerDriver(
            self.service.namespace, parts, configuration=Configuration(**settings), logger=logger or RecordingLogger()
        )

    @asynccontextmanager
    async def started(self, pod: int = 0, **options: Any) -> AsyncIterator[ServerDriver]:
        """Runs a driver while the context lasts."""
        driver = await self.make(pod, **options)
        await driver.start()
        try:
            yield driver
        finally:
            await driver.close()

    def published(self, pod: int = 0) -> dict[str, str]:
        """Returns the report in a pod's annotations, by field."""
        item = self.service.client.get(Pod, self.service.pod_name(pod), self.service.namespace)
        annotations = item["metadata"].get("annotations", {})
        names = {f"statefulroute.io/{each}": each for each in REPORT_FIELDS}
        return {names[name]: value for name, value in annotations.items() if name in names}
