"""Commands on the link of one user: `link`, `move`, `unlink`."""

import asyncio
from functools import partial

from statefulroute.api.group import POD_LINK, STATEFUL_ROUTE
from statefulroute.api.vocabulary import ConditionType, LinkPhase
from statefulroute.cli.cluster import Cluster, CommandError, Object
from statefulroute.cli.objects import condition, is_observed, watch_object, with_dry_run
from statefulroute.cli.output.messages import print_message
from statefulroute.cli.pod_names import PodNames
from statefulroute.cluster.errors import NotFoundError
from statefulroute.domain.keys import PodKey, link_name
from statefulroute.domain.operations import move_link, request_pod
from statefulroute.domain.validation import validate_route, validate_ttl_seconds, validate_uid

_DRY = " (server dry run)"


async def link(  # noqa: PLR0913 - an option each
    cluster: Cluster, route: str, uid: str, pod: str, *, only_try: bool, ttl_seconds: int | None, dry_run: bool
) -> int:
    """Bind a user to a pod; gives the exit code: 1 where a try has lost."""
    names = PodNames.from_route(await cluster.route(validate_route(route)))
    key = names.pod_key(pod)
    links = with_dry_run(cluster, dry_run=dry_run).link_store()
    lives = f" for {ttl_seconds} s" if ttl_seconds is not None else ""
    if only_try:
        attempt = await links.try_set(route, uid, key, ttl_seconds=ttl_seconds)
        if not attempt.won:
            _say(f"{uid}: stays on {names.pod_name(attempt.holder)}, by a persistent link", dry_run=dry_run)
            return 1
        _say(f"{uid}: {names.pod_name(key)}{lives}", dry_run=dry_run)
    else:
        previous = await links.set(route, uid, key, ttl_seconds=ttl_seconds)
        _say(f"{uid}: {names.pod_name(key)}{lives}{_before(names, key, previous)}", dry_run=dry_run)
    _warn_of_absent(names, key, uid)
    return 0


async def link_to_any(  # noqa: PLR0913 - an option each
    cluster: Cluster, route: str, uid: str, *, ttl_seconds: int | None, timeout_seconds: float, dry_run: bool
) -> int:
    """Have the operator choose a pod for a user, and wait until it has; gives the exit code: 1 where it has not."""
    names = PodNames.from_route(await cluster.route(validate_route(route)))
    rule = partial(request_pod, ttl_seconds=validate_ttl_seconds(ttl_seconds))
    holder = await with_dry_run(cluster, dry_run=dry_run).link_store().execute(route, uid, rule)
    if holder is not None:
        _say(f"{uid}: stays on {names.pod_name(holder)}", dry_run=dry_run)
        return 0
    if dry_run:
        _say(f"{uid}: a pod that the operator chooses", dry_run=True)
        return 0
    seen: list[Object] = []
    try:
        async with asyncio.timeout(timeout_seconds):
            said = await _said_of(cluster, link_name(route, uid), seen)
    except TimeoutError:
        raise CommandError(_still_waits(uid, timeout_seconds, seen)) from None
    except asyncio.CancelledError:
        print_message(f"{uid} still waits for a pod; the link stays", err=True)
        raise
    if said["phase"] == LinkPhase.REJECTED:
        raise CommandError(f"the link of {uid} was rejected: {condition(seen[-1], ConditionType.READY)['message']}")
    print_message(f"{uid}: {said['podName']}")
    return 0


async def _said_of(cluster: Cluster, name: str, seen: list[Object]) -> Object:
    """The status of a link once it is bound or rejected; the last version that was seen is kept."""
    async for version in watch_object(cluster, POD_LINK, name):
        if version is None:
            raise CommandError(f"the link {name} was deleted meanwhile")
        seen[:] = [version]
        status: Object = version.get("status", {})
        if is_observed(version) and status.get("phase") in {LinkPhase.BOUND, LinkPhase.REJECTED}:
            return status
    raise CommandError(f"the watch of {name} has ended: try again")


