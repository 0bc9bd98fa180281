"""The checks of the sidecar for the kubelet's probes."""

from collections.abc import Iterator

from statefulroute.monitoring.health import Health, HealthCheck


class SidecarHealth(Health):
    """Checks that the driver has started.

    The pod of a sidecar that is not ready is not ready either, and its users would be moved. So the sidecar stays ready
    while it stops, and while the API server is unavailable: the users of the pod are served meanwhile.
    """

    def __init__(self) -> None:
        super().__init__(())
        self.has_started = False
        """Whether the driver has started: it has published, or has waited for the API server as long as it may."""

    def check_readiness(self) -> Iterator[HealthCheck]:
        """Yields the checks of /readyz."""
        yield HealthCheck("ping")
        yield HealthCheck("driver", None if self.has_started else "the driver has not started yet")
