"""Hands users and slots over to other pods: calls a handler of the application for each, and then moves its link."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from http import HTTPStatus

from statefulroute.cluster.errors import APIError, ClusterError, is_outage
from statefulroute.domain.backoff import Backoff
from statefulroute.domain.errors import ContendedError, DeadlineExceededError, HandOverError, StatefulRouteError
from statefulroute.domain.keys import UidOrSlot
from statefulroute.domain.leaving import CommitResult
from statefulroute.driver.hand_over_results import HandOverResult
from statefulroute.driver.leaving import Departure
from statefulroute.driver.leaving_user import LeavingSlot, LeavingUser, StateSender
from statefulroute.driver.operations import Operations
from statefulroute.driver.parts import ServerParts, Users

#: The pauses between tries to commit while the API server is unavailable.
_BACKOFF = Backoff(initial_seconds=0.1, max_seconds=2.0, random=random.random)


#: Prepares the leaving of a user; the driver moves the user when it returns.
LeavingHandler = Callable[[LeavingUser], Awaitable[None]]

#: Prepares the leaving of a slot; the driver moves the slot when it returns.
SlotLeavingHandler = Callable[[LeavingSlot], Awaitable[None]]


class HandOvers:
    """The hand-overs of the users and slots of a pod.

    Args:
        parts: the parts of the driver.
        users: the users of the pod.
        operations: runs the hand-overs.
        sender: sends the states of users; None sends none.
        slots_of: returns the number of slots of a service; None if it has none.
        max_concurrent: how many handlers of users, and how many of slots, run at a time; further ones wait until their
            deadline.
        observe: called with the result of each; None counts nothing.
    """

    def __init__(  # noqa: PLR0913 - the parts of the driver
        self,
        parts: ServerParts,
        users: Users,
        operations: Operations,
        sender: StateSender | None = None,
        *,
        slots_of: Callable[[str], int | None],
        max_concurrent: int,
        observe: Callable[[HandOverResult], None] | None = None,
    ) -> None:
        self._links = parts.links
        self._origin = parts.server.pod
        self._users = users
        self._operations = operations
        self._sender = sender
        self._slots_of = slots_of
        self._turns = {kind: asyncio.Semaphore(max_concurrent) for kind in (str, int)}
        """Those of users, and those of slots: users do not wait behind slots, which take much longer."""
        self._observe = observe
        self._handler: LeavingHandler | None = None
        self._slot_handler: SlotLeavingHandler | None = None
        self._departures: dict[Departure, _Run | None] = {}
        """The users and slots to hand over, with those in progress."""
        self._ending: dict[tuple[str, UidOrSlot], set[asyncio.Task[None]]] = {}
        """The cancelled handlers that have not ended yet, by service, and by uid or slot."""
        self._withdrawals: set[asyncio.Task[None]] = set()

    def set_handler(self, handler: LeavingHandler | None) -> None:
        """Sets the handler for the users that are to be handed over now and later; None lets the operator move them."""
        self._handler = handler
        self._start_all()

    def set_slot_handler(self, handler: SlotLeavingHandler | None) -> None:
        """Sets the handler for slots, as `set_handler` does for users."""
        self._slot_handler = handler
        self._start_all()

    def begin(self, departure: Departure) -> None:
        """Hands a user or a slot over, if there is a handler."""
        self._departures[departure] = None
        self._start(departure)

    def end(self, departure: Departure) -> None:
        """Cancels the handler of a user or slot that has left, or whose hand-over was withdrawn."""
        run = self._departures.pop(departure, None)
        if run is not None and not run.is_committing:  # the API server decides whether a commit counts
            run.task.cancel()
            self._ending.setdefault(departure.key, set()).add(run.task)
            run.task.add_done_callback(partial(self._ended, departure.key))
        if departure.is_withdrawn and departure.sent_uid is not None and self._sender is not None:
            withdrawal = asyncio.create_task(self._withdraw(self._sender, departure))
            self._withdrawals.add(withdrawal)
            withdrawal.add_done_callback(self._withdrawals.discard)

    async def close(self) -> None:
        """Cancels the handlers, and waits for their end."""
        tasks = [run.task for run in self._departures.values() if run is not None]
        tasks += [*self._withdrawals, *(task for ending in self._ending.values() for task in ending)]
        self._departures.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start_all(self) -> None:
        for departure in tuple(self._departures):
            self._start(departure)

    def _start(self, departure: Departure) -> None:
        call = self._call_of(departure)
        if call is None or self._departures.get(departure) is not None:
            return
        run = _Run()
        run.task = asyncio.create_task(self._hand_over(departure, call, run))
        self._departures[departure] = run
        run.task.add_done_callback(lambda _: self._finished(departure))

    def _call_of(self, departure: Departure) -> Callable[[], Awaitable[None]] | None:
        """Returns a function that calls the handler; None if there is none."""
        service, bound, to, deadline = departure.service, departure.bound, departure.hand_over.pod, departure.deadline
        send = None if self._sender is None else partial(self._sender.send, departure)
        if isinstance(bound, str):
            if self._handler is None:
                return None
            return partial(self._handler, LeavingUser(service, bound, to, deadline, send and partial(send, bound)))
        if self._slot_handler is None:
            return None
        return partial(self._slot_handler, LeavingSlot(service, bound, to, deadline, self._slots_of(service), send))

    def _finished(self, departure: Departure) -> None:
        if departure in self._departures:
            self._departures[departure] = None

    def _ended(self, key: tuple[str, UidOrSlot], task: asyncio.Task[None]) -> None:
        ending = self._ending[key]
        ending.remove(task)
        if not ending:
            del self._ending[key]

    async def _hand_over(self, departure: Departure, call: Callable[[], Awaitable[None]], run: "_Run") -> None:
        result, turns = HandOverResult.FAILED, self._turns[type(departure.bound)]
        try:
            async with asyncio.timeout_at(departure.ends_at):
                if previous := self._ending.get(departure.key):
                    await asyncio.wait(set(previous))
                await turns.acquire()
            try:
                result = await self._run(departure, call, run)
            finally:
                turns.release()
        except TimeoutError:
            result = HandOverResult.TIMED_OUT
        except StatefulRouteError:
            pass  # the operation has logged it
        except asyncio.CancelledError:
            if not departure.has_ended:
                raise
            result = _result_of_end(departure)  # it was waiting for its turn
        if self._observe is not None:
            self._observe(result)

    async def _withdraw(self, sender: StateSender, departure: Departure) -> None:
        """Tells the new pod that the user will perhaps not arrive: otherwise it notices that after the deadline."""
        with suppress(HandOverError, TimeoutError):
            async with asyncio.timeout_at(max(departure.ends_at, asyncio.get_running_loop().time() + 1.0)):
                await sender.withdraw(departure)

    async def _run(self, departure: Departure, call: Callable[[], Awaitable[None]], run: "_Run") -> HandOverResult:
        service, to = departure.service, departure.hand_over.pod
        with self._operations.run("hand_over", service=service, **departure.fields, to=to) as outcome:
            try:
                await call()
            except asyncio.CancelledError:
                if not departure.has_ended:
                    raise
            except Exception as error:
                _report(error)
                raise HandOverError(f"the handler of leaving users has failed: {type(error).__name__}") from error
            run.is_committing = True
            result = await self._commit(departure)
            outcome.add(result=result)
            return result

    async def _commit(self, departure: Departure) -> HandOverResult:
        """Moves the link to the new pod; tries until it is known whether that was done, or until it has moved."""
        failures, refusal = 0, None
        while not departure.has_ended:
            link = self._users.get(*departure.key)
            if link is None:
                break
            try:
                result = await self._links.commit_hand_over(link, self._origin, departure.hand_over)
                return _RESULTS[result]
            except (ClusterError, StatefulRouteError) as error:
                refusal = error if _is_refusal(error) else None
                if not _may_retry(error) and (refusal is None or departure.ends_at < asyncio.get_running_loop().time()):
                    raise
            await asyncio.sleep(_BACKOFF.delay(failures))
            failures += 1
        if refusal is not None and not departure.is_withdrawn:
            raise refusal
        return _result_of_end(departure)


class _Run:
    """A hand-over in progress.

    Attributes:
        task: runs it.
        is_committing: whether the handler has returned.
    """

    task: asyncio.Task[None]

    def __init__(self) -> None:
        self.is_committing = False


_RESULTS = {
    CommitResult.COMMITTED: HandOverResult.COMMITTED,
    CommitResult.MOVED: HandOverResult.TIMED_OUT,
    CommitResult.WITHDRAWN: HandOverResult.WITHDRAWN,
}


def _result_of_end(departure: Departure) -> HandOverResult:
    return HandOverResult.WITHDRAWN if departure.is_withdrawn else HandOverResult.TIMED_OUT


def _may_retry(error: Exception) -> bool:
    return isinstance(error, DeadlineExceededError | ContendedError) or (
        isinstance(error, ClusterError) and is_outage(error)
    )


def _is_refusal(error: Exception) -> bool:
    """Returns whether a right is missing, perhaps only for now: an API server that has just started knows no rights."""
    return isinstance(error, APIError) and error.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


def _report(error: Exception) -> None:
    """Passes the exception of a handler to the exception handler of the event loop, which logs its traceback."""
    context = {"message": "a handler of a server driver has failed", "exception": error}
    asyncio.get_running_loop().call_exception_handler(context)
