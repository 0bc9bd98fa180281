"""Tests how the tests are distributed to parallel processes."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from support.distribution import LONG, SHORT, WHOLE_FOLDERS, sort_longest_first, unit_of

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("path", sorted({*WHOLE_FOLDERS, *LONG, *SHORT}))
def test_paths_exist(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize(
    ("nodeid", "unit"),
    [
        ("tests/chart/test_lives.py::test_release[helm3]", "tests/chart/"),
        ("tests/website/test_website.py::test_every_page_has_one_title", "tests/website/"),
        ("tests/e2e/test_waves.py::TestWaves::test_wave", "tests/e2e/test_waves.py"),
        ("tests/e2e/test_waves.py::test_wave[a::b]", "tests/e2e/test_waves.py"),
    ],
)
def test_tests_of_a_file_or_of_a_whole_folder_are_one_unit(nodeid: str, unit: str) -> None:
    assert unit_of(nodeid) == unit


def test_longest_come_first_and_tests_of_a_file_keep_their_order() -> None:
    order = [
        "tests/node/test_release.py::test_links",
        "tests/chart/test_lives.py::test_second",
        "tests/chart/test_lives.py::test_first",
        "tests/e2e/test_waves.py::test_wave",
        "tests/e2e/test_binding.py::test_bound",
        "tests/cli/test_reading.py::test_table",
        "tests/unit/domain/test_placement.py::test_best_pod",
    ]
    items = [
        cast("pytest.Item", SimpleNamespace(nodeid=nodeid)) for nodeid in (*order[3:], order[1], order[2], order[0])
    ]
    sort_longest_first(items)
    assert [item.nodeid for item in items] == order


def test_files_that_share_the_operator_come_one_after_the_other() -> None:
    files = {"apart": [], "beside": ["sharing_slot"], "catching": [], "deleting": ["sharing_slot"]}
    items = [
        cast("pytest.Item", SimpleNamespace(nodeid=f"tests/e2e/test_{name}.py::test_first", fixturenames=fixtures))
        for name, fixtures in files.items()
    ]
    sort_longest_first(items)
    assert [item.nodeid.partition("::")[0] for item in items] == [
        f"tests/e2e/test_{name}.py" for name in ("beside", "deleting", "apart", "catching")
    ]
