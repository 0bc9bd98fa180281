"""Keeps a cache up to date with the API server: lists, watches, and detects deletions missed between watches."""

import asyncio
import math
import random
import time
from collections.abc import AsyncGenerator, Callable, Hashable, Iterator
from contextlib import aclosing, contextmanager
from http import HTTPStatus
from typing import Generic, TypeVar

import msgspec

from statefulroute.cluster.cache import Cache, Cached
from statefulroute.cluster.client import Client, Status
from statefulroute.cluster.errors import APIError, ClusterError, GoneError, UnreachableError
from statefulroute.cluster.field_logger import get_logger
from statefulroute.cluster.pager import collection_version, list_pages
from statefulroute.cluster.resource_type import ResourceType
from statefulroute.domain.backoff import Backoff

T = TypeVar("T", bound=Cached)

log = get_logger(__name__)

#: The number of objects per page: larger pages cost memory, smaller ones time.
_PAGE_SIZE = 2_000

#: The number of objects that are stored before other tasks run.
_YIELD_EVERY = 500

#: The range of the random timeout of a watch; it is random so that the watches do not all restart at once.
_WATCH_TIMEOUT_SECONDS = (300, 600)

#: A watch that ends this long before its timeout was disconnected: the API server has stopped, for example.
_TIMEOUT_MARGIN_SECONDS = 1.0

_INITIAL_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS = 0.05, 30.0

#: After this many unusable events in a row, the reflector lists: the API server cannot send what follows the version.
_MAX_UNUSABLE_EVENTS = 3


class _Event(msgspec.Struct, gc=False):
    type: str
    object: msgspec.Raw


class _Metadata(msgspec.Struct, gc=False, rename={"resource_version": "resourceVersion"}):
    resource_version: str = "0"


class _Bookmark(msgspec.Struct, gc=False):
    metadata: _Metadata


_event = msgspec.json.Decoder(_Event)
_bookmark = msgspec.json.Decoder(_Bookmark)
_status = msgspec.json.Decoder(Status)


