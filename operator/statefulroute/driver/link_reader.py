"""Finds the link that binds a user for a client driver: in the cache, or by a request."""

from collections.abc import Callable

from statefulroute.api.limits import ENCODED_UID_PREFIX
from statefulroute.cluster.clock import IntervalClock
from statefulroute.cluster.link_store import LinkStore
from statefulroute.domain.errors import InvalidParameterError, PodNotAvailableError
from statefulroute.domain.keys import PodKey, RouteKey, link_name, slot_link_name
from statefulroute.domain.link import Link
from statefulroute.domain.operations import active_link, find_holder
from statefulroute.domain.slots.lookup import binding_slot, describe_unbound_slot
from statefulroute.domain.validation import is_dns_label, validate_route, validate_uid
from statefulroute.driver.link_cache import LinkCache
from statefulroute.driver.operations import Operations
from statefulroute.driver.routes import RouteCache


class LinkReader:
    """Finds links: that of a user, otherwise that of the user's slot.

    Args:
        routes: the cached routes.
        cache: the cached links.
        store: reads links from the API server.
        clock: the time of day by both clocks.
        operations: runs the reads.
    """

    def __init__(
        self, routes: RouteCache, cache: LinkCache, store: LinkStore, clock: IntervalClock, operations: Operations
    ) -> None:
        self._namespace = routes.namespace
        self._cache = cache
        self._slots_of = routes.slots_of
        self._store = store
        self._clock = clock
        self._operations = operations
        self._keys: dict[str, RouteKey] = {}

    def find(self, uid: str, service: str) -> Link | None:
        """Returns the cached link that binds a uid; None if there is no active one, or if a parameter is invalid."""
        try:
            key = self._keys.get(service)
            if uid.startswith(ENCODED_UID_PREFIX):  # the name of another uid's link
                return self._find_by_slot(uid, service)
        except (AttributeError, TypeError):  # not a string
            return None
        if key is None:
            key = RouteKey(self._namespace, service)
        link = self._cache.get(key, f"{service}.{uid}")
        if link is None:
            return self._find_by_slot(uid, service)
        self._keys[service] = key  # only services with links: a caller may pass any name
        if link.expire_time is None:
            return link if link.assigned_pod is not None else None
        return active_link(link, self._clock().earliest) or self._find_by_slot(uid, service)

    def find_slotted(self, uid: str, service: str) -> Link | None:
        """Returns the cached link that binds a uid, as `find` does; None if the service has no slots."""
        try:
            return None if self._slots_of(service) is None else self.find(uid, service)
        except TypeError:  # not a string
            return None

    def _find_by_slot(self, uid: str, service: str) -> Link | None:
        """Returns the cached link that binds a uid, of which no active link has the name `<service>.<uid>`.

        None if the cache does not have it, if it names no pod, if the service has no slots, or if a parameter is
        invalid.
        """
        slots = self._slots_of(service)
        if slots is None or not self.has_all(service):  # without all links, the uid may have one of its own
            return None
        key = self._keys.get(service)
        if key is None:
            key = self._keys[service] = RouteKey(self._namespace, service)
        own = None
        if uid.startswith(ENCODED_UID_PREFIX) or not is_dns_label(uid):
            try:
                own = self._cache.get(key, link_name(service, validate_uid(uid)))
            except InvalidParameterError:
                return None
            own = None if own is None else active_link(own, self._clock().earliest)
        slot = binding_slot(uid, own, slots)
        link = own if slot is None else self._cache.get(key, slot_link_name(service, slot))
        return link if link is not None and link.assigned_pod is not None else None

    def has_all(self, service: str) -> bool:
        """Returns whether the cache has all links of a service, so that no request is necessary."""
        return self._cache.has_synced(service)

    async def read(self, uid: str, service: str, *, fresh: bool) -> Link | None:
        """Returns a link that `find` has not found, or a fresh one. Raises as `ClientDriver.get_linked_pod` does."""
        if not fresh and self.has_all(service):
            return self._check_slot(uid, service, await self._store.get_bound(service, uid))
        with self._operations.run("get_linked_pod", uid=uid, service=service) as outcome:
            link = self._check_slot(uid, service, await self._store.get_bound(service, uid, fresh=fresh))
            outcome.add(pod=link.pod if link else None)
            return link

    async def find_or_renew(self, uid: str, service: str) -> PodKey | None:
        """Returns the pod that holds a uid in a service with slots, and renews a temporary link of the uid.

        None if the uid has a link of its own that names no pod, or if the service has no slots. Raises as
        `ClientDriver.get_linked_pod` does.
        """
        if self._slots_of(validate_route(service)) is None:
            return None
        link = self.find(uid, service) or await self.read(uid, service, fresh=False)
        if link is None or link.is_of_slot or link.pod is None:
            return None if link is None else link.pod
        if (holder := await self._store.execute(service, uid, find_holder)) is None:  # the link is gone
            link = await self.read(uid, service, fresh=True)
            return None if link is None else link.pod
        return holder

    def _check_slot(self, uid: str, service: str, link: Link | None) -> Link | None:
        """Returns a link. Raises `PodNotAvailableError` if there is none, because the slot is not bound to a pod."""
        if (slot := binding_slot(uid, link, self._slots_of(service))) is None:
            return link
        raise PodNotAvailableError(describe_unbound_slot(service, slot))


class CountingLinkReader:
    """Counts the look-ups that the cache answers, also those of users without a link.

    Args:
        reader: finds the links.
        count: counts a look-up.
    """

    def __init__(self, reader: LinkReader, count: Callable[[], None]) -> None:
        self._reader = reader
        self._count = count

    def find(self, uid: str, service: str) -> Link | None:
        """Returns the cached link, as `LinkReader` does."""
        link = self._reader.find(uid, service)
        if link is not None:
            self._count()
        return link

    def find_slotted(self, uid: str, service: str) -> Link | None:
        """Returns the cached link in a service with slots, as `LinkReader` does."""
        link = self._reader.find_slotted(uid, service)
        if link is not None:
            self._count()
        return link

    async def find_or_renew(self, uid: str, service: str) -> PodKey | None:
        """Returns the pod that holds a uid in a service with slots, as `LinkReader` does."""
        return await self._reader.find_or_renew(uid, service)

    async def read(self, uid: str, service: str, *, fresh: bool) -> Link | None:
        """Returns a link that `find` has not found, or a fresh one, as `LinkReader` does."""
        is_cached = not fresh and self._reader.has_all(service)
        link = await self._reader.read(uid, service, fresh=fresh)
        if is_cached:
            self._count()
        return link
