"""Runs a proxy between one client and the API server, which injects faults on command."""

import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import msgspec

from chaos.proxy.credentials import ProxiedKubeconfig
from chaos.proxy.modes import Mode, ProxyCommand, ProxyFault, ProxyReport

__all__ = ["FaultProxy"]

_TESTS = Path(__file__).parents[2]
_END_SECONDS = 10.0


class FaultProxy:
    """A proxy process between one client and the API server. It injects one fault at a time.

    Each method returns once the change is in force; a new fault replaces the previous one.

    Args:
        kubeconfig: the client's, with a token or a certificate.
        folder: the folder of the proxy's files; it is created.
        seed: the seed of the choice of requests that are affected.

    Attributes:
        port: the port on loopback.
        kubeconfig: the kubeconfig for the client: the proxy's address, with the trusted authority and the token in
            files, as in a pod.
    """

    def __init__(self, kubeconfig: Path, folder: Path, seed: int = 0) -> None:
        self._files = ProxiedKubeconfig(kubeconfig, folder)
        self._log = (folder / "proxy.log").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chaos.proxy.process", *self._files.arguments, str(seed)],
            cwd=_TESTS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,  # ignores Ctrl-C: it exits when its input is closed
        )
        self._lock = threading.Lock()  # the supervisor and the fault use the proxy in different threads
        self.port = self._read().port
        self.kubeconfig = self._files.write(self.port)

    @property
    def hits(self) -> int:
        """The number of requests and connections that a fault affected."""
        return self._send(ProxyCommand()).hits

    def slow(self, seconds: float, *, share: float = 1.0) -> None:
        """Forwards requests after this delay."""
        self._set_fault(ProxyFault(Mode.SLOW, share, seconds=seconds))

    def too_many_requests(self, retry_after: int = 1, *, share: float = 1.0) -> None:
        """Responds with 429 and a Retry-After of this many seconds."""
        self._set_fault(ProxyFault(Mode.ERROR, share, 429, retry_after))

    def fail(self, code: int = 500, *, share: float = 1.0) -> None:
        """Responds with an error without forwarding."""
        self._set_fault(ProxyFault(Mode.ERROR, share, code))

    def time_out_afterwards(self, *, share: float = 1.0) -> None:
        """Forwards writes, and responds with 504."""
        self._set_fault(ProxyFault(Mode.ERROR_AFTER_WRITE, share, 504))

    def drop_watches(self, *, share: float = 1.0) -> None:
        """Cuts watches during an event: present ones at once, new ones after a second."""
        self._set_fault(ProxyFault(Mode.DROP_WATCHES, share))

    def hold_watches(self) -> None:
        """Holds the events of all watches back until the fault ends; forwards other requests."""
        self._set_fault(ProxyFault(Mode.HOLD_WATCHES))

    def expire_watches(self, *, share: float = 1.0) -> None:
        """Responds to new watches and to further pages of lists with an expired version; cuts present watches."""
        self._set_fault(ProxyFault(Mode.EXPIRE, share))

    def fail_watches(self, code: int = 500, *, share: float = 1.0) -> None:
        """Ends present watches with an error event at once, and new ones after a second."""
        self._set_fault(ProxyFault(Mode.ERROR_EVENT, share, code))

    def half_open(self) -> None:
        """Sends no responses and closes no connections; at its end, drops the connections silently."""
        self._set_fault(ProxyFault(Mode.HALF_OPEN))

    def refuse(self) -> None:
        """Cuts connections and refuses new ones."""
        self._set_fault(ProxyFault(Mode.REFUSE))

    def skew_date(self, seconds: float, *, share: float = 1.0) -> None:
        """Adds seconds to the `Date` of responses: positive is a clock that is ahead."""
        self._set_fault(ProxyFault(Mode.SKEW_DATE, share, seconds=seconds))

    def heal(self) -> None:
        """Forwards everything again."""
        self._set_fault(ProxyFault())

    def rotate_authority(self) -> None:
        """Serves with a certificate of a new authority, and writes the authority to the client's file."""
        self._send(ProxyCommand(certificate=str(self._files.rotate_authority())))

    def rotate_token(self, token: str) -> None:
        """Writes another token to the client's file; any other token gets 401 from now on."""
        self._files.rotate_token(token)
        self._send(ProxyCommand(token=token))

    def rewrite(self, kubeconfig: Path) -> Path:
        """Writes the client's kubeconfig again, for a process with its own credentials; every token is accepted again.

        Args:
            kubeconfig: a kubeconfig for the same API server, with another token.
        """
        self._files = self._files.of(kubeconfig)
        self._send(ProxyCommand(token=""))
        return self._files.write(self.port)

    def close(self) -> None:
        """Stops the proxy."""
        _pipe(self._process.stdin).close()
        try:
            code = self._process.wait(_END_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
            _pipe(self._process.stdout).close()
            self._log.close()
        assert code == 0, f"the fault proxy has ended with {code}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _set_fault(self, fault: ProxyFault) -> None:
        self._send(ProxyCommand(fault))

    def _send(self, command: ProxyCommand) -> ProxyReport:
        pipe = _pipe(self._process.stdin)
        with self._lock:
            pipe.write(msgspec.json.encode(command) + b"\n")
            pipe.flush()
            return self._read()

    def _read(self) -> ProxyReport:
        line = _pipe(self._process.stdout).readline()
        assert line, f"the fault proxy has ended: see {self._log.name}"
        return msgspec.json.decode(line, type=ProxyReport)


def _pipe(pipe: IO[Any] | None) -> IO[Any]:
    assert pipe is not None
    return pipe
