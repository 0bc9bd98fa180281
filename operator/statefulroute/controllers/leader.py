"""The work of the leader: one asyncio program, in which kopf handles edits, and a scheduler and work queues the rest.

It starts when this operator has acquired the Lease, and ends with it. The caches, the metrics and the process remain,
so that this operator stands by as before, and may lead again.
"""

import asyncio
from collections.abc import Callable
from typing import NoReturn

import structlog

from statefulroute.cluster.request_metrics import RequestObserver
from statefulroute.controllers.assembly import Components
from statefulroute.controllers.leadership import Leadership, LeadershipLostError
from statefulroute.controllers.lean_kopf import kopf
from statefulroute.controllers.routes.kopf_run import KopfRun
from statefulroute.controllers.routes.session import login_with
from statefulroute.controllers.settings import Settings
from statefulroute.controllers.stop_signal import StopSignal

log = structlog.get_logger(__name__)

#: How many requests kopf sends at the same time; the session that kopf makes by default has no limit.
_KOPF_CONNECTIONS = 16

#: How long the work may take to end after the Lease was lost. Writes of statuses have five seconds.
_END_SECONDS = 30.0

#: How long this operator leaves the Lease to others after its work has failed.
_PAUSE_SECONDS = 5.0


class Leader:
    """Works while this operator leads.

    Args:
        settings: the settings of the operator.
        leadership: whether this operator leads.
        components: the components that work.
        observer: called with every request of kopf.
        kill: ends the process at once; called when the Lease is lost and the work does not end.
    """

    def __init__(
        self,
        settings: Settings,
        leadership: Leadership,
        components: Components,
        observer: RequestObserver,
        kill: Callable[[], NoReturn],
    ) -> None:
        self._settings = settings
        self._leadership = leadership
        self._components = components
        self._observer = observer
        self._kill = kill

    async def work(self, stop: StopSignal) -> None:
        """Works until the operator is stopped, the Lease is lost or the work fails. Then, all work has ended.

        The work starts again when etcd was restored from a backup: kopf would not see the restored routes.
        """
        renewing = asyncio.create_task(self._renew())
        is_replaced, failure = await self._work(stop, renewing)
        while is_replaced and not renewing.done():
            is_replaced, failure = await self._work(stop, renewing)
        is_lost = renewing.done()
        renewing.cancel()
        await asyncio.wait([renewing])
        if is_lost:
            if failure is not None:
                log.warning("the work has ended with an error after the Lease was lost", exc_info=failure)
            return
        if failure is None:
            await self._leadership.release()
            return
        log.error("the work has failed: another operator may lead", exc_info=failure)
        await self._leadership.resign()
        await stop.comes_before(asyncio.sleep(_PAUSE_SECONDS))

    async def _renew(self) -> None:
        """Renews the Lease until it is lost."""
        try:
            await self._leadership.renew()
        except LeadershipLostError as error:
            log.warning("lost the Lease: standing by", why=str(error))

    async def _work(self, stop: StopSignal, renewing: asyncio.Task[None]) -> tuple[bool, BaseException | None]:
        """Reconciles links and routes until the end; then stops the work on links first, and kopf last.

        Returns:
            Whether the work has ended because the cached routes were replaced, and the error that has ended it, if any.
        """
        routes = self._components.informers.routes
        routes.clear_replaced()
        links, scheduler = self._components.links, self._components.scheduler
        recorder, expiry = self._components.recorder, self._components.expiry
        links.start()
        self._components.losses.start()
        scheduler.start()
        disruptions = self._components.disruptions
        if disruptions is not None:
            disruptions.start()
        self._components.slots.start()
        kopf_run = KopfRun(self._registry(), self._settings.namespaces, on_start=stop.listen)
        parts = (self._run_kopf(kopf_run), expiry.run(), recorder.run())
        kopf_task, *background = working = [asyncio.create_task(part) for part in parts]
        stopping, replacing = asyncio.create_task(stop.wait()), asyncio.create_task(routes.wait_replaced())
        await asyncio.wait({*working, renewing, stopping, replacing}, return_when=asyncio.FIRST_COMPLETED)
        is_replaced = replacing.done() and not stopping.done()
        for waiting in (stopping, replacing):
            waiting.cancel()
        deadline = asyncio.get_running_loop().call_later(_END_SECONDS, self._kill) if renewing.done() else None
        await asyncio.gather(links.stop(), scheduler.stop())
        if disruptions is not None:
            await disruptions.stop()
        await self._components.slots.stop()
        await self._components.losses.stop()
        kopf_run.stop()
        await asyncio.wait([kopf_task])
        await recorder.shut_down()  # the Lease is released when no request is in flight
        for task in background:
            task.cancel()
        await asyncio.wait(background)
        if deadline is not None:
            deadline.cancel()
        failure = next((error for task in working if not task.cancelled() and (error := task.exception())), None)
        return is_replaced and failure is None, failure

    async def _run_kopf(self, kopf_run: KopfRun) -> None:
        """Runs kopf after the work on all routes has started: the links of all come before the edits of few."""
        if await self._components.scheduler.wait_started():
            await kopf_run.run()

    def _registry(self) -> kopf.OperatorRegistry:
        """Returns the handlers that kopf calls."""
        registry = kopf.OperatorRegistry()
        connections = _KOPF_CONNECTIONS + len(self._settings.namespaces)
        kopf.on.login(registry=registry)(login_with(self._leadership.connection, connections, self._observer))
        self._components.routes.register(registry)
        return registry
