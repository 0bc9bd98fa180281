"""Prometheus metrics of the drivers of a process, for applications that ask for them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from statefulroute.domain.errors import ErrorCode, StatefulRouteError
from statefulroute.domain.link import Link
from statefulroute.domain.operations import LinkWrite
from statefulroute.driver.hand_over_results import HandOverResult
from statefulroute.driver.lifetime import fork_count
from statefulroute.driver.operations import OperationRun

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

#: The operations that look users up.
_LOOKUPS = frozenset({"get_linked_pod", "links_of", "batch_get", "address_of"})

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class CachingDriver(Protocol):
    """A driver with caches; `ClientDriver` implements it."""

    @property
    def staleness_seconds(self) -> float:
        """The age of the oldest cache."""

    @property
    def cached_links(self) -> int:
        """The number of cached links."""


class DriverMetrics:
    """Counts what the drivers of a process do. Any number of drivers may share the object; make one for a registry.

    Args:
        registry: the registry of prometheus-client that exposes the metrics; None is its default registry.

    Raises:
        ImportError: prometheus-client is not installed.
        ValueError: the registry has these metrics already.
    """

    def __init__(self, registry: "CollectorRegistry | None" = None) -> None:
        try:
            from prometheus_client import REGISTRY, Counter, Histogram  # noqa: PLC0415 - an optional extra
        except ImportError as error:
            raise ImportError(
                "DriverMetrics needs prometheus-client, which is not installed: pip install 'statefulroute[metrics]'"
            ) from error
        registry = REGISTRY if registry is None else registry
        self.lookups = Counter(
            "statefulroute_driver_lookups",
            "Look-ups of users by what answered them: the cache, or a request to the API server.",
            ("namespace", "source"),
            registry=registry,
        )
        self.writes = Counter(
            "statefulroute_driver_link_writes",
            "Links that the drivers have written: bound (a user without a pod), moved (to another pod), updated (the "
            "same pod: renewals, for example), removed.",
            ("namespace", "change"),
            registry=registry,
        )
        self.moves = Counter(
            "statefulroute_driver_moves",
            "Users that have moved to another pod, through any client, by the watch of links of a ClientDriver.",
            ("namespace",),
            registry=registry,
        )
        self.errors = Counter(
            "statefulroute_driver_errors",
            "Operations that have failed, by the code of their error; a caller that gives up is no error.",
            ("namespace", "operation", "code"),
            registry=registry,
        )
        self.durations = Histogram(
            "statefulroute_driver_operation_duration_seconds",
            "Duration of operations, also of those that failed; look-ups that the cache answers at once do not count. "
            "That of hand_over is from the call of the function to the move.",
            ("operation",),
            registry=registry,
            buckets=_BUCKETS,
        )
        self.hand_overs = Counter(
            "statefulroute_driver_hand_overs",
            "Users and slots that pods were asked to hand over, by the result: Committed (the driver has moved them), "
            "TimedOut (the operator was faster), Withdrawn (or replaced by another), Failed (the function has failed).",
            ("namespace", "result"),
            registry=registry,
        )
        self.state_bytes = Counter(
            "statefulroute_driver_state_bytes",
            "Bytes of the states of users that were sent to other pods, or received from them, without refused states.",
            ("namespace", "direction"),
            registry=registry,
        )
        self.caches = _Caches()
        registry.register(self.caches)

    def in_namespace(self, namespace: str) -> "NamespaceMetrics":
        """Returns the metrics of the drivers of one namespace."""
        return NamespaceMetrics(self, namespace)


class NamespaceMetrics:
    """Counts what the drivers of one namespace do.

    Args:
        metrics: the metrics of all namespaces.
        namespace: the namespace.

    Attributes:
        count_cached: counts a look-up that the cache has answered.
    """

    def __init__(self, metrics: DriverMetrics, namespace: str) -> None:
        self._metrics = metrics
        self._namespace = namespace
        self._requested = metrics.lookups.labels(namespace, "request")
        cached = metrics.lookups.labels(namespace, "cache")
        self.count_cached: Callable[[], None] = cached.inc
        self._moves = metrics.moves.labels(namespace)
        self._writes = {change: metrics.writes.labels(namespace, change) for change in LinkWrite}

    def observe_operation(self, run: OperationRun) -> None:
        """Counts an operation; its cancellation is not an error."""
        self._metrics.durations.labels(run.name).observe(run.seconds)
        if isinstance(run.error, Exception):
            code = run.error.code if isinstance(run.error, StatefulRouteError) else ErrorCode.INTERNAL
            self._metrics.errors.labels(self._namespace, run.name, code).inc()
        elif run.error is None and run.name in _LOOKUPS:
            (self._requested.inc if run.requests else self.count_cached)()

    def observe_write(self, change: LinkWrite) -> None:
        """Counts a link that a driver has written."""
        self._writes[change].inc()

    def observe_hand_over(self, result: HandOverResult) -> None:
        """Counts a hand-over that has ended at the old pod."""
        self._metrics.hand_overs.labels(self._namespace, result).inc()

    def observe_sent(self, size: int) -> None:
        """Counts the bytes of a state that another pod has taken."""
        self._metrics.state_bytes.labels(self._namespace, "sent").inc(size)

    def observe_received(self, size: int) -> None:
        """Counts the bytes of a state that this pod has taken."""
        self._metrics.state_bytes.labels(self._namespace, "received").inc(size)

    def observe_change(self, old: Link | None, new: Link | None) -> None:
        """Counts a change of a cached link, if the user has moved."""
        before, after = old and old.assigned_pod, new and new.assigned_pod
        if before is not None and after is not None and before != after:
            self._moves.inc()

    @contextmanager
    def following(self, driver: CachingDriver) -> Iterator[None]:
        """Exposes the state of the caches of a driver while the context lasts, in this process."""
        following = (self._namespace, driver, fork_count())
        self._metrics.caches.drivers.append(following)
        try:
            yield
        finally:
            self._metrics.caches.drivers.remove(following)


class _Caches:
    """Collects the state of the caches of the open drivers, by namespace.

    Attributes:
        drivers: the namespace and the process of each driver.
    """

    def __init__(self) -> None:
        self.drivers: list[tuple[str, CachingDriver, int]] = []

    def describe(self) -> "list[Metric]":
        """Returns the metrics without values, for the registry to find duplicates."""
        return list(self.collect())

    def collect(self) -> "Iterator[Metric]":
        from prometheus_client.metrics_core import GaugeMetricFamily  # noqa: PLC0415 - as above

        age = GaugeMetricFamily(
            "statefulroute_driver_cache_age_seconds",
            "Age of the oldest cache of the open ClientDrivers; without changes, the API server sends a bookmark about "
            "once a minute.",
            labels=("namespace",),
        )
        links = GaugeMetricFamily(
            "statefulroute_driver_cached_links",
            "Links in the caches of the open ClientDrivers.",
            labels=("namespace",),
        )
        ages: dict[str, float] = {}
        sizes: dict[str, int] = {}
        for namespace, driver, forks in tuple(self.drivers):
            if forks == fork_count():  # not one of the parent of this process
                ages[namespace] = max(ages.get(namespace, 0.0), driver.staleness_seconds)
                sizes[namespace] = sizes.get(namespace, 0) + driver.cached_links
        for namespace, seconds in ages.items():
            age.add_metric((namespace,), seconds)
            links.add_metric((namespace,), sizes[namespace])
        yield from (age, links)
