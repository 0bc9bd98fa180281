"""The notebooks of a pod: each is linked to this pod by its handle, and takes its lines along to the next pod.

A request is about one notebook, and finds it in one of three states:

- It is here. The request is counted, so that a hand-over waits for its end.
- It is handed over, or has been sent here and is not linked to this pod yet. The request waits.
- It has just left. The request is for the pod that has it now: gateways learn of a hand-over some milliseconds later.
"""

import asyncio
import json
import logging
import secrets
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from statefulroute import (
    Address,
    ArrivalCancelled,
    ArrivingUser,
    EventsLost,
    HandOverError,
    LeaveReason,
    LeavingUser,
    ServerDriver,
    ServerEvent,
    ServerInformation,
    StatefulRouteError,
    UserArrived,
    UserLeft,
    UserStaying,
)

log = logging.getLogger(__name__)

#: A notebook that is not used for this time is over. The resolver renews the links of notebooks that are used.
IDLE_SECONDS = 1800

#: How long requests are passed on to the pod that a notebook has left for: longer than a gateway may be behind.
PASS_ON_SECONDS = 60.0

#: How long a request waits for the end of a hand-over: longer than the route's `handOver.timeoutSeconds`.
WAIT_SECONDS = 40.0

RETRY_SECONDS = 0.5


@dataclass
class Notebook:
    """A notebook.

    Attributes:
        lines: what the agent has written.
        requests: how many requests use it at present.
        is_open: set while requests may use it: not during a hand-over.
        is_idle: set while no request uses it.
    """

    lines: list[str] = field(default_factory=list)
    requests: int = 0
    is_open: asyncio.Event = field(default_factory=asyncio.Event)
    is_idle: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.is_open.set()
        self.is_idle.set()


