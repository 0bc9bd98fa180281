"""Assembles the components of the sidecar."""

from dataclasses import dataclass

import structlog
from prometheus_client.registry import Collector

from statefulroute.cluster.clock import process_clock
from statefulroute.driver.metrics import DriverMetrics
from statefulroute.driver.server import ServerDriver
from statefulroute.monitoring.build import BuildMetrics
from statefulroute.monitoring.clock import ClockMetrics
from statefulroute.sidecar.dispatcher import Dispatcher
from statefulroute.sidecar.event_log import EventLog
from statefulroute.sidecar.guard import RequestGuard, TokenFile
from statefulroute.sidecar.hand_over_operations import HandOverOperations
from statefulroute.sidecar.hand_overs import HandOvers
from statefulroute.sidecar.link_operations import LinkOperations
from statefulroute.sidecar.metrics import SidecarMetrics
from statefulroute.sidecar.server_operations import ServerOperations
from statefulroute.sidecar.settings import Settings
from statefulroute.sidecar.streams import EventStreams

#: The logger of the driver.
_DRIVER_LOGGER = "statefulroute.driver"


@dataclass(frozen=True, slots=True)
class SidecarComponents:
    """The components of the sidecar.

    Attributes:
        driver: the driver of the pod.
        log: the events of the users.
        dispatcher: handles HTTP requests.
        collectors: the metrics of all components but the driver.
    """

    driver: ServerDriver
    log: EventLog
    dispatcher: Dispatcher
    collectors: tuple[Collector, ...]


def driver_from_environment(settings: Settings, metrics: DriverMetrics) -> ServerDriver:
    """Returns the driver of the pod that this process runs in, and sends no request.

    Args:
        settings: the settings of the sidecar.
        metrics: counts what the driver does.

    Raises:
        InvalidParameterError: an option is invalid, or the environment does not name the pod's namespace.
    """
    return ServerDriver.from_environment(
        configuration=settings.configuration,
        logger=structlog.get_logger(_DRIVER_LOGGER),
        hash_uids=settings.hash_uids,
        follow_links=settings.follow_links,
        follow_users=settings.follow_routes or True,
        keep_managed_fields=settings.keep_managed_fields,
        metrics=metrics,
    )


def assemble(settings: Settings, driver: ServerDriver, namespace: str) -> SidecarComponents:
    """Creates the components, and starts none of them.

    Args:
        settings: the settings of the sidecar.
        driver: the driver of the pod, which follows its users.
        namespace: the namespace of the pod.

    Raises:
        TokenUnreadableError: the file of the token cannot be read.
    """
    metrics, log = SidecarMetrics(), EventLog(settings.kept_events)
    hand_overs = HandOvers(driver, log, receives_states=settings.configuration.hand_over is not None)
    streams = EventStreams(log, hand_overs, settings.max_streams)
    metrics.track_streams(lambda: len(streams))
    dispatcher = Dispatcher(
        ServerOperations(driver),
        LinkOperations(driver, namespace),
        streams,
        HandOverOperations(hand_overs),
        RequestGuard(None if settings.token_file is None else TokenFile(settings.token_file)),
        metrics,
    )
    collectors = (BuildMetrics("sidecar"), *metrics.collectors, ClockMetrics(process_clock))
    return SidecarComponents(driver, log, dispatcher, collectors)
