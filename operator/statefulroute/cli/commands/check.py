"""`check`: what is wrong, and how to put it right."""

from collections.abc import AsyncIterator

from statefulroute.cli.checks.installation import check_definitions, check_policies, check_rights
from statefulroute.cli.checks.results import CheckResult, Level, Report
from statefulroute.cli.checks.state import OperatorLag, check_links, check_operator, check_routes
from statefulroute.cli.cluster import Cluster, error_message
from statefulroute.cli.output.table import Terminal
from statefulroute.cluster.errors import APIError


async def check(cluster: Cluster, *, as_json: bool) -> int:
    """Look at everything that can be wrong; gives the exit code: 1 where something is."""
    report = Report(Terminal(), as_json=as_json)
    heard = OperatorLag()
    for name, findings in (
        ("definitions", check_definitions(cluster)),
        ("policies", check_policies(cluster)),
        ("rights", check_rights(cluster)),
        ("routes", check_routes(cluster, heard)),
        ("links", check_links(cluster, heard)),
        ("operator", check_operator(cluster, heard)),
    ):
        await _add(report, name, findings)
    report.end()
    return 0 if report.is_healthy else 1


async def _add(report: Report, name: str, findings: AsyncIterator[CheckResult]) -> None:
    """Add what one check finds; one that cannot look leaves the others their turn."""
    try:
        async for finding in findings:
            report.add(finding)
    except APIError as error:
        report.add(CheckResult(name, Level.NOTICE, f"could not be looked at: {error_message(error)}"))
