"""What goes wrong when."""

from collections import Counter
from itertools import islice
from random import Random

from chaos.registry import KINDS
from chaos.schedule import rounds


def test_a_seed_gives_the_same_faults_at_the_same_times_again() -> None:
    once, again = ([*islice(rounds(KINDS, Random(7)), 20)] for _ in range(2))
    shape = [[(each.kind.name, each.start, each.end) for each in planned] for planned in once]
    assert shape == [[(each.kind.name, each.start, each.end) for each in planned] for planned in again]


def test_faults_that_overlap_touch_different_things() -> None:
    for planned in islice(rounds(KINDS, Random(1)), 100):
        touched = Counter(each for one in planned for each in one.kind.affects)
        assert set(touched.values()) == {1}


def test_no_kind_of_fault_comes_again_before_every_other_has_come() -> None:
    names = [each.kind.name for planned in islice(rounds(KINDS, Random(2)), 200) for each in planned]
    for begin in range(0, len(names) - len(KINDS), len(KINDS)):
        assert sorted(names[begin : begin + len(KINDS)]) == sorted(kind.name for kind in KINDS)


def test_every_fault_lasts_as_long_as_its_kind_may() -> None:
    for planned in islice(rounds(KINDS, Random(3)), 100):
        for each in planned:
            least, most = each.kind.seconds
            assert least <= each.end - each.start <= most
