import signal
from collections.abc import Iterator

import pytest

from demo.interruption import Interruption


@pytest.fixture
def interruption() -> Iterator[Interruption]:
    """Installs the demo's signal handlers and restores the previous ones after the test."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    interruption = Interruption()
    interruption.install()
    yield interruption
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.usefixtures("interruption")
def test_signal_interrupts_at_once(number: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


def test_signal_during_a_print_interrupts_after_it(interruption: Interruption) -> None:
    done: list[str] = []

    def print_two_lines() -> None:
        with interruption.deferred():
            with interruption.deferred():
                signal.raise_signal(signal.SIGINT)
                done.append("first")
            done.append("second")
        done.append("what comes after")

    with pytest.raises(KeyboardInterrupt):
        print_two_lines()
    assert done == ["first", "second"]


def test_one_signal_interrupts_once(interruption: Interruption) -> None:
    with pytest.raises(KeyboardInterrupt), interruption.deferred():
        signal.raise_signal(signal.SIGINT)
    with interruption.deferred():
        pass
