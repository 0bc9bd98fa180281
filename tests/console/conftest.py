"""The console as a process, against a real API server."""

from collections.abc import Iterator

import pytest

from localcluster import LocalCluster
from support.console_process import ConsoleProcess, running_console
from support.service import Service


@pytest.fixture(scope="module")
def console(cluster: LocalCluster, shared_service: Service) -> Iterator[ConsoleProcess]:
    """A console that shows the namespace of the module."""
    with running_console(cluster.kubeconfig, "--namespace", shared_service.namespace) as process:
        yield process
