"""`confirm-loss`: lets the operator act on the losses of pods that it has suspended."""

import msgspec

from statefulroute.api.annotations import LOSS_CONFIRMED_AT
from statefulroute.api.group import STATEFUL_ROUTE
from statefulroute.api.vocabulary import ConditionType
from statefulroute.cli.cluster import Cluster
from statefulroute.cli.cluster_command import cluster_command
from statefulroute.cli.dry_run import DryRun
from statefulroute.cli.objects import condition
from statefulroute.cli.options import DryRunOption, Route
from statefulroute.cli.output.messages import print_change
from statefulroute.cli.runner import ClusterOptions, run
from statefulroute.cluster.clock import IntervalClock, utc_interval
from statefulroute.domain.times import format_rfc3339


@cluster_command()
def confirm_loss(
    route: Route,
    *,
    dry_run: DryRunOption = DryRun.NONE,
    cluster_options: ClusterOptions,
) -> None:
    """Let the operator move, delete or mark the links of pods that look lost, although there are many.

    Confirms the losses that have begun by now; later ones are suspended again if there are as many.
    """
    run(cluster_options, lambda cluster: confirm_suspended_loss(cluster, route, dry_run=dry_run))


async def confirm_suspended_loss(
    cluster: Cluster, route: str, *, dry_run: DryRun, clock: IntervalClock = utc_interval
) -> int:
    """Confirm the suspended losses of a service; returns the exit code.

    The time of the confirmation is that of the clock that is ahead: it must not be before the losses began. The
    operator confirms no loss that begins after it has observed the confirmation, whatever its time.
    """
    suspended = condition(await cluster.route(route), ConditionType.LOSS_SUSPENDED)
    if suspended.get("status") != "True":
        print_change(f"{route}: no loss is suspended", dry_run=dry_run)
        return 0
    body = {"metadata": {"annotations": {LOSS_CONFIRMED_AT: format_rfc3339(clock().latest)}}}
    client = cluster.with_dry_run(dry_run).client
    await client.merge_patch(cluster.path(STATEFUL_ROUTE, route), msgspec.json.encode(body))
    figures = suspended["message"].partition(":")[0]
    print_change(f"{route}: confirmed that {figures}", dry_run=dry_run)
    return 0
