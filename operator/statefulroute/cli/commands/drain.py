"""Commands on whom pods and services take: `drain`, `undrain`, `set-state`."""

import asyncio
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from statefulroute.api.group import STATEFUL_ROUTE
from statefulroute.api.vocabulary import RoutingState
from statefulroute.cli.cluster import Cluster, CommandError, Object
from statefulroute.cli.objects import is_observed, watch_object, with_dry_run
from statefulroute.cli.output.messages import print_message
from statefulroute.cli.output.progress import ProgressBar
from statefulroute.cli.output.table import Terminal
from statefulroute.cli.pod_names import PodNames
from statefulroute.cluster.errors import ConflictError
from statefulroute.domain.keys import PodKey
from statefulroute.domain.validation import validate_route

_DRY = " (server dry run)"

#: The operator writes the status at most once a second: of so many tries in a row, one comes first.
_TRIES = 12
_PAUSE_SECONDS = 0.2


async def drain(  # noqa: PLR0913 - an option each
    cluster: Cluster, route: str, pod: str, state: RoutingState, *, wait_seconds: float | None, dry_run: bool
) -> int:
    """Have a pod take no new users, or none at all, and wait until it has none; gives the exit code."""
    changed, names = await _say_of_pod(with_dry_run(cluster, dry_run=dry_run), route, pod, state)
    name = names.pod_name(names.pod_key(pod))
    said = _said_of_pod(changed.before, names, names.pod_key(pod))
    was = " already" if said == state else f" (was {said})" if said else ""
    remain = _users(_pod_status(changed.before, name))
    rest = f", {_remain(remain)}" if remain and wait_seconds is None else ""
    print_message(f"{name}: {state}{was}{rest}{_DRY if dry_run else ''}")
    if names.is_missing(names.pod_key(pod)):
        print_message(f"note: {route} has no {name} now", err=True)
    if wait_seconds is None or dry_run:
        return 0
    return await _wait_until_empty(cluster, route, name, changed.after["metadata"]["generation"], wait_seconds)


async def undrain(cluster: Cluster, route: str, pod: str, *, dry_run: bool) -> int:
    """Take back the route's word on a pod."""
    changed, names = await _say_of_pod(with_dry_run(cluster, dry_run=dry_run), route, pod, None)
    name = names.pod_name(names.pod_key(pod))
    said = _said_of_pod(changed.before, names, names.pod_key(pod))
    ending = _DRY if dry_run else ""
    if said is not None:
        print_message(f"{name}: takes users again (was {said}){ending}")
        return 0
    print_message(f"{name}: was not drained by {route}{ending}")
    now = (_pod_status(changed.before, name) or {}).get("routingState", RoutingState.READY)
    if now != RoutingState.READY:
        print_message(
            f"note: it is {now} by another word: the route's routingState, the pod's annotation or answer, "
            "or its deletion",
            err=True,
        )
    return 0


async def set_state(cluster: Cluster, route: str, state: RoutingState, *, dry_run: bool) -> int:
    """Say whom a service takes."""
    change = await _change(with_dry_run(cluster, dry_run=dry_run), route, lambda _: {"routingState": state.value})
    before = change.before["spec"].get("routingState", RoutingState.READY)
    was = "already" if before == state else f"(was {before})"
    print_message(f"{route}: {state} {was}{_DRY if dry_run else ''}")
    return 0


@dataclass(frozen=True, slots=True)
class _Changed:
    """A route before and after a change."""

    before: Object
    after: Object


async def _say_of_pod(cluster: Cluster, route: str, pod: str, state: RoutingState | None) -> tuple[_Changed, PodNames]:
    names = PodNames.from_route(await cluster.route(validate_route(route)))
    key = names.pod_key(pod)
    changed = await _change(cluster, route, lambda spec: _with_word(spec, names, key, state))
    return changed, names


