"""The checks of the installation for the overview: those of `statefulroute check` that no watched object shows."""

import asyncio
import time
from collections.abc import AsyncIterator

from statefulroute.cli.checks.installation import check_definitions, check_policies, check_rights
from statefulroute.cli.checks.leaders import check_leaders
from statefulroute.cli.checks.results import CheckResult, Level
from statefulroute.cli.checks.scalers import check_scalers
from statefulroute.cli.cluster import Cluster
from statefulroute.cli.runner import error_message
from statefulroute.cluster.errors import ClusterError
from statefulroute.console.routes import SEVERITIES, Problem

#: How long results are used again.
_AGE_SECONDS = 60.0


class InstallationChecks:
    """Runs the checks when they are asked for, at most once a minute.

    Args:
        cluster: the cluster and the namespace.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lock = asyncio.Lock()
        self._results: list[Problem] = []
        self._end = 0.0

    async def results(self) -> list[Problem]:
        """Returns problems and notices, the worst first; empty if there are none."""
        async with self._lock:
            if time.monotonic() >= self._end:
                self._results = await self._run()
                self._end = time.monotonic() + _AGE_SECONDS
            return self._results

    async def _run(self) -> list[Problem]:
        cluster = self._cluster
        checks = {
            "definitions": check_definitions(cluster),
            "policies": check_policies(cluster),
            "rights": check_rights(cluster),
            "scalers": check_scalers(cluster),
            "leaders": check_leaders(cluster),
        }
        found = [each for name, results in checks.items() for each in await _collect(name, results)]
        problems = [Problem.of(each) for each in found if each.level is not Level.OK]
        return sorted(problems, key=lambda problem: -SEVERITIES[Level(problem.level)])


async def _collect(name: str, results: AsyncIterator[CheckResult]) -> list[CheckResult]:
    """Returns the results of one check; if it fails, a notice that it could not be made."""
    try:
        return [each async for each in results]
    except ClusterError as error:
        return [CheckResult(name, Level.NOTICE, f"could not be checked: {error_message(error)}")]
