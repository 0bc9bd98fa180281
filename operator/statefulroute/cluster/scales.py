"""Workloads of any kind, read by their scale subresource as the HorizontalPodAutoscaler does."""

import re
from typing import TypeVar
from urllib.parse import quote

import msgspec

from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import APIError, ClusterError, NotFoundError, UnreachableError
from statefulroute.domain.selector import Selector

T = TypeVar("T")

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_API_VERSION = re.compile(rf"({_LABEL}(\.{_LABEL})*/)?{_LABEL}")

_FORBIDDEN = 403


class NotScalableError(ClusterError):
    """A workload that cannot be read by its scale, until somebody changes something."""


class UnsupportedKindError(NotScalableError):
    """The API server does not know the workload's kind, or it has no scale subresource."""


class NoSelectorError(NotScalableError):
    """The workload's scale does not say which pods are its own."""


class ForbiddenError(NotScalableError):
    """The operator may not read the workload's scale."""


class Scale(msgspec.Struct, frozen=True):
    """How many pods a workload asks for, and which they are.

    Attributes:
        uid: the workload's own `metadata.uid`.
        resource_version: the workload's own.
        replicas: how many pods it asks for.
        selector: which pods are its own, in its namespace; never empty.
    """

    uid: str
    resource_version: int
    replicas: int
    selector: Selector


class _Kind(msgspec.Struct, frozen=True):
    """What discovery says of a kind that can be scaled.

    Attributes:
        group: the API group; empty for the core group.
        root: the path of the API version.
        plural: the name of the resource.
    """

    group: str
    root: str
    plural: str

    def path(self, namespace: str, name: str) -> str:
        """Where an object of this kind is."""
        return f"{self.root}/namespaces/{quote(namespace, safe='')}/{self.plural}/{quote(name, safe='')}"


class ScaleReader:
    """Reads scales. Which resource a kind is gets asked once; what cannot be used is asked anew each time."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._kinds: dict[tuple[str, str], _Kind] = {}

    async def read(self, namespace: str, api_version: str, kind: str, name: str) -> Scale:
        """The scale of a workload.

        Raises:
            NotFoundError: the workload does not exist.
            UnsupportedKindError: its kind is not known, is not namespaced or has no scale subresource.
            NoSelectorError: its scale has no label selector, or one that cannot be read.
            ForbiddenError: the operator may not read it; the sentence names the right that is missing.
            APIError: the API server answered with another error.
            UnreachableError: it did not answer, or not with a scale.
        """
        found = await self._find(api_version, kind)
        path = _path(found, namespace, name)
        try:
            answer = await self._get(f"{path}/scale", f"{found.plural}/scale", found.group)
        except NotFoundError:
            # Is it the object that is not there, or its kind? A kind whose scale has gone answers in the same words.
            self._kinds.pop((api_version, kind), None)
            await self._find(api_version, kind)
            raise
        return _scale(answer, path, f"{kind} {name!r}")

    async def path(self, namespace: str, api_version: str, kind: str, name: str) -> str:
        """The path of a workload itself, as the API server knows it; whether it exists is not asked.

        Raises:
            NotFoundError: no object can have this name.
            UnsupportedKindError: its kind is not known, is not namespaced or has no scale subresource.
            ForbiddenError: the operator may not ask which kinds there are.
            APIError: the API server answered with another error.
            UnreachableError: it did not answer, or not with a list of kinds.
        """
        return _path(await self._find(api_version, kind), namespace, name)

    async def _find(self, api_version: str, kind: str) -> _Kind:
        known = self._kinds.get((api_version, kind))
        if known is None:
            known = self._kinds[api_version, kind] = await self._discover(api_version, kind)
        return known

    async def _discover(self, api_version: str, kind: str) -> _Kind:
        unknown = UnsupportedKindError(f"Kind {kind} of {api_version} is not known to the API server")
        if not _API_VERSION.fullmatch(api_version):  # it would lead to another path
            raise unknown
        group = api_version.rpartition("/")[0]
        root = f"/apis/{api_version}" if group else f"/api/{api_version}"
        try:
            answer = await self._get(root, root, None)
        except NotFoundError as error:
            raise unknown from error
        resources = _decode(_resources, answer, root, "a list of kinds").resources or ()
        scales = {each.name.removesuffix("/scale") for each in resources if each.name.endswith("/scale")}
        named = [each for each in resources if each.kind == kind and "/" not in each.name]
        if not named:
            raise unknown
        # The first that can be scaled: the same kind may stand for several resources.
        resource = next((each for each in named if each.name in scales), named[0])
        if not resource.namespaced:
            raise UnsupportedKindError(f"Kind {kind} of {api_version} is not namespaced")
        if resource.name not in scales:
            raise UnsupportedKindError(f"Kind {kind} of {api_version} has no scale subresource")
        return _Kind(group, root, resource.name)

    async def _get(self, path: str, resource: str, group: str | None) -> bytes:
        """A GET.

        Args:
            path: where.
            resource: what to get the right for.
            group: the resource's API group, empty for the core group; None where it is no resource but a path.

        Raises:
            ForbiddenError: the operator may not.
            APIError: the API server answered with another error.
            UnreachableError: it did not answer.
        """
        try:
            return await self._client.get(path)
        except APIError as error:
            if error.status != _FORBIDDEN:
                raise
            place = "" if group is None else f" in group {group}" if group else " in the core group"
            raise ForbiddenError(
                f"the operator may not get {resource}{place}: allow it in a ClusterRole that is bound to the operator"
            ) from error


def _path(kind: _Kind, namespace: str, name: str) -> str:
    """Where an object is.

    Raises:
        NotFoundError: no object can have this name, for it would lead to another path.
    """
    if name in {"", ".", ".."} or "/" in name or "%" in name:
        raise NotFoundError(404, "NotFound", f'{kind.plural} "{name}" not found')
    return kind.path(namespace, name)


class _Resource(msgspec.Struct):
    name: str
    kind: str
    namespaced: bool = False


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
    """A Scale of autoscaling/v1, in which zeros and empty texts are left out."""

    metadata: _Metadata
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)


_resources = msgspec.json.Decoder(_Resources)
_scales = msgspec.json.Decoder(_Scale)


def _decode(decoder: "msgspec.json.Decoder[T]", answer: bytes, path: str, what: str) -> T:
    try:
        return decoder.decode(answer)
    except ValueError as error:  # a proxy's page
        raise UnreachableError(f"GET {path}: the answer is not {what}: {error}") from error


def _scale(answer: bytes, path: str, workload: str) -> Scale:
    wire = _decode(_scales, answer, f"{path}/scale", "a scale")
    try:
        selector = Selector.parse(wire.status.selector)
    except ValueError as error:
        raise NoSelectorError(f"the scale of {workload} has a selector that cannot be read: {error}") from error
    if selector.is_empty:
        raise NoSelectorError(f"the scale of {workload} has no label selector: which pods are its own is not known")
    try:
        version = int(wire.metadata.resource_version)
    except ValueError as error:
        raise UnreachableError(f"GET {path}/scale: the resource version is not a number") from error
    return Scale(wire.metadata.uid, version, wire.spec.replicas, selector)
