"""Single requests for one link: reads, and conditional writes."""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import msgspec

from statefulroute.api.group import API_VERSION, POD_LINK
from statefulroute.cluster.client import Client
from statefulroute.cluster.codec import LINKS
from statefulroute.cluster.errors import APIError, ClusterError, ConflictError, NotFoundError, UnreachableError
from statefulroute.cluster.writes import hand_over_patch, pod_patch, spec_patch
from statefulroute.domain.backoff import Backoff
from statefulroute.domain.errors import InvalidParameterError, LinkLimitReachedError
from statefulroute.domain.keys import RouteKey, UidOrSlot, bound_link_name
from statefulroute.domain.link import Link
from statefulroute.domain.operations import Binding, Delete, Put
from statefulroute.domain.times import format_rfc3339

ResponseT = TypeVar("ResponseT")

#: Spreads the retries of clients that write the same link.
RETRY_BACKOFF = Backoff(initial_seconds=0.005, max_seconds=0.5, random=random.random)

TOO_MANY_REQUESTS = 429
_FORBIDDEN = 403
_UNPROCESSABLE = 422

#: The refusal by Kubernetes' admission of quotas.
_EXCEEDED_QUOTA = re.compile(r"exceeded quota: ([^,]+), requested: .*, used: .*, limited: (.+)")

#: The statuses of a proxy without a backend, or of an API server without etcd: they count as unreachable.
_UNAVAILABLE_STATUSES = (502, 503, 504)


class CachedLinks(Protocol):
    """A local copy of links, for example a `Reflector`."""

    def has_synced(self, route: str) -> bool:
        """Returns whether the copy has every link of a route, so that a link without a copy does not exist."""

    def get(self, route: RouteKey, name: str) -> Link | None:
        """Returns the copy of a link, or None."""

    def requesting(self, route: str, name: str) -> AbstractContextManager[Callable[[Link], None]]:
        """Returns a context for a request that reads or writes a link; its value takes the response."""

    def observe(self, item: Link) -> None:
        """Stores the result of a write of this process."""

    def forget(self, item: Link) -> None:
        """Removes a link that this process deleted."""


@dataclass(frozen=True, slots=True)
class LinkSnapshot:
    """A link before an operation.

    Attributes:
        link: the link; None if it does not exist.
        is_fresh: whether it was read from the API server after the operation started; otherwise it is from a cache.
    """

    link: Link | None
    is_fresh: bool


