"""The functions of the examples that compute the slot of a uid, with the vectors for all languages."""

from pathlib import Path

import pytest

from support.chat_programs import run_go_tests, run_typescript_tests


@pytest.mark.usefixtures("go")
def test_slots_in_go_are_those_of_the_vectors() -> None:
    run_go_tests()


@pytest.mark.usefixtures("node")
def test_slots_in_typescript_are_those_of_the_vectors(tmp_path: Path) -> None:
    run_typescript_tests(tmp_path)
