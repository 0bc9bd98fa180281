"""The metric of the running version."""

from collections.abc import Iterator
from importlib.metadata import version

from prometheus_client.metrics_core import InfoMetricFamily


class BuildMetrics:
    """Exposes the version of the process.

    Args:
        program: the name of the program, for the help text.
    """

    def __init__(self, program: str) -> None:
        self._documentation = f"The version of this {program}."

    def collect(self) -> Iterator[InfoMetricFamily]:
        """Yields the metric."""
        yield InfoMetricFamily("statefulroute_build", self._documentation, {"version": version("statefulroute")})
