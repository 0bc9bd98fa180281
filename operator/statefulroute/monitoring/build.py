"""Which version runs."""

from collections.abc import Iterator
from importlib.metadata import version

from prometheus_client.metrics_core import InfoMetricFamily


class BuildMetrics:
    """Tells of the version.

    Args:
        program: what people call the process.
    """

    def __init__(self, program: str) -> None:
        self._documentation = f"The version of this {program}."

    def collect(self) -> Iterator[InfoMetricFamily]:
        """The family."""
        yield InfoMetricFamily("statefulroute_build", self._documentation, {"version": version("statefulroute")})