class Reflector(Generic[T]):
    """Keeps the cache of one kind up to date.

    Args:
        client: the client for the API server.
        resource: the kind to watch.
        max_backoff_seconds: the maximum delay before a retry; None is 30 s.
        cache: the cache; several reflectors for different namespaces may share one. None creates a cache.

    Attributes:
        cache: the objects.
        synced: set when the first list is complete.
        replaced: set when an older list has replaced the cache, because etcd was restored from a backup. The consumer
            clears it.
        path: the path of the list.
        last_update_at: when the last event or bookmark came, or when the last complete list began, in monotonic
            seconds; before the first, when the reflector was created. The cache is as old as that, or newer.
        last_activity_at: the time of the last update, page of a list or failed attempt.
        count: the number of objects by the last list and the events since, also if the cache holds fewer.
        lists: how often a list has replaced the cache: the changes before it may have come without an event.
        restarts: how often a watch or a list failed and was restarted.
        watch_tried: set when the first watch is open, or has failed.
        refused: set when the API server has refused to list or watch for want of a permission.
        refusal: its response.
    """

    def __init__(
        self,
        client: Client,
        resource: ResourceType[T],
        max_backoff_seconds: float | None = None,
        cache: Cache[T] | None = None,
    ) -> None:
        self.cache: Cache[T] = Cache() if cache is None else cache
        self.synced = asyncio.Event()
        self.replaced = asyncio.Event()
        self.path = resource.path
        self.last_update_at = self.last_activity_at = time.monotonic()
        self.count = 0
        self.lists = 0
        self.restarts = 0
        self.watch_tried = asyncio.Event()
        self.refused = asyncio.Event()
        self.refusal: APIError | None = None
        self._client = client
        self._resource = resource
        self._backoff = Backoff(_INITIAL_BACKOFF_SECONDS, max_backoff_seconds or _MAX_BACKOFF_SECONDS, random.random)
        self._failures = 0
        """The number of failed attempts since the last event of a watch."""
        self._unusable_events = 0
        """The number of watches in a row that have failed with an error event or a malformed event."""
        self._resource_version = 0
        """The resource version up to which the cache is complete."""
        self._observed_version = 0
        """The newest resource version of `observe`, and of a list that may be incomplete."""
        self._needs_list = True
        self._is_watching = False
        self._was_disconnected = False
        """Whether the connection of a watch was lost: etcd may have been restored since."""

    def observe(self, item: T) -> None:
        """Stores the result of a write of this process, ahead of the watch.

        A version that the watch has already passed is ignored: the cache has it, or the object was deleted since.
        """
        if item.resource_version > self._resource_version:
            self._observed_version = max(self._observed_version, item.resource_version)
            self.cache.put(item)

    def covers(self, partition: Hashable) -> bool:
        """Returns whether this reflector watches a partition: a shared cache has objects of other reflectors, too."""
        return self._resource.covers(partition)

    @property
    def is_current(self) -> bool:
        """Whether the first list is complete, and the last attempt to list or watch has not failed."""
        return self.synced.is_set() and self._failures == 0

    @contextmanager
    def requesting(self, _route: str, _name: str) -> Iterator[Callable[[object], None]]:
        """Returns a context for a request about an object: the watch will bring it."""
        yield lambda _: None

    def has_synced(self, _: object) -> bool:
        """Returns whether the first list is complete, so that an object that is not in the cache does not exist."""
        return self.synced.is_set()

    def get(self, partition: Hashable, name: str) -> T | None:
        """Returns an object from the cache, or None."""
        return self.cache.get(partition, name)

    def forget(self, item: T) -> None:
        """Removes an object that this process deleted, ahead of the watch."""
        self.cache.delete(item.partition, item.name, item.resource_version)

    async def read(self, partition: Hashable, name: str) -> T | None:
        """Reads an object from the API server into the cache, ahead of the watch.

        A list of one name is read and not the object, because it needs no other permission than the reflector.

        Returns:
            The object; None if it does not exist.

        Raises:
            ClusterError: the request failed, or the response is older than the cache.
            ValueError: the object is malformed.
        """
        path, newest_version = self._resource.path, self._newest_version
        if partition != "" and self._resource.namespace is None:
            path = self._resource.in_namespace(str(partition)).path
        data = await self._client.get(path, {"fieldSelector": f"metadata.name={name}"})
        item, list_version = self._resource.decode_only(data)
        if list_version < newest_version:
            raise ClusterError(f"a read of {name!r} is older than the cache: etcd was restored from a backup")
        if item is None:
            self.cache.delete(partition, name, list_version)
        else:
            self.observe(item)
        return item

    @property
    def is_healthy(self) -> bool:
        """Whether the first list is complete, and a watch is open or the last attempt to open one has not failed."""
        return self.synced.is_set() and (self._is_watching or self._failures == 0)

    def require_list(self) -> None:
        """Requires a list before the next watch, as at the start; the caller restarts `run`."""
        self._needs_list = True
        self.synced.clear()

    async def run(self) -> None:
        """Lists and watches until cancelled; logs all errors and retries."""
        while True:
            retry_after_seconds = 0.0
            try:
                if self._was_disconnected and not self._needs_list:
                    await self._check_version()
                if self._needs_list:
                    await self._list()
                    self.synced.set()
                if await self._watch():
                    continue  # the watch reached its timeout
                log.info("the watch ended without an event: trying again", resource=self._resource.path)
            except GoneError as error:
                log.info("the watch is too far behind: relisting", resource=self._resource.path, error=error.message)
                self._needs_list = True
            except (ClusterError, ValueError) as error:  # invalid UTF-8 is a ValueError
                log.warning("watching failed: trying again", resource=self._resource.path, error=str(error))
                if isinstance(error, APIError) and error.status == HTTPStatus.FORBIDDEN:
                    self.refusal = error
                    self.refused.set()
                retry_after_seconds = getattr(error, "retry_after_seconds", 0.0)
                if self._unusable_events >= _MAX_UNUSABLE_EVENTS:
                    self._unusable_events, self._needs_list = 0, True
            except Exception:
                # Without the retry, the cache would become stale without a sign.
                log.exception("an unexpected error: trying again", resource=self._resource.path)
            self._record_restart()
            await asyncio.sleep(self._backoff.delay(self._failures, retry_after_seconds))
            self._failures += 1

    @property
    def _newest_version(self) -> int:
        """The newest resource version that this process knows: no list is older, unless etcd was restored."""
        return max(self._resource_version, self._observed_version)

    async def _check_version(self) -> None:
        """Requires a list if the API server is behind the cache, because etcd was restored from a backup."""
        newest_version = self._newest_version  # before the request, because a write may be newer than its response
        version = await collection_version(self._client, self._resource.path, self._resource.selector_params)
        self._needs_list, self._was_disconnected = version < newest_version, False

    async def _list(self) -> None:
        """Stores every object, page by page, and then removes the objects that no longer exist.

        The list replaces all versions up to its own. If it is older than the cache, etcd was restored from a backup:
        the list replaces all versions, and the watch repeats what this process has written in the meantime.
        """
        listed: set[tuple[Hashable, str]] = set()
        count = 0
        newest_version, list_version, replaced_version = self._newest_version, 0, 0.0
        started_at = time.monotonic()

        def restart() -> None:
            nonlocal list_version, count, started_at
            listed.clear()
            list_version = count = 0
            started_at = time.monotonic()

        async with aclosing(self._list_pages(restart)) as pages:
            async for data in pages:
                self.last_activity_at = time.monotonic()
                page = self._resource.decode_page(data)
                count += len(page.items)
                list_version = list_version or page.resource_version
                self._observed_version = max(self._observed_version, list_version)
                replaced_version = list_version if list_version >= newest_version else math.inf
                for number, item in enumerate(page.items, 1):
                    if self.cache.put_listed(item, replaced_version):
                        listed.add((item.partition, item.name))
                    if number % _YIELD_EVERY == 0:
                        await asyncio.sleep(0)  # lets other tasks run
        for partition, name in [key for key in self.cache if key not in listed and self.covers(key[0])]:
            # The version keeps an object that this process created after the list.
            self.cache.delete(partition, name, replaced_version)
        self._resource_version, self.count, self.last_update_at = list_version, count, started_at
        self._needs_list = self._was_disconnected = False
        self.lists += 1
        if list_version < newest_version:
            self._observed_version = 0
            self.replaced.set()
            log.warning(
                "etcd was restored from a backup: older objects have replaced the cache",
                resource=self._resource.path,
                list_version=list_version,
                cached_version=newest_version,
            )

    def _list_pages(self, restart: Callable[[], None]) -> AsyncGenerator[bytes, None]:
        path, params = self._resource.path, self._resource.selector_params
        # The API server needs longer to produce a page than this process to decode one.
        return list_pages(self._client, path, params, page_size=_PAGE_SIZE, prefetch=True, restart=restart)

    async def _watch(self) -> bool:
        """Handles events until the watch ends; returns whether there was any."""
        has_events = False
        timeout_seconds = random.randint(*_WATCH_TIMEOUT_SECONDS)  # noqa: S311 - no secret
        params = {
            **self._resource.selector_params,
            "allowWatchBookmarks": "true",
            "resourceVersion": str(self._resource_version),
            "timeoutSeconds": str(timeout_seconds),
        }
        started = time.monotonic()
        try:
            async with self._client.watch(self._resource.path, params) as lines:
                self._is_watching = True
                self.refusal = None
                self.refused.clear()
                self.watch_tried.set()
                async for line in lines:
                    self._handle_line(line)
                    self._record_update()
                    has_events, self._failures, self._unusable_events = True, 0, 0
        except UnreachableError:
            self._was_disconnected = True
            raise
        finally:
            self._is_watching = False
        self._was_disconnected = time.monotonic() - started < timeout_seconds - _TIMEOUT_MARGIN_SECONDS
        return has_events

    def _handle_line(self, line: bytes) -> None:
        try:
            self._handle_event(_event.decode(line))
        except (APIError, ValueError) as error:
            # As in client-go: a server that is too busy for a watch is not asked for a list.
            self._unusable_events += getattr(error, "status", None) != HTTPStatus.TOO_MANY_REQUESTS
            raise

    def _record_restart(self) -> None:
        self.restarts += 1
        self.last_activity_at = time.monotonic()
        if self.synced.is_set():
            self.watch_tried.set()

    def _record_update(self) -> None:
        self.last_update_at = self.last_activity_at = time.monotonic()

    def _handle_event(self, event: _Event) -> None:
        match event.type:
            case "BOOKMARK":
                self._resource_version = int(_bookmark.decode(event.object).metadata.resource_version)
            case "ERROR":
                raise _status.decode(event.object).as_error()
            case kind:
                item = self._resource.decode_or_skip(event.object)
                if item is None:
                    return
                self._resource_version = item.resource_version
                self.count += (kind == "ADDED") - (kind == "DELETED")
                if kind == "DELETED":
                    self.cache.delete(item.partition, item.name, item.resource_version)
                else:
                    self.cache.put(item)
