"""Keeps `kubectl get --watch` running."""

import subprocess
import threading
from collections.abc import Callable

from demo.kubectl import Kubectl

#: How long to wait before a watch restarts; the API server closes each after about half an hour.
PAUSE_SECONDS = 1.0

#: Receives each line of a watch, and None when the watch starts: then earlier lines may be out of date.
Listener = Callable[[str | None], None]


class Watch:
    """Runs one watch until it is stopped, and passes its lines on from a separate thread.

    Args:
        kubectl: The kubectl that runs the watch.
        arguments: What follows `kubectl get --watch`.
        listener: Receives the lines, in the watch's thread.
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
        """Starts the watch."""
        self._thread.start()

    def stop(self) -> None:
        """Stops the watch and waits until it has stopped."""
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
