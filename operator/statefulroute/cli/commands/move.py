"""`move`: moves a user who has a link to another pod."""

from functools import partial

from statefulroute.cli.cluster import Cluster, CommandError
from statefulroute.cli.cluster_command import cluster_command
from statefulroute.cli.dry_run import DryRun
from statefulroute.cli.options import DryRunOption, IfLinkedTo, Pod, Route, Ttl, Uid
from statefulroute.cli.output.messages import print_change
from statefulroute.cli.pod_names import PodNames, previous_binding_label, warn_if_missing
from statefulroute.cli.runner import ClusterOptions, run
from statefulroute.domain.operations import move_link
from statefulroute.domain.validation import validate_route, validate_ttl_seconds


@cluster_command(writes_links=True)
def move(  # noqa: PLR0913 - an option each
    route: Route,
    uid: Uid,
    pod: Pod,
    *,
    if_linked_to: IfLinkedTo = None,
    ttl: Ttl = None,
    dry_run: DryRunOption = DryRun.NONE,
    cluster_options: ClusterOptions,
) -> None:
    """Move a user who has a link to another pod; a temporary link keeps its TTL and is renewed."""
    run(
        cluster_options,
        lambda cluster: move_user(cluster, route, uid, pod, only_from=if_linked_to, ttl_seconds=ttl, dry_run=dry_run),
    )


async def move_user(  # noqa: PLR0913 - an option each
    cluster: Cluster,
    route: str,
    uid: str,
    pod: str,
    *,
    only_from: str | None,
    ttl_seconds: int | None,
    dry_run: DryRun,
) -> int:
    """Move a user who has a link to another pod; returns the exit code, which is 1 if the user was not moved.

    Raises:
        CommandError: the user has no link.
    """
    names = PodNames.from_route(await cluster.route(validate_route(route)))
    key, origin = names.pod_key(pod), names.pod_key(only_from) if only_from is not None else None
    operation = partial(move_link, pod=key, only_from=origin, ttl_seconds=validate_ttl_seconds(ttl_seconds))
    result = await cluster.with_dry_run(dry_run).link_store().execute(route, uid, operation)
    if not result.had_link:
        raise CommandError(f"{uid} has no link in {route}: statefulroute link {route} {uid} {pod}")
    if not result.won:
        print_change(
            f"{uid}: stays on {names.pod_name(result.previous)}, not on {names.pod_name(origin)}", dry_run=dry_run
        )
        return 1
    print_change(f"{uid}: {names.pod_name(key)}{previous_binding_label(names, key, result.previous)}", dry_run=dry_run)
    warn_if_missing(names, key, uid)
    return 0
