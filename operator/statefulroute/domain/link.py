"""A PodLink as the rules see it."""

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from statefulroute.api.vocabulary import RENEW_WITHOUT_TTL_MESSAGE, TWO_PODS_MESSAGE, LinkPhase, LinkReason
from statefulroute.domain.errors import InvalidParameterError
from statefulroute.domain.keys import LinkKey, PodKey, RouteKey, link_name, uid_from_link_name
from statefulroute.domain.validation import validate_pod, validate_route, validate_uid

#: What begins the encoded uids in names.
_ENCODED_PREFIX = "x-"


class LinkStatus(msgspec.Struct, frozen=True, gc=False):
    """What the operator says of a link in its status.

    The links of one pod say the same, so they share one value: a hundred thousand links need a few of these.
    """

    phase: LinkPhase
    reason: LinkReason
    message: str
    pod_index: int | None = None
    pod_name: str | None = None
    host: str | None = None

    @property
    def pod(self) -> PodKey | None:
        """The pod that it names, where it names one."""
        return self.pod_name if self.pod_index is None else self.pod_index

    @property
    def is_ready(self) -> bool:
        """Whether the link's Ready condition is True."""
        return self.phase is LinkPhase.BOUND


class Link(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One version of a PodLink: the fields that a decision may depend on."""

    route: RouteKey
    """The route that it names, in its own namespace."""
    name: str
    resource_version: int
    generation: int
    pod: PodKey | None = None
    """The binding, as the spec has it; None leaves the choice to the operator."""
    foreign_namespace: str | None = None
    """The namespace that its spec names, where that is not its own."""
    ttl_seconds: int | None = None
    """How long it lives after its renewal or creation; None is a persistent link."""
    expire_time: datetime | None = None
    """When it ends; None is a persistent link."""
    creation_timestamp: int = 0
    """When it was created, in seconds since 1970: the older of two waiting links has the first turn."""
    is_deleting: bool = False
    violation: str | None = None
    """The rule of its kind that it breaks, as a sentence: it got in before the rule was there."""

    status: LinkStatus | None = None
    """What its status says; None before anything was said."""
    observed_generation: int = 0
    """The generation that its status was made for."""
    status_expire_time: datetime | None = None
    transition_time: datetime | None = None
    """When its Ready condition last changed between True and False."""

    @property
    def partition(self) -> RouteKey:
        """The key that caches group it by."""
        return self.route

    @property
    def key(self) -> LinkKey:
        """Where it is."""
        return LinkKey(self.route, self.name)

    @property
    def uid(self) -> str:
        """Whom it binds."""
        return uid_from_link_name(self.name)

    @property
    def assigned_pod(self) -> PodKey | None:
        """The pod that carries it; None when it binds nothing."""
        return self.pod if self.foreign_namespace is None and self.violation is None else None

    @property
    def status_pod(self) -> PodKey | None:
        """The pod that its status names: where it was bound when it was last acknowledged."""
        return self.status.pod if self.status else None

    def has_expired(self, now: datetime) -> bool:
        """Whether its time is over: then it counts as absent, whether or not it was removed yet."""
        return self.expire_time is not None and self.expire_time <= now


def find_violation(  # noqa: PLR0913, PLR0917 - the fields of a spec
    name: str,
    route_name: str,
    uid: str,
    pod_index: int | None,
    pod_name: str | None,
    ttl_seconds: int | None,
    renew_time: str | None,
) -> str | None:
    """The sentence about the first rule of a PodLink that these fields break; None where they break none.

    The rules are those of the CustomResourceDefinition, for objects that were stored without it.
    """
    is_plain = uid and name == f"{route_name}.{uid}" and "." not in route_name and not uid.startswith(_ENCODED_PREFIX)
    if not is_plain and (
        broken := _find_name_violation(name, route_name, uid)
    ):  # a plain one has a name, so each part is one
        return broken
    if (pod_index is not None or pod_name is not None) and (broken := _find_pod_violation(pod_index, pod_name)):
        return broken
    if ttl_seconds is not None and ttl_seconds < 1:
        return "ttlSeconds must be at least 1"
    return RENEW_WITHOUT_TTL_MESSAGE if renew_time is not None and ttl_seconds is None else None


def _find_name_violation(name: str, route_name: str, uid: str) -> str | None:
    """The sentence about the name of a link, or about what it is made of."""
    if broken := _parameter_violation("routeName", validate_route, route_name) or _parameter_violation(
        "uid", validate_uid, uid
    ):
        return broken
    expected = link_name(route_name, uid)
    return None if name == expected else f"metadata.name must be {expected}"


def _find_pod_violation(pod_index: int | None, pod_name: str | None) -> str | None:
    """The sentence about the pod of a link."""
    if pod_index is not None and pod_index < 0:
        return "podIndex must not be negative"
    if pod_index is not None and pod_name is not None:
        return TWO_PODS_MESSAGE
    if pod_name is not None and _parameter_violation("podName", validate_pod, pod_name):
        return "podName must be a pod's name: lower-case letters, digits, '-' and '.'"
    return None


def _parameter_violation(field: str, check: Callable[[object], object], value: object) -> str | None:
    """What a check of parameters says of a field."""
    try:
        check(value)
    except InvalidParameterError as error:
        return f"{field}{str(error).removeprefix(error.field)}"
    return None


def expire_time(created: datetime, renewed: datetime | None, ttl_seconds: int | None) -> datetime | None:
    """When a link ends: `ttl_seconds` after its last renewal, or after its creation; None when it is persistent.

    A TTL that no link can have ends nothing: such a link is rejected, and not removed.
    """
    if ttl_seconds is None or ttl_seconds < 1:
        return None
    try:
        return (renewed or created) + timedelta(seconds=ttl_seconds)
    except OverflowError:  # a renewal so far ahead, or a TTL so long, that the calendar ends first
        return datetime.max.replace(tzinfo=created.tzinfo)
