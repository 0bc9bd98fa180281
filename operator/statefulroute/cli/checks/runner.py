"""Runs every check, and reports what they find."""

from collections.abc import AsyncIterator

from statefulroute.cli.checks.hand_overs import HandOvers
from statefulroute.cli.checks.installation import check_definitions, check_policies, check_rights
from statefulroute.cli.checks.leaders import check_leaders
from statefulroute.cli.checks.links import check_links
from statefulroute.cli.checks.observations import OperatorLag, ServingPods
from statefulroute.cli.checks.results import CheckResult, Level, Report
from statefulroute.cli.checks.scalers import check_scalers
from statefulroute.cli.checks.state import check_operator, check_routes
from statefulroute.cli.cluster import Cluster
from statefulroute.cli.output.terminal import Terminal
from statefulroute.cli.runner import error_message
from statefulroute.cluster.errors import APIError


async def run_checks(cluster: Cluster, *, as_json: bool) -> int:
    """Run every check; returns the exit code, which is 1 if there is a problem."""
    report = Report(Terminal(), as_json=as_json)
    lag, serving, hand_overs = OperatorLag(), ServingPods(), HandOvers()
    for name, results in (
        ("definitions", check_definitions(cluster)),
        ("policies", check_policies(cluster)),
        ("rights", check_rights(cluster)),
        ("routes", check_routes(cluster, lag, serving, hand_overs)),
        ("scalers", check_scalers(cluster)),
        ("links", check_links(cluster, lag, serving, hand_overs)),
        ("operator", check_operator(cluster, lag)),
        ("leaders", check_leaders(cluster)),
    ):
        await _add_results(report, name, results)
    report.close()
    return 0 if report.is_healthy else 1


async def _add_results(report: Report, name: str, results: AsyncIterator[CheckResult]) -> None:
    """Add the results of one check; if it fails, the other checks still run."""
    try:
        async for result in results:
            report.add(result)
    except APIError as error:
        report.add(CheckResult(name, Level.NOTICE, f"could not be checked: {error_message(error)}"))