class Notebooks:
    """The notebooks of this pod.

    Args:
        driver: the driver of the pod, which follows its users.
        server: the identity of the pod.
    """

    def __init__(self, driver: ServerDriver, server: ServerInformation) -> None:
        self.pod = server.pod_name
        self._driver = driver
        self._server = server
        self._notebooks: dict[str, Notebook] = {}
        self._opening: set[str] = set()
        """Those that may not be linked yet."""
        self._arriving: dict[str, tuple[Notebook, int]] = {}
        """Those that other pods have sent, and that are not linked to this pod yet, with their numbers."""
        self._left_at: dict[str, float] = {}
        """When notebooks have left for other pods, in monotonic seconds."""
        self._tasks: set[asyncio.Task[None]] = set()
        driver.on_leaving(self._send)
        driver.on_arriving(self._receive)
        driver.listen(self._handle)

    # Requests.

    async def open(self) -> str:
        """Opens a notebook, links it to this pod, and returns its handle.

        Raises:
            StatefulRouteError: it cannot be linked: without a link, no later request would find it.
        """
        handle = secrets.token_hex(16)  # whoever knows it can use the notebook, so nobody may guess it
        self._notebooks[handle] = Notebook()
        self._opening.add(handle)
        try:
            await self._driver.set_linked_pod(
                self._server.namespace, handle, self._server.service, self._server.pod, ttl_seconds=IDLE_SECONDS
            )
        except BaseException:
            self._notebooks.pop(handle, None)
            self._start(self._release(handle))  # the link may have been written all the same
            raise
        finally:
            self._opening.discard(handle)
        return handle

    async def close(self, handle: str) -> None:
        """Removes the link of a notebook, and the notebook.

        Raises:
            StatefulRouteError: the link cannot be removed; the notebook stays.
        """
        await self._driver.remove_linked_pod_with_id(
            self._server.namespace, handle, self._server.service, self._server.pod
        )
        self._notebooks.pop(handle, None)

    def get(self, handle: str) -> Notebook | None:
        """Returns a notebook that is here; None if it is not."""
        return self._notebooks.get(handle)

    @asynccontextmanager
    async def using(self, handle: str) -> AsyncIterator[bool]:
        """Keeps a notebook here while the context lasts, and yields whether it is here; waits for its hand-over.

        Raises:
            TimeoutError: a hand-over takes too long.
        """
        async with asyncio.timeout(WAIT_SECONDS):
            notebook = await self._settled(handle)
        if notebook is None:
            yield False
            return
        notebook.requests += 1
        notebook.is_idle.clear()
        try:
            yield True
        finally:
            notebook.requests -= 1
            if not notebook.requests:
                notebook.is_idle.set()

    async def next_address(self, handle: str) -> Address | None:
        """Returns the address of the pod for which a notebook has just left; None if it has not, or has ended.

        Raises:
            StatefulRouteError: the address cannot be read, or the pod serves nobody at present.
        """
        now = time.monotonic()
        self._left_at = {each: at for each, at in self._left_at.items() if now - at < PASS_ON_SECONDS}
        if handle not in self._left_at:
            return None
        address = await self._driver.address_of(self._server.namespace, handle, self._server.service)
        return None if address is None or address.pod == self._server.pod_name else address

    async def release_all(self) -> None:
        """Removes the links of all notebooks: the pod ends before it could hand them over, and they end with it."""
        for handle in tuple(self._notebooks):
            with suppress(StatefulRouteError):
                await self.close(handle)

    async def _settled(self, handle: str) -> Notebook | None:
        """Waits while a notebook is handed over; returns it if it is here then."""
        while (notebook := self._find(handle)) is not None and not notebook.is_open.is_set():
            await notebook.is_open.wait()
        return notebook

    def _find(self, handle: str) -> Notebook | None:
        arriving, _ = self._arriving.get(handle, (None, 0))
        return self._notebooks.get(handle, arriving)

    # Hand-overs.

    async def _send(self, leaving: LeavingUser) -> None:
        """Sends a notebook to another pod. When this returns, the driver links it to that pod."""
        notebook = self._notebooks.get(leaving.uid)
        if notebook is None:
            return
        notebook.is_open.clear()  # what a request changed from now on would be lost
        try:
            await notebook.is_idle.wait()
            while not await _is_sent(leaving, notebook):  # noqa: ASYNC110 - nothing says when it may succeed
                await asyncio.sleep(RETRY_SECONDS)  # the other pod may be restarting; at the deadline this is cancelled
        except asyncio.CancelledError:  # the notebook stays, or goes to yet another pod
            notebook.is_open.set()
            raise

    async def _receive(self, arriving: ArrivingUser) -> None:
        """Keeps a notebook that another pod has sent. When this returns, that pod lets the notebook go."""
        notebook = Notebook(json.loads(await arriving.read()))
        notebook.is_open.clear()
        self._forget_arrival(arriving.uid)
        self._arriving[arriving.uid] = notebook, arriving.number

    def _handle(self, event: ServerEvent) -> None:
        match event:
            case UserArrived(uid=uid):
                self._arrive(uid)
            case UserLeft(uid=uid, reason=LeaveReason.MISSED) if self._is_only_here(uid):
                pass  # its link was renewed, for example; its arrival follows
            case UserLeft(uid=uid):
                self._leave(uid)
            case UserStaying(uid=uid) if uid in self._notebooks:
                self._notebooks[uid].is_open.set()
            case ArrivalCancelled(uid=uid, number=number):
                if uid in self._arriving and self._arriving[uid][1] == number:  # else, a newer one is here
                    self._forget_arrival(uid)
            case EventsLost():
                self._compare()

    def _arrive(self, handle: str) -> None:
        """Opens a notebook as another pod has sent it."""
        self._left_at.pop(handle, None)
        if handle in self._notebooks:  # this pod has opened it
            return
        if handle in self._arriving:
            notebook, _ = self._arriving.pop(handle)
            self._notebooks[handle] = notebook
            notebook.is_open.set()
        else:  # its pod was lost, or there never was such a notebook: no pod has its lines
            self._start(self._release(handle))

    def _is_only_here(self, handle: str) -> bool:
        """Returns whether no other pod can have a newer version of a notebook of this pod."""
        notebook = self._notebooks.get(handle)
        return notebook is not None and notebook.is_open.is_set() and handle not in self._arriving

    def _leave(self, handle: str) -> None:
        notebook = self._notebooks.pop(handle, None)
        if notebook is not None:
            self._left_at[handle] = time.monotonic()
            notebook.is_open.set()  # the requests that wait look again, and are passed on

    def _compare(self) -> None:
        """Compares the notebooks with the links of this pod, after events were lost."""
        for handle in [*self._arriving]:  # one of them may have been cancelled
            self._forget_arrival(handle)
        for handle in self._notebooks.keys() - self._opening - set(self._driver.users()):
            self._leave(handle)
        for handle in self._driver.users():
            self._arrive(handle)

    def _forget_arrival(self, handle: str) -> None:
        notebook, _ = self._arriving.pop(handle, (None, 0))
        if notebook is not None:
            notebook.is_open.set()

    async def _release(self, handle: str) -> None:
        """Removes the link of a notebook that no pod has."""
        with suppress(StatefulRouteError):  # without the API server, the link ends by itself
            await self.close(handle)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _is_sent(leaving: LeavingUser, notebook: Notebook) -> bool:
    """Sends a notebook; returns whether the other pod has it."""
    try:
        await leaving.send(json.dumps(notebook.lines).encode())
    except HandOverError as error:
        log.warning("a notebook is not handed over yet: %s", error)  # without its handle, which nobody else may know
        return False
    return True
