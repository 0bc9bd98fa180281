"""Distributes tests to the processes of `pytest --numprocesses --dist loadfile`, so that these end at the same time."""

import pytest
from xdist.scheduler import LoadFileScheduling

#: The folders whose files share what is costly to start or to build, like a cluster of their own or the documentation
#: site: one process runs all of them, and starts or builds it once.
WHOLE_FOLDERS = ("tests/chart/", "tests/failover/", "tests/gateways/", "tests/website/")

#: Files and folders by duration: the longest comes first. The images of the real node are built before the chaos suite
#: starts, which needs CPU at the right time.
LONG = (
    "tests/node/test_release.py",
    "tests/chart/",
    "tests/gateways/",
    "tests/failover/",
    "tests/chaos/test_chaos.py",
    "tests/chaos/test_restored_etcd.py",
    "tests/website/",
    "tests/console/test_pages.py",
    "tests/demo/test_demo.py",
    "tests/node/",
    "tests/local/test_lives.py",
    "tests/sandbox/",
    "tests/cli/test_pages.py",
    "tests/e2e/test_waves.py",
    "tests/e2e/test_chat.py",
    "tests/package/",
    "tests/disruptions/",
    "tests/hand_over/test_hand_overs.py",
    "tests/mcp/",
    "tests/console/test_many_links.py",
    "tests/mcp_conformance/",
    "tests/other_suites/",
    "tests/e2e/",
    "tests/driver/",
    "tests/chaos/",
    "tests/property/",
    "tests/resolver/",
)

#: The fixture of tests that use the operator that modules share.
SHARED_OPERATOR = "sharing_slot"

#: Short tests without a cluster come last: they occupy the processes that have nothing else to do.
SHORT = ("tests/unit/",)


class Distribution(LoadFileScheduling):
    """Gives a process the tests of one file after another, or all tests of a folder that is not split."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)


def unit_of(nodeid: str) -> str:
    """Returns the folder or the file whose tests run in the same process."""
    file = _file(nodeid)
    return next((folder for folder in WHOLE_FOLDERS if file.startswith(folder)), file)


def sort_longest_first(items: list[pytest.Item]) -> None:
    """Sorts tests in place by the duration of their files and folders; the tests of a file keep their order.

    Files whose tests use the shared operator come one after the other, so that it need not be started again.
    """
    sharing = {_file(item.nodeid) for item in items if SHARED_OPERATOR in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: (_rank(item.nodeid), _file(item.nodeid) not in sharing))


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def _rank(nodeid: str) -> int:
    if nodeid.startswith(SHORT):
        return len(LONG) + 1
    return next((rank for rank, path in enumerate(LONG) if nodeid.startswith(path)), len(LONG))