class LinkRequests:
    """Reads and writes the links of one namespace, and updates a cache of them.

    Args:
        client: the client for the API server.
        namespace: the namespace of the links.
        links: the cache; None if there is none.
        keep_managed_fields: whether a write leaves the managedFields of a link as they are.
    """

    def __init__(
        self, client: Client, namespace: str, links: CachedLinks | None = None, *, keep_managed_fields: bool = False
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._links = links
        self._keep_managed_fields = keep_managed_fields

    async def get(self, route: str, name: str) -> LinkSnapshot:
        """Returns a link from the cache, or from the API server if the cache has not synced."""
        if self._links is None:
            return LinkSnapshot(await self.read(name), is_fresh=True)
        if not self._links.has_synced(route):
            with self._links.requesting(route, name) as keep:
                if (link := await self.read(name)) is not None:
                    keep(link)
            return LinkSnapshot(link, is_fresh=True)
        return LinkSnapshot(self._links.get(RouteKey(self._namespace, route), name), is_fresh=False)

    def cached(self, route: str, name: str) -> Link | None:
        """Returns the cached link; None if there is none, or no cache."""
        return None if self._links is None else self._links.get(RouteKey(self._namespace, route), name)

    async def read(self, name: str) -> Link | None:
        """Reads a link from the API server, and retries while the API server is unreachable or asks for a pause."""
        return await _until_available(lambda: self._read_once(name))

    async def read_with_revision(self, name: str) -> tuple[Link | None, int]:
        """Returns a link, or None, with the revision of the store at which that was so. Retries as `read` does.

        The revision is not lower than any that the store had before the call.
        """
        link, revision = await _until_available(lambda: self._list_one(name))
        if link is not None and self._links is not None:
            self._links.observe(link)
        return link, revision

    async def read_at_revision(self, name: str, revision: int) -> Link | None:
        """Returns a link as it was at a revision of the store, or None. Retries as `read` does.

        Args:
            name: the name of the link.
            revision: the revision, which an earlier request has returned. The store forgets old ones: it keeps those of
                the last minutes.

        Raises:
            GoneError: the store has forgotten the revision.
        """
        exact = {"resourceVersion": str(revision), "resourceVersionMatch": "Exact"}
        link, _ = await _until_available(lambda: self._list_one(name, exact))
        return link  # not for the cache: it may be gone

    async def _read_once(self, name: str) -> Link | None:
        try:
            link = LINKS.decode(await self._client.get(self._path(name)))
        except NotFoundError:
            return None
        if self._links is not None:
            self._links.observe(link)
        return link

    async def _list_one(self, name: str, version: Mapping[str, str] | None = None) -> tuple[Link | None, int]:
        selected = {"fieldSelector": f"metadata.name={name}", **(version or {})}
        return LINKS.decode_only(await self._client.get(self._path(), selected))

    async def try_write(
        self, route: str, bound: UidOrSlot, link: Link | None, write: Put | Delete
    ) -> ClusterError | None:
        """Writes the link of a uid or of a slot.

        Returns:
            None on success, or an error after which a retry may succeed. After an UnreachableError, the write may have
            succeeded.

        Raises:
            InvalidParameterError: the API server refused a value.
            LinkLimitReachedError: the namespace has as many links as its ResourceQuota allows.
            NotFoundError: the namespace does not exist.
            APIError: the API server answered with another error.
        """
        try:
            if self._links is None:
                await self._write(route, bound, link, write)
            else:
                with self._links.requesting(route, bound_link_name(route, bound)):
                    await self._write(route, bound, link, write)
        except ConflictError as error:
            return error  # another client was faster
        except NotFoundError as error:
            if link is None:  # the namespace does not exist
                raise
            return error
        except APIError as error:
            if error.status in _UNAVAILABLE_STATUSES:
                unavailable = UnreachableError(str(error))
                unavailable.retry_after_seconds = error.retry_after_seconds
                return unavailable
            if error.status != TOO_MANY_REQUESTS:
                raise self._caller_error(error) from error
            return error
        except UnreachableError as error:
            return error
        return None

    async def _write(self, route: str, bound: UidOrSlot, link: Link | None, write: Put | Delete) -> None:
        name = bound_link_name(route, bound)
        match write:
            case Delete() if link is not None:
                options = {"preconditions": {"resourceVersion": str(link.resource_version)}}
                await self._client.delete(self._path(name), msgspec.json.encode(options))
                if self._links is not None:
                    self._links.forget(link)
                return
            case Put(binding) if link is not None:
                change = spec_patch(link, _spec(link, binding), keep_managed_fields=self._keep_managed_fields)
                if link.foreign_namespace is not None:  # a link that names another namespace binds nothing
                    change["spec"]["namespace"] = None
                response = await self._client.merge_patch(self._path(name), msgspec.json.encode(change))
            case Put(binding):
                body = _manifest(self._namespace, route, bound, name, binding)
                response = await self._client.post(self._path(), msgspec.json.encode(body))
            case _:
                return
        if self._links is not None:
            self._links.observe(LINKS.decode(response))

    def _caller_error(self, error: APIError) -> Exception:
        """Converts the refusal of a link into the error for the caller."""
        if error.status == _UNPROCESSABLE:
            return InvalidParameterError(error.field or "the link", f"was refused: {error.message}")
        if error.status == _FORBIDDEN and (exceeded := _EXCEEDED_QUOTA.search(error.message)):
            quota, limit = exceeded.groups()
            return LinkLimitReachedError(
                f"namespace {self._namespace!r} takes no new links: it has as many as its ResourceQuota {quota!r} "
                f"allows ({limit})"
            )
        return error

    def _path(self, name: str | None = None) -> str:
        collection = f"/apis/{API_VERSION}/namespaces/{self._namespace}/{POD_LINK.plural}"
        return collection if name is None else f"{collection}/{name}"


async def _until_available(request: Callable[[], Awaitable[ResponseT]]) -> ResponseT:
    """Sends a request again while the API server is unreachable or asks for a pause."""
    attempt = 0
    while True:
        try:
            return await request()
        except UnreachableError:
            pause = RETRY_BACKOFF.delay(attempt)
        except APIError as error:
            if error.status not in _UNAVAILABLE_STATUSES and not error.retry_after_seconds:
                raise
            pause = RETRY_BACKOFF.delay(attempt, error.retry_after_seconds)
        await asyncio.sleep(pause)
        attempt += 1


def _spec(link: Link | None, binding: Binding) -> dict[str, Any]:
    """Returns a merge patch of a link's spec; null removes a field."""
    renew_time = format_rfc3339(binding.renew_time) if binding.renew_time else None
    return {
        **pod_patch(binding.pod),
        "ttlSeconds": binding.ttl_seconds,
        "renewTime": renew_time,
        **hand_over_patch(link, binding.hand_over),
    }


def _manifest(namespace: str, route: str, bound: UidOrSlot, name: str, binding: Binding) -> dict[str, Any]:
    spec = {key: value for key, value in _spec(None, binding).items() if value is not None}
    return {
        "apiVersion": API_VERSION,
        "kind": POD_LINK.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"routeName": route, "uid" if isinstance(bound, str) else "slot": bound} | spec,
    }
