"""How the parts of the resolver are put together."""

from dataclasses import dataclass

from prometheus_client.registry import Collector

from statefulroute.cluster.client import Client
from statefulroute.monitoring.build import BuildMetrics
from statefulroute.monitoring.caches import CacheMetrics
from statefulroute.resolver.authenticator import Authenticator
from statefulroute.resolver.binder import Binder
from statefulroute.resolver.cache import ResolverCache
from statefulroute.resolver.endpoint_picker import EndpointPicker
from statefulroute.resolver.http.dispatcher import Dispatcher
from statefulroute.resolver.http.ext_authz import ExtAuthz
from statefulroute.resolver.http.lookups import Lookups
from statefulroute.resolver.http.streams import MoveStreams
from statefulroute.resolver.metrics import ResolverMetrics
from statefulroute.resolver.move_broadcaster import MoveBroadcaster
from statefulroute.resolver.settings import Settings
from statefulroute.resolver.token_reviewer import TokenReviewer


@dataclass(frozen=True, slots=True)
class ResolverParts:
    """The parts that are run.

    Attributes:
        cache: what is known.
        binder: binds users.
        picker: picks pods for gateways.
        authenticator: lets callers in.
        dispatcher: answers over HTTP.
        metrics: counts answers.
        collectors: tell of them all.
    """

    cache: ResolverCache
    binder: Binder
    picker: EndpointPicker
    authenticator: Authenticator
    dispatcher: Dispatcher
    metrics: ResolverMetrics
    collectors: tuple[Collector, ...]


def assemble(settings: Settings, client: Client) -> ResolverParts:
    """Make the parts; none of them runs yet.

    Args:
        settings: how the resolver runs.
        client: how to reach the API server.
    """
    metrics = ResolverMetrics()
    directory = ResolverCache(client, settings.namespaces)
    binder = Binder(
        client,
        directory,
        settings.bindings_per_second,
        temporary=settings.temporary_links,
        on_result=metrics.count_link,
    )
    gate = EndpointPicker(directory, binder, settings.unlinked_uid)
    moves = MoveBroadcaster(directory.links.cache)
    metrics.track_streams(lambda: len(moves))
    audience = settings.token_audience
    tokens = None if audience is None else TokenReviewer(client, audience, settings.allowed_users)
    callers = Authenticator(tokens, settings.requests_per_second)
    dispatcher = Dispatcher(
        Lookups(directory, binder),
        MoveStreams(directory, moves),
        ExtAuthz(directory, gate, settings.uid_sources, settings.endpoint_header),
        callers,
        metrics,
    )
    collectors = (BuildMetrics("resolver"), *metrics.collectors, CacheMetrics(directory.reflectors))
    return ResolverParts(directory, binder, gate, callers, dispatcher, metrics, collectors)
