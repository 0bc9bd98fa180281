"""Assembles the components of the resolver."""

from dataclasses import dataclass

from prometheus_client.registry import Collector

from statefulroute.cluster.client import Client
from statefulroute.cluster.clock import process_clock
from statefulroute.cluster.token_reviewer import TokenReviewer
from statefulroute.monitoring.build import BuildMetrics
from statefulroute.monitoring.caches import CacheMetrics
from statefulroute.monitoring.clock import ClockMetrics
from statefulroute.resolver.authenticator import Authenticator
from statefulroute.resolver.binder import Binder
from statefulroute.resolver.cache import ResolverCache
from statefulroute.resolver.endpoint_picker import EndpointPicker
from statefulroute.resolver.http.changes import Changes
from statefulroute.resolver.http.dispatcher import Dispatcher
from statefulroute.resolver.http.ext_authz import ExtAuthz
from statefulroute.resolver.http.lookups import Lookups
from statefulroute.resolver.http.streams import MoveStreams
from statefulroute.resolver.link_changes import LinkChanges
from statefulroute.resolver.lookup_holder import LookupHolder
from statefulroute.resolver.metrics import ResolverMetrics
from statefulroute.resolver.move_broadcaster import MoveBroadcaster
from statefulroute.resolver.response_linker import ResponseLinker
from statefulroute.resolver.settings import Settings
from statefulroute.resolver.token_authenticator import TokenAuthenticator


@dataclass(frozen=True, slots=True)
class ResolverComponents:
    """The components of the resolver.

    Attributes:
        cache: caches links, routes and endpoints.
        binder: binds users.
        holder: holds requests of users whose links have no pods; None holds none.
        picker: picks pods for gateways.
        linker: links the uids that responses name; None reads no responses.
        authenticator: authenticates callers and limits their rates.
        dispatcher: handles HTTP requests.
        metrics: counts responses.
        collectors: the metrics of all components.
    """

    cache: ResolverCache
    binder: Binder
    holder: LookupHolder | None
    picker: EndpointPicker
    linker: ResponseLinker | None
    authenticator: Authenticator
    dispatcher: Dispatcher
    metrics: ResolverMetrics
    collectors: tuple[Collector, ...]


def assemble(settings: Settings, client: Client) -> ResolverComponents:
    """Creates the components, and starts none of them.

    Args:
        settings: the resolver's settings.
        client: the client of the API server.
    """
    metrics = ResolverMetrics()
    cache = ResolverCache(
        client,
        settings.namespaces,
        client.expiry_clock.now,
        max_age_seconds=settings.max_age_seconds,
        on_too_old=metrics.count_too_old,
    )
    binder = Binder(
        client,
        cache,
        settings.bindings_per_second,
        temporary=settings.temporary_links,
        keep_managed_fields=settings.keep_managed_fields,
        expiry_clock=client.expiry_clock.interval,
        on_result=metrics.count_link,
    )
    holder = _holder(settings, cache, binder, metrics)
    header = settings.uid_from_response
    linker = None if header is None else ResponseLinker(cache, binder, header, metrics.count_link)
    picker = EndpointPicker(cache, binder, settings.unlinked_uid, holder, confirms_absence=linker is not None)
    moves = MoveBroadcaster(cache.links.cache)
    metrics.track_streams(lambda: len(moves))
    authenticator = Authenticator(_token_authenticator(settings, client), settings.requests_per_second)
    changes = LinkChanges(
        cache,
        binder,
        is_allowed=settings.link_changes,
        clock=client.expiry_clock.interval,
        on_result=metrics.count_link,
    )
    dispatcher = Dispatcher(
        lookups=Lookups(cache, binder, authenticator, holder),
        changes=Changes(cache, changes),
        streams=MoveStreams(cache, moves),
        ext_authz=ExtAuthz(cache, picker, settings.uid_sources, settings.endpoint_header),
        authenticator=authenticator,
        metrics=metrics,
        holds=holder is not None,
    )
    collectors = (
        BuildMetrics("resolver"),
        *metrics.collectors,
        CacheMetrics(cache.reflectors),
        ClockMetrics(process_clock),
    )
    return ResolverComponents(cache, binder, holder, picker, linker, authenticator, dispatcher, metrics, collectors)


def _token_authenticator(settings: Settings, client: Client) -> TokenAuthenticator | None:
    if settings.token_audience is None:
        return None
    return TokenAuthenticator(TokenReviewer(client, settings.token_audience), settings.allowed_users)


def _holder(settings: Settings, cache: ResolverCache, binder: Binder, metrics: ResolverMetrics) -> LookupHolder | None:
    if not settings.hold_seconds:
        return None
    holder = LookupHolder(
        cache,
        binder,
        settings.hold_seconds,
        settings.max_held,
        on_end=metrics.observe_hold,
        on_refused=metrics.count_hold_refusal,
    )
    metrics.track_held(lambda: len(holder))
    return holder
