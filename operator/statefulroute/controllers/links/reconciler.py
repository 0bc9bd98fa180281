"""One link: gather, plan, apply."""

import structlog

from statefulroute.cluster.cache import Cache
from statefulroute.cluster.writes import LinkWriter
from statefulroute.controllers.links.counts import LinkCounts
from statefulroute.controllers.views import RouteViews
from statefulroute.domain.decision import Acknowledge, Bind, View, decide, is_settled
from statefulroute.domain.keys import LinkKey
from statefulroute.domain.link import Acknowledgement, Link

log = structlog.get_logger(__name__)


class LinkReconciler:
    """Brings a link to where the rules want it: at most one write of its spec, then one of its status."""

    def __init__(self, links: Cache[Link], views: RouteViews, counts: LinkCounts, writer: LinkWriter) -> None:
        self._links = links
        self._views = views
        self._counts = counts
        self._writer = writer

    async def reconcile(self, key: LinkKey) -> Acknowledgement | None:
        """Do what there is to do about a link now.

        Returns:
            What its status says then; None when there is no such link (any more).

        Raises:
            ClusterError: a write failed; what there is to do must be judged anew.
        """
        while (link := self._links.get(*key)) is not None and not link.deleting:
            match decide(View(link, self._views.get(key.route))):
                case Bind(pod_index):
                    with self._counts.reserved(key.route, pod_index):
                        await self._writer.bind(link, pod_index)
                case Acknowledge(said):
                    if not is_settled(link, said):
                        await self._writer.acknowledge(link, said)
                        log.debug("acknowledged", link=key.name, namespace=key.route.namespace, phase=said.phase)
                    return said
        return None
