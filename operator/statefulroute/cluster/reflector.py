"""Keeps a cache equal to what the API server holds: list, watch, bookmarks, and deletes that a gap has hidden."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Hashable
from contextlib import aclosing
from typing import Generic, TypeVar

import msgspec
import structlog

from statefulroute.cluster.cache import Cache, Cached
from statefulroute.cluster.client import Client, Status
from statefulroute.cluster.errors import ClusterError, GoneError
from statefulroute.cluster.pager import list_pages
from statefulroute.cluster.resource_type import ResourceType
from statefulroute.domain.backoff import Backoff

T = TypeVar("T", bound=Cached)

log = structlog.get_logger(__name__)

#: Objects a page: larger pages cost memory, smaller ones time.
_PAGE_SIZE = 2_000

#: How many of them are taken in before others have their turn.
_YIELD_EVERY = 500

#: The API server ends a watch after a time of our choice; spread, so that many watches do not end together.
_WATCH_TIMEOUT_SECONDS = (300, 600)

_INITIAL_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS = 0.05, 30.0


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
    """One kind's cache, and the task that keeps it up to date.

    Args:
        client: how to reach the API server.
        resource: the kind.
        max_backoff_seconds: how long it waits at the most before it asks an API server again that does not answer;
            None is half a minute.
        cache: where the objects go; several reflectors may share one, each for a namespace of its own. None is a new
            one.

    Attributes:
        cache: what the API server held a moment ago.
        synced: set once the first list is complete.
        path: where the API server lists the kind.
        last_update_at: when the last list, event or bookmark came, in monotonic seconds; before the first, when the
            reflector was made.
        last_activity_at: when it last showed that it is at work: by news, or by an attempt that failed.
        restarts: how often a watch or a list broke off, or could not begin, and was begun anew.
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
        self.path = resource.path
        self.last_update_at = self.last_activity_at = time.monotonic()
        self.restarts = 0
        self._client = client
        self._resource = resource
        self._backoff = Backoff(_INITIAL_BACKOFF_SECONDS, max_backoff_seconds or _MAX_BACKOFF_SECONDS, random.random)
        self._failures = 0
        """The number of failed attempts since the last event of a watch."""
        self._resource_version = 0
        """Up to where the watch has told everything; 0 asks for a list."""

    def observe(self, item: T) -> None:
        """Take in the API server's answer to a write of our own, ahead of the watch.

        What the watch has passed already is ignored: the cache holds it, or knows that it was deleted since.
        """
        if item.resource_version > self._resource_version:
            self.cache.put(item)

    def covers(self, partition: Hashable) -> bool:
        """Whether the objects of a group are this reflector's: another's may be in the same cache."""
        return self._resource.covers(partition)

    def has_synced(self, _: object) -> bool:
        """Whether every object is known: then one that is not known does not exist."""
        return self.synced.is_set()

    def get(self, partition: Hashable, name: str) -> T | None:
        """The object as the cache knows it, or None."""
        return self.cache.get(partition, name)

    def forget(self, item: T) -> None:
        """Take in that a version of an object was deleted by us, ahead of the watch."""
        self.cache.delete(item.partition, item.name, item.resource_version)

    async def run(self) -> None:
        """List and watch until cancelled; whatever goes wrong is logged and tried again."""
        while True:
            try:
                if not self._resource_version:
                    await self._list()
                    self.synced.set()
                if await self._watch():
                    continue  # the API server ended the watch in its time
                log.info("the watch ended before it told anything: trying again", resource=self._resource.path)
            except GoneError as error:
                log.info("the watch is too far behind: listing anew", resource=self._resource.path, error=error.message)
                self._resource_version = 0
            except (ClusterError, ValueError) as error:  # bytes that are no UTF-8 are a ValueError
                log.warning("watching failed: trying again", resource=self._resource.path, error=str(error))
            except Exception:
                # A cache that nobody keeps up to date any more would be worse, and nobody would see it.
                log.exception("an unexpected error: trying again", resource=self._resource.path)
            self.restarts += 1
            self.last_activity_at = time.monotonic()
            await asyncio.sleep(self._backoff.delay(self._failures))
            self._failures += 1

    async def _list(self) -> None:
        """Take in every object, page by page; then forget the ones that are gone."""
        listed: set[tuple[Hashable, str]] = set()
        moment = 0
        async with aclosing(self._list_pages()) as pages:
            async for data in pages:
                self._record_update()
                page = self._resource.decode_page(data)
                moment = moment or page.resource_version
                for number, item in enumerate(page.items, 1):
                    listed.add((item.partition, item.name))
                    self.cache.put(item)
                    if number % _YIELD_EVERY == 0:
                        await asyncio.sleep(0)  # others have their turn
        for group, name in [key for key in self.cache if key not in listed and self.covers(key[0])]:
            self.cache.delete(group, name, moment)  # unless our own write made it after that moment
        self._resource_version = moment

    def _list_pages(self) -> AsyncGenerator[bytes, None]:
        params = self._resource.selector_params
        # The API server needs longer to produce a page than this process to decode one.
        return list_pages(self._client, self._resource.path, params, page_size=_PAGE_SIZE, prefetch=True)

    async def _watch(self) -> bool:
        """Take in events until the watch ends; gives whether there was any."""
        told = False
        params = {
            **self._resource.selector_params,
            "allowWatchBookmarks": "true",
            "resourceVersion": str(self._resource_version),
            "timeoutSeconds": str(random.randint(*_WATCH_TIMEOUT_SECONDS)),  # noqa: S311 - no secret
        }
        async with self._client.watch(self._resource.path, params) as lines:
            async for line in lines:
                self._handle_event(_event.decode(line))
                self._record_update()
                told, self._failures = True, 0
        return told

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
                if kind == "DELETED":
                    self.cache.delete(item.partition, item.name, item.resource_version)
                else:
                    self.cache.put(item)
