"""`unlink`: removes the link of a user."""

from functools import partial
from typing import Annotated

import typer

from statefulroute.api.group import STATEFUL_ROUTE
from statefulroute.cli.cluster import Cluster
from statefulroute.cli.cluster_command import cluster_command
from statefulroute.cli.dry_run import DryRun
from statefulroute.cli.options import DryRunOption, IfLinkedTo, Route, Uid, whole_seconds
from statefulroute.cli.output.messages import print_change
from statefulroute.cli.pod_names import PodNames, elsewhere_message
from statefulroute.cli.runner import ClusterOptions, run
from statefulroute.cluster.errors import KindNotInstalledError, NotFoundError
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import Link
from statefulroute.domain.operations import remove_link_if_bound_to
from statefulroute.domain.validation import validate_grace_seconds, validate_route, validate_uid


@cluster_command(writes_links=True)
def unlink(  # noqa: PLR0913 - an option each
    route: Route,
    uid: Uid,
    *,
    if_linked_to: IfLinkedTo = None,
    grace: Annotated[
        int | None,
        typer.Option(parser=whole_seconds(0), metavar="DURATION", help="Keep the link for so long; 0 is at once."),
    ] = None,
    dry_run: DryRunOption = DryRun.NONE,
    cluster_options: ClusterOptions,
) -> None:
    """Remove the link of a user, at once or after a grace period."""
    run(
        cluster_options,
        lambda cluster: unlink_user(cluster, route, uid, only_from=if_linked_to, grace_seconds=grace, dry_run=dry_run),
    )


async def unlink_user(  # noqa: PLR0913 - an option each
    cluster: Cluster, route: str, uid: str, *, only_from: str | None, grace_seconds: int | None, dry_run: DryRun
) -> int:
    """Remove the link of a user; returns the exit code, which is 1 if the link is to another pod than `only_from`."""
    existing_names = await _find_pod_names(cluster, route)
    links = cluster.with_dry_run(dry_run).link_store()
    link = await links.get(route, validate_uid(uid))
    if link is None and existing_names is None:
        await cluster.route(route)  # fails with a message
    names = existing_names or PodNames(route)
    holder = names.pod_name(link.pod) if link else ""
    if only_from is not None:
        rule = partial(
            remove_link_if_bound_to, pod=names.origin(only_from), grace_seconds=validate_grace_seconds(grace_seconds)
        )
        if not await links.execute(route, uid, rule):
            print_change(_refusal(names, uid, link, names.origin(only_from)), dry_run=dry_run)
            return 1
    elif not await links.remove(route, uid, grace_seconds=grace_seconds):
        print_change(f"{uid}: had no link in {route}", dry_run=dry_run)
        return 0
    end = f" in {grace_seconds} s (on {holder} until then)" if grace_seconds else f" (was on {holder})"
    print_change(f"{uid}: no link any more{end}", dry_run=dry_run)
    return 0


def _refusal(names: PodNames, uid: str, link: Link | None, origin: PodKey) -> str:
    if link is None:
        return f"{uid}: has no link, not on {names.pod_name(origin)}"
    return elsewhere_message(names, uid, link.pod, origin)


async def _find_pod_names(cluster: Cluster, route: str) -> PodNames | None:
    """Returns the names of the pods of a route; None if it does not exist: its links can still be removed."""
    try:
        return PodNames.from_route(await cluster.get(cluster.path(STATEFUL_ROUTE, validate_route(route))))
    except KindNotInstalledError:
        raise
    except NotFoundError:
        return None
