"""Fixtures of the examples in other languages than Python."""

import pytest

from localcluster.errors import LocalClusterError
from localcluster.progress import PlainProgress
from localcluster.toolchain import find_go
from support.chat_programs import TYPESCRIPT, ChatPrograms, build_go, build_typescript
from support.npm import node_modules
from support.timeouts import extend_timeouts

#: The first test may have to build or download the generators.
BUILD_SECONDS = 600


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Extends the timeout of the tests that may have to build something."""
    extend_timeouts(items, {"go", "node", "chat_programs"}, BUILD_SECONDS)


@pytest.fixture(scope="session")
def go() -> None:
    """Skips the tests, with the reason, where there is no Go."""
    try:
        find_go(PlainProgress())
    except LocalClusterError as error:
        pytest.skip(str(error).partition("\n")[0])


@pytest.fixture(scope="session")
def node() -> None:
    """Skips the tests, with the reason, where there is no Node.js with the packages of the example."""
    try:
        node_modules(TYPESCRIPT)
    except LocalClusterError as error:
        pytest.skip(str(error).partition("\n")[0])


@pytest.fixture(scope="session", params=["go", "typescript"])
def chat_programs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ChatPrograms:
    """The chat in each language."""
    request.getfixturevalue({"go": "go", "typescript": "node"}[request.param])
    build = {"go": build_go, "typescript": build_typescript}[request.param]
    return build(tmp_path_factory.mktemp(request.param))
