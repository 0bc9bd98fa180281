"""An operator, a sidecar and the command of the image for FIPS do their work."""

import subprocess
from pathlib import Path

import pytest

from driver.test_sidecar_transfer import test_states_between_a_sidecar_and_a_python_driver
from localcluster import LocalCluster
from support.operator_process import OperatorProcess
from support.service import Service

__all__ = ["test_states_between_a_sidecar_and_a_python_driver"]

pytestmark = pytest.mark.usefixtures("statefulroute")


def test_check_reports_the_cluster(statefulroute: Path, shared_service: Service, cluster: LocalCluster) -> None:
    shared_service.await_bound(shared_service.link("alice"))
    command = [statefulroute, "check", f"--kubeconfig={cluster.kubeconfig}", f"--namespace={shared_service.namespace}"]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "1 of 1 is Bound" in completed.stdout, completed.stderr


def test_operator_is_that_of_the_image(statefulroute: Path, operator: OperatorProcess) -> None:
    assert Path(f"/proc/{operator.pid}/root").readlink() != Path("/")
    assert operator.errors() == []
    assert statefulroute.exists()
