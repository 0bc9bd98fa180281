"""Runs kopf, once for each time that this operator leads."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from statefulroute.api.group import FINALIZER
from statefulroute.cluster.lease import new_identity
from statefulroute.controllers.lean_kopf import kopf
from statefulroute.controllers.routes.persistence import GenerationStorage, NoProgressStorage

#: How kopf names the tasks that its own tasks start: watches of routes and their pauses, handlers of one route, and
#: daemons, if a handler is registered as one.
_CHILDREN = ("watcher for ", "pause-waiter for ", "worker for ", "runner of ")

#: How many routes kopf lists at a time.
_PAGE_SIZE = 500

#: How long such a task may take to end after it was cancelled, before it is cancelled again.
_CHILD_SECONDS = 5.0


class KopfRun:
    """One run of kopf. When it has ended, all tasks of kopf have.

    `kopf.run_tasks` would at its end also cancel the tasks of the event loop that kopf has not created, for example
    those of reflectors.

    Args:
        registry: the handlers that kopf calls.
        namespaces: the namespaces to watch; none is the whole cluster.
        on_start: called when kopf has installed its handlers of signals.
    """

    def __init__(
        self, registry: kopf.OperatorRegistry, namespaces: Sequence[str], on_start: Callable[[], None]
    ) -> None:
        self._registry = registry
        self._namespaces = namespaces
        self._on_start = on_start
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Asks kopf to stop; then `run` returns."""
        self._stop.set()

    async def run(self) -> None:
        """Runs kopf until it is asked to stop, which may be before it starts.

        Raises:
            Exception: the error that has stopped kopf.
        """
        if self._stop.is_set():
            return
        is_ready = asyncio.Event()
        # The type is kopf's own and not public. Without an identity, kopf reads the user's name, which a user id that
        # a platform assigns does not have; the Lease decides which operator works.
        identity: Any = new_identity()
        tasks = await kopf.spawn_tasks(
            registry=self._registry,
            settings=kopf_settings(),
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
            standalone=True,
            identity=identity,
            ready_flag=is_ready,
        )
        self._on_start()
        for event in (is_ready, self._stop):  # kopf warns if it is stopped before it is ready
            waiting = asyncio.create_task(event.wait())
            await asyncio.wait({waiting, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
        for task in tasks:
            task.cancel()  # no-op for a task that has ended
        await asyncio.wait(tasks)
        await _end_children()
        for task in tasks:
            if not task.cancelled():
                task.result()


async def _end_children() -> None:
    """Ends the tasks that kopf's own tasks have left behind.

    A route that is handled while kopf ends gets daemons that kopf does not stop, and after an error in one namespace,
    the watches of the others go on.
    """
    while children := [task for task in asyncio.all_tasks() if task.get_name().startswith(_CHILDREN)]:
        for child in children:
            child.cancel()
        await asyncio.wait(children, timeout=_CHILD_SECONDS)


def kopf_settings() -> kopf.OperatorSettings:
    """Returns the settings of kopf: no events, no peering, and no mark on a route but in its status."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True  # the kinds are known, so their definitions are not watched
    settings.persistence.finalizer = FINALIZER
    settings.persistence.diffbase_storage = GenerationStorage()
    settings.persistence.progress_storage = NoProgressStorage()
    settings.watching.chunk_size = _PAGE_SIZE
    settings.queueing.idle_timeout = 0.1  # the task for a route ends soon after its events
    settings.networking.error_backoffs = (
        0.1,
        0.3,
        1,
        2,
        3,
        *(5,) * 10,
    )  # a lasting error is retried every five seconds
    settings.process.ultimate_exiting_timeout = None  # kopf does not kill the process, which finishes its work
    return settings
