"""The driver of a caller with blocking methods."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

from statefulroute.api.vocabulary import BoundBy
from statefulroute.domain.address import Address
from statefulroute.domain.keys import PodKey
from statefulroute.domain.validation import validate_strings
from statefulroute.driver import client as asynchronous
from statefulroute.driver.events import Event
from statefulroute.driver.link_cache import MAX_LINKS
from statefulroute.driver.metrics import DriverMetrics
from statefulroute.driver.parts import Logger
from statefulroute.driver.tracing import DriverTracing
from statefulroute.sync.events import iterate
from statefulroute.sync.loop_thread import DriverInLoop


class ClientDriver:
    """`statefulroute.ClientDriver` for programs without asyncio: `with ClientDriver.connect() as client`.

    A forked process may use the driver of its parent: it opens its own connections and watches. `timeout` is the time
    limit of a call in seconds, if it is shorter than the driver's.

    Args:
        driver: runs the asynchronous driver.
    """

    def __init__(self, driver: DriverInLoop[asynchronous.ClientDriver]) -> None:
        self._driver = driver

    @classmethod
    def connect(  # noqa: PLR0913 - each has a default
        cls,
        namespace: str | None = None,
        *,
        kubeconfig: Path | None = None,
        context: str | None = None,
        services: Iterable[str] | None = None,
        max_links: int = MAX_LINKS,
        deadline_seconds: float = asynchronous.DEADLINE_SECONDS,
        logger: Logger | None = None,
        hash_uids: bool = False,
        keep_managed_fields: bool = False,
        metrics: DriverMetrics | None = None,
        tracing: DriverTracing | None = None,
    ) -> Self:
        """Returns a driver with its own connection, as `statefulroute.ClientDriver.connect` does."""
        followed = None if services is None else validate_strings("services", services)

        async def make() -> asynchronous.ClientDriver:
            return await asynchronous.ClientDriver.connect(
                namespace,
                kubeconfig=kubeconfig,
                context=context,
                services=followed,
                max_links=max_links,
                deadline_seconds=deadline_seconds,
                logger=logger,
                hash_uids=hash_uids,
                keep_managed_fields=keep_managed_fields,
                metrics=metrics,
                tracing=tracing,
            )

        return cls(DriverInLoop(make, lambda driver: driver.start()))

    def start(self) -> None:
        """Starts the watches, and waits until the caches are read for the first time."""
        self._driver.call(lambda driver: driver.start())
        self._driver.is_open = True

    def close(self) -> None:
        """Ends the watches and the iterators of events, and closes the driver's own connection."""
        self._driver.is_open = False
        self._driver.call(lambda driver: driver.close())

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_healthy(self) -> bool:
        """Whether the driver is open and all of its watches work. Reads from the caches work also without them."""
        return self._driver.read(lambda driver: driver.is_healthy)

    @property
    def staleness_seconds(self) -> float:
        """How old an answer from the caches may be."""
        return self._driver.read(lambda driver: driver.staleness_seconds)

    @property
    def cached_links(self) -> int:
        """The number of cached links."""
        return self._driver.read(lambda driver: driver.cached_links)

    # Links.

    def get_linked_pod(
        self, uid: str, service: str, *, fresh: bool = False, timeout: float | None = None
    ) -> PodKey | None:
        """Returns the pod that holds a uid, or None."""
        return self._driver.call(lambda driver: driver.get_linked_pod(uid, service, fresh=fresh), timeout)

    def get_linked_pod_if_persistent(
        self, uid: str, service: str, *, fresh: bool = False, timeout: float | None = None
    ) -> PodKey | None:
        """Returns the pod that holds a uid by a persistent link, or None."""
        return self._driver.call(lambda driver: driver.get_linked_pod_if_persistent(uid, service, fresh=fresh), timeout)

    def bound_by(self, uid: str, service: str, *, timeout: float | None = None) -> BoundBy | None:
        """Returns whether a uid is bound by a link of its own, or by the link of its slot; None if by neither."""
        return self._driver.call(lambda driver: driver.bound_by(uid, service), timeout)

    def links_of(
        self, uid: str, among: Iterable[str] | None = None, *, timeout: float | None = None
    ) -> dict[str, PodKey]:
        """Returns the pod that holds a uid, by service."""
        return self._driver.call(lambda driver: driver.links_of(uid, among), timeout)

    def batch_get(self, uids: Iterable[str], service: str, *, timeout: float | None = None) -> dict[PodKey, list[str]]:
        """Returns the given uids by the pod that holds them; omits unlinked uids."""
        return self._driver.call(lambda driver: driver.batch_get(uids, service), timeout)

    def address_of(self, uid: str, service: str, *, timeout: float | None = None) -> Address | None:
        """Returns the address of the pod that holds a uid, or None if no pod does."""
        return self._driver.call(lambda driver: driver.address_of(uid, service), timeout)

    def link_if_absent(
        self, uid: str, service: str, pod: PodKey, *, ttl_seconds: int | None = None, timeout: float | None = None
    ) -> PodKey:
        """Binds a uid to a pod, unless it is bound."""
        return self._driver.call(
            lambda driver: driver.link_if_absent(uid, service, pod, ttl_seconds=ttl_seconds), timeout
        )

    def compute_link_if_absent(
        self, uid: str, service: str, *, ttl_seconds: int | None = None, timeout: float | None = None
    ) -> PodKey:
        """Binds a uid to the best pod, unless it is bound."""
        return self._driver.call(
            lambda driver: driver.compute_link_if_absent(uid, service, ttl_seconds=ttl_seconds), timeout
        )

    def bind(self, uid: str, service: str, *, ttl_seconds: int | None = None, timeout: float | None = None) -> Address:
        """Binds a uid to the best pod, unless it is bound, and returns the address of the pod that holds it."""
        return self._driver.call(lambda driver: driver.bind(uid, service, ttl_seconds=ttl_seconds), timeout)

    def renew(self, uid: str, service: str, *, timeout: float | None = None) -> bool:
        """Renews a temporary link; returns whether there is a link."""
        return self._driver.call(lambda driver: driver.renew(uid, service), timeout)

    def best_pod(self, service: str) -> PodKey:
        """Returns the pod for the next user, by the operator's placement rule."""
        return self._driver.read(lambda driver: driver.best_pod(service))

    def alive_pods(self, service: str) -> list[PodKey]:
        """Returns the pods that are ready."""
        return self._driver.read(lambda driver: driver.alive_pods(service))

    def routable_pods(self, service: str) -> list[PodKey]:
        """Returns the pods that serve their users: ready and not shut down."""
        return self._driver.read(lambda driver: driver.routable_pods(service))

    def is_routable(self, service: str, pod: PodKey) -> bool:
        """Returns whether a pod serves its users."""
        return self._driver.read(lambda driver: driver.is_routable(service, pod))

    def is_available(self, service: str, pod: PodKey) -> bool:
        """Returns whether a pod accepts new users."""
        return self._driver.read(lambda driver: driver.is_available(service, pod))

    def is_workload_ready(self, service: str) -> bool:
        """Returns whether a service is ready for users: a pod accepts them, and it is not Overloaded or Shutdown."""
        return self._driver.read(lambda driver: driver.is_workload_ready(service))

    def slot_of(self, uid: str, service: str) -> int | None:
        """Returns the slot that a uid belongs to; None if the service has no slots."""
        return self._driver.read(lambda driver: driver.slot_of(uid, service))

    def services_of_tag(self, tag: str) -> list[str]:
        """Returns the sorted names of the services that have a tag."""
        return self._driver.read(lambda driver: driver.services_of_tag(tag))

    def events(self) -> Iterator[Event]:
        """Returns a blocking iterator of the changes from now on, as `statefulroute.ClientDriver.events` does."""
        return iterate(self._driver.read(lambda driver: driver.events()))
