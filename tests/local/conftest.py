"""Clusters for the tests, in a separate runtime folder so that they never touch the user's clusters."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from local.cluster_process import Kubectl
from localcluster import LocalCluster


@pytest.fixture(scope="module", autouse=True)
def runtime() -> Iterator[Path]:
    # The names of pytest's folders are too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="lc-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        for variable in ("STATEFULROUTE_KUBECONFIG", "KUBEBUILDER_ASSETS"):
            patch.delenv(variable, raising=False)
        yield folder / "statefulroute"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster(runtime: Path) -> Iterator[LocalCluster]:
    with LocalCluster.start("shared", nodes=2) as started:
        assert started.folder.is_relative_to(runtime)
        yield started


@pytest.fixture
def kubectl(cluster: LocalCluster) -> Iterator[Kubectl]:
    """A kubectl in a separate namespace."""
    name = f"test-{uuid4().hex[:8]}"
    whole = Kubectl(cluster)
    whole("create", "namespace", name)
    yield Kubectl(cluster, name)
    whole("delete", "namespace", name, "--wait=false")
