"""Tests that an application loads and installs nothing of the operator."""

import json
import subprocess
import sys
from importlib.metadata import requires

import pytest

#: Modules that only the operator, the CLI and the resolver need.
OPERATORS_OWN = {"kopf", "grpc", "typer", "uvloop"}


def loaded_by(statement: str) -> set[str]:
    """Returns the top-level modules that a program has loaded after one statement."""
    program = f"{statement}\nimport json, sys\nprint(json.dumps([name.partition('.')[0] for name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return set(json.loads(done.stdout))


def test_package_alone_loads_almost_no_module() -> None:
    loaded = loaded_by("import statefulroute")
    assert "statefulroute" in loaded
    assert loaded & {*OPERATORS_OWN, "aiohttp", "kubernetes", "msgspec", "pydantic", "structlog"} == set()


def test_drivers_load_neither_operator_modules_nor_the_kubernetes_library() -> None:
    loaded = loaded_by("from statefulroute import *; from statefulroute.sync import ServerDriver, ClientDriver")
    assert loaded & {*OPERATORS_OWN, "kubernetes"} == set()
    assert "aiohttp" in loaded


def test_connecting_loads_no_operator_modules() -> None:
    loaded = loaded_by("import statefulroute.cluster.connection, statefulroute.driver.environment")
    assert loaded & OPERATORS_OWN == set()


def test_package_has_no_dependencies_of_the_operator() -> None:
    requirements = [line for line in requires("statefulroute") or () if "extra ==" not in line]
    names = {line.split(">")[0].split("<")[0].split("=")[0].split("[")[0].strip().lower() for line in requirements}
    assert names == {"aiohttp", "kubernetes", "msgspec", "pydantic", "structlog", "yarl"}


def test_every_public_name_exists_and_is_listed() -> None:
    import statefulroute  # noqa: PLC0415

    assert sorted(statefulroute.__all__) == list(statefulroute.__all__)
    assert [name for name in statefulroute.__all__ if getattr(statefulroute, name, None) is None] == []
    assert set(statefulroute.__all__) <= set(dir(statefulroute))
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = statefulroute.Nothing
