"""Flags with values, as kubectl accepts them."""

import pytest

from statefulroute.cli.flag_values import spell_flags

OPPOSITES = {"--watch": "--no-watch", "-w": "--no-watch", "--no-watch": "--watch", "--wait": ""}


@pytest.mark.parametrize(
    ("arguments", "spelled"),
    [
        ("game --watch=false", "game --no-watch"),
        ("game --watch=true", "game --watch"),
        ("-w=0 game", "--no-watch game"),
        ("--no-watch=f", "--watch"),
        ("--wait=T --timeout=1", "--wait --timeout=1"),
        ("--wait=false game", "game"),
        ("--wait=maybe", "--wait=maybe"),
        ("--output=true", "--output=true"),
        ("--watch -- --watch=false", "--watch -- --watch=false"),
        ("", ""),
    ],
)
def test_flags_may_have_values(arguments: str, spelled: str) -> None:
    assert spell_flags(arguments.split(), OPPOSITES) == spelled.split()
