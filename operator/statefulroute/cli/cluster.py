"""The cluster that a command works in: reads, lists and watches objects as the API server returns them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypedDict

import msgspec

from statefulroute.api.group import API_VERSION, POD_LINK, STATEFUL_ROUTE, Kind
from statefulroute.cli.dry_run import DryRun
from statefulroute.cli.output.messages import print_message
from statefulroute.cluster.errors import (
    APIError,
    ClusterError,
    GoneError,
    KindNotInstalledError,
    NotFoundError,
    is_outage,
)
from statefulroute.cluster.pager import ListMetadata, collection_version, list_pages
from statefulroute.cluster.retry_after import retry_pause
from statefulroute.domain.validation import validate_route

if TYPE_CHECKING:
    from statefulroute.cluster.client import Client
    from statefulroute.cluster.link_store import LinkStore

#: Objects per page: the first rows are printed soon, and memory holds one page.
_PAGE_SIZE = 500

#: Between the end of a watch and the next one.
_RETRY_SECONDS = 1.0

_FORBIDDEN, _GONE = 403, 410

#: How many routes the message on a missing one names.
_MAX_SHOWN_ROUTES = 10

#: An object as the API server returns it.
Object = dict[str, Any]


class CommandError(Exception):
    """A command cannot do its work; the message says why and how to fix it, and the exit code is 1."""


class WatchEndedError(CommandError):
    """The changes of a watch cannot be continued; a new list can."""


class _List(msgspec.Struct):
    metadata: ListMetadata
    items: list[Object] | None = None


class _LinkMetadata(TypedDict, total=False):
    name: str
    namespace: str
    generation: int
    creationTimestamp: str
    deletionTimestamp: str


class _Link(TypedDict, total=False):
    metadata: _LinkMetadata
    spec: dict[str, Any]
    status: dict[str, Any]


class _LinkList(msgspec.Struct):
    items: list[_Link] | None = None


class _Event(msgspec.Struct):
    type: str
    object: Object


_list_decoder = msgspec.json.Decoder(_List)
_link_list_decoder = msgspec.json.Decoder(_LinkList)
_event_decoder = msgspec.json.Decoder(_Event)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster, and the namespace that a command works in.

    Attributes:
        client: the client of the API server.
        namespace: the namespace; None is all namespaces.
        keep_managed_fields: whether the managedFields of links stay when the command writes them.
    """

    client: "Client"
    namespace: str | None
    keep_managed_fields: bool = False

    def with_dry_run(self, dry_run: DryRun) -> "Cluster":
        """Returns this cluster, or for a dry run one in which writes are not persisted, or not even sent."""
        match dry_run:
            case DryRun.NONE:
                return self
            case DryRun.SERVER:
                return replace(self, client=self.client.dry_run())
            case DryRun.CLIENT:
                from statefulroute.cluster.unsent_writes import ReadOnlyClient  # noqa: PLC0415 - few commands need it

                return replace(self, client=ReadOnlyClient.sharing(self.client))

    def link_store(self, deadline_seconds: float = 10.0) -> "LinkStore":
        """Returns the operations on the links of the namespace.

        Args:
            deadline_seconds: the maximum duration of an operation.

        Raises:
            CommandError: the command works in all namespaces.
        """
        from statefulroute.cluster.link_store import LinkStore  # noqa: PLC0415 - most commands only read

        return LinkStore(
            self.client,
            self.one_namespace(),
            deadline_seconds=deadline_seconds,
            keep_managed_fields=self.keep_managed_fields,
        )

    def one_namespace(self) -> str:
        """Returns the namespace, for commands that work in exactly one.

        Raises:
            CommandError: the command works in all namespaces.
        """
        if self.namespace is None:
            raise CommandError("this command works in one namespace: leave out --all-namespaces")
        return self.namespace

    def path(self, kind: Kind, name: str = "") -> str:
        """Returns the path of the objects of a kind of this project, or of one object."""
        within = f"/namespaces/{self.namespace}" if self.namespace else ""
        return f"/apis/{API_VERSION}{within}/{kind.plural}" + (f"/{name}" if name else "")

    async def get(self, path: str) -> Object:
        """Returns one object. Raises the same errors as `Client.get`."""
        item: Object = msgspec.json.decode(await self.client.get(path))
        return item

    async def route(self, name: str) -> Object:
        """Returns a StatefulRoute.

        Raises:
            CommandError: the route does not exist.
            InvalidParameterError: the name is not valid for a route.
        """
        self.one_namespace()
        validate_route(name)
        try:
            return await self.get(self.path(STATEFUL_ROUTE, name))
        except KindNotInstalledError:
            raise
        except NotFoundError:
            raise CommandError(await self._explain_missing_route(name)) from None

    async def _explain_missing_route(self, name: str) -> str:
        names = [route["metadata"]["name"] async for route in self.objects(self.path(STATEFUL_ROUTE))]
        if not names and not await self._has_namespace():
            return f"namespace {self.namespace!r} does not exist"
        verb = "is" if len(names) == 1 else "are"
        more = f" and {len(names) - _MAX_SHOWN_ROUTES:,} others" if len(names) > _MAX_SHOWN_ROUTES else ""
        existing = f"there {verb}: {', '.join(names[:_MAX_SHOWN_ROUTES])}{more}" if names else "there is none"
        return f"StatefulRoute {name!r} does not exist in namespace {self.namespace!r}: {existing}"

    async def _has_namespace(self) -> bool:
        """Returns whether the namespace exists, as far as the user may know it."""
        try:
            await self.client.get(f"/api/v1/namespaces/{self.namespace}")
        except NotFoundError:
            return False
        except APIError as error:
            if error.status != _FORBIDDEN:
                raise
        return True

    async def objects(self, path: str, params: Mapping[str, str] | None = None) -> AsyncIterator[Object]:
        """Yields every object at a path; memory holds one page."""
        async for page, _ in self.pages(path, params):
            for item in page:
                yield item

    async def pages(
        self, path: str, params: Mapping[str, str] | None = None
    ) -> AsyncIterator[tuple[list[Object], str]]:
        """Yields every page of a list, with the resource version from which a watch continues."""
        async for data in list_pages(self.client, path, params, page_size=_PAGE_SIZE):
            page = _list_decoder.decode(data)
            yield page.items or [], page.metadata.resource_version

    async def link_pages(self, field_selector: str = "") -> AsyncIterator[list[Object]]:
        """Yields every page of the links with only the needed fields: other metadata is nine tenths of an object.

        Args:
            field_selector: selects some of the links.
        """
        params = {"fieldSelector": field_selector} if field_selector else {}
        async for data in list_pages(self.client, self.path(POD_LINK), params, page_size=_PAGE_SIZE):
            yield [{**link} for link in _link_list_decoder.decode(data).items or ()]

    async def watch(
        self, path: str, resource_version: str, params: Mapping[str, str] | None = None
    ) -> AsyncIterator[tuple[str, Object]]:
        """Yields every change since a resource version, as its type (ADDED, MODIFIED, DELETED) and the object.

        While the API server does not answer, or is overloaded, the watch is retried.

        Raises:
            WatchEndedError: the API server no longer has all changes since the resource version, or never had it.
        """
        is_outage_reported = is_reconnecting = False
        while True:
            pause = _RETRY_SECONDS
            query = {**(params or {}), "resourceVersion": resource_version, "allowWatchBookmarks": "true"}
            try:
                if is_reconnecting and await collection_version(self.client, path, params) < int(resource_version):
                    raise WatchEndedError(_RESTORED)
                is_reconnecting = True
                async with self.client.watch(path, query) as lines:
                    is_outage_reported = False
                    async for line in lines:
                        event = _event_decoder.decode(line)
                        if event.type == "ERROR":
                            raise _watch_error(event.object)
                        resource_version = event.object["metadata"]["resourceVersion"]
                        if event.type != "BOOKMARK":
                            yield event.type, event.object
            except GoneError as error:
                raise WatchEndedError(_EXPIRED) from error
            except ClusterError as error:
                if not is_outage(error):
                    raise
                pause = retry_pause(_RETRY_SECONDS, error.retry_after_seconds)
                if not is_outage_reported:
                    print_message("note: the API server does not answer: trying again", err=True)
                is_outage_reported = True
            await asyncio.sleep(pause)

    async def watch_object(self, kind: Kind, name: str) -> AsyncIterator[Object | None]:
        """Yields each version of an object from the present one on; None if it does not exist (any more)."""
        selection = {"fieldSelector": f"metadata.name={name}"}
        resource_version = ""
        async for page, resource_version in self.pages(self.path(kind), selection):  # noqa: B007 - of one page
            yield page[0] if page else None
        async for change, item in self.watch(self.path(kind), resource_version, selection):
            yield None if change == "DELETED" else item

    async def follow_object(self, kind: Kind, name: str) -> AsyncIterator[Object | None]:
        """Yields versions of an object from the present one on; None if it does not exist (any more).

        Unlike `watch_object`, it never ends: when the changes of a watch cannot be continued, it reads the object
        again, and may skip versions. An outage of the API server is an error only before the first version.
        """
        is_started = False
        while True:
            try:
                async for version in self.watch_object(kind, name):
                    is_started = True
                    yield version
            except WatchEndedError:
                pass
            except ClusterError as error:
                if not is_started or not is_outage(error):
                    raise
            await asyncio.sleep(_RETRY_SECONDS)


_RESTORED = "etcd was restored from a backup, so the output above is out of date: run the command again"
_EXPIRED = "more has changed than the API server remembers: run the command again"


def _watch_error(status: Object) -> WatchEndedError:
    if status.get("code") == _GONE:
        return WatchEndedError(_EXPIRED)
    return WatchEndedError(f"the watch has ended: {status.get('message', 'run the command again')}")