async def _change(cluster: Cluster, route: str, change: Callable[[Object], dict[str, Any]]) -> _Changed:
    """Change a route's spec as it is now: a list is replaced as a whole, so nobody else may have changed it."""
    for _ in range(_TRIES):
        before = await cluster.route(validate_route(route))
        body = {
            "metadata": {"resourceVersion": before["metadata"]["resourceVersion"]},
            "spec": change(before["spec"]),
        }
        try:
            after = await cluster.client.merge_patch(cluster.path(STATEFUL_ROUTE, route), msgspec.json.encode(body))
        except ConflictError:
            await asyncio.sleep(random.uniform(0, _PAUSE_SECONDS))  # noqa: S311 - no secret
        else:
            return _Changed(before, msgspec.json.decode(after))
    raise CommandError(f"{route} was changed by others {_TRIES} times in a row: try again")


def _with_word(spec: Object, names: PodNames, pod: PodKey, state: RoutingState | None) -> dict[str, Any]:
    """The lists of words on single pods, with this one on this pod, or none; the other pods' words stay."""
    words: dict[str, Any] = {}
    for field, by, key in (("pods", "index", pod), ("namedPods", "name", names.pod_name(pod))):
        had = spec.get(field, [])
        said = [word for word in had if word[by] != key]
        if state is not None and (by == "index") == isinstance(pod, int):
            place = next((place for place, word in enumerate(had) if word[by] == key), len(said))
            said.insert(place, {by: key, "routingState": state.value})
        if said != had:
            words[field] = said
    return words


def _said_of_pod(route: Object, names: PodNames, pod: PodKey) -> str | None:
    """The route's own word on a pod."""
    spec, name = route["spec"], names.pod_name(pod)
    words = [word["routingState"] for word in spec.get("pods", ()) if word["index"] == pod]
    words += [word["routingState"] for word in spec.get("namedPods", ()) if word["name"] == name]
    return next(iter(words), None)


def _pod_status(route: Object, name: str) -> Object | None:
    pods = route.get("status", {}).get("pods", ())
    return next((pod for pod in pods if pod["name"] == name), None)


def _users(pod: Object | None) -> int:
    return int(pod.get("links", 0)) if pod else 0


def _remain(users: int) -> str:
    return f"{users:,} user{'s remain' if users != 1 else ' remains'}"


async def _wait_until_empty(cluster: Cluster, route: str, pod: str, generation: int, seconds: float) -> int:
    """Wait until the operator counts no user on a pod; gives the exit code: 1 where some remain."""
    shown = _Remaining(pod)
    try:
        async with asyncio.timeout(seconds or None):
            async for version in watch_object(cluster, STATEFUL_ROUTE, route):
                if version is None:
                    raise CommandError(f"the route {route!r} was deleted meanwhile")
                if is_observed(version) and version["metadata"]["generation"] >= generation:
                    shown.show(_users(_pod_status(version, pod)))
                    if shown.users == 0:
                        print_message(f"{pod}: no user remains")
                        return 0
    except TimeoutError:
        shown.clear()
        raise CommandError(f"{shown} after {seconds:g} s; the drain goes on") from None
    except asyncio.CancelledError:
        shown.clear()
        print_message(f"{shown}; the drain goes on (take it back: statefulroute undrain {route} {pod})", err=True)
        raise
    raise CommandError(f"the watch of {route} has ended; the drain goes on")


class _Remaining:
    """The users that remain: a bar on a terminal, else a line for each change."""

    def __init__(self, pod: str) -> None:
        self.users: int | None = None
        self._pod = pod
        self._most = 1
        self._terminal = Terminal(stream=sys.stdout)
        self._progress = ProgressBar(self._terminal)

    def show(self, users: int) -> None:
        """So many remain now."""
        if users == self.users:
            return
        self.users = users
        self._most = max(self._most, users)
        if not users:
            self.clear()
        elif self._terminal.is_terminal:
            self._progress.show(1 - users / self._most, f"{self}", force=True)
        else:
            self._terminal.write_line(f"{self}")
            self._terminal.stream.flush()

    def clear(self) -> None:
        """Make room for another line."""
        self._progress.clear()

    def __str__(self) -> str:
        if self.users is None:
            return f"{self._pod}: the operator has not seen the drain (is it running? statefulroute check)"
        return f"{self._pod}: {_remain(self.users)}"