def _still_waits(uid: str, seconds: float, seen: list[Object]) -> str:
    ready = condition(seen[-1], ConditionType.READY) if seen and is_observed(seen[-1]) else {}
    why = (
        f"{ready['reason']}: {ready['message']}"
        if ready
        else "the operator has said nothing of it, is it running? (statefulroute check)"
    )
    return f"{uid} still waits for a pod after {seconds:g} s ({why}); the link stays, and is bound when it can be"


async def move(  # noqa: PLR0913 - an option each
    cluster: Cluster,
    route: str,
    uid: str,
    pod: str,
    *,
    only_from: str | None,
    ttl_seconds: int | None,
    dry_run: bool,
) -> int:
    """Move a user who has a link to another pod; gives the exit code: 1 where nobody was moved."""
    names = PodNames.from_route(await cluster.route(validate_route(route)))
    key, origin = names.pod_key(pod), names.pod_key(only_from) if only_from is not None else None
    rule = partial(move_link, pod=key, only_from=origin, ttl_seconds=validate_ttl_seconds(ttl_seconds))
    answer = await with_dry_run(cluster, dry_run=dry_run).link_store().execute(route, uid, rule)
    if not answer.had_link:
        raise CommandError(f"{uid} has no link in {route}: statefulroute link {route} {uid} {pod}")
    if not answer.won:
        _say(f"{uid}: stays on {names.pod_name(answer.previous)}, not on {names.pod_name(origin)}", dry_run=dry_run)
        return 1
    _say(f"{uid}: {names.pod_name(key)}{_before(names, key, answer.previous)}", dry_run=dry_run)
    _warn_of_absent(names, key, uid)
    return 0


async def unlink(  # noqa: PLR0913 - an option each
    cluster: Cluster, route: str, uid: str, *, only_from: str | None, grace_seconds: int | None, dry_run: bool
) -> int:
    """Remove the link of a user; gives the exit code: 1 where it was to be on another pod."""
    names = await _names_if_any(cluster, route)
    links = with_dry_run(cluster, dry_run=dry_run).link_store()
    held = await links.get(route, validate_uid(uid))
    if held is None and names is None:
        await cluster.route(route)  # says so
    names = names or PodNames(route)
    on = names.pod_name(held.pod) if held else ""
    if only_from is not None:
        origin = names.pod_key(only_from)
        if not await links.remove_if_linked_to(route, uid, origin):
            there = f"stays on {on}" if held else "has no link"
            _say(f"{uid}: {there}, not on {names.pod_name(origin)}", dry_run=dry_run)
            return 1
    elif not await links.remove(route, uid, grace_seconds=grace_seconds):
        _say(f"{uid}: had no link in {route}", dry_run=dry_run)
        return 0
    ends = f" (was on {on})" if grace_seconds is None else f" in {grace_seconds} s (on {on} until then)"
    _say(f"{uid}: no link any more{ends}", dry_run=dry_run)
    return 0


async def _names_if_any(cluster: Cluster, route: str) -> PodNames | None:
    """The pods of a route; None where there is no such route: its links can be removed all the same."""
    try:
        return PodNames.from_route(await cluster.get(cluster.path(STATEFUL_ROUTE, validate_route(route))))
    except NotFoundError as error:
        if not error.reason or "could not find" in error.message:  # the kinds themselves are not there
            raise
        return None


def _before(names: PodNames, now: PodKey, previous: PodKey | None) -> str:
    if previous is None:
        return ""
    return " (already)" if previous == now else f" (was {names.pod_name(previous)})"


def _warn_of_absent(names: PodNames, pod: PodKey, uid: str) -> None:
    if names.is_missing(pod):
        print_message(f"note: {names.route} has no {names.pod_name(pod)} now: {uid} waits for it", err=True)


def _say(sentence: str, *, dry_run: bool) -> None:
    print_message(sentence + (_DRY if dry_run else ""))
