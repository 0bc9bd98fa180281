"""`kubectl get --watch`, kept running."""

import subprocess
import threading
from collections.abc import Callable

from demo.kubectl import Kubectl

#: How long to wait before a watch that has ended begins anew; the API server ends each after half an hour or so.
PAUSE_SECONDS = 1.0

#: Hears each line of a watch; None when the watch begins, and whatever was heard before may be out of date.
Listener = Callable[[str | None], None]


class Watch:
    """Runs one watch until it is stopped, and hands on its lines from a thread of its own.

    Args:
        kubectl: Who asks.
        arguments: What follows `kubectl get --watch`.
        listener: Is called from the watch's thread.
    """

    def __init__(self, kubectl: Kubectl, arguments: tuple[str, ...], listener: Listener) -> None:
        self._kubectl = kubectl
        self._arguments = arguments
        self._listener = listener
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End the watch and wait until it is gone."""
        with self._lock:
            self._stopped.set()
            if self._process is not None:
                self._process.terminate()
        self._thread.join()

    def _run(self) -> None:
        while (process := self._start_process()) is not None:
            self._listener(None)
            with process:
                for line in process.stdout or ():
                    self._listener(line.rstrip("\n"))
            self._stopped.wait(PAUSE_SECONDS)

    def _start_process(self) -> subprocess.Popen[str] | None:
        with self._lock:
            if self._stopped.is_set():
                return None
            self._process = self._kubectl.start("get", "--watch", *self._arguments)
            return self._process
