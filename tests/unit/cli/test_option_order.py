"""Options before the subcommand; `tests/cli` compares some of them with kubectl."""

import pytest

from statefulroute.cli.option_order import move_behind_subcommand

OPTIONS = {"-n": True, "--namespace": True, "-A": False, "-w": False, "--watch": False, "-o": True}
COMMANDS = {"routes": OPTIONS, "links": OPTIONS, "version": {}}


@pytest.mark.parametrize(
    ("arguments", "moved"),
    [
        ("routes -n play", "routes -n play"),
        ("-n play routes", "routes -n play"),
        ("-nplay routes", "routes -nplay"),
        ("--namespace play routes game", "routes --namespace play game"),
        ("--namespace=play routes", "routes --namespace=play"),
        ("-n play -o json routes -w", "routes -n play -o json -w"),
        ("-n routes links", "links -n routes"),
        ("-n routes", "-n routes"),
        ("-A routes", "routes -A"),
        ("-Aw routes", "routes -Aw"),
        ("--watch routes links", "routes --watch links"),
        ("-n play dance", "-n play dance"),
        ("--unheard-of routes", "--unheard-of routes"),
        ("--unheard-of=1 routes", "routes --unheard-of=1"),
        ("-A version", "-A version"),
        ("-- routes", "-- routes"),
        ("dance -n routes", "dance -n routes"),
        ("", ""),
    ],
)
def test_options_before_a_subcommand_are_moved_behind_it(arguments: str, moved: str) -> None:
    assert move_behind_subcommand(arguments.split(), COMMANDS.get) == moved.split()
