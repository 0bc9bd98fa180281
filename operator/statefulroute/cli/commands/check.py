"""`check`: finds problems, and how to fix them."""

from statefulroute.cli.cluster import Cluster
from statefulroute.cli.cluster_command import cluster_command
from statefulroute.cli.options import ReportOutput, ReportOutputOption
from statefulroute.cli.runner import ClusterOptions, run


@cluster_command(all_namespaces=True)
def check(
    *,
    output: ReportOutputOption = ReportOutput.TABLE,
    cluster_options: ClusterOptions,
) -> None:
    """Find problems and how to fix them; the exit code is 1 if there are any."""

    async def work(cluster: Cluster) -> int:
        from statefulroute.cli.checks.runner import run_checks  # noqa: PLC0415 - `check --help` starts faster

        return await run_checks(cluster, as_json=output is ReportOutput.JSON)

    run(cluster_options, work)
