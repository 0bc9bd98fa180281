"""Tests that an application loads and installs nothing of the operator."""

import json
import subprocess
import sys
from importlib.metadata import files, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

#: Modules that only the operator, the CLI and the resolver need, or drivers with metrics, traces and states.
OPERATORS_OWN = {
    "cryptography",
    "grpc",
    "jwt",
    "kopf",
    "opentelemetry",
    "prometheus_client",
    "structlog",
    "typer",
    "uvloop",
}


def loaded_by(statement: str) -> set[str]:
    """Returns the top-level modules that a program has loaded after one statement."""
    program = f"{statement}\nimport json, sys\nprint(json.dumps([name.partition('.')[0] for name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return set(json.loads(done.stdout))


def test_package_alone_loads_almost_no_module() -> None:
    loaded = loaded_by("import statefulroute")
    assert "statefulroute" in loaded
    assert loaded & {*OPERATORS_OWN, "aiohttp", "kubernetes", "msgspec", "pydantic"} == set()


def test_drivers_load_neither_operator_modules_nor_the_kubernetes_library() -> None:
    loaded = loaded_by("from statefulroute import *; from statefulroute.sync import ServerDriver, ClientDriver")
    assert loaded & {*OPERATORS_OWN, "kubernetes", "yaml"} == set()
    assert "aiohttp" in loaded


def test_connecting_in_a_pod_loads_no_modules_of_extras() -> None:
    loaded = loaded_by("import statefulroute.cluster.connection, statefulroute.driver.environment")
    assert loaded & {*OPERATORS_OWN, "kubernetes", "yaml"} == set()


def test_driver_without_metrics_and_traces_loads_no_modules_of_extras() -> None:
    assert loaded_by(_USED) & {*OPERATORS_OWN, "kubernetes", "yaml"} == set()


def test_package_has_no_dependencies_of_the_operator() -> None:
    requirements = [line for line in requires("statefulroute") or () if "extra ==" not in line]
    names = {line.split(">")[0].split("<")[0].split("=")[0].split("[")[0].strip().lower() for line in requirements}
    assert names == {"aiohttp", "msgspec", "pydantic", "yarl"}


#: The limit of the size of the dependencies. With their bytecode and the library itself, these are 30 MiB.
MAX_BYTES = 21 * 2**20


def test_library_with_its_dependencies_is_small() -> None:
    sizes = {name: installed_bytes(name) for name in required_by("statefulroute")}
    assert {"aiohttp", "multidict", "pydantic-core"} <= sizes.keys()
    assert sum(sizes.values()) <= MAX_BYTES, sizes


def required_by(name: str) -> set[str]:
    """Returns the distributions that are installed with one, without its extras."""
    found: set[str] = set()
    pending = [name]
    while pending:
        for line in requires(pending.pop()) or ():
            requirement = Requirement(line)
            required = canonicalize_name(requirement.name)
            is_needed = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if is_needed and required not in found:
                found.add(required)
                pending.append(required)
    return found


def installed_bytes(name: str) -> int:
    """Returns the size of the files of an installed distribution."""
    return sum(file.locate().stat().st_size for file in files(name) or () if Path(file.locate()).is_file())


@pytest.mark.parametrize(
    ("package", "content", "reason"),
    [
        ("yaml", "", "a kubeconfig is YAML"),
        (
            "kubernetes",
            "users: [{name: me, user: {exec: {command: get-token, apiVersion: client.authentication.k8s.io/v1}}}]",
            "has an exec plugin or an auth provider, or is malformed",
        ),
        ("kubernetes", "not a kubeconfig", "or is malformed"),
    ],
)
def test_kubeconfig_that_needs_an_extra_says_what_to_install(
    tmp_path: Path, package: str, content: str, reason: str
) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(f"{_KUBECONFIG}\n{content}")
    assert f"{reason}: pip install 'statefulroute[kubeconfig]' to read it" in error_without(package, kubeconfig)
    missing = error_without(package, Path("/nowhere"))
    assert "there is no file /nowhere" in missing
    assert "pip install" not in missing


def error_without(package: str, kubeconfig: Path) -> str:
    """Returns the error of a connection by a kubeconfig in an environment without a package."""
    command = [sys.executable, "-c", _WITHOUT_PACKAGE, package, str(kubeconfig)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


_KUBECONFIG = """
current-context: here
clusters: [{name: here, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: here, context: {cluster: here, user: me}}]
"""

_USED = """
import asyncio
from statefulroute.testing import InMemoryCluster

async def main():
    cluster = InMemoryCluster()
    cluster.add_service("game", pods=1)
    async with cluster.client_driver() as client, cluster.server_driver("game", 0) as server:
        await client.bind("alice", "game")
        await server.get_linked_pod("default", "alice", "game")
        await server.stop(0)

asyncio.run(main())
"""

_WITHOUT_PACKAGE = """
import asyncio, sys
from pathlib import Path
sys.modules[sys.argv[1]] = None
from statefulroute import ClientDriver, StatefulRouteError

try:
    asyncio.run(ClientDriver.connect("play", kubeconfig=Path(sys.argv[2])))
except StatefulRouteError as error:
    print(error)
"""


def test_every_public_name_exists_and_is_listed() -> None:
    import statefulroute  # noqa: PLC0415

    assert sorted(statefulroute.__all__) == list(statefulroute.__all__)
    assert [name for name in statefulroute.__all__ if getattr(statefulroute, name, None) is None] == []
    assert set(statefulroute.__all__) <= set(dir(statefulroute))
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = statefulroute.Nothing
