"""What the pages show, as values that are sent in JSON."""

from datetime import datetime, timedelta

import msgspec

from statefulroute.api.vocabulary import ConditionType, LinkReason
from statefulroute.cli.checks.links import link_fix
from statefulroute.cli.checks.results import Level
from statefulroute.cli.cluster import Object
from statefulroute.cli.link_changes import LinkState
from statefulroute.cli.objects import condition, omitted_pods
from statefulroute.cli.output.messages import pluralize
from statefulroute.console.links import RouteLinks, cursor_of, page_of
from statefulroute.console.pods import PodView, capacity, pod_views
from statefulroute.console.recent_changes import NumberedChange
from statefulroute.console.routes import SEVERITIES, Card, Problem, RouteRecord, make_card, route_problems
from statefulroute.console.slots import SlotsView, UserSlot, slot_of_user, slots_of_user, slots_view
from statefulroute.console.watcher import Watcher
from statefulroute.domain.keys import PodKey, RouteKey, link_name

#: How long the operator may take to observe a change of a route.
_OBSERVE_TIME = timedelta(seconds=5)

_START_OPERATOR = "start it (statefulroute operator), or read its log"

#: How many of the latest changes the page of a route shows.
_SHOWN_CHANGES = 40


class Connection(msgspec.Struct, frozen=True, rename="camel"):
    """Whether the console shows the present state.

    Attributes:
        is_synced: whether all objects have been listed.
        is_current: whether the API server answers.
        warning: the last problem with it, if it does not.
        scope: which namespaces are shown.
    """

    is_synced: bool
    is_current: bool
    warning: str
    scope: str


class RouteItem(msgspec.Struct, frozen=True, rename="camel"):
    """A route in the overview."""

    card: Card
    links: int
    problems: list[Problem]


class Overview(msgspec.Struct, frozen=True, rename="camel"):
    """A page of the routes, problems first."""

    now: datetime
    connection: Connection
    total: int
    matching: int
    ready: int
    with_problems: int
    links: int
    rates: dict[str, int]
    problems: list[Problem]
    offset: int
    routes: list[RouteItem]


class SuspendedLoss(msgspec.Struct, frozen=True):
    """So many pods look lost that the operator waits for a confirmation: the condition LossSuspended."""

    message: str
    since: str


class RouteSpec(msgspec.Struct, frozen=True, rename="camel"):
    """The fields of the spec of a route that acts change, or depend on."""

    replicas: int | None
    is_autoscaled: bool
    has_rollout: bool
    has_hand_over: bool


class RoutePage(msgspec.Struct, frozen=True, rename="camel"):
    """The page of a route."""

    now: datetime
    connection: Connection
    card: Card
    spec: RouteSpec
    links: int
    waiting_links: int
    slots: SlotsView | None
    states: list[tuple[str, str, int]]
    problems: list[Problem]
    loss: SuspendedLoss | None
    pods: list[PodView]
    capacity: int
    is_limited: bool
    omitted_pods: int
    rates: dict[str, int]
    changes: list[NumberedChange]
    last_change: int


class AbsentRoute(msgspec.Struct, frozen=True):
    """There is no such route, or it has not been listed yet if the connection says so."""

    connection: Connection


class LinkItem(msgspec.Struct, frozen=True, rename="camel"):
    """A link in a list."""

    namespace: str
    route: str
    uid: str
    pod: str
    next_pod: str
    """The pod that the user is being handed over to; empty if there is none."""
    phase: str
    reason: str
    is_observed: bool
    expires: datetime | None
    is_user: bool
    """Whether it binds a user, and not a slot."""


class LinkPage(msgspec.Struct, frozen=True, rename="camel"):
    """A page of links, by uid."""

    total: int
    links: list[LinkItem]
    next: str
    """The cursor after which the next page begins; empty if this is the last one."""
    slot: UserSlot | None
    """Where the user is whose uid is searched, if there is no link of the user."""


class FoundLinks(msgspec.Struct, frozen=True):
    """Where users are.

    Attributes:
        links: links whose uid contains the text that was searched.
        slots: the slots that the user with this uid belongs to, if the user has no link.
    """

    links: list[LinkItem]
    slots: list[UserSlot]


def connection(watcher: Watcher, scope: str) -> Connection:
    """Returns whether the console shows the present state."""
    return Connection(watcher.is_synced, watcher.is_current, "" if watcher.is_current else watcher.warning, scope)


def overview(  # noqa: PLR0913 - what a page is made of
    watcher: Watcher, *, scope: str, search: str, offset: int, limit: int, now: datetime
) -> Overview:
    """Returns a page of the routes, problems first.

    Args:
        watcher: the routes and links.
        scope: which namespaces are shown.
        search: only routes whose namespace and name contain this text.
        offset: the number of routes before the page.
        limit: the maximum number of routes.
        now: the present time.
    """
    records = watcher.routes()
    wanted = search.casefold()
    severities = {record.key: _severity(watcher, record, now) for record in records}
    matching = [each for each in records if wanted in f"{each.namespace}/{each.name}"] if wanted else records
    ordered = sorted(matching, key=lambda each: (-severities[each.key], each.namespace, each.name))
    return Overview(
        now=now,
        connection=connection(watcher, scope),
        total=len(records),
        matching=len(matching),
        ready=sum(record.card.is_ready for record in records),
        with_problems=sum(severity == SEVERITIES[Level.PROBLEM] for severity in severities.values()),
        links=len(watcher.links),
        rates=watcher.changes.rates(now),
        problems=_orphans(watcher),
        offset=offset,
        routes=[_item(watcher, record, now) for record in ordered[offset : offset + limit]],
    )


