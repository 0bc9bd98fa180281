"""Runs schemathesis as its users do, by its command, against a resolver and a sidecar with a real API server.

All its checks apply but those in schemathesis.toml. By default only one of its phases runs, with few requests;
`make test-schemathesis` runs all.
"""

import logging
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from localcluster import LocalCluster
from support.resolver_process import ResolverProcess
from support.scale import IS_LONG, scaled
from support.service import Service
from support.sidecar_process import SidecarProcess

LOG = logging.getLogger(__name__)
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")

#: The requests that are generated for each operation, phase and kind of data.
EXAMPLES = scaled(5, 50)
PHASES = "examples,coverage,fuzzing,stateful" if IS_LONG else "fuzzing"
TIMEOUT_SECONDS = 3600


@pytest.fixture
def resolver(cluster: LocalCluster, shared_service: Service, tmp_path: Path) -> Iterator[str]:
    """The URL of a resolver whose callers may change links."""
    options = ("--watch-namespace", shared_service.namespace, "--link-changes", "--bindings-per-second", "10000")
    process = ResolverProcess(cluster.kubeconfig, tmp_path / "resolver.log", *options)
    process.start()
    yield f"http://{process.lookups}"
    process.stop()
    assert process.errors() == []


@pytest.fixture
def sidecar(cluster: LocalCluster, shared_service: Service, tmp_path: Path) -> Iterator[str]:
    """The URL of the sidecar of a pod."""
    service, log = shared_service, tmp_path / "sidecar.log"
    process = SidecarProcess(cluster.kubeconfig, log, service.namespace, service.pod_name(1), "--drain-seconds=0")
    process.start()
    yield process.url
    process.stop()
    assert process.errors() == []


def run_schemathesis(url: str, folder: Path, *left_out: str, parameters: Mapping[str, str] | None = None) -> None:
    """Runs the checks on the document at an address; the test fails with the output if one of them fails.

    Args:
        url: the address of the API.
        folder: the working folder.
        left_out: the operations that are not called.
        parameters: the values of parameters by their place and name; others are generated.
    """
    values = "".join(f'"{name}" = "{value}"\n' for name, value in (parameters or {}).items())
    (folder / "schemathesis.toml").write_text(f"{CONFIGURATION.read_text()}\n[parameters]\n{values}")
    options = ["--max-examples", str(EXAMPLES), "--seed", "1", "--continue-on-failure"]
    options += ["--phases", PHASES, "--generation-database", "none", "--no-color"]
    options += [option for name in left_out for option in ("--exclude-operation-id", name)]
    completed = subprocess.run(
        [SCHEMATHESIS, "run", f"{url}/openapi.json", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )
    LOG.info("%s", completed.stdout)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert re.search(r"^  [\d,]+ generated, [\d,]+ passed$", completed.stdout, re.MULTILINE), completed.stdout


def test_resolver_conforms(resolver: str, tmp_path: Path) -> None:
    run_schemathesis(resolver, tmp_path, "get_moves")  # its stream does not end


def test_resolver_conforms_for_an_existing_user(resolver: str, shared_service: Service, tmp_path: Path) -> None:
    parameters = {"path.namespace": shared_service.namespace, "path.route": shared_service.name, "path.uid": "alice"}
    run_schemathesis(resolver, tmp_path, "get_moves", parameters=parameters)


def test_sidecar_conforms(sidecar: str, tmp_path: Path) -> None:
    run_schemathesis(sidecar, tmp_path, "events", "stop")  # the stream does not end, and a stop ends all


def test_sidecar_conforms_for_an_existing_user(sidecar: str, shared_service: Service, tmp_path: Path) -> None:
    parameters = {"path.route": shared_service.name, "path.uid": "bob"}
    run_schemathesis(sidecar, tmp_path, "events", "stop", parameters=parameters)
