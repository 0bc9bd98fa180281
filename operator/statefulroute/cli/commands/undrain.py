"""`undrain`: lets a drained pod take new users again."""

from statefulroute.api.vocabulary import RoutingState
from statefulroute.cli.cluster import Cluster
from statefulroute.cli.cluster_command import cluster_command
from statefulroute.cli.dry_run import DryRun
from statefulroute.cli.options import DryRunOption, Pod, Route
from statefulroute.cli.output.messages import print_change, print_message
from statefulroute.cli.routing_states import find_pod_state, find_pod_status, set_pod_state
from statefulroute.cli.runner import ClusterOptions, run


@cluster_command()
def undrain(
    route: Route,
    pod: Pod,
    *,
    dry_run: DryRunOption = DryRun.NONE,
    cluster_options: ClusterOptions,
) -> None:
    """Let a drained pod take new users again."""
    run(cluster_options, lambda cluster: undrain_pod(cluster, route, pod, dry_run=dry_run))


async def undrain_pod(cluster: Cluster, route: str, pod: str, *, dry_run: DryRun) -> int:
    """Remove the routing state of a pod from the spec of a route; returns the exit code."""
    update, names, key = await set_pod_state(cluster.with_dry_run(dry_run), route, pod, None)
    name = names.pod_name(key)
    previous = find_pod_state(update.before, names, key)
    if previous is not None:
        print_change(f"{name}: takes users again (was {previous})", dry_run=dry_run)
        return 0
    print_change(f"{name}: was not drained by {route}", dry_run=dry_run)
    effective = (find_pod_status(update.before, name) or {}).get("routingState", RoutingState.READY)
    if effective != RoutingState.READY:
        print_message(
            f"note: it is {effective} for another reason: the routingState of the route, the annotation or load report "
            "of the pod, or its deletion",
            err=True,
        )
    return 0
