"""`move`: moves a user who has a link to another pod, at once or by a hand-over."""

import asyncio
from functools import partial
from typing import Annotated

import typer

from statefulroute.cli.cluster import Cluster, CommandError
from statefulroute.cli.cluster_command import cluster_command
from statefulroute.cli.dry_run import DryRun
from statefulroute.cli.hand_overs import hand_over_seconds
from statefulroute.cli.options import DryRunOption, IfLinkedTo, Pod, Route, Ttl, Uid, timeout_option
from statefulroute.cli.output.messages import print_change
from statefulroute.cli.pod_names import PodNames, elsewhere_message, previous_binding_label, warn_if_missing
from statefulroute.cli.runner import ClusterOptions, run
from statefulroute.domain.hand_over_request import HandOverRequest, HandOverResult, request_hand_over
from statefulroute.domain.operations import move_link
from statefulroute.domain.validation import validate_route, validate_ttl_seconds


@cluster_command(writes_links=True)
def move(  # noqa: PLR0913 - an option each
    route: Route,
    uid: Uid,
    pod: Pod,
    *,
    hand_over: Annotated[
        bool,
        typer.Option(
            "--hand-over", help="Let the present pod hand the user over, so that the new pod has the user's state."
        ),
    ] = False,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Wait until the hand-over has ended; Ctrl-C does not stop the hand-over."),
    ] = False,
    timeout: Annotated[float, timeout_option("How long to wait; 0 is without end.")] = 0,
    if_linked_to: IfLinkedTo = None,
    ttl: Ttl = None,
    dry_run: DryRunOption = DryRun.NONE,
    cluster_options: ClusterOptions,
) -> None:
    """Move a user who has a link to another pod; a temporary link keeps its TTL and is renewed."""
    if wait and not hand_over:
        raise typer.BadParameter("--wait needs --hand-over: without it, the user is moved at once")
    run(
        cluster_options,
        lambda cluster: (
            hand_user_over(
                cluster,
                route,
                uid,
                pod,
                only_from=if_linked_to,
                ttl_seconds=ttl,
                wait_seconds=timeout if wait else None,
                dry_run=dry_run,
            )
            if hand_over
            else move_user(cluster, route, uid, pod, only_from=if_linked_to, ttl_seconds=ttl, dry_run=dry_run)
        ),
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

    A hand-over that is in progress is cancelled.

    Raises:
        CommandError: the user has no link.
    """
    names = PodNames.from_route(await cluster.route(validate_route(route)))
    key, origin = names.pod_key(pod), names.origin(only_from) if only_from is not None else None
    operation = partial(move_link, pod=key, only_from=origin, ttl_seconds=validate_ttl_seconds(ttl_seconds))
    result = await cluster.with_dry_run(dry_run).link_store().execute(route, uid, operation)
    if not result.had_link:
        raise CommandError(_no_link_message(route, uid, pod))
    if not result.won:
        print_change(elsewhere_message(names, uid, result.previous, origin), dry_run=dry_run)
        return 1
    change = previous_binding_label(names, key, result.previous)
    if result.previous == key and result.withdrawn is not None:
        change = f" (stays; the hand-over to {names.pod_name(result.withdrawn)} is cancelled)"
    print_change(f"{uid}: {names.pod_name(key)}{change}", dry_run=dry_run)
    warn_if_missing(names, key, uid)
    return 0


async def hand_user_over(  # noqa: PLR0913 - an option each
    cluster: Cluster,
    route: str,
    uid: str,
    pod: str,
    *,
    only_from: str | None,
    ttl_seconds: int | None,
    wait_seconds: float | None,
    dry_run: DryRun,
) -> int:
    """Ask the pod of a user to hand the user over to another pod, and wait for it; returns the exit code.

    Raises:
        CommandError: the route has no hand-over, the user cannot be handed over to this pod, or, after a wait, was
            not handed over.
    """
    from statefulroute.cli.hand_over_wait import HandOverInProgress, HandOverWait  # noqa: PLC0415 - slow to import

    item = await cluster.route(validate_route(route))
    seconds = hand_over_seconds(item)
    if seconds is None:
        raise CommandError(
            f"{route} has no spec.handOver, so its users are moved at once: leave out --hand-over, or set it "
            f"""(kubectl patch statefulroute {route} --type=merge -p '{{"spec": {{"handOver": {{}}}}}}')"""
        )
    names = PodNames.from_route(item)
    key, origin = names.pod_key(pod), names.origin(only_from) if only_from is not None else None
    if names.is_missing(key):
        raise CommandError(f"{route} has no {names.pod_name(key)} now, so no user can be handed over to it")
    operation = partial(request_hand_over, pod=key, only_from=origin, ttl_seconds=validate_ttl_seconds(ttl_seconds))
    since = asyncio.get_running_loop().time()
    result = await cluster.with_dry_run(dry_run).link_store().execute(route, uid, operation)
    if result.outcome is HandOverRequest.ELSEWHERE:
        print_change(elsewhere_message(names, uid, result.holder, origin), dry_run=dry_run)
        return 1
    _raise_if_refused(names, uid, pod, result)
    hand_over = HandOverInProgress(names=names, uid=uid, origin=result.holder, target=key, seconds=seconds, since=since)
    already = " already" if result.outcome is HandOverRequest.IN_PROGRESS else f" (within {seconds} s)"
    print_change(f"{hand_over.label(key)}{already}", dry_run=dry_run)
    if wait_seconds is None or not dry_run.is_persistent:
        return 0
    return await HandOverWait(cluster, hand_over).run(wait_seconds)


def _raise_if_refused(names: PodNames, uid: str, pod: str, result: HandOverResult) -> None:
    """Raise an error if a link cannot ask for a hand-over to a pod.

    Raises:
        CommandError: it cannot; the message says why.
    """
    match result.outcome:
        case HandOverRequest.NO_LINK:
            raise CommandError(_no_link_message(names.route, uid, pod))
        case HandOverRequest.NO_POD:
            raise CommandError(f"{uid} has no pod yet that could hand over: leave out --hand-over")
        case HandOverRequest.ALREADY_THERE:
            target = result.hand_over.pod if result.hand_over is not None else None
            cancel = (
                f", which hands over to {names.pod_name(target)}: statefulroute move {names.route} {uid} {pod} cancels "
                "that"
                if target is not None
                else ""
            )
            raise CommandError(f"{uid} is on {names.pod_name(result.holder)} already{cancel}")


def _no_link_message(route: str, uid: str, pod: str) -> str:
    return f"{uid} has no link in {route}: statefulroute link {route} {uid} {pod}"
