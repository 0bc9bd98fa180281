"""Runs the installed sidecar as a process, like the operator's."""

import json
from pathlib import Path
from typing import Any, Self

from support.operator_process import PROGRAM, OperatorProcess
from support.waiting import eventually

#: Options: the system chooses the ports, and the log contains them.
ANY_PORT = ("--http-address", "127.0.0.1:0", "--bind-address", "127.0.0.1:0")

_API, _PROBES, _STARTED = "serving the driver", "serving probes and metrics", "start"


class SidecarProcess(OperatorProcess):
    """A process `statefulroute sidecar`.

    Args:
        kubeconfig: The cluster and the credentials.
        log_file: The file of its standard error.
        namespace: The namespace of its pod.
        pod: The name of its pod.
        options: Additional options of the command.
    """

    def __init__(self, kubeconfig: Path, log_file: Path, namespace: str, pod: str, *options: str) -> None:
        super().__init__(kubeconfig, log_file)
        self._command = [PROGRAM, "sidecar", "--log-format", "json", *ANY_PORT, *options]
        self._environment = {"KUBECONFIG": str(kubeconfig), "POD_NAME": pod, "POD_NAMESPACE": namespace}

    def start(self) -> Self:
        """Starts the process and waits until its driver has started; kills it if it does not."""
        self.launch()
        try:
            self.await_serving()
        except BaseException:
            if self.is_running:
                self.kill()
            raise
        return self

    @property
    def url(self) -> str:
        """The URL of its API, once it serves it."""
        return f"http://{self._address(_API)}"

    @property
    def probes(self) -> str:
        """The URL of its probes, once it serves them."""
        return f"http://{self._address(_PROBES)}"

    def request_stop(self) -> None:
        """Sends SIGTERM without waiting."""
        self._running().terminate()

    def _is_serving(self) -> bool:
        assert self.is_running, f"the sidecar ended at its start:\n{self.last_lines}"
        return bool(self._logged(_STARTED))

    def _address(self, event: str) -> str:
        eventually(lambda: self._logged(event), f"it is {event}")
        return str(self._logged(event)[-1]["addresses"][0])

    def _logged(self, event: str) -> list[dict[str, Any]]:
        """Returns the lines of an event since its last start; the last line may be incomplete."""
        lines = self.current_log_text.splitlines()
        return [json.loads(line) for line in lines if f'"event": "{event}"' in line and line.endswith("}")]
