"""`check`: what is wrong, and how to put it right."""

from collections.abc import AsyncIterator

from statefulroute.cli.people.cluster import Cluster, sentence
from statefulroute.cli.people.findings import Finding, Level, Report
from statefulroute.cli.people.installation_checks import check_definitions, check_policies, check_rights
from statefulroute.cli.people.state_checks import Heard, check_links, check_operator, check_routes
from statefulroute.cli.people.writing import Terminal
from statefulroute.cluster.errors import APIError


async def check(cluster: Cluster, *, as_json: bool) -> int:
    """Look at everything that can be wrong; gives the exit code: 1 where something is."""
    report = Report(Terminal(), as_json=as_json)
    heard = Heard()
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


async def _add(report: Report, name: str, findings: AsyncIterator[Finding]) -> None:
    """Add what one check finds; one that cannot look leaves the others their turn."""
    try:
        async for finding in findings:
            report.add(finding)
    except APIError as error:
        report.add(Finding(name, Level.NOTICE, f"could not be looked at: {sentence(error)}"))
