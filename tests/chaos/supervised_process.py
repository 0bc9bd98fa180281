"""A process of ours that is started again when it has ended, as a kubelet does."""

import threading
import time
from dataclasses import dataclass
from pathlib import Path

from chaos.proxy import FaultProxy
from chaos.record import Process, RecordWriter
from support.api_user import APIUser
from support.audit import credential_of
from support.kubectl import Object
from support.operator_process import OperatorProcess

#: How soon a kubelet starts a container again that has ended for the first time.
RESTART_SECONDS = 1.0

_POLL_SECONDS = 0.1

#: Longer than any run.
_TOKEN_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class Account:
    """As whom a process works.

    Attributes:
        administrator: who gives tokens out, in the account's namespace.
        name: of the ServiceAccount.
        pod: to which its tokens are bound; None for none.
    """

    administrator: APIUser
    name: str
    pod: Object | None = None

    def token(self) -> str:
        """A new token."""
        return self.administrator.create_token(self.name, self.pod, seconds=_TOKEN_SECONDS)


class SupervisedProcess:
    """One process, its proxy, and who starts it again.

    Each life has a token of its own, so that the audit log tells them apart. Tokens are asked for in advance: a
    kubelet, too, has one at hand while the API server is away.

    Args:
        name: what it is called in the record.
        process: the process, which works with the proxy's kubeconfig.
        proxy: between it and the API server.
        account: as whom it works.
        record: is told of each life.
        starts: how many tokens are asked for; whoever lives more often has the last one again.

    Attributes:
        environment: what is in its environment besides, from its next life on.
        command_prefix: what starts it, from its next life on.
    """

    def __init__(  # noqa: PLR0913 - each is another thing
        self,
        name: str,
        process: OperatorProcess,
        proxy: FaultProxy,
        account: Account,
        record: RecordWriter,
        *,
        starts: int,
    ) -> None:
        self.name = name
        self.process = process
        self.proxy = proxy
        self.environment: dict[str, str] = {}
        self.command_prefix: list[str] = []
        self._account = account
        self._record = record
        self._tokens = [account.token() for _ in range(starts)]
        self._start_number = 0
        self._is_enabled = False
        self._is_over = threading.Event()
        self._lock = threading.RLock()
        self._supervisor = threading.Thread(target=self._supervise, name=f"keeper of {name}", daemon=True)
        self._supervisor.start()

    @property
    def kubeconfig(self) -> Path:
        """With what it works."""
        return self.proxy.kubeconfig

    @property
    def pid(self) -> int:
        """The id of its process."""
        return self.process.pid

    @property
    def is_running(self) -> bool:
        """Whether its process lives; a frozen one does."""
        return self.process.is_running

    @property
    def log_text(self) -> str:
        """All that it has written since it was started last."""
        return self.process.current_log_text

    def disable(self) -> None:
        """Do not start it again, whatever becomes of it."""
        with self._lock:
            self._is_enabled = False

    def enable(self) -> None:
        """Start it, if it does not run, and from now on whenever it has ended. Does not wait until it serves."""
        with self._lock:
            self._is_enabled = True
            if not self.is_running:
                self._launch()

    def kill(self) -> None:
        """End it in a way that it cannot notice, and hold it."""
        with self._lock:
            self.disable()
            if self.is_running:
                self.process.kill()

    def stop(self) -> int | None:
        """Ask it to end, wait until it has, and hold it; gives its exit code, or None where it did not run."""
        with self._lock:
            self.disable()
            return self.process.terminate() if self.is_running else None

    def freeze(self) -> None:
        """Keep it from running, in a way that it cannot notice."""
        with self._lock:
            if self.is_running:
                self.process.freeze()

    def thaw(self) -> None:
        """Let it run on."""
        self.process.thaw()

    def new_token(self) -> str:
        """A new token for the life that it has now."""
        return self._record_token(self._account.token())

    def close(self) -> None:
        """End it for good."""
        self._is_over.set()
        self._supervisor.join()
        self.kill()

    def _supervise(self) -> None:
        while not self._is_over.wait(_POLL_SECONDS):
            if self._is_enabled and not self.is_running:
                time.sleep(RESTART_SECONDS)
                with self._lock:
                    if self._is_enabled and not self.is_running:
                        self._record.log("it has ended, and is started again", process=self.name)
                        self._launch()

    def _launch(self) -> None:
        self._start_number += 1
        token = self._tokens.pop(0) if len(self._tokens) > 1 else self._tokens[0]
        person = self._account.administrator.with_token(self._record_token(token))
        self.proxy.rewrite(person.write_kubeconfig(self.proxy.kubeconfig.with_name("direct.kubeconfig")))
        self.process.launch(self.environment, self.command_prefix)

    def _record_token(self, token: str) -> str:
        self._record.write(Process(time.time(), self.name, credential_of(token), self._start_number))
        return token
