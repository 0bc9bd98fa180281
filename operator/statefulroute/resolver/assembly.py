"""How the parts of the resolver are put together."""

from dataclasses import dataclass

from prometheus_client.registry import Collector

from statefulroute.cluster.client import Client
from statefulroute.monitoring.build import BuildMetrics
from statefulroute.monitoring.caches import CacheMetrics
from statefulroute.resolver.binding import Binder
from statefulroute.resolver.callers import Callers
from statefulroute.resolver.directory import Directory
from statefulroute.resolver.gate import Gate
from statefulroute.resolver.http.dispatcher import Dispatcher
from statefulroute.resolver.http.gateways import Gateways
from statefulroute.resolver.http.lookups import Lookups
from statefulroute.resolver.http.streams import Streams
from statefulroute.resolver.metrics import ResolverMetrics
from statefulroute.resolver.moves import Moves
from statefulroute.resolver.settings import Settings
from statefulroute.resolver.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that are run.

    Attributes:
        directory: what is known.
        binder: binds users.
        gate: picks pods for gateways.
        callers: lets callers in.
        dispatcher: answers over HTTP.
        metrics: counts answers.
        collectors: tell of them all.
    """

    directory: Directory
    binder: Binder
    gate: Gate
    callers: Callers
    dispatcher: Dispatcher
    metrics: ResolverMetrics
    collectors: tuple[Collector, ...]


def assemble(settings: Settings, client: Client) -> Parts:
    """Make the parts; none of them runs yet.

    Args:
        settings: how the resolver runs.
        client: how to reach the API server.
    """
    metrics = ResolverMetrics()
    directory = Directory(client, settings.namespaces)
    binder = Binder(
        client, directory, settings.bindings_per_second, temporary=settings.temporary_links, told=metrics.link
    )
    gate = Gate(directory, binder, settings.unknown_uid)
    moves = Moves(directory.links.cache)
    metrics.follow_streams(lambda: len(moves))
    audience = settings.token_audience
    tokens = None if audience is None else Tokens(client, audience, settings.allowed_users)
    callers = Callers(tokens, settings.requests_per_second)
    dispatcher = Dispatcher(
        Lookups(directory, binder),
        Streams(directory, moves),
        Gateways(directory, gate, settings.uid_sources, settings.endpoint_header),
        callers,
        metrics,
    )
    collectors = (BuildMetrics("resolver"), *metrics.collectors, CacheMetrics(directory.reflectors))
    return Parts(directory, binder, gate, callers, dispatcher, metrics, collectors)
