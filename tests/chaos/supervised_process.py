"""Runs a process of the product and restarts it when it exits, as a kubelet does."""

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

#: The delay of a kubelet's first restart of a container.
RESTART_SECONDS = 1.0

_POLL_SECONDS = 0.1

#: Longer than any run.
_TOKEN_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class Account:
    """The ServiceAccount of a process.

    Attributes:
        administrator: creates tokens, in the account's namespace.
        name: the name of the ServiceAccount.
        pod: the pod that its tokens are bound to; None for none.
    """

    administrator: APIUser
    name: str
    pod: Object | None = None

    def token(self) -> str:
        """Returns a new token."""
        return self.administrator.create_token(self.name, self.pod, seconds=_TOKEN_SECONDS)


class SupervisedProcess:
    """A process, its proxy, and a thread that restarts it.

    Each start has its own token, so that the audit log distinguishes the starts. Tokens are created in advance: a
    kubelet, too, has a token while the API server is unavailable.

    Args:
        name: the name in the record.
        process: the process, which uses the proxy's kubeconfig.
        proxy: the proxy between the process and the API server.
        account: the ServiceAccount.
        record: records each start.
        starts: the number of tokens to create; further starts reuse the last one.

    Attributes:
        environment: additional environment variables, from the next start on.
        command_prefix: a command that runs the process, from the next start on.
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
        self.start_number = 0
        """The number of starts so far."""
        self._is_enabled = False
        self._is_over = threading.Event()
        self._lock = threading.RLock()
        self._supervisor = threading.Thread(target=self._supervise, name=f"keeper of {name}", daemon=True)
        self._supervisor.start()

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of the process."""
        return self.proxy.kubeconfig

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process exists; also true while it is suspended."""
        return self.process.is_running

    @property
    def log_text(self) -> str:
        """Everything that it wrote since its last start."""
        return self.process.current_log_text

    def disable(self) -> None:
        """Stops restarting the process."""
        with self._lock:
            self._is_enabled = False

    def enable(self) -> None:
        """Starts the process if it does not run, and restarts it from now on. Does not wait until it serves."""
        with self._lock:
            self._is_enabled = True
            if not self.is_running:
                self._launch()

    def kill(self) -> None:
        """Kills the process and stops restarting it."""
        with self._lock:
            self.disable()
            if self.is_running:
                self.process.kill()

    def stop(self) -> int | None:
        """Stops the process gracefully and stops restarting it; returns its exit code, or None if it did not run."""
        with self._lock:
            self.disable()
            return self.process.terminate() if self.is_running else None

    def freeze(self) -> None:
        """Suspends the process."""
        with self._lock:
            if self.is_running:
                self.process.freeze()

    def thaw(self) -> None:
        """Resumes the process."""
        self.process.thaw()

    def new_token(self) -> str:
        """Returns a new token for the running process."""
        return self._record_token(self._account.token())

    def close(self) -> None:
        """Stops the process for good."""
        self._is_over.set()
        self._supervisor.join()
        self.kill()

    def _supervise(self) -> None:
        while not self._is_over.wait(_POLL_SECONDS):
            if self._is_enabled and not self.is_running:
                time.sleep(RESTART_SECONDS)
                with self._lock:
                    if self._is_enabled and not self.is_running:
                        self._record.log("exited, and is restarted", process=self.name)
                        self._launch()

    def _launch(self) -> None:
        self.start_number += 1
        token = self._tokens.pop(0) if len(self._tokens) > 1 else self._tokens[0]
        user = self._account.administrator.with_token(self._record_token(token))
        self.proxy.rewrite(user.write_kubeconfig(self.proxy.kubeconfig.with_name("direct.kubeconfig")))
        self.process.launch(self.environment, self.command_prefix)

    def _record_token(self, token: str) -> str:
        self._record.write(Process(time.time(), self.name, credential_of(token), self.start_number))
        return token
