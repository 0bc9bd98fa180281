"""The application of a pod: keeps the state of its users in memory, writes it to a store, and hands it over."""

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from hand_over.record import Answered, Damaged, Loaded, Writer
from hand_over.state import State
from hand_over.store import StaleTokenError, StoreClient
from statefulroute import (
    ArrivalCancelled,
    ArrivingUser,
    EventsLost,
    HandOverError,
    LeavingUser,
    ServerDriver,
    ServerEvent,
    UserArrived,
    UserLeft,
    UserNotHeldError,
    UserStaying,
)

#: How long a request waits for a user who arrives or leaves.
_PATIENCE_SECONDS = 1.0


class NotHereError(Exception):
    """The user is at another pod, or about to be."""


@dataclass(slots=True)
class Session:
    """A user of this pod.

    Attributes:
        state: the state.
        token: the token that the state was opened with.
        is_leaving: whether the user is handed over: then nothing is written.
        lock: serializes the writes.
    """

    state: State
    token: int
    is_leaving: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Application:
    """Takes the writes of the users of a pod.

    Args:
        pod: the index of the pod.
        driver: the driver of the pod, which follows its users.
        store: the store.
        write: records what happens.

    Attributes:
        sessions: the users whose state this pod has.
    """

    def __init__(self, pod: int, driver: ServerDriver, store: StoreClient, write: Writer) -> None:
        self.pod = pod
        self.sessions: dict[str, Session] = {}
        self._driver = driver
        self._store = store
        self._record = write
        self._prepared: dict[str, tuple[State, int]] = {}
        """The states of users who are about to arrive."""
        self._leaving: set[str] = set()
        """The users for whom a handler runs."""
        self._changes: dict[str, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        driver.on_leaving(self.leave)
        driver.on_arriving(self.arrive)
        driver.listen(self.handle)

    async def write(self, uid: str, number: int) -> Answered:
        """Writes for a user.

        Raises:
            NotHereError: the user is at another pod, or about to be.
        """
        sent = time.monotonic()
        session = await self._settled_session(uid)
        async with session.lock:
            if session.is_leaving or self.sessions.get(uid) is not session:
                raise NotHereError(uid)
            if number < session.state.number:  # a request of a user who has asked again since
                raise NotHereError(uid)
            state = session.state.after(number)
            try:
                await self._store.write(state, self.pod, session.token)
            except StaleTokenError:
                self._lose(uid, session)
                raise NotHereError(uid) from None
            session.state = state
        return Answered(at=time.monotonic(), uid=uid, pod=self.pod, number=state.number, digest=state.digest, sent=sent)

    async def leave(self, leaving: LeavingUser) -> None:
        """Writes nothing for the user from now on, and sends the state."""
        uid = leaving.uid
        self._leaving.add(uid)
        try:
            while (session := self.sessions.get(uid)) is None:
                await self._change_of(uid)
            async with session.lock:
                session.is_leaving = True
            await leaving.send(session.state.encode())
        except HandOverError:
            pass  # the other pod reads it from the store
        except asyncio.CancelledError:
            if uid in self.sessions:
                self.sessions[uid].is_leaving = False
                self._notify(uid)
            raise
        finally:
            self._leaving.remove(uid)

    async def arrive(self, arriving: ArrivingUser) -> None:
        """Keeps the state of a user who is about to arrive."""
        try:
            self._prepared[arriving.uid] = State.decode(await arriving.read()), arriving.number
        except ValueError as error:
            self._record(Damaged(at=time.monotonic(), uid=arriving.uid, pod=self.pod, error=str(error)))
            raise

    def handle(self, event: ServerEvent) -> None:
        """Follows the users of the pod."""
        match event:
            case UserArrived(uid=uid):
                self._start(self.load(uid))
            case UserStaying(uid=uid):
                if uid in self.sessions and uid not in self._leaving:  # the next hand-over may have begun
                    self.sessions[uid].is_leaving = False
                    self._notify(uid)
            case UserLeft(uid=uid):
                self.sessions.pop(uid, None)
                self._notify(uid)
            case ArrivalCancelled(uid=uid, number=number):
                if uid in self._prepared and self._prepared[uid][1] == number:  # else, a newer one is here
                    del self._prepared[uid]
            case EventsLost():
                self.sessions.clear()
                for uid in self._driver.users():
                    self._start(self.load(uid))

    async def load(self, uid: str) -> None:
        """Opens the state of a user who has arrived: the one that the previous pod has sent, if it is the last one."""
        prepared, _ = self._prepared.pop(uid, (None, 0))
        try:
            token = self._driver.token(uid)
            stored = await self._store.open(uid, self.pod, token)
            self._driver.token(uid)
        except (UserNotHeldError, StaleTokenError):
            return  # the user has left already, and the next event says so
        is_transferred = prepared == stored
        self._record(
            Loaded(at=time.monotonic(), uid=uid, pod=self.pod, number=stored.number, is_transferred=is_transferred)
        )
        self.sessions[uid] = Session(stored if prepared is None or not is_transferred else prepared, token)
        self._notify(uid)

    def _lose(self, uid: str, session: Session) -> None:
        """Forgets a session whose token is stale; if the pod holds the user again, the state is opened again."""
        if self.sessions.get(uid) is session:
            del self.sessions[uid]
            self._notify(uid)
            if uid in self._driver.users():
                self._start(self.load(uid))

    async def _settled_session(self, uid: str) -> Session:
        """Returns the session of a user; waits for a user who arrives or leaves."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while (session := self.sessions.get(uid)) is None or session.is_leaving:
                    if session is None and uid not in self._prepared and uid not in self._driver.users():
                        raise NotHereError(uid)
                    await self._change_of(uid)
        except TimeoutError:
            raise NotHereError(uid) from None
        return session

    async def _change_of(self, uid: str) -> None:
        await self._changes.setdefault(uid, asyncio.Event()).wait()

    def _notify(self, uid: str) -> None:
        if (changed := self._changes.pop(uid, None)) is not None:
            changed.set()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
