"""Reads workloads of any kind by their scale subresource, like the HorizontalPodAutoscaler."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import quote

import msgspec

from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import APIError, ClusterError, NotFoundError, UnreachableError
from statefulroute.cluster.fair_limiter import FairLimiter
from statefulroute.domain.fair_slots import FairSlots
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.selector import Selector

T = TypeVar("T")

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_API_VERSION = re.compile(rf"({_LABEL}(\.{_LABEL})*/)?{_LABEL}")

#: How many kinds are discovered and scales are read at the same time, half of them for a single namespace. Those of a
#: kind whose API hangs leave connections to all others.
_SLOTS = 32


class NotScalableError(ClusterError):
    """The workload cannot be read by its scale until a user changes something."""


class UnsupportedKindError(NotScalableError):
    """The API server does not know the workload's kind, or it has no scale subresource."""


class NoSelectorError(NotScalableError):
    """The workload's scale has no valid label selector."""


class ForbiddenError(NotScalableError):
    """The operator lacks a permission for a workload or its pods; the message names it."""


@contextmanager
def naming_permission(verb: str, resource: str, group: str | None) -> Iterator[None]:
    """Names the missing permission if the API server forbids a request.

    Args:
        verb: the verb of the request.
        resource: the resource of the request.
        group: its API group, empty for the core group; None for a path that is not a resource.

    Raises:
        ForbiddenError: the API server has forbidden the request.
    """
    try:
        yield
    except APIError as error:
        if error.status != HTTPStatus.FORBIDDEN:
            raise
        suffix = "" if group is None else f" in group {group}" if group else " in the core group"
        raise ForbiddenError(
            f"the operator may not {verb} {resource}{suffix}: allow it in a ClusterRole that is bound to the operator"
        ) from error


class Scale(msgspec.Struct, frozen=True):
    """The scale of a workload.

    Attributes:
        uid: the `metadata.uid` of the workload.
        resource_version: the resource version of the workload.
        replicas: the desired number of pods.
        selector: selects the workload's pods in its namespace; never empty.
        selector_text: the same as text.
    """

    uid: str
    resource_version: int
    replicas: int
    selector: Selector
    selector_text: str = ""


class _Kind(msgspec.Struct, frozen=True):
    """A scalable kind, as found by discovery.

    Attributes:
        group: the API group; empty for the core group.
        root: the path of the API version.
        plural: the name of the resource.
        is_watchable: whether it can be listed and watched.
    """

    group: str
    root: str
    plural: str
    is_watchable: bool = False

    def path(self, namespace: str, name: str) -> str:
        """Returns the path of an object of this kind."""
        return f"{self.root}/namespaces/{quote(namespace, safe='')}/{self.plural}/{quote(name, safe='')}"