def _orphans(watcher: Watcher) -> list[Problem]:
    """Returns the problem that links name routes that do not exist."""
    missing = [key for key in watcher.links.routes() if watcher.route(key) is None] if watcher.is_synced else []
    if not missing:
        return []
    count, example = sum(len(watcher.links.of_route(key)) for key in missing), min(missing)
    verb = "names" if count == 1 else "name"
    message = (
        f"{pluralize(count, 'link')} {verb} a route that does not exist, for example {example.namespace}/{example.name}"
    )
    return [Problem(Level.PROBLEM.value, message, link_fix(LinkReason.ROUTE_NOT_FOUND), "links")]


def _severity(watcher: Watcher, record: RouteRecord, now: datetime) -> int:
    if _is_unobserved(record, now) or watcher.links.of_route(record.key).troubles():
        return SEVERITIES[Level.PROBLEM]
    return max((SEVERITIES[Level(problem.level)] for problem in record.problems), default=0)


def _item(watcher: Watcher, record: RouteRecord, now: datetime) -> RouteItem:
    links = watcher.links.of_route(record.key)
    card = make_card(record.decoded(), now) if record.is_deleting else record.card
    return RouteItem(card, len(links), problems_of(record, links, now))


def problems_of(record: RouteRecord, links: RouteLinks, now: datetime) -> list[Problem]:
    """Returns what is wrong with a route and its links, the worst first."""
    own = route_problems(record.decoded(), now) if record.is_deleting else record.problems
    problems = [*own, *map(_link_problem, links.troubles())]
    if _is_unobserved(record, now):
        message = "the operator has not observed the present spec"
        problems.append(Problem(Level.PROBLEM.value, message, _START_OPERATOR, "operator"))
    return sorted(problems, key=lambda problem: -SEVERITIES[Level(problem.level)])


def _is_unobserved(record: RouteRecord, now: datetime) -> bool:
    return not record.is_observed and not record.is_deleting and now - record.seen_at > _OBSERVE_TIME


def _link_problem(trouble: tuple[str, str, int]) -> Problem:
    phase, reason, count = trouble
    verb = "is" if count == 1 else "are"
    message = f"{pluralize(count, 'link')} {verb} {phase}" + (f" ({reason})" if reason else "")
    return Problem(Level.PROBLEM.value, message, link_fix(reason), "links")


def route_page(watcher: Watcher, key: RouteKey, *, scope: str, now: datetime) -> RoutePage | AbsentRoute:
    """Returns the page of a route."""
    record = watcher.route(key)
    if record is None:
        return AbsentRoute(connection(watcher, scope))
    route, links = record.decoded(), watcher.links.of_route(key)
    pods = pod_views(route, links)
    full, is_limited = capacity(route, pods)
    changes = watcher.changes
    return RoutePage(
        now=now,
        connection=connection(watcher, scope),
        card=make_card(route, now),
        spec=_spec(route["spec"]),
        links=len(links),
        waiting_links=len(links.of_pod(None)),
        states=[(phase, reason, count) for (phase, reason), count in sorted(links.states.items())],
        problems=problems_of(record, links, now),
        loss=_suspended_loss(route),
        slots=slots_view(route, links),
        pods=pods,
        capacity=full,
        is_limited=is_limited,
        omitted_pods=omitted_pods(route),
        rates=changes.rates(now, key),
        changes=changes.of_route(key)[:_SHOWN_CHANGES],
        last_change=changes.last_number,
    )


def _spec(spec: Object) -> RouteSpec:
    return RouteSpec(spec.get("replicas"), "autoscaling" in spec, "rollout" in spec, "handOver" in spec)


def _suspended_loss(route: Object) -> SuspendedLoss | None:
    suspended = condition(route, ConditionType.LOSS_SUSPENDED)
    if suspended.get("status") != "True":
        return None
    return SuspendedLoss(suspended["message"], suspended["lastTransitionTime"])


def link_page(  # noqa: PLR0913 - what a page is made of
    watcher: Watcher, key: RouteKey, *, pod: PodKey | None, search: str, after: str, limit: int, now: datetime
) -> LinkPage:
    """Returns a page of the links of a route; see `page_of`."""
    links, total = page_of(watcher.links.of_route(key), pod=pod, search=search, after=after, limit=limit + 1)
    following = cursor_of(links[limit - 1]) if len(links) > limit else ""
    return LinkPage(total, [*map(link_item, links[:limit])], following, slot_of_user(watcher, key, search, now))


def found_links(watcher: Watcher, uid: str, limit: int, now: datetime) -> FoundLinks:
    """Returns where users are in all routes; see `LinkIndex.of_uid` and `slots_of_user`.

    Args:
        watcher: the routes and links.
        uid: a uid, or a part of it.
        limit: the maximum number of links, and of slots.
        now: the present time.
    """
    links = watcher.links.of_uid(uid, limit)
    return FoundLinks([*map(link_item, links)], slots_of_user(watcher, uid, limit, now))


def link_item(link: LinkState) -> LinkItem:
    """Returns a link for a list."""
    return LinkItem(
        namespace=link.namespace,
        route=link.route,
        uid=link.subject,
        pod=link.pod_label,
        next_pod=link.hand_over_label or "",
        phase=link.phase or "Unknown",
        reason=link.reason,
        is_observed=link.is_observed,
        expires=link.expire_time,
        is_user=link.name == link_name(link.route, link.subject),
    )
