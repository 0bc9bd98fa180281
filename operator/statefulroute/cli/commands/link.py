"""`link`: binds a user to a pod, or to a pod that the operator chooses."""

import asyncio
from functools import partial
from typing import Annotated

import typer

from statefulroute.api.group import POD_LINK
from statefulroute.api.vocabulary import ConditionType, LinkPhase
from statefulroute.cli import completion
from statefulroute.cli.cluster import Cluster, CommandError, Object
from statefulroute.cli.cluster_command import cluster_command
from statefulroute.cli.dry_run import DryRun
from statefulroute.cli.objects import condition, is_observed
from statefulroute.cli.options import DryRunOption, Route, Ttl, Uid, timeout_option
from statefulroute.cli.output.messages import print_change, print_message
from statefulroute.cli.pod_names import PodNames, previous_binding_label, warn_if_missing
from statefulroute.cli.runner import ClusterOptions, run
from statefulroute.domain.keys import link_name
from statefulroute.domain.operations import request_pod
from statefulroute.domain.validation import validate_route, validate_ttl_seconds


@cluster_command(writes_links=True)
def link(  # noqa: PLR0913 - an option each
    route: Route,
    uid: Uid,
    pod: Annotated[
        str | None,
        typer.Argument(
            metavar="[POD]",
            help="The pod: its index or its name; by default the operator chooses.",
            autocompletion=completion.pod_names,
        ),
    ] = None,
    *,
    only_try: Annotated[
        bool,
        typer.Option("--try", help="Do nothing if there is a persistent link to another pod; the exit code is then 1."),
    ] = False,
    ttl: Ttl = None,
    timeout: Annotated[float, timeout_option("How long to wait for the pod that the operator chooses.")] = 30,
    dry_run: DryRunOption = DryRun.NONE,
    cluster_options: ClusterOptions,
) -> None:
    """Bind a user to a pod, or to a pod that the operator chooses."""
    if pod is None and only_try:
        raise typer.BadParameter("--try needs a POD: without one, an existing link always stays")
    run(
        cluster_options,
        lambda cluster: (
            link_to_any_pod(cluster, route, uid, ttl_seconds=ttl, timeout_seconds=timeout, dry_run=dry_run)
            if pod is None
            else link_to_pod(cluster, route, uid, pod, only_try=only_try, ttl_seconds=ttl, dry_run=dry_run)
        ),
    )


async def link_to_pod(  # noqa: PLR0913 - an option each
    cluster: Cluster, route: str, uid: str, pod: str, *, only_try: bool, ttl_seconds: int | None, dry_run: DryRun
) -> int:
    """Bind a user to a pod; returns the exit code, which is 1 if a try has failed."""
    names = PodNames.from_route(await cluster.route(validate_route(route)))
    key = names.pod_key(pod)
    links = cluster.with_dry_run(dry_run).link_store()
    lifetime = f" for {ttl_seconds} s" if ttl_seconds is not None else ""
    if only_try:
        attempt = await links.try_set(route, uid, key, ttl_seconds=ttl_seconds)
        if not attempt.won:
            print_change(f"{uid}: stays on {names.pod_name(attempt.holder)}, by a persistent link", dry_run=dry_run)
            return 1
        print_change(f"{uid}: {names.pod_name(key)}{lifetime}", dry_run=dry_run)
    else:
        previous = await links.set(route, uid, key, ttl_seconds=ttl_seconds)
        change = previous_binding_label(names, key, previous)
        print_change(f"{uid}: {names.pod_name(key)}{lifetime}{change}", dry_run=dry_run)
    warn_if_missing(names, key, uid)
    return 0


async def link_to_any_pod(  # noqa: PLR0913 - an option each
    cluster: Cluster, route: str, uid: str, *, ttl_seconds: int | None, timeout_seconds: float, dry_run: DryRun
) -> int:
    """Create a link without a pod, and wait until the operator has chosen one; returns the exit code.

    Raises:
        CommandError: the operator has not chosen a pod in time, or has rejected the link.
    """
    names = PodNames.from_route(await cluster.route(validate_route(route)))
    operation = partial(request_pod, ttl_seconds=validate_ttl_seconds(ttl_seconds))
    holder = await cluster.with_dry_run(dry_run).link_store().execute(route, uid, operation)
    if holder is not None:
        print_change(f"{uid}: stays on {names.pod_name(holder)}", dry_run=dry_run)
        return 0
    if not dry_run.is_persistent:
        print_change(f"{uid}: a pod that the operator chooses", dry_run=dry_run)
        return 0
    versions: list[Object] = []
    try:
        async with asyncio.timeout(timeout_seconds):
            status = await _wait_for_status(cluster, link_name(route, uid), versions)
    except TimeoutError:
        raise CommandError(_pending_message(uid, timeout_seconds, versions)) from None
    except asyncio.CancelledError:
        print_message(f"{uid} still waits for a pod; the link stays", err=True)
        raise
    if status["phase"] == LinkPhase.REJECTED:
        message = condition(versions[-1], ConditionType.READY)["message"]
        raise CommandError(f"the link of {uid} was rejected: {message}")
    print_message(f"{uid}: {status['podName']}")
    return 0


async def _wait_for_status(cluster: Cluster, name: str, versions: list[Object]) -> Object:
    """Returns the status of a link once it is bound or rejected; `versions` holds the last version until then."""
    async for version in cluster.watch_object(POD_LINK, name):
        if version is None:
            raise CommandError(f"the link {name} was deleted meanwhile")
        versions[:] = [version]
        status: Object = version.get("status", {})
        if is_observed(version) and status.get("phase") in {LinkPhase.BOUND, LinkPhase.REJECTED}:
            return status
    raise CommandError(f"the watch of {name} has ended: try again")


def _pending_message(uid: str, seconds: float, versions: list[Object]) -> str:
    ready = condition(versions[-1], ConditionType.READY) if versions and is_observed(versions[-1]) else {}
    cause = (
        f"{ready['reason']}: {ready['message']}"
        if ready
        else "the operator has not written its status: is it running? (statefulroute check)"
    )
    return f"{uid} still waits for a pod after {seconds:g} s ({cause}); the link stays, and is bound when it can be"
