"""Tests the schedule of faults."""

import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path
from random import Random

from chaos.registry import KINDS
from chaos.schedule import rounds


def test_same_seed_gives_the_same_faults_at_the_same_times() -> None:
    once, again = ([*islice(rounds(KINDS, Random(7)), 20)] for _ in range(2))
    shape = [[(each.kind.name, each.start, each.end) for each in scheduled] for scheduled in once]
    assert shape == [[(each.kind.name, each.start, each.end) for each in scheduled] for scheduled in again]


def test_overlapping_faults_affect_different_parts() -> None:
    for scheduled in islice(rounds(KINDS, Random(1)), 100):
        affected = Counter(each for fault in scheduled for each in fault.kind.affects)
        assert set(affected.values()) == {1}


def test_no_kind_of_fault_repeats_before_every_other_kind() -> None:
    names = [each.kind.name for scheduled in islice(rounds(KINDS, Random(2)), 200) for each in scheduled]
    for begin in range(0, len(names) - len(KINDS), len(KINDS)):
        assert sorted(names[begin : begin + len(KINDS)]) == sorted(kind.name for kind in KINDS)


def test_duration_of_each_fault_is_within_the_bounds_of_its_kind() -> None:
    for scheduled in islice(rounds(KINDS, Random(3)), 100):
        for each in scheduled:
            least, most = each.kind.seconds
            assert least <= each.end - each.start <= most


def test_the_suite_can_be_started_as_a_script() -> None:
    command = [sys.executable, "tests/chaos/run.py", "--help"]
    started = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert started.returncode == 0, started.stderr
    assert "--seed" in started.stdout