class ScaleReader:
    """Reads scales. It caches the discovery of a scalable kind, and repeats the discovery of other kinds each time."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._kinds: dict[tuple[str, str], _Kind] = {}
        self._limiter = FairLimiter(FairSlots(_SLOTS))

    async def read(self, namespace: str, api_version: str, kind: str, name: str) -> Scale:
        """Reads the scale of a workload.

        Raises:
            NotFoundError: the workload does not exist.
            UnsupportedKindError: its kind is not known, is not namespaced or has no scale subresource.
            NoSelectorError: its scale has no label selector, or an invalid one.
            ForbiddenError: the operator may not read it; the message names the missing permission.
            APIError: the API server answered with another error.
            UnreachableError: the API server did not answer, or not with a scale.
        """
        workload = RouteKey(namespace, name)
        scalable_kind = await self._find(workload, api_version, kind)
        path = _path(scalable_kind, namespace, name)
        try:
            async with self._limiter.slot(workload):
                response = await self._get(f"{path}/scale", f"{scalable_kind.plural}/scale", scalable_kind.group)
        except NotFoundError:
            # The API server gives the same error for a missing object and for a kind without a scale subresource.
            self._kinds.pop((api_version, kind), None)
            await self._find(workload, api_version, kind)
            raise
        return _scale(response, path, f"{kind} {name!r}")

    async def path(self, namespace: str, api_version: str, kind: str, name: str) -> str:
        """Returns the path of a workload; it may not exist.

        Raises:
            NotFoundError: the name is not valid.
            UnsupportedKindError: its kind is not known, is not namespaced or has no scale subresource.
            ForbiddenError: the operator may not use discovery.
            APIError: the API server answered with another error.
            UnreachableError: the API server did not answer, or not with a list of kinds.
        """
        return _path(await self._find(RouteKey(namespace, name), api_version, kind), namespace, name)

    async def watch_path(self, namespace: str, api_version: str, kind: str) -> str | None:
        """Returns the path of the list of a kind; None if the kind cannot be watched. Raises the errors of `path`.

        Args:
            namespace: the namespace that the watch is for.
            api_version: the API version of the kind.
            kind: the kind.
        """
        scalable_kind = await self._find(RouteKey(namespace, kind), api_version, kind)
        return f"{scalable_kind.root}/{scalable_kind.plural}" if scalable_kind.is_watchable else None

    async def _find(self, requester: RouteKey, api_version: str, kind: str) -> _Kind:
        known = self._kinds.get((api_version, kind))
        if known is None:
            async with self._limiter.slot(requester):
                known = self._kinds.get((api_version, kind)) or await self._discover(api_version, kind)
            self._kinds[api_version, kind] = known
        return known

    async def _discover(self, api_version: str, kind: str) -> _Kind:
        unknown = UnsupportedKindError(f"Kind {kind} of {api_version} is not known to the API server")
        if not _API_VERSION.fullmatch(api_version):  # it could change the path of the request
            raise unknown
        group = api_version.rpartition("/")[0]
        root = f"/apis/{api_version}" if group else f"/api/{api_version}"
        try:
            response = await self._get(root, root, None)
        except NotFoundError as error:
            raise unknown from error
        resources = _decode(_resources, response, root, "a list of kinds").resources or ()
        scalable = {resource.name.removesuffix("/scale") for resource in resources if resource.name.endswith("/scale")}
        candidates = [resource for resource in resources if resource.kind == kind and "/" not in resource.name]
        if not candidates:
            raise _with_suggestion(unknown, kind, resources)
        # Several resources may have the same kind: use the first scalable one.
        resource = next((candidate for candidate in candidates if candidate.name in scalable), candidates[0])
        if not resource.namespaced:
            raise UnsupportedKindError(f"Kind {kind} of {api_version} is not namespaced")
        if resource.name not in scalable:
            raise UnsupportedKindError(f"Kind {kind} of {api_version} has no scale subresource")
        return _Kind(group, root, resource.name, {"list", "watch"} <= set(resource.verbs or ()))

    async def _get(self, path: str, resource: str, group: str | None) -> bytes:
        """Sends a GET.

        Args:
            path: the path of the request.
            resource: the resource to name in the error if a permission is missing.
            group: the API group of the resource, empty for the core group; None for a path that is not a resource.

        Raises:
            ForbiddenError: the operator lacks the permission.
            APIError: the API server answered with another error.
            UnreachableError: the API server did not answer.
        """
        with naming_permission("get", resource, group):
            return await self._client.get(path)


def _with_suggestion(error: UnsupportedKindError, kind: str, resources: Iterable["_Resource"]) -> UnsupportedKindError:
    """Returns the error with the kind that the user may have meant: it differs by upper and lower case only."""
    similar = {each.kind for each in resources if "/" not in each.name and each.kind.casefold() == kind.casefold()}
    return UnsupportedKindError(f"{error}: did you mean {min(similar)}?") if similar else error


def _path(kind: _Kind, namespace: str, name: str) -> str:
    """Returns the path of an object.

    Raises:
        NotFoundError: the name is not valid: it would change the path of the request.
    """
    if name in {"", ".", ".."} or "/" in name or "%" in name:
        raise NotFoundError(404, "NotFound", f'{kind.plural} "{name}" not found')
    return kind.path(namespace, name)


class _Resource(msgspec.Struct):
    name: str
    kind: str
    namespaced: bool = False
    verbs: list[str] | None = None


class _Resources(msgspec.Struct):
    """An APIResourceList."""

    resources: list[_Resource] | None


class _Metadata(msgspec.Struct, rename="camel"):
    uid: str
    resource_version: str


class _Spec(msgspec.Struct):
    replicas: int = 0


class _Status(msgspec.Struct):
    selector: str = ""


class _Scale(msgspec.Struct):
    """A Scale of autoscaling/v1, which omits zeros and empty strings."""

    metadata: _Metadata
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)


_resources = msgspec.json.Decoder(_Resources)
_scales = msgspec.json.Decoder(_Scale)


def _decode(decoder: "msgspec.json.Decoder[T]", response: bytes, path: str, expected: str) -> T:
    try:
        return decoder.decode(response)
    except ValueError as error:  # an error page of a proxy
        raise UnreachableError(f"GET {path}: the answer is not {expected}: {error}") from error


def _scale(response: bytes, path: str, workload: str) -> Scale:
    scale = _decode(_scales, response, f"{path}/scale", "a scale")
    try:
        selector = Selector.parse(scale.status.selector)
    except ValueError as error:
        raise NoSelectorError(f"the scale of {workload} has a selector that cannot be read: {error}") from error
    if selector.is_empty:
        raise NoSelectorError(f"the scale of {workload} has no label selector, so its pods are not known")
    try:
        version = int(scale.metadata.resource_version)
    except ValueError as error:
        raise UnreachableError(f"GET {path}/scale: the resource version is not a number") from error
    return Scale(scale.metadata.uid, version, scale.spec.replicas, selector, scale.status.selector)
