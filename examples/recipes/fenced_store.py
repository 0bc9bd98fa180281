"""A server that keeps a notebook of each user, and a store that refuses the writes of a pod that lost the user.

A pod that is cut off from the API server does not learn that its user was moved to another pod. So a pod takes the
driver's token when it reads the state of a user, and sends it with each write of that state. The store refuses a token
that is smaller than the greatest it has seen.

pip install statefulroute
python fenced_store.py     # in a pod of the StatefulSet
"""

import asyncio
import logging
import signal
import sqlite3
from contextlib import closing
from dataclasses import dataclass

from statefulroute import (
    Configuration,
    CutOff,
    EventsLost,
    Reconnected,
    ServerDriver,
    ServerEvent,
    UserArrived,
    UserLeft,
    UserNotHeldError,
)

log = logging.getLogger(__name__)


class StaleTokenError(Exception):
    """Another pod has opened the notebook since this token was issued."""


class Store:
    """The notebooks. The same two statements work with PostgreSQL, which all pods can reach.

    Args:
        path: the file of the database.
    """

    def __init__(self, path: str) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA busy_timeout = 5000")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS notebooks (uid TEXT PRIMARY KEY, text TEXT NOT NULL, token INTEGER NOT NULL)"
        )

    def open(self, uid: str, token: int) -> str:
        """Returns the text of a notebook. From now on, smaller tokens can neither open nor write it.

        Raises:
            StaleTokenError: a pod with a greater token has opened it.
        """
        row = self._database.execute(
            "INSERT INTO notebooks VALUES (?, '', ?)"
            " ON CONFLICT (uid) DO UPDATE SET token = excluded.token WHERE notebooks.token <= excluded.token"
            " RETURNING text",
            (uid, token),
        ).fetchone()
        if row is None:
            raise StaleTokenError(uid)
        return str(row[0])

    def write(self, uid: str, text: str, token: int) -> None:
        """Writes the text of a notebook. Raises as `open` does."""
        cursor = self._database.execute(
            "UPDATE notebooks SET text = ?, token = ? WHERE uid = ? AND token <= ?", (text, token, uid, token)
        )
        if cursor.rowcount == 0:
            raise StaleTokenError(uid)

    def close(self) -> None:
        """Closes the database."""
        self._database.close()


@dataclass
class Notebook:
    """A notebook in the memory of a pod, and the token that it was opened with.

    The token belongs to this text: with a later token, a pod that had lost the user for a while could overwrite what
    other pods have written meanwhile.
    """

    text: str
    token: int


class Notebooks:
    """The notebooks of the users of this pod.

    Args:
        driver: the driver of this pod, which follows its users.
        store: the store.
    """

    def __init__(self, driver: ServerDriver, store: Store) -> None:
        self._driver = driver
        self._store = store
        self.opened: dict[str, Notebook] = {}
        driver.listen(self._handle)

    def add(self, uid: str, line: str) -> None:
        """Adds a line to the notebook of a user.

        Raises:
            UserNotHeldError: the user is at another pod, or this pod has not opened the notebook, or it is cut off.
            StaleTokenError: another pod has opened the notebook, and this pod has not learned it yet.
        """
        notebook = self.opened.get(uid)
        if notebook is None or self._driver.is_cut_off:
            raise UserNotHeldError(uid)
        text = f"{notebook.text}{line}\n"
        self._store.write(uid, text, notebook.token)
        notebook.text = text

    def _handle(self, event: ServerEvent) -> None:
        match event:
            case UserArrived(uid=uid):
                self._open(uid)
            case UserLeft(uid=uid):
                self.opened.pop(uid, None)
            case EventsLost():
                self.opened.clear()
                for uid in self._driver.users():
                    self._open(uid)
            case CutOff() | Reconnected():
                log.warning("%s", event)

    def _open(self, uid: str) -> None:
        try:
            token = self._driver.token(uid)
            self.opened[uid] = Notebook(self._store.open(uid, token), token)
        except (UserNotHeldError, StaleTokenError):
            log.info("a user has left already")  # the next event says so


async def main() -> None:
    """Runs until SIGTERM. A real server also has a port, and calls `Notebooks.add`."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    settings = Configuration(fence_after_seconds=15)
    with closing(Store("notebooks.db")) as store:
        async with ServerDriver.from_environment(configuration=settings, follow_users=True) as driver:
            Notebooks(driver, store)
            await stop.wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main())
