"""A proxy of one client's own before the API server, which shows the faults that it is told to."""

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
    """A process between one client and the API server. One fault at a time: each takes the place of the one before.

    Each method returns once what it says is so.

    Args:
        kubeconfig: the client's, with a token or a certificate.
        folder: for the proxy's files; it is made.
        seed: of the choice of requests that meet a fault.

    Attributes:
        port: on loopback, where it listens.
        kubeconfig: what the client is to use: the proxy's address, with the authority to trust and the token in
            files, as a pod has them.
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
            start_new_session=True,  # Ctrl-C is ours: it ends when its input does
        )
        self._lock = threading.Lock()  # who starts the client anew, and who has it meet a fault, are two
        self.port = self._read().port
        self.kubeconfig = self._files.write(self.port)

    @property
    def hits(self) -> int:
        """How many requests and connections have met a fault."""
        return self._send(ProxyCommand()).hits

    def slow(self, seconds: float, *, share: float = 1.0) -> None:
        """Pass requests on so many seconds late."""
        self._set_fault(ProxyFault(Mode.SLOW, share, seconds=seconds))

    def too_many_requests(self, retry_after: int = 1, *, share: float = 1.0) -> None:
        """Answer with 429, and that the client ask again after so many seconds."""
        self._set_fault(ProxyFault(Mode.ERROR, share, 429, retry_after))

    def fail(self, code: int = 500, *, share: float = 1.0) -> None:
        """Answer with an error, and pass nothing on."""
        self._set_fault(ProxyFault(Mode.ERROR, share, code))

    def time_out_afterwards(self, *, share: float = 1.0) -> None:
        """Have writes carried out, and answer with 504."""
        self._set_fault(ProxyFault(Mode.ERROR_AFTER_WRITE, share, 504))

    def drop_watches(self, *, share: float = 1.0) -> None:
        """Cut watches in the middle of an event: those that run at once, new ones after a second."""
        self._set_fault(ProxyFault(Mode.DROP_WATCHES, share))

    def expire_watches(self, *, as_event: bool = False, share: float = 1.0) -> None:
        """Tell new watches and further pages of lists that their resource version is too old; cut running watches.

        Args:
            as_event: tell it in an event within the watch, also to those that run.
            share: of how many.
        """
        self._set_fault(ProxyFault(Mode.EXPIRE_AS_EVENT if as_event else Mode.EXPIRE, share))

    def half_open(self) -> None:
        """Answer nothing and close nothing; at its end, forget the connections and do not tell their clients."""
        self._set_fault(ProxyFault(Mode.HALF_OPEN))

    def refuse(self) -> None:
        """Cut connections and refuse new ones."""
        self._set_fault(ProxyFault(Mode.REFUSE))

    def heal(self) -> None:
        """Pass everything on again."""
        self._set_fault(ProxyFault())

    def rotate_authority(self) -> None:
        """Serve with a certificate of another authority, which stands in the client's file from now on."""
        self._send(ProxyCommand(certificate=str(self._files.rotate_authority())))

    def rotate_token(self, token: str) -> None:
        """Put another token into the client's file; any other is answered with 401 from now on."""
        self._files.rotate_token(token)
        self._send(ProxyCommand(token=token))

    def rewrite(self, kubeconfig: Path) -> Path:
        """Write the client's kubeconfig anew, for a process with credentials of its own; every token is let in again.

        Args:
            kubeconfig: for the same API server, with another token.
        """
        self._files = self._files.of(kubeconfig)
        self._send(ProxyCommand(token=""))
        return self._files.write(self.port)

    def close(self) -> None:
        """End the proxy."""
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
